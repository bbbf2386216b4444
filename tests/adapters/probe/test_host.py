"""The probe: what it reads on this host, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.version import Version

from rldlib.adapters.probe import Probe
from rldlib.rules.capacity import shortfalls
from rldlib.values.interpreter import Interpreter
from rldlib.values.policy import Policy
from rldlib.values.profile import Demand
from rldlib.values.promise import Promise
from rldlib.values.score import Score

BARE = Policy(memory_headroom_bytes=0, disk_headroom_bytes=0)
INTERPRETER = Interpreter(executable=sys.executable, version=Version("3.11.0"), tags=(), markers={})
MEMINFO = "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 600 kB\n"
CPUINFO = "processor\t: 0\nmodel name\t: A Chip\nflags\t\t: fpu AVX2 sha_ni\n\nprocessor\t: 1\n"
# What a host needs to be read at all.
PLAIN = {"proc/meminfo": MEMINFO, "proc/cpuinfo": CPUINFO, "sys/class/misc/x": ""}


class Scored:
    """A keeper of one score, or of none."""

    def __init__(self, score=None):
        self.score = score

    def find(self, interpreter):
        return self.score


@pytest.fixture
def probe(tmp_path):
    def build(files=PLAIN, policy=BARE, score=None):
        for path, text in files.items():
            (tmp_path / "fs" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "fs" / path).write_text(text)
        return Probe(tmp_path / "host", policy, Scored(score), filesystem=str(tmp_path / "fs"))

    return build


def promise(**known):
    figures = {"memory_bytes": 0, "disk_bytes": 0, "cpu_idle_rcu": 0}
    return Promise(
        **{"id": "p", "service": "s", "version": "1", "root": "/", "host_pid": 1} | figures | known
    )


def test_this_very_host_can_be_read(tmp_path):
    probe = Probe(tmp_path / "host", Policy(), Scored(Score(rcu=500)))
    room = probe.room(INTERPRETER, tmp_path / "not" / "there" / "yet", [])
    assert room.failed.keys() <= {"devices"}
    assert min(room.memory_bytes, room.disk_bytes, room.open_files, room.threads) > 0
    assert room.cpu_idle_rcu <= 500 * len(os.sched_getaffinity(0))
    assert os.uname().machine in room.hardware
    assert not (tmp_path / "not").exists()


def test_room_is_computed_from_what_the_kernel_says(probe, tmp_path):
    room = probe(score=Score(rcu=300)).room(INTERPRETER, tmp_path, [promise(memory_bytes=100 * 1024)])
    assert room.memory_bytes == (1000 - 400 - 100) * 1024
    assert room.score_rcu == 300
    assert {"avx2", "sha_ni"} <= room.hardware
    assert room.failed == {}


def test_the_tightest_control_group_binds(probe, tmp_path):
    groups = {
        "proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/memory.max": "102400\n",
        "sys/fs/cgroup/memory.current": "2400\n",
        "sys/fs/cgroup/cpu.max": "25000 100000\n",
    }
    room = probe(PLAIN | groups, score=Score(rcu=1000)).room(INTERPRETER, tmp_path, [])
    assert (room.memory_bytes, room.cpu_idle_rcu, room.threads) == (100000, 250, 1)


def test_a_host_without_a_score_is_taken_for_a_weak_one(probe, tmp_path):
    room = probe().room(INTERPRETER, tmp_path, [])
    assert room.score_rcu == 200
    assert any("no score here" in note for note in room.notes)


def test_what_a_worker_and_its_children_use_of_their_promise_counts_once(probe, tmp_path):
    page = os.sysconf("SC_PAGE_SIZE")
    processes = {
        "proc/7/statm": "99 12 2 0 0 0 0\n",
        "proc/7/task/7/children": "",
        "proc/7/task/8/children": "9 10 ",
        "proc/9/statm": "99 5 1 0 0 0 0\n",
        "proc/9/task/9/children": "7 ",
    }
    measured = probe(PLAIN | processes).measure(
        tmp_path, [promise(worker_pid=7), promise(id="gone", worker_pid=4)]
    )
    assert measured.worker_memory_bytes == {"p": 14 * page, "gone": 0}


def test_a_real_worker_with_a_child_is_measured(tmp_path):
    code = "import subprocess, sys; block = bytearray(b'x' * {0}); {1}print('up', flush=True); sys.stdin.readline()"
    inner = code.format(20_000_000, "")
    outer = code.format(30_000_000, f"inner = subprocess.Popen([sys.executable, '-c', {inner!r}], stdin=0); ")
    with subprocess.Popen(
        [sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert [worker.stdout.readline().strip() for _ in range(2)] == ["up", "up"]
        probe = Probe(tmp_path, BARE, Scored())
        used = probe.measure(tmp_path, [promise(worker_pid=worker.pid)]).worker_memory_bytes["p"]
        worker.stdin.write("\n\n")
    assert 50_000_000 < used < 100_000_000


def test_promises_on_another_file_system_leave_this_disk_alone(probe, tmp_path):
    held = [
        promise(id="here", root=str(tmp_path / "not there yet")),
        promise(id="there", root="/proc"),
        promise(id="unreadable", root=""),
    ]
    assert probe().measure(tmp_path, held).disk_elsewhere == {"there"}


BROKEN = [
    ("memory_bytes", {"proc/meminfo": "MemTotal: much\n"}, Demand(memory_peak_bytes=1)),
    ("memory_bytes", {"proc/meminfo": ""}, Demand(memory_peak_bytes=1)),
    (
        "cpu_idle_rcu",
        {
            "proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/cpu.max": "half 100000\n",
        },
        Demand(cpu_idle_rcu=1),
    ),
    ("devices", {"sys/class/input/event0/device/capabilities/key": "?\n"}, Demand(devices=("usb",))),
    (
        "gpu_memory_bytes",
        {"sys/class/drm/card0/device/mem_info_vram_total": "8\n"},
        None,
    ),
]


@pytest.mark.parametrize(("field", "files", "demand"), BROKEN, ids=[f"{row[0]}" for row in BROKEN])
def test_what_cannot_be_read_is_none_and_told_by_name(probe, tmp_path, field, files, demand):
    room = probe(PLAIN | files).room(INTERPRETER, tmp_path, [])
    assert not getattr(room, field)
    assert field in room.failed
    assert any(note.startswith(f"{field}: unknown") for note in room.notes)
    if demand is not None:
        assert any("unknown amount" in str(lacking) for lacking in shortfalls(demand, room))


def test_a_root_that_cannot_be_looked_at_is_told(probe, tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "statvfs", refuse)
    room = probe().room(INTERPRETER, tmp_path, [])
    assert room.disk_bytes == 0
    assert "Permission denied" in room.failed["disk_bytes"]


def test_hardware_functions_are_asked_for_once_per_processor(probe, tmp_path, monkeypatch):
    probe().room(INTERPRETER, tmp_path, [])
    monkeypatch.setattr("rldlib.adapters.probe.hardware._archspec_names", lambda: frozenset({"asked"}))
    assert "asked" not in probe().room(INTERPRETER, tmp_path, []).hardware
    other = PLAIN | {"proc/cpuinfo": CPUINFO.replace("A Chip", "Another Chip")}
    assert {"asked", "avx2"} <= probe(other).room(INTERPRETER, tmp_path, []).hardware


@pytest.mark.parametrize("kept", [b"", b"{", b"[]", b'{"key": 1}', b"\xff", b'{"key": {}, "names": 5}'])
def test_damaged_knowledge_of_the_processor_is_replaced(probe, tmp_path, kept):
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "hardware.json").write_bytes(kept)
    room = probe().room(INTERPRETER, tmp_path, [])
    assert "avx2" in room.hardware
    assert json.loads((tmp_path / "host" / "hardware.json").read_bytes())["names"]


def test_a_processor_that_archspec_cannot_place_keeps_the_kernels_names(probe, tmp_path, monkeypatch):
    def refuse():
        raise RuntimeError("cannot detect the host")

    monkeypatch.setattr("rldlib.adapters.probe.hardware._archspec_names", refuse)
    assert probe().room(INTERPRETER, tmp_path, []).hardware == {"fpu", "avx2", "sha_ni"}
    assert not (tmp_path / "host").exists()
    unknown = probe(PLAIN | {"proc/cpuinfo": "processor: 0\n"}).room(INTERPRETER, tmp_path, [])
    assert "neither the kernel nor archspec" in unknown.failed["hardware"]


def test_a_host_folder_that_cannot_be_written_costs_nothing_but_time(probe, tmp_path):
    (tmp_path / "host").touch()
    assert "avx2" in probe().room(INTERPRETER, tmp_path, []).hardware


def test_a_system_without_proc_is_read_by_psutil_and_says_so(probe, tmp_path):
    held = [promise(worker_pid=os.getpid()), promise(id="gone", worker_pid=2**22 + 1)]
    empty = probe({"elsewhere": ""})
    measured = empty.measure(tmp_path, held)
    assert [level.name for level in measured.memory] == ["machine"]
    assert measured.worker_memory_bytes["p"] > 1_000_000
    assert measured.worker_memory_bytes["gone"] == 0
    assert "devices" in measured.failed
    assert any("psutil" in note for note in measured.notes)


def test_the_facts_of_the_host_are_plain_data(probe, tmp_path):
    facts = probe(score=Score(rcu=700, taken="2026-01-01")).host_facts(INTERPRETER, tmp_path, []).facts()
    told = json.loads(json.dumps(facts))
    assert told["processor"] == "A Chip"
    assert told["score"]["rcu"] == told["room"]["score_rcu"] == 700
    assert told["memory"] == [{"name": "machine", "limit_bytes": 1024000, "used_bytes": 409600}]
    assert "avx2" in told["hardware"]


def test_a_decision_imports_neither_psutil_nor_archspec(tmp_path):
    """A warm decision is in the way of every start; archspec's answer was kept by the one before."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom packaging.version import Version\n"
        "from rldlib.adapters.probe import Probe\nfrom rldlib.adapters.scores import Scores\n"
        "from rldlib.values.interpreter import Interpreter\nfrom rldlib.values.policy import Policy\n"
        "host = Path(sys.argv[1])\n"
        "one = Interpreter(executable=sys.executable, version=Version('3.11'), tags=(), markers={})\n"
        "Probe(host, Policy(), Scores(host)).room(one, host, [])\n"
        "print(sorted({'psutil', 'archspec', 'ctypes', 'subprocess'} & sys.modules.keys()))\n"
    )
    answers = [
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
        )
        for _ in range(2)
    ]
    assert answers[1].stdout.strip() == "[]"
    assert sorted(path.name for path in Path(tmp_path).iterdir()) == ["hardware.json"]
