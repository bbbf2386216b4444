"""Resolves in process: the wheels that satisfy a service, from one source, by resolvelib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resolvelib import BaseReporter, ResolutionImpossible, ResolutionTooDeep
from resolvelib import Resolver as Resolvelib

from rldlib.adapters.pinning import locked
from rldlib.adapters.prefetching import Shelf
from rldlib.adapters.resolution import Provider
from rldlib.errors import UnsatisfiableError, WheelRefusedError
from rldlib.reporter import Reporter
from rldlib.values.metadata import MalformedMetadataError
from rldlib.values.policy import Policy
from rldlib.values.wanted import PYTHON, Pick, Want

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rldlib.ports import Resolver, Source
    from rldlib.values.interpreter import Interpreter
    from rldlib.values.lock import Lock
    from rldlib.values.wheel import WheelFile

# Steps of one resolution. The largest service known takes some hundreds; beyond, pip is asked.
_MAX_ROUNDS = 20_000
_TOLD_VERSIONS = 8
_TOLD_CAUSES = 6


class Resolving:
    """See `rldlib.ports.Resolver`."""

    def __init__(
        self,
        policy: Policy | None = None,
        reporter: Reporter | None = None,
        fallback: Resolver | None = None,
        *,
        max_rounds: int = _MAX_ROUNDS,
    ) -> None:
        """Nothing is asked yet.

        Args:
            policy: Whether previews are taken, whether pip is asked always, and how many threads ask.
            reporter: Told when a wheel is passed over, and when pip is asked.
            fallback: Asked where this one gives up; None is pip.
            max_rounds: Steps after which it gives up.
        """
        self._policy = policy or Policy()
        self._reporter = reporter or Reporter()
        self._fallback = fallback
        self._max_rounds = max_rounds

    def lock(self, service: str, carrier: WheelFile, interpreter: Interpreter, source: Source) -> Lock:
        """See `Resolver.lock`.

        Where the source has no hash of a wheel, the file is fetched for it: this lock pins it then.

        Raises:
            WheelRefusedError: The carrier itself is no wheel.
        """
        if self._policy.resolver == "pip":
            return self._ask_pip().lock(service, carrier, interpreter, source)
        try:
            wheels = self._resolve(service, carrier, interpreter, source)
        except ResolutionTooDeep:
            self._reporter.noted(
                service, f"resolving took more than {self._max_rounds:,} steps: pip is asked"
            )
            return self._ask_pip().lock(service, carrier, interpreter, source)
        return locked(service, carrier, wheels, interpreter, source, threads=self._policy.downloads)

    def _ask_pip(self) -> Resolver:
        if self._fallback is not None:
            return self._fallback
        from rldlib.adapters.pip_resolving import PipResolving

        return PipResolving(self._policy, self._reporter)

    def _resolve(
        self, service: str, carrier: WheelFile, interpreter: Interpreter, source: Source
    ) -> Sequence[WheelFile]:
        with Shelf(source, interpreter, self._policy.downloads) as shelf:
            provider = Provider(
                shelf,
                prereleases=self._policy.prereleases,
                noted=lambda text: self._reporter.noted(service, text),
            )
            provider.carrier = carrier
            root = Want(carrier.name, exact=carrier, text=f"{carrier.name}=={carrier.version}")
            try:
                result = Resolvelib(provider, BaseReporter[Want, Pick, str]()).resolve(
                    [root], self._max_rounds
                )
            except ResolutionImpossible as exc:
                reasons = list(_reasons(exc.causes, shelf, source))
                raise UnsatisfiableError(service, reasons) from exc
            except MalformedMetadataError as exc:
                # Every other wheel is passed over where it is found; this one was asked for.
                raise WheelRefusedError(carrier.filename, [f"metadata: {exc}"]) from exc
            found = (pick.wheel for pick in result.mapping.values() if not pick.extras)
            return [wheel for wheel in found if wheel is not None]


# --- why not -----------------------------------------------------------------------


def _reasons(causes: Iterable[Any], shelf: Shelf, source: Source) -> Iterable[str]:
    """A line for each requirement that clashes, then what there is of what they ask for."""
    causes = list(causes)
    lines = dict.fromkeys(_clash(cause.requirement, cause.parent) for cause in causes)
    yield from list(lines)[:_TOLD_CAUSES]
    if len(lines) > _TOLD_CAUSES:
        yield f"and {len(lines) - _TOLD_CAUSES} more"
    wants = {cause.requirement.name: cause.requirement for cause in causes}
    for name, want in list(wants.items())[:_TOLD_CAUSES]:
        if name == PYTHON:
            yield f"the interpreter is CPython {shelf.interpreter.version}"
        elif not want.refusal and want.exact is None:
            yield _offered(name, shelf, source)


def _clash(want: Want, parent: Pick | None) -> str:
    asked = f"{parent} requires {want.text}" if parent is not None else want.text
    return f"{asked}, but {want.refusal}" if want.refusal else asked


def _offered(name: str, shelf: Shelf, source: Source) -> str:
    if not shelf.is_known(name):
        return f"{source.identity} has no {name}"
    versions = sorted({wheel.version for wheel in shelf.fitting(name)}, reverse=True)
    if not versions:
        others = len(shelf.all(name))
        return (
            f"of {others} wheels of {name} none is for CPython {shelf.interpreter.version} on this platform"
        )
    told = ", ".join(str(version) for version in versions[:_TOLD_VERSIONS])
    more = f" and {len(versions) - _TOLD_VERSIONS} more" if len(versions) > _TOLD_VERSIONS else ""
    return f"there is {name} {told}{more}"
