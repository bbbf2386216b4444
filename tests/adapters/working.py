"""Workers for tests: orders, promises, and a real environment made by hand."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

from rldlib.values.profile import Demand, HostSettings, ResourceProfile
from rldlib.values.skeleton import SKELETONS, skeleton_name
from rldlib.values.start import StartOrder

PEER = Path(__file__).with_name("peer.py")


class Promised:
    """Room that nobody else asks for."""

    def __init__(self, folder):
        self.file = (folder / "promise").open("w")
        self.notes = {}

    def fileno(self):
        return self.file.fileno()

    def note(self, **facts):
        self.notes |= facts

    def close(self):
        self.file.close()


def order(
    folder, service="well-behaved", *, python=sys.executable, operations=None, startup_s=10, threads=1, **host
):
    """A start order for the peer, or for the service in an environment."""
    settings = {"stop_s": 2, "heartbeat_s": 5} | host
    return StartOrder(
        service=service,
        version="1.0",
        distribution=service,
        python=Path(python),
        environment=folder,
        profile=ResourceProfile(
            service=service,
            version="1.0",
            operations=operations or {},
            demand=Demand(startup_s=startup_s, threads=threads),
            host=HostSettings(**settings),
        ),
        resources=(),
        log=folder / "logs" / f"{service}.log",
    )


def environment(folder, service, code):
    """An environment that holds one service, as an installer would leave it; its interpreter is this one."""
    home = folder / "environment"
    packages = home / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    module = service.replace("-", "_")
    info = packages / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (packages / f"{module}.py").write_text(textwrap.dedent(code))
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {service}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[rldlib.services]\n{service} = {module}:Provided\n")
    (info / "RECORD").write_text("")
    return _interpreter(home)


def empty_environment(host_dir):
    """Where a host keeps what workers are forked from."""
    base = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    found = base.stat()
    version = ".".join(map(str, sys.version_info[:3]))
    place = host_dir / SKELETONS / skeleton_name(str(base), found.st_size, found.st_mtime_ns, version)
    minor = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (place / "lib" / minor / "site-packages").mkdir(parents=True)
    return _interpreter(place)


def _interpreter(home):
    (home / "bin").mkdir()
    base = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    (home / "bin" / "python").symlink_to(base)
    (home / "pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = false\n")
    return home / "bin" / "python"


def open_descriptors():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
