"""Receipts: what this domain says to whoever gave it something, and says again until it is heard."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rldlib.errors import MismatchError, SourceUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rldlib.journey import Journey
    from rldlib.offers import Offer
    from rldlib.outside import Outside
    from rldlib.ports import Holding, Peer
    from rldlib.values.lock import Lock
    from rldlib.values.support import Acknowledgement, State


class Acknowledging:
    """The acknowledgements of one domain. None of them holds anything up: what is not taken is kept.

    Args:
        outside: The ports of its daemon.
    """

    def __init__(self, outside: Outside) -> None:
        self._out = outside

    def received(self, offer: Offer, lock: Lock, journey: Journey) -> None:
        """Acknowledge a profile and each resource to the responder that gave them; the step of that name.

        Raises:
            StorageError: The receipt cannot be kept.
        """
        peer = self._peer(lock.source)
        if peer is None:
            return  # an index asks for no receipt
        with journey.step("acknowledge"):
            pinned = [resource.sha256 for resource in offer.profile.resources if resource.sha256 is not None]
            resources = sorted({*pinned, *(wheel.sha256 for wheel in lock.wheels)})
            said = self._signed(lock, hashlib.sha256(offer.profile_bytes).hexdigest(), resources)
            self._out.receipts.keep(peer.identity, said)
            late = self._hand_over(peer)
        if late is not None:
            journey.noted(f"not acknowledged yet, it will be said again: {late}")

    def given(self, service: str) -> Sequence[tuple[str, Acknowledgement]]:
        """What is to be said once a service is released: to whom, and what; signed, not kept yet."""
        found = []
        for holding in self._held(service):
            if self._peer(holding.lock.source) is not None:
                digest = hashlib.sha256(holding.profile).hexdigest()
                found.append((holding.lock.source, self._signed(holding.lock, digest, (), "released")))
        return found

    def _held(self, service: str) -> Sequence[Holding]:
        try:
            return self._out.holdings.of(service) if self._out.peers else ()
        except MismatchError:
            return ()  # releasing is the way out of a damaged lock: nothing stands in its way

    def released(self, given: Sequence[tuple[str, Acknowledgement]]) -> None:
        """Tell each responder what is no longer held."""
        for identity, said in given:
            self._out.receipts.keep(identity, said)
        for identity in dict.fromkeys(identity for identity, _ in given):
            peer = self._peer(identity)
            if peer is not None:
                self._hand_over(peer)

    def _hand_over(self, peer: Peer) -> SourceUnavailableError | None:
        """Say all that a responder has not heard yet; why not, where it does not listen now."""
        for said in self._out.receipts.pending(peer.identity):
            try:
                peer.acknowledge(said)
            except SourceUnavailableError as exc:
                return exc
            self._out.receipts.taken(peer.identity, said)
        return None

    def _signed(
        self, lock: Lock, profile_digest: str, resources: Sequence[str], state: State = "acknowledged"
    ) -> Acknowledgement:
        from rldlib.values.support import Acknowledgement

        identity = self._out.identity
        said = Acknowledgement(
            service=lock.service,
            version=lock.version,
            profile_digest=profile_digest,
            resources=tuple(resources),
            state=state,
            at=datetime.now(UTC).isoformat(timespec="microseconds"),
            key=identity.key,
        )
        return replace(said, signature=identity.sign(said.signed_bytes))

    def _peer(self, identity: str) -> Peer | None:
        return next((peer for peer in self._out.peers if peer.identity == identity), None)
