"""How a caller watches the main job. Every method does nothing by default."""

from __future__ import annotations


class Reporter:
    """Told what happens, in the order of the main job. Must not raise.

    Methods may be called from several threads.
    """

    def step_began(self, service: str, step: str) -> None:
        """A step of the main job began."""

    def step_ended(self, service: str, step: str, seconds: float) -> None:
        """It ended well, after so many seconds."""

    def bytes_fetched(self, what: str, done: int, total: int | None) -> None:
        """So many bytes of a file have come."""

    def noted(self, service: str, text: str) -> None:
        """Something worth a line: a skipped optional resource, a resolution by pip."""
