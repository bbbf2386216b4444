"""The first generation of a domain: its keys, its first root, which names it for ever, and an empty list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    Targets,
    Timestamp,
)

from rldlib.adapters.trust.repository import Generation
from rldlib.values.trust import LOCK_PATTERN

if TYPE_CHECKING:
    from rldlib.adapters.trust.keys import Keys
    from rldlib.adapters.trust.signing import Signing

_LOCKS = "locks"


def found(root: Metadata[Root] | None, keys: Keys, signing: Signing) -> Generation:
    """Make the first generation, or finish it where a first start was cut off after its root.

    The keys are on the disk before the root that names them, the root before
    anything that it delegates to, and the timestamp, which makes it count, is last.

    Raises:
        StorageError: It could not be written; asked again, it goes on.
    """
    generation = Generation(
        root=root or Metadata(Root(consistent_snapshot=True)),
        targets=Metadata(_delegating(keys)),
        locks=Metadata(Targets()),
        snapshot=Metadata(Snapshot()),
        timestamp=Metadata(Timestamp(snapshot_meta=MetaFile(1))),
    )
    if root is None:
        signers = {role: keys.make(role) for role in generation.root.signed.roles}
        for role, signer in signers.items():
            generation.root.signed.add_key(signer.public_key, role)
        generation.root.signed.version = 0
        signing.publish_root(generation, [signers["root"]])
    for metadata in (generation.targets, generation.locks, generation.snapshot, generation.timestamp):
        # Signing counts up, and TUF begins with 1.
        metadata.signed.version = 0
    signing.publish(generation, ("targets", "locks"))
    return generation


def _delegating(keys: Keys) -> Targets:
    """Targets that leave the locks, and nothing else, to a key of their own."""
    key = keys.make(_LOCKS).public_key
    # Terminating: what that role does not list, nobody lists.
    role = DelegatedRole(_LOCKS, [key.keyid], 1, terminating=True, paths=[LOCK_PATTERN])
    return Targets(delegations=Delegations({key.keyid: key}, {_LOCKS: role}))
