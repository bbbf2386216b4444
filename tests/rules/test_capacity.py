"""Admission: every shortfall by name, exact fits, and what is proposed instead."""

from __future__ import annotations

import pytest

from rldlib.errors import CapacityError
from rldlib.rules.capacity import Candidate, alternative, shortfalls
from rldlib.values.profile import Demand, Gpu, ResourceProfile
from rldlib.values.room import Alternative, Room, Shortfall

ROOM = Room(
    memory_bytes=1000,
    disk_bytes=1000,
    cpu_idle_rcu=500,
    threads=2,
    open_files=100,
    score_rcu=250,
    hardware=frozenset({"avx2", "sse4.1"}),
    devices=frozenset({"usb", "gpu"}),
    gpu_memory_bytes=50,
)
ALL_OF_IT = {
    "memory_start_bytes": 1000,
    "memory_peak_bytes": 1000,
    "disk_bytes": 400,
    "download_bytes": 600,
    "cpu_idle_rcu": 500,
    "threads": 2,
    "open_files": 100,
    "hardware": ("avx2",),
    "devices": ("usb",),
    "gpu": Gpu(memory_bytes=50),
}


def test_exactly_enough_is_enough():
    assert shortfalls(Demand(**ALL_OF_IT), ROOM) == ()


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"memory_start_bytes": 1001}, Shortfall("memory_peak_bytes", 1001, 1000)),
        ({"memory_peak_bytes": 1001}, Shortfall("memory_peak_bytes", 1001, 1000)),
        ({"disk_bytes": 401}, Shortfall("disk_bytes", 1001, 1000)),
        ({"download_bytes": 601}, Shortfall("disk_bytes", 1001, 1000)),
        ({"cpu_idle_rcu": 501}, Shortfall("cpu_idle_rcu", 501, 500)),
        ({"open_files": 101}, Shortfall("open_files", 101, 100)),
        ({"hardware": ("avx2", "sha_ni")}, Shortfall("hardware", "sha_ni", "avx2, sse4.1")),
        ({"devices": ("usb", "serial")}, Shortfall("devices", "serial", "gpu, usb")),
        ({"gpu": Gpu(memory_bytes=51)}, Shortfall("gpu.memory_bytes", 51, 50)),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_one_more_than_there_is_falls_short(more, expected):
    assert shortfalls(Demand(**ALL_OF_IT | more), ROOM) == (expected,)


def test_every_shortfall_is_named_not_only_the_first():
    nothing = Room(memory_bytes=0, disk_bytes=0, cpu_idle_rcu=0, threads=0, open_files=0, score_rcu=1)
    demand = Demand(
        **ALL_OF_IT | {"hardware": ("avx2", "neon"), "devices": ("usb", "serial"), "gpu": Gpu(memory_bytes=1)}
    )
    assert [(one.resource, one.needed) for one in shortfalls(demand, nothing)] == [
        ("memory_peak_bytes", 1000),
        ("disk_bytes", 1000),
        ("cpu_idle_rcu", 500),
        ("open_files", 100),
        ("gpu.memory_bytes", 1),
        ("hardware", "avx2"),
        ("hardware", "neon"),
        ("devices", "usb"),
        ("devices", "serial"),
        ("devices", "gpu"),
    ]


def test_a_gpu_without_a_figure_needs_a_gpu_all_the_same():
    room = Room(memory_bytes=0, disk_bytes=0, cpu_idle_rcu=0, threads=1, open_files=64, score_rcu=1)
    assert shortfalls(Demand(gpu=Gpu()), room) == (Shortfall("devices", "gpu", ""),)


def test_names_are_compared_without_regard_to_case():
    assert shortfalls(Demand(hardware=("AVX2",), devices=("USB",)), ROOM) == ()


@pytest.mark.parametrize(
    ("download", "disk", "short"), [(600, 400, False), (601, 400, True), (0, 1001, True)]
)
def test_known_sizes_replace_the_profiles_claim(download, disk, short):
    demand = Demand(disk_bytes=5, download_bytes=10**9)
    assert bool(shortfalls(demand, ROOM, download_bytes=download, disk_bytes=disk)) is short


def test_an_environment_that_is_there_needs_no_disk():
    assert shortfalls(Demand(disk_bytes=10**9), ROOM, download_bytes=0, disk_bytes=0) == ()


@pytest.mark.parametrize(
    ("field", "demand", "resource"),
    [
        ("memory_bytes", Demand(memory_peak_bytes=2048), "memory_peak_bytes"),
        ("disk_bytes", Demand(disk_bytes=1), "disk_bytes"),
        ("cpu_idle_rcu", Demand(cpu_idle_rcu=1), "cpu_idle_rcu"),
        ("hardware", Demand(hardware=("avx2",)), "hardware"),
        ("devices", Demand(devices=("usb",)), "devices"),
        ("gpu_memory_bytes", Demand(gpu=Gpu(memory_bytes=1)), "gpu.memory_bytes"),
    ],
)
def test_what_could_not_be_measured_is_refused_by_name_where_it_is_demanded(field, demand, resource):
    room = Room(
        memory_bytes=0,
        disk_bytes=0,
        cpu_idle_rcu=0,
        threads=1,
        open_files=64,
        score_rcu=1,
        failed={field: "PermissionError: no"},
    )
    told = {one.resource: str(one) for one in shortfalls(demand, room)}
    assert "an unknown amount (PermissionError: no)" in told[resource]
    assert shortfalls(Demand(), room) == ()


def test_a_refusal_says_how_much_is_lacking_with_units():
    lacking = shortfalls(Demand(memory_peak_bytes=3 * 1024**2, cpu_idle_rcu=1500), ROOM)
    told = str(CapacityError("tax", "1.0", lacking))
    assert "memory_peak_bytes needs 3.0 MiB (3,145,728 bytes), this host has 1,000 bytes" in told
    assert "cpu_idle_rcu needs 1,500 RCU, this host has 500 RCU: 1,000 RCU short" in told


def test_raw_seconds_admit_onto_a_weak_host_what_rcu_refuses():
    """A service keeps 0.3 s of each second busy where it was measured, on threads that score 2,000.

    Counted in seconds it fits the weak host, which has two whole threads idle.
    There it would need 2.4 of its threads: it would run, and never keep up.
    """
    measured_s_per_s, fast_rcu, weak_rcu, weak_threads = 0.3, 2000, 250, 2
    weak = Room(
        memory_bytes=0,
        disk_bytes=0,
        cpu_idle_rcu=weak_threads * weak_rcu,
        threads=weak_threads,
        open_files=64,
        score_rcu=weak_rcu,
    )
    raw_seconds_admit = measured_s_per_s <= weak_threads
    needed_on_weak = measured_s_per_s * fast_rcu / weak_rcu
    demand = Demand(cpu_idle_rcu=round(measured_s_per_s * fast_rcu))

    assert raw_seconds_admit
    assert needed_on_weak > weak_threads
    assert shortfalls(demand, weak) == (Shortfall("cpu_idle_rcu", 600, 500),)


def profile(version, **demand):
    return ResourceProfile(service="tax", version=version, demand=Demand(**demand))


REMOTE = Candidate(alternative=Alternative("remote", "responder", "ask there"))


def test_the_nearest_version_that_fits_is_proposed():
    offered = [profile("1.2", memory_peak_bytes=2000), profile("1.1", memory_peak_bytes=900), profile("1.0")]
    found = alternative("tax", offered, ROOM)
    assert found is not None
    assert (found.kind, found.what) == ("version", "1.1")
    assert "tax==1.1" in str(found)


def test_another_interpreter_is_nearer_than_another_version_and_remote_is_last():
    faster = Room(memory_bytes=1000, disk_bytes=0, cpu_idle_rcu=900, threads=2, open_files=100, score_rcu=450)
    interpreter = Candidate(
        alternative=Alternative("interpreter", "CPython 3.13", "install it"),
        demand=Demand(cpu_idle_rcu=800),
        room=faster,
    )
    kinds = []
    for versions, others in (
        ([profile("1.0")], [REMOTE, interpreter]),
        ([profile("1.0")], [REMOTE]),
        ([profile("1.0", open_files=999)], [REMOTE]),
    ):
        found = alternative("tax", versions, ROOM, others=others)
        assert found is not None
        kinds.append(found.kind)
    assert kinds == ["interpreter", "version", "remote"]


def test_where_nothing_fits_nothing_is_proposed():
    assert alternative("tax", [profile("1.0", open_files=999)], ROOM) is None
    assert alternative("tax", [], ROOM) is None
