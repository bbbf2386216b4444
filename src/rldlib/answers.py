"""The answers that a responder remembers, so that a known kind of host costs one lookup."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from rldlib.errors import NoCommonProtocolError
from rldlib.values.support import PROTOCOLS, Load, SupportAnswer, SupportRequest, write

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rldlib.values.support import Wish

# An answer is given again for so long before the source is asked what it has now.
_FRESH_S: Final = 2.0
# Kinds of host times requests that one responder remembers the answer for.
_REMEMBERED: Final = 1_024


@dataclass(frozen=True, slots=True)
class Question:
    """All of a support request that its answer depends on."""

    service: str
    protocol: int
    wish: Wish
    key: tuple[Any, ...]

    @classmethod
    def of(cls, asked: SupportRequest) -> Question:
        """What a request asks.

        Raises:
            NoCommonProtocolError: The asker speaks no version of the exchange that is spoken here.
        """
        kinds = None if asked.wish == "remote" else tuple(kind.digest for kind in asked.interpreters)
        key = (asked.service, asked.specifier, asked.prereleases, asked.wish, kinds)
        return cls(asked.service, _common(asked.protocols), asked.wish, key)


@dataclass(frozen=True, slots=True)
class Known:
    """An answer, the offer that it holds for, and until when nobody looks whether it still does."""

    answer: SupportAnswer
    carrier: str
    fresh_until: float
    # The answer but for its load, by the version of the exchange, and whether operations are told.
    heads: dict[tuple[int, bool], bytes] = field(default_factory=dict)

    def told(self, protocol: int, load: Load, performed: Mapping[str, Any]) -> bytes:
        """The answer with the load of now. Load is written last, so the rest is written once.

        Args:
            protocol: The version of the exchange.
            load: How busy the responder is.
            performed: What it would perform itself: its operations become known once, and stay.
        """
        key = protocol, bool(performed.get("operations"))
        head = self.heads.get(key)
        if head is None:
            whole = write(replace(self.answer, protocol=protocol, **performed))
            head = self.heads[key] = whole.removesuffix(write(self.answer.load) + b"}")
        return head + write(load) + b"}"


class Answers:
    """Answers by question, the latest ones. Safe for many threads.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._known: OrderedDict[tuple[Any, ...], Known] = OrderedDict()

    def fresh(self, question: Question) -> Known | None:
        """The answer that is given again as it is; None where the source must be asked first."""
        with self._guard:
            known = self._known.get(question.key)
            if known is None or self._clock() >= known.fresh_until:
                return None
            self._known.move_to_end(question.key)
            return known

    def stale(self, question: Question, carrier: str) -> SupportAnswer | None:
        """The answer that was given last, where it was of the same offer."""
        with self._guard:
            known = self._known.get(question.key)
        return known.answer if known is not None and known.carrier == carrier else None

    def keep(self, question: Question, answer: SupportAnswer, carrier: str) -> Known:
        """Remember an answer, and the offer that it holds for."""
        known = Known(answer, carrier, self._clock() + _FRESH_S)
        with self._guard:
            self._known[question.key] = known
            self._known.move_to_end(question.key)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return known


def _common(protocols: Sequence[int]) -> int:
    for protocol in PROTOCOLS:
        if protocol in protocols:
            return protocol
    raise NoCommonProtocolError(spoken=PROTOCOLS, asked=protocols)
