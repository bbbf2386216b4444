"""Work on files that a few threads share: the many small ones to one, the large ones to whoever is free.

Reading, hashing, inflating and writing of much at once leave the interpreter to
others. With small files threads only take turns in it, so these stay with one.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_T = TypeVar("_T")

# Below it, starting a thread costs more than it saves.
_FEW_BYTES: Final = 2 * 1024 * 1024
_MOST_THREADS: Final = 4


def share(
    many: Callable[[], None], large: Iterable[_T], each: Callable[[_T], object], size: Callable[[_T], int]
) -> None:
    """Do the many small things in this thread, the large ones in others too, the largest first.

    Args:
        many: Does all that is small.
        large: The others.
        each: Does one of them.
        size: How many bytes one has.

    Raises:
        BaseException: The first that any of them raised; what was begun has ended.
    """
    left = deque(sorted(large, key=size, reverse=True))

    def work() -> None:
        while (one := _taken(left)) is not None:
            try:
                each(one)
            except BaseException:
                left.clear()
                raise

    helpers = _helpers() if sum(map(size, left)) >= _FEW_BYTES else 0
    if not helpers:
        many()
        work()
        return
    with ThreadPoolExecutor(helpers, "rldlib-share") as pool:
        begun = [pool.submit(work) for _ in range(min(helpers, len(left)))]
        try:
            many()
            work()
        except BaseException:
            left.clear()
            raise
        for helper in begun:
            helper.result()


def _taken(left: deque[_T]) -> _T | None:
    try:
        return left.popleft()
    except IndexError:
        return None  # another thread took the last one


def _helpers() -> int:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, _MOST_THREADS) - 1
