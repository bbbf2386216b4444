"""What a source says of distributions, asked once each and ahead of need.

A resolution waits for answers more than it computes: as soon as METADATA names
a distribution, its page and its likeliest wheel's METADATA are asked for, and
so on, in a few threads.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from rldlib.rules.candidates import fitting, preferred
from rldlib.values.metadata import MalformedMetadataError, Metadata, parse_metadata
from rldlib.values.wanted import wants_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from packaging.specifiers import SpecifierSet
    from packaging.tags import Tag
    from packaging.utils import NormalizedName

    from rldlib.ports import Source
    from rldlib.values.interpreter import Interpreter
    from rldlib.values.wanted import Want
    from rldlib.values.wheel import WheelFile

_T = TypeVar("_T")

# Guesses may be wrong: no more of them than this.
_MAX_GUESSES = 400


class Shelf:
    """The wheels of one source that one interpreter takes, and their METADATA.

    Use it in a ``with``: it owns threads. What a source raises comes out where
    the answer is needed, and only there.
    """

    def __init__(self, source: Source, interpreter: Interpreter, threads: int) -> None:
        self.interpreter = interpreter
        self.markers: Mapping[str, str] = interpreter.markers
        self.ranks: Mapping[Tag, int] = interpreter.ranks
        self._source = source
        self._answers: dict[Hashable, Future[Any]] = {}
        self._lock = threading.Lock()
        self._guesses: set[tuple[str, SpecifierSet, frozenset[NormalizedName]]] = set()
        self._pool = ThreadPoolExecutor(threads, "rldlib-resolve")
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)

    def is_known(self, name: str) -> bool:
        """Whether the source knows the distribution at all."""
        return self._project(name) is not None

    def all(self, name: str) -> Sequence[WheelFile]:
        """Every wheel of a distribution, for any interpreter."""
        return self._project(name) or ()

    def fitting(self, name: str) -> Sequence[WheelFile]:
        """The wheels of a distribution that the interpreter takes."""
        return self._once(("fitting", name), lambda: fitting(self.all(name), self.interpreter, self.ranks))

    def metadata(self, wheel: WheelFile) -> Metadata:
        """The wheel's METADATA, read.

        Raises:
            MalformedMetadataError: It cannot be used, or is another's.
            WheelRefusedError: The file is no wheel.
        """
        return self._once(("metadata", wheel.locator), lambda: self._read(wheel))

    def expect(self, wants: Iterable[Want]) -> None:
        """Ask ahead for what these are likely to need."""
        for want in wants:
            if want.exact is None and not want.refusal:
                self._guess(want.name, want.specifier, want.extras)

    def _guess(
        self, name: NormalizedName, specifier: SpecifierSet, extras: frozenset[NormalizedName]
    ) -> None:
        key = (name, specifier, extras)
        with self._lock:
            if self._is_closed or key in self._guesses or len(self._guesses) >= _MAX_GUESSES:
                return
            self._guesses.add(key)
        self._pool.submit(self._follow, *key)

    def _follow(
        self, name: NormalizedName, specifier: SpecifierSet, extras: frozenset[NormalizedName]
    ) -> None:
        if self._is_closed:
            return
        likeliest = next(preferred(self.fitting(name), specifier, self.ranks), None)
        if likeliest is not None and not self._is_closed:
            metadata = self.metadata(likeliest)
            for requirement in metadata.wanted(self.markers, extras & metadata.extras):
                self.expect(wants_of(requirement))

    def _project(self, name: str) -> Sequence[WheelFile] | None:
        return self._once(("project", name), lambda: self._source.project(name))

    def _read(self, wheel: WheelFile) -> Metadata:
        metadata = parse_metadata(self._source.metadata(wheel))
        if (metadata.name, metadata.version) != (wheel.name, wheel.version):
            raise MalformedMetadataError(f"its METADATA is of {metadata.name} {metadata.version}")
        for _ in metadata.wanted(self.markers, metadata.extras):
            pass  # a wheel whose markers cannot be decided is passed over, like any that cannot be read
        return metadata

    def _once(self, key: Hashable, ask: Callable[[], _T]) -> _T:
        """Ask once; whoever wants the same meanwhile waits. Its error is everybody's."""
        with self._lock:
            answer = self._answers.get(key)
            is_first = answer is None
            if answer is None:
                answer = self._answers[key] = Future()
        if is_first:
            try:
                answer.set_result(ask())
            except BaseException as exc:  # noqa: BLE001 - it comes out below, and wherever the answer is needed
                answer.set_exception(exc)
        return cast("_T", answer.result())
