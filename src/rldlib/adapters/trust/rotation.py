"""New keys for old ones, so that a client accepts what it finds at every instant in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

    from rldlib.adapters.trust.keys import Keys
    from rldlib.adapters.trust.repository import Generation
    from rldlib.adapters.trust.signing import Signing
    from rldlib.values.trust import Role

# Those whose keys the root names, but for its own.
_NAMED_BY_ROOT: Final[tuple[Role, ...]] = ("targets", "snapshot", "timestamp")
_NEW: Final = "new key"
_KEPT: Final = "kept: its key is elsewhere"


def rotate(generation: Generation, keys: Keys, signing: Signing) -> dict[str, str]:
    """Replace every key that is here.

    First all that is published is signed by the old keys *and* the new ones, under
    the old root; then the new root is published, signed by both. Whoever was
    killed in between leaves a repository that old and new clients accept.

    Returns:
        By role, what became of its key.

    Raises:
        SigningKeyMissingError: The root's key, or one that signs on every publication, is not here.
        StorageError: It could not be written. Whatever was written, clients accept.
    """
    old_root = keys.signer("root", generation.keyid("root"))
    signing.require(generation, ())
    new: dict[Role, CryptoSigner] = {"root": keys.make("root")}
    new |= {role: keys.make(role) for role in _NAMED_BY_ROOT if keys.has(role, generation.keyid(role))}
    if "targets" in new:
        new["locks"] = keys.make("locks")
        _replace_locks(generation, new["locks"])
    both: tuple[Role, ...] = ("targets", "locks") if "targets" in new else ()
    signing.publish(generation, both, also={role: new[role] for role in _NAMED_BY_ROOT if role in new})
    for role, signer in new.items():
        if role != "locks":
            generation.root.signed.revoke_key(generation.keyid(role), role)
            generation.root.signed.add_key(signer.public_key, role)
    signing.publish_root(generation, [old_root, new["root"]])
    roles: tuple[Role, ...] = ("root", *_NAMED_BY_ROOT, "locks")
    keys.sweep([keys.path(role, generation.keyid(role)) for role in roles])
    return {role: _NEW if role in new else _KEPT for role in roles}


def _replace_locks(generation: Generation, signer: CryptoSigner) -> None:
    targets = generation.targets.signed
    targets.revoke_key(generation.keyid("locks"), "locks")
    targets.add_key(signer.public_key, "locks")
