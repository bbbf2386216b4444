"""What workers use of the memory that they were promised."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rldlib.adapters.probe.tree import Tree

# More processes than this under one worker are not followed: what they use
# then counts as used by others, which refuses rather than overruns.
_MAX_PROCESSES = 512


def memory_used(tree: Tree, pid: int) -> int:
    """Anonymous memory of a process and its descendants, in bytes; 0 for one that is gone.

    Anonymous pages only: file pages are no part of what the machine counts as
    used. Pages shared after a fork count for each: a promise includes them
    too, and so the sum over promises and others stays right.
    """
    page, total, known, waiting = os.sysconf("SC_PAGE_SIZE"), 0, {pid}, [pid]
    while waiting and len(known) <= _MAX_PROCESSES:
        process = waiting.pop()
        try:
            statm = tree.read(f"proc/{process}/statm").split()
            total += (int(statm[1]) - int(statm[2])) * page
            children = _children(tree, process) - known
        except (OSError, ValueError, IndexError):
            # It ended between two reads, or is not ours to read: it counts as others' use.
            continue
        known |= children
        waiting += children
    return total


def _children(tree: Tree, pid: int) -> set[int]:
    """Children are listed under the thread that forked them."""
    found: set[int] = set()
    for thread in tree.names(f"proc/{pid}/task"):
        found.update(map(int, (tree.find(f"proc/{pid}/task/{thread}/children") or "").split()))
    return found
