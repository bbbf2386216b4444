"""The page for people: what is offered, what it needs and does, how busy this host is, who holds what.

It is made here, whole: no script, nothing from elsewhere, and a policy that
says so to the browser.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from rldlib.server.access import ALL
from rldlib.server.responder.exchange import body_of, check_scope, scope_of
from rldlib.server.responder.form_calls import FormCall, fields_of
from rldlib.server.responder.forms import form, kind_of, needed, properties
from rldlib.server.responder.markup import Markup, element, joined, table
from rldlib.server.responder.refusals import ForbiddenError
from rldlib.server.responder.style import STYLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from rldlib.performing import Performer
    from rldlib.responding import Responder
    from rldlib.server.access import Access
    from rldlib.server.responder.form_calls import Outcome
    from rldlib.values.offering import Offerings
    from rldlib.values.profile import Demand, OperationProfile, ResourceProfile
    from rldlib.values.support import Load

_POLICY: Final = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    # Without any, a browser would not say where a form of these pages comes from.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_SHOWN_HOLDERS: Final = 200
_MAX_FORM_BYTES: Final = 1024 * 1024


class People:
    """The pages.

    Args:
        responder: Knows what they show.
        access: Who may see them.
        performer: Performs what is called by a form; without it there are no forms.
    """

    def __init__(self, responder: Responder, access: Access, performer: Performer | None = None) -> None:
        self._responder = responder
        self._access = access
        self._performer = performer

    def routes(self) -> list[Route]:
        """All of it."""
        return [
            Route("/", self.overview),
            Route("/services/{service}", self.service),
            *(
                [Route("/services/{service}/{operation}", self.call, methods=["POST"])]
                if self._performer is not None
                else ()
            ),
            Route("/style.css", lambda _: Response(STYLE, media_type="text/css", headers=_HEADERS)),
        ]

    def overview(self, request: Request) -> Response:
        """``GET /``."""
        scope = scope_of(request, self._access)
        offered = self._responder.services()
        services = [one for one in offered.services if one.service in scope]
        rows = [
            (_link(one.service), one.versions[0], one.summary, one.signed_until or "on the first request")
            for one in services
        ]
        listed = (
            table("Services", ("Service", "Newest", "What it does", "Signed until"), rows)
            if rows
            else element("p", "Nothing is offered.")
        )
        # Who else holds what is for who may know of every service.
        holders = self._holders() if ALL in scope.services else None
        return _page(
            "Services of this responder",
            _domain(offered),
            element("section", element("h2", "Services"), listed),
            _load(self._responder.load()),
            holders,
        )

    def service(self, request: Request) -> Response:
        """``GET /services/NAME``."""
        scope = scope_of(request, self._access)
        service: str = request.path_params["service"]
        profile = self._responder.profile(service) if service in scope else None
        if profile is None:
            return _missing(service)
        return self._shown(profile, {})

    async def call(self, request: Request) -> Response:
        """``POST /services/NAME/OPERATION``: perform what a form says, and show what came of it."""
        scope = scope_of(request, self._access)
        service, name = request.path_params["service"], request.path_params["operation"]
        check_scope(scope, service)
        _check_origin(request)
        filled = fields_of(await body_of(request, _MAX_FORM_BYTES))
        profile = await run_in_threadpool(self._responder.profile, service)
        if profile is None or name not in profile.operations or self._performer is None:
            return _missing(f"{service}.{name}")
        with self._performer.admit(service) as turn:
            called = FormCall(self._responder, self._performer, turn, request)
            outcome = await run_in_threadpool(called.outcome, profile, name, filled)
        return self._shown(profile, {name: filled}, {name: outcome}, outcome.status)

    def _shown(
        self,
        profile: ResourceProfile,
        filled: Mapping[str, Mapping[str, str]],
        outcomes: Mapping[str, Outcome] = MappingProxyType({}),
        status: int = 200,
    ) -> Response:
        told: list[Markup] = []
        for name, operation in profile.operations.items():
            told.append(_operation(name, operation))
            if self._performer is not None:
                told.append(form(profile.service, name, operation.arguments, filled.get(name, {})))
            if name in outcomes:
                told.append(outcomes[name].shown)
        return _page(
            f"{profile.service} {profile.version}",
            element("p", profile.summary) if profile.summary else None,
            element(
                "section",
                element("h2", "Operations"),
                *(told or [element("p", "Its profile declares none.")]),
            ),
            _demand(profile.demand),
            _resources(profile),
            element("p", element("a", "All services", href="/")),
            status=status,
        )

    def _holders(self) -> Markup:
        rows = [
            (
                f"{row['domain'][:12]}...",
                row["service"],
                row["version"],
                row["acknowledged_at"] or "",
                row["released_at"] or "holds it",
            )
            for row in self._responder.holders()[-_SHOWN_HOLDERS:]
        ]
        told = (
            table("Ledger", ("Domain", "Service", "Version", "Since", "Until"), rows)
            if rows
            else element("p", "Nobody holds anything of this responder.")
        )
        return element("section", element("h2", "Ledger"), told)


def _missing(what: str) -> Response:
    back = element("p", element("a", "All services", href="/"))
    return _page("No such service", element("p", f"{what} is not offered here."), back, status=404)


def _check_origin(request: Request) -> None:
    """Refuse what a page of another site has a browser send: a form needs nobody's leave to be sent anywhere.

    Raises:
        ForbiddenError: It is no form of this page.
    """
    origin = request.headers.get("origin", "")
    if urlsplit(origin).netloc != request.headers.get("host") or not origin.startswith(
        ("http://", "https://")
    ):
        raise ForbiddenError("this form was not sent from a page of this responder", known=True)


def _page(title: str, *content: str | None, status: int = 200) -> Response:
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("link", rel="stylesheet", href="/style.css"),
    )
    body = element(
        "body",
        element("a", "Skip to the content", href="#content", class_="skip"),
        element("header", element("p", element("a", "Responder", href="/"))),
        element("main", element("h1", title), *content, id="content"),
        element(
            "footer",
            element("p", "Signed by this domain; ", element("a", "its interface", href="/openapi.json")),
        ),
    )
    text = f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"
    return Response(text, status, media_type="text/html", headers=_HEADERS)


def _link(service: str) -> Markup:
    return element("a", service, href=f"/services/{service}")


def _domain(offered: Offerings) -> Markup:
    more = None if offered.complete else " More is offered than was looked into; it can be asked for by name."
    return element("p", "Domain ", element("code", offered.domain), more)


def _load(load: Load) -> Markup:
    busy = "not told" if load.busy is None else f"{load.busy:.0%}"
    facts = {
        "Processors busy, of the last minute": busy,
        "Calls performed now": f"{load.active} of {load.slots} at once",
        "Calls that wait": f"{load.queued}, at most {load.queue_slots}",
        "Score": "not scored" if load.score_rcu is None else f"{load.score_rcu:,} RCU a thread",
    }
    return element("section", element("h2", "Load"), _facts(facts))


def _demand(demand: Demand) -> Markup:
    facts = {
        "Memory when ready": _bytes(demand.memory_start_bytes),
        "Memory at its peak": _bytes(demand.memory_peak_bytes),
        "Disk": _bytes(demand.disk_bytes),
        "Download": _bytes(demand.download_bytes),
        "Processor while idle": f"{demand.cpu_idle_rcu:,} RCU",
        "Calls at once": str(demand.threads),
        "Hardware": ", ".join((*demand.hardware, *demand.devices)) or "any",
    }
    return element("section", element("h2", "What it needs"), _facts(facts))


def _resources(profile: ResourceProfile) -> Markup | None:
    if not profile.resources:
        return None
    rows = [
        (one.name, one.kind, "" if one.size is None else _bytes(one.size), one.use)
        for one in profile.resources
    ]
    told = table("Resources", ("Name", "Kind", "Size", "Use"), rows)
    return element("section", element("h2", "Resources"), told)


def _operation(name: str, operation: OperationProfile) -> Markup:
    rows = [
        (argument, kind_of(schema), "yes" if argument in needed(operation.arguments) else "no")
        for argument, schema in properties(operation.arguments).items()
    ]
    arguments = (
        table(f"Arguments of {name}", ("Argument", "Kind", "Needed"), rows)
        if rows
        else element("p", "It takes no arguments.")
    )
    said = [f"gives {operation.media_type or kind_of(operation.result)}"]
    said += ["may be repeated"] if operation.idempotent else []
    return joined((element("h3", name), element("p", "It ", "; ".join(said), "."), arguments))


def _facts(facts: Mapping[str, str]) -> Markup:
    pairs = (element("div", element("dt", name), element("dd", value)) for name, value in facts.items())
    return element("dl", *pairs)


def _bytes(count: int) -> str:
    size, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:,.0f} {unit}" if unit == "B" or size >= 100 else f"{size:,.1f} {unit}"
