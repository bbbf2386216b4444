"""A call that a form makes, and what came of it, for people."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from rldlib.errors import ArgumentsError, OperationNotFoundError, RldlibError
from rldlib.server.responder.forms import arguments
from rldlib.server.responder.languages import Json, is_stream
from rldlib.server.responder.markup import Markup, element
from rldlib.server.responder.refusals import HANDLERS
from rldlib.values.foreign import MalformedDocumentError
from rldlib.values.support import PROTOCOLS, SupportRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from rldlib.performing import Performer, Turn
    from rldlib.responding import Responder
    from rldlib.values.profile import ResourceProfile

# Nobody looks longer at a page that does not come.
_DEADLINE_S: Final = 60.0
_MAX_FIELDS: Final = 256
# More than that is no page any more; `rld call` has all of it.
_MAX_SHOWN: Final = 200_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call: a status, and what a page shows."""

    status: int
    shown: Markup


@dataclass(frozen=True, slots=True)
class FormCall:
    """One call, in a place that was admitted."""

    responder: Responder
    performer: Performer
    turn: Turn
    request: Request

    def outcome(self, profile: ResourceProfile, name: str, filled: Mapping[str, str]) -> Outcome:
        """Perform it. What goes wrong is an outcome too."""
        try:
            told = self._performed(profile, name, filled)
        except RldlibError as exc:
            return self._refused(name, exc)
        cut = " It is longer; 'rld call' gives all of it." if len(told) > _MAX_SHOWN else None
        shown = element(
            "section",
            element("h4", f"Result of {name}", id="result"),
            element("pre", element("code", told[:_MAX_SHOWN])),
            element("p", cut) if cut else None,
            role="status",
            aria_labelledby="result",
        )
        return Outcome(200, shown)

    def _performed(self, profile: ResourceProfile, name: str, filled: Mapping[str, str]) -> str:
        service = profile.service
        wanted = SupportRequest(
            protocols=PROTOCOLS, service=service, specifier=f"=={profile.version}", wish="remote"
        )
        handle = self.performer.hold(service, self.responder.support(wanted).version)
        operation = handle.operations.get(name)
        if operation is None:
            raise OperationNotFoundError(service, name, sorted(handle.operations))
        issues: list[str] = []
        plain = arguments(profile.operations[name].arguments, filled, issues)
        if issues:
            raise ArgumentsError(service, name, issues)
        language = Json()
        body = json.dumps({"arguments": plain}).encode()
        given = language.arguments(body, service, name, operation)
        if is_stream(operation):
            items = self.turn.stream(handle, name, given, _DEADLINE_S)
            said = language.items(items, service, name)
        else:
            said = language.result(self.turn.perform(handle, name, given, _DEADLINE_S), service, name)
        result = json.loads(said.body)["result"]
        return result if isinstance(result, str) else json.dumps(result, indent=2, ensure_ascii=False)

    def _refused(self, name: str, exc: RldlibError) -> Outcome:
        """In the words that a daemon would be refused with."""
        handler = next((HANDLERS[kind] for kind in type(exc).__mro__ if kind in HANDLERS), None)
        if handler is None:
            raise exc
        answer = handler(self.request, exc)
        message = json.loads(answer.body)["error"]["message"]
        shown = element(
            "div", element("p", element("strong", f"{name} gave no result. "), message), role="alert"
        )
        return Outcome(answer.status_code, shown)


def fields_of(body: bytes) -> dict[str, str]:
    """The fields of a form, each as it was filled in.

    Raises:
        MalformedDocumentError: It is no form.
    """
    try:
        text = body.decode("ascii")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict"))
    except ValueError as exc:
        raise MalformedDocumentError(["no form in URL encoding"]) from exc
