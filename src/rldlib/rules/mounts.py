"""Whether locks on a file system keep other hosts out, told from how it is mounted."""

from __future__ import annotations

from typing import Final

# nfs(5): locks are not sent to the server, so that only processes of one host exclude each other.
_NFS: Final = frozenset({"nfs", "nfs4"})
_NFS_LOCAL: Final = frozenset({"nolock", "local_lock=all", "local_lock=flock"})
# mount.cifs(8): neither are these.
_CIFS: Final = frozenset({"cifs", "smb3"})
_CIFS_LOCAL: Final = frozenset({"nobrl", "nolock"})


def local_locks(mounts: str, device: str) -> str | None:
    """How a shared file system is mounted whose locks are not shared; None for any other.

    Args:
        mounts: As `/proc/self/mountinfo` tells them, see proc(5).
        device: ``MAJOR:MINOR`` of the file system.
    """
    for line in mounts.splitlines():
        mount, _, system = line.partition(" - ")
        if mount.split(" ")[2:3] != [device]:
            continue
        words = system.split(" ")
        kind, options = words[0], words[-1]
        local = _NFS_LOCAL if kind in _NFS else _CIFS_LOCAL if kind in _CIFS else frozenset()
        found = sorted(local.intersection(options.split(",")))
        if found:
            return f"{kind} mounted with {', '.join(found)}"
    return None
