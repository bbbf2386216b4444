"""System calls that fail for real, by `strace --inject`, in the command as a user runs it."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from tests.faults.harness import Scene
from tests.faults.tally import injected

pytestmark = [pytest.mark.faults, pytest.mark.slow]
_STATUS_OF_STORAGE = 3


@functools.cache
def _why_not():
    """Why nothing can be injected here; empty where it can."""
    strace = shutil.which("strace")
    if strace is None:
        return "there is no strace"
    code = "import os\ntry: os.chdir('/')\nexcept OSError: print('injected')"
    tried = subprocess.run(
        [strace, "-f", "-o", os.devnull, "-e", "inject=chdir:error=EIO", sys.executable, "-Sc", code],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if "injected" in tried.stdout else f"strace may not trace: {tried.stderr.strip()[-200:]}"


def _run(scene, *inject, path=None, attempts=3):
    command = [sys.executable, "-m", "rldlib", "call", "echo", "echo", "value=1", "--json"]
    command += ["--wheels", str(scene.wheels), "--root", str(scene.root)]
    options = [option for one in inject for option in ("-e", f"inject={one}")]
    options += ["-P", str(path)] if path else []
    trace = ",".join(one.partition(":")[0] for one in inject)
    for one in inject:
        injected(f"{re.search('error=([A-Z]+)', one)[1]} of a system call")
    done = subprocess.run(
        [
            "strace",
            "-f",
            "--seccomp-bpf",
            "-qq",
            "-o",
            os.devnull,
            "-e",
            f"trace={trace}",
            *options,
            *command,
        ],
        # What measures coverage writes files, too; their faults are not ours.
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # The tracer itself gave up: a process went away while it was looked at. No fault was injected.
    if done.stderr.startswith("strace: ptrace(") and attempts:
        return _run(scene, *inject, path=path, attempts=attempts - 1)
    return done


FAULTS = [
    *(pytest.param(f"fsync:error={error}:when={when}", id=f"fsync {when} {error}")
      for when in ("1", "2", "3+") for error in ("ENOSPC", "EIO")),
    *(pytest.param(f"rename:error={error}:when={when}", id=f"rename {when} {error}")
      for when in ("1", "2", "3", "4+") for error in ("ENOSPC", "EIO")),
    *(pytest.param(f"flock:error={error}:when={when}", id=f"flock {when} {error}")
      for when in ("1", "4", "8+") for error in ("ENOLCK", "EIO")),
    *(pytest.param(f"symlink:error={error}:when={when}", id=f"symlink {when} {error}")
      for when in ("1", "2+") for error in ("ENOSPC", "EIO")),
    *(pytest.param(f"mkdir:error={error}:when={when}", id=f"mkdir {when} {error}")
      for when in ("3", "9", "12+") for error in ("ENOSPC", "EIO")),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_system_call_that_fails_is_told_by_the_command(fault, scene):
    """Or it does no harm: not every one of them is needed."""
    if _why_not():
        pytest.skip(_why_not())
    done = _run(scene, fault)

    assert done.returncode in {0, _STATUS_OF_STORAGE}, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if done.returncode:
        assert json.loads(done.stdout)["error"]["type"] == "StorageError", done.stdout
    scene.expect_all_is_well()


@pytest.mark.parametrize("name", ["fsync", "flock", "rename", "mkdir"])
def test_an_interrupted_system_call_is_made_again(name, scene):
    """EINTR is no fault: the language repeats the call, but for those that no signal interrupts."""
    if _why_not():
        pytest.skip(_why_not())
    done = _run(scene, f"{name}:error=EINTR:when=2")

    assert done.returncode in ({0} if name in {"fsync", "flock"} else {0, _STATUS_OF_STORAGE})
    assert "Traceback" not in done.stderr
    scene.expect_all_is_well()


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("what", ["wheel", "image", "marker", "pin", "journal"])
def test_a_write_that_fails_for_real_is_told_by_the_command(what, error, tmp_path):
    """By the path that it is about; the names are those of a first run."""
    if _why_not():
        pytest.skip(_why_not())
    scene = Scene(tmp_path)
    scene.expect_next_prepare()
    wheel = next((scene.root / "store/wheels/sha256").iterdir()).name
    environment = next((scene.root / "environments").iterdir()).name
    shutil.rmtree(scene.root)
    path = {
        "wheel": scene.root / "tmp" / f"wheel-{wheel}",
        "image": scene.root / "tmp" / f"image-{wheel}",
        "marker": scene.root / "tmp" / f"environment-{environment}" / "rldlib-environment.json",
        "pin": scene.root / "services" / "echo" / "1.0",
        "journal": scene.root / "journal.sqlite",
    }[what]
    # Of the pin's folder, its flush: the file's own name is made by chance.
    call = "fsync" if what == "pin" else "write,pwrite64"
    done = _run(scene, f"{call}:error={error}", path=path)

    assert "Traceback" not in done.stderr
    if what == "journal":
        assert json.loads(done.stdout)["result"] == 1
        assert "will not tell of this" in done.stderr
    else:
        assert done.returncode == _STATUS_OF_STORAGE, done.stdout + done.stderr
        assert json.loads(done.stdout)["error"]["type"] == "StorageError"
    scene.expect_all_is_well()
