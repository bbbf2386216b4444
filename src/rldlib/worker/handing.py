"""Messages with descriptors, over sequenced packets: from host to spawner to guard to worker."""

from __future__ import annotations

import os
from _socket import (
    AF_UNIX,
    CMSG_SPACE,
    MSG_CMSG_CLOEXEC,
    MSG_NOSIGNAL,
    SCM_RIGHTS,
    SOCK_SEQPACKET,
    SOL_SOCKET,
    socket,
    socketpair,
)
from array import array

# One message; an order carries a command line and an environment.
MAX_MESSAGE_BYTES = 256 * 1024
# The two descriptors of an order.
_ANCILLARY_BYTES = CMSG_SPACE(2 * array("i").itemsize)


def pair() -> tuple[int, int]:
    """Two connected ends, as descriptors; nothing closes them but whoever does it by name."""
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
    return ours.detach(), theirs.detach()


def hand(end: int, message: bytes, *fds: int) -> None:
    """Send a message, and descriptors, which stay open here too.

    Raises:
        OSError: The other end is closed, or takes nothing now.
    """
    through = socket(AF_UNIX, SOCK_SEQPACKET, 0, end)
    try:
        rights = [(SOL_SOCKET, SCM_RIGHTS, array("i", fds))] if fds else []
        through.sendmsg([message], rights, MSG_NOSIGNAL)
    finally:
        through.detach()


def take(end: int) -> tuple[bytes, list[int]]:
    """The next message and its descriptors, which no program inherits; empty at the end.

    Raises:
        OSError: There is none now, or the other end was lost with something unread.
    """
    through = socket(AF_UNIX, SOCK_SEQPACKET, 0, end)
    try:
        data, ancillary, _, _ = through.recvmsg(MAX_MESSAGE_BYTES, _ANCILLARY_BYTES, MSG_CMSG_CLOEXEC)
    finally:
        through.detach()
    return data, [fd for _, _, payload in ancillary for fd in array("i", payload)]


def close_all_but(kept: set[int]) -> None:
    """Close every descriptor of this process that is not named."""
    # A range up to the limit would be a billion calls where the limit is none.
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:
                continue  # the one the listing itself was read through
