"""How a generation is signed and published: what is named first, what names it after, the timestamp last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rldlib.rules.renewal import LIVES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from securesystemslib.signer import Signer
    from tuf.api.metadata import Metadata

    from rldlib.adapters.trust.keys import Keys
    from rldlib.adapters.trust.repository import Generation, Repository
    from rldlib.values.trust import Role


class Signing:
    """Signs with the keys that are here, and writes in the order that a kill at any instant allows."""

    def __init__(self, keys: Keys, repository: Repository, clock: Callable[[], datetime]) -> None:
        self._keys = keys
        self._repository = repository
        self._clock = clock

    def require(self, generation: Generation, changed: Collection[Role]) -> None:
        """See that every key is here that publishing these roles takes.

        Raises:
            SigningKeyMissingError: One is not.
        """
        for role in (*changed, "snapshot", "timestamp"):
            self._keys.signer(role, generation.keyid(role))

    def publish(
        self, generation: Generation, changed: Collection[Role], also: Mapping[Role, Signer] | None = None
    ) -> None:
        """Publish what changed in the roles that list targets, and what names them.

        Args:
            generation: As it shall be; its versions are counted up.
            changed: ``targets``, ``locks``, both or none.
            also: Further keys that sign a role beside its own.

        Raises:
            SigningKeyMissingError: A key is not here; nothing was written.
            StorageError: It could not be written; what counted before still does.
        """
        self.require(generation, changed)
        for role in sorted(changed):
            self._sign(generation, role, also)
            meta = self._repository.write(role, generation.of(role))
            generation.snapshot.signed.meta[f"{role}.json"] = meta
        self._sign(generation, "snapshot", also)
        meta = self._repository.write("snapshot", generation.snapshot)
        generation.timestamp.signed.snapshot_meta = meta
        self.publish_timestamp(generation, also)
        self._repository.prune(generation)

    def publish_timestamp(self, generation: Generation, also: Mapping[Role, Signer] | None = None) -> None:
        """Say that what counted still counts; raises as `publish`."""
        self._sign(generation, "timestamp", also)
        self._repository.write_timestamp(generation.timestamp)

    def publish_root(self, generation: Generation, signers: Sequence[Signer]) -> None:
        """Publish the root as it shall be, signed by the keys before it and by its own."""
        self._stamp(generation.root, "root", signers)
        self._repository.write_root(generation.root)

    def renew_root(self, generation: Generation) -> None:
        """Publish the same root anew, for another life."""
        self.publish_root(generation, [self._keys.signer("root", generation.keyid("root"))])

    def _sign(self, generation: Generation, role: Role, also: Mapping[Role, Signer] | None) -> None:
        signers: list[Signer] = [self._keys.signer(role, generation.keyid(role))]
        if also and role in also:
            signers.append(also[role])
        self._stamp(generation.of(role), role, signers)

    def _stamp(self, metadata: Metadata[Any], role: Role, signers: Sequence[Signer]) -> None:
        metadata.signed.version += 1
        # TUF writes whole seconds.
        metadata.signed.expires = self._clock().replace(microsecond=0) + LIVES[role]
        metadata.signatures.clear()
        for signer in signers:
            metadata.sign(signer, append=True)
