"""One run of the main job: which steps it took, how long each was, what was found."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rldlib.errors import RldlibError, StorageError, UsageError, as_mapping

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rldlib.outside import Outside
    from rldlib.ports import Journal
    from rldlib.reporter import Reporter
    from rldlib.values.request import ServiceRequest


class Journey:
    """Collects the steps and facts of one acquisition, tells the reporter, and ends in the journal.

    Attributes:
        service: The service it is about.
        steps: ``{"name", "seconds"}`` of every step that ended well, in order.
        facts: What was found and decided, step by step, with its numbers.
    """

    def __init__(self, service: str, reporter: Reporter) -> None:
        self.service = service
        self.steps: list[dict[str, Any]] = []
        self.facts: dict[str, Any] = {}
        self._reporter = reporter

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step of the main job."""
        self._reporter.step_began(self.service, name)
        began = time.monotonic()
        yield
        seconds = time.monotonic() - began
        self.steps.append({"name": name, "seconds": round(seconds, 6)})
        self._reporter.step_ended(self.service, name, seconds)

    def found(self, **facts: Any) -> None:
        """Keep what a step found, with its numbers."""
        self.facts.update(facts)

    def noted(self, text: str) -> None:
        """Keep a line that users should see."""
        self.facts.setdefault("notes", []).append(text)
        self._reporter.noted(self.service, text)

    @classmethod
    @contextmanager
    def of(cls, request: ServiceRequest, outside: Outside) -> Iterator[Journey]:
        """The journey of a request, told to the reporter and the journal of a daemon."""
        with cls(request.service, outside.reporter).told_to(outside.journal) as journey:
            journey.found(request=str(request))
            yield journey

    @contextmanager
    def told_to(self, journal: Journal) -> Iterator[Journey]:
        """Record how the journey ended, whether well or in an error.

        What cannot be recorded is noted, and nothing else comes of it: on a full
        disk a service that is here still starts, and an error stays what it is.
        """
        try:
            yield self
        except UsageError:
            raise  # nothing was decided: the wish itself was none
        except RldlibError as exc:
            self._record(journal, "refused", {**self.facts, **as_mapping(exc), "steps": self.steps})
            raise
        self._record(journal, "acquired", {**self.facts, "steps": self.steps})

    def _record(self, journal: Journal, kind: str, facts: dict[str, Any]) -> None:
        try:
            journal.record(self.service, kind, facts)
        except StorageError as exc:
            self.noted(f"'rld why {self.service}' will not tell of this: {exc}")
