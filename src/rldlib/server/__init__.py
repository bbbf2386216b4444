"""The servers (extra ``server``): `create_app` is a responder to mount in an ASGI application."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rldlib import defaults
from rldlib.reporter import Reporter
from rldlib.values.policy import Policy

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator

    from starlette.applications import Starlette

    from rldlib.adapters.trust.authority import Authority

__all__ = ["create_app"]


def create_app(
    *,
    index_url: str | None = None,
    wheels: str | os.PathLike[str] | None = None,
    root: str | os.PathLike[str] | None = None,
    policy: Policy | None = None,
    token_file: str | os.PathLike[str] | None = None,
    reporter: Reporter | None = None,
) -> Starlette:
    """A responder: it offers what an index or a directory of wheels has.

    Args:
        index_url: The package index whose services it offers.
        wheels: A directory of wheels to offer instead.
        root: Where its keys, its store and its ledger are kept.
        policy: The host's own limits and exceptions.
        token_file: Who may ask: a token and the services it is for on each line; everybody without it.
        reporter: Told what happens.

    Raises:
        UsageError: Both an index and a directory were named, or the tokens cannot be read.
    """
    from rldlib.adapters.identity import signer
    from rldlib.adapters.ledger import Ledger
    from rldlib.adapters.load import load_probe
    from rldlib.daemon import LocalDaemon
    from rldlib.performing import Performer
    from rldlib.responding import Responder
    from rldlib.server.access import read_tokens
    from rldlib.server.responder import create_responder_app

    kept = defaults.root_directory(root)
    access = read_tokens(Path(token_file)) if token_file is not None else None
    outside = defaults.outside(
        source=defaults.source(index_url, wheels, reporter),
        root=kept,
        policy=policy or Policy(),
        reporter=reporter or Reporter(),
    )
    authority = own_authority(kept)
    score_rcu = outside.probe.room(outside.interpreters.all()[0], kept, ()).score_rcu
    performer = Performer(lambda: LocalDaemon(outside), load_probe(score_rcu))
    responder = Responder(
        outside,
        authority=authority,
        ledger=Ledger(kept),
        signer=signer,
        load=performer.load,
        performer=performer,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            performer.close()
            outside.close()

    offered = None if wheels is None else Path(wheels).absolute()
    app = create_responder_app(responder, authority, access, offered, performer)
    app.router.lifespan_context = lifespan
    return app


def own_authority(root: Path) -> Authority:
    """What signs for a root."""
    from rldlib.adapters.trust.authority import Authority

    return Authority(root / "trust" / "own", lambda: datetime.now(UTC))
