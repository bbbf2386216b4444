"""From a request to an environment that the host's own process can import from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rldlib.errors import InProcessRefusedError, InterpreterNotFoundError, UnsatisfiableError
from rldlib.preparation import Preparation
from rldlib.rules.cohabitation import conflicts, demands_unmet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rldlib.journey import Journey
    from rldlib.outside import Outside
    from rldlib.ports import Interpreters
    from rldlib.preparation import Prepared
    from rldlib.values.interpreter import Interpreter
    from rldlib.values.lock import Lock
    from rldlib.values.profile import ResourceProfile
    from rldlib.values.request import ServiceRequest


class Cohabitation(Preparation):
    """The main job up to the environment, for a service that shares the host's process.

    What cannot share it is refused as soon as it is known: from the profile,
    then from the lock, both before anything is fetched.
    """

    def __init__(self, outside: Outside) -> None:
        own = _Own(outside.interpreters, outside.host_process.label)
        super().__init__(replace(outside, interpreters=own))

    def prepare(self, request: ServiceRequest, journey: Journey) -> Prepared:
        """See `Preparation.prepare`.

        Raises:
            InProcessRefusedError: It cannot be performed in this process.
        """
        journey.found(mode="inprocess")
        try:
            return super().prepare(request, journey)
        except InterpreterNotFoundError as exc:
            label = self._out.host_process.label
            reason = f"it needs {exc.wanted}, and this process is a {label}"
            raise InProcessRefusedError(request.service, [reason]) from exc
        except UnsatisfiableError as exc:
            # Before this step there is no such version; from it on, other interpreters may have the wheels.
            if journey.steps[-1:] and journey.steps[-1]["name"] == "decide":
                raise InProcessRefusedError(request.service, exc.reasons) from exc
            raise

    def _admit(self, profile: ResourceProfile) -> None:
        _refuse(profile.service, demands_unmet(profile, self._out.policy))

    def _admit_lock(self, lock: Lock) -> None:
        present = self._out.host_process.present(wheel.name for wheel in lock.wheels)
        _refuse(lock.service, conflicts(lock.wheels, present))


class _Own:
    """See `rldlib.ports.Interpreters`: of all of them, those that are what this process is."""

    def __init__(self, interpreters: Interpreters, label: str) -> None:
        self._interpreters = interpreters
        self._label = label

    def all(self) -> Sequence[Interpreter]:
        """See `Interpreters.all`."""
        return [one for one in self._interpreters.all() if one.label == self._label]


def _refuse(service: str, reasons: Sequence[str]) -> None:
    if reasons:
        raise InProcessRefusedError(service, reasons)
