"""A domain whose keys the test holds: it can sign whatever an attacker with a stolen key could."""

from __future__ import annotations

import copy
import hashlib
from datetime import UTC, datetime, timedelta

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from rldlib.values.join import JoinString

TOP = ("root", "targets", "snapshot", "timestamp")


class Forge:
    """Serves as an authority does: `metadata` and `target`.

    Attributes:
        signers: By role, the key that signs it.
        roles: By name, the metadata as it will be signed next.
        files: By name, what is served.
        contents: By the path that is asked for, what is served.
    """

    def __init__(self, *, consistent=True, hashes=True, expires=None) -> None:
        expires = (expires or datetime.now(UTC) + timedelta(days=30)).replace(microsecond=0)
        self.hashes = hashes
        self.signers = {role: CryptoSigner.generate_ed25519() for role in TOP}
        self.roles = {
            "root": Metadata(Root(consistent_snapshot=consistent, expires=expires)),
            "targets": Metadata(Targets(expires=expires)),
            "snapshot": Metadata(Snapshot(expires=expires)),
            "timestamp": Metadata(Timestamp(expires=expires, snapshot_meta=MetaFile(1))),
        }
        for role in TOP:
            self.roles["root"].signed.add_key(self.signers[role].public_key, role)
        self.files = {}
        self.contents = {}
        self.publish_root(bump=False)
        self.publish(bump=False)

    def __getattr__(self, role):
        """What a role says, as it will be signed next."""
        if role not in self.roles:
            raise AttributeError(role)
        return self.roles[role].signed

    # --- what an authority does ---------------------------------------------------

    def metadata(self, name):
        return self.files.get(name)

    def target(self, path):
        return self.contents.get(path)

    def join(self, url, minimum=1):
        host, _, port = url.rpartition("/")[2].rpartition(":")
        digest = hashlib.sha256(self.files["1.root.json"]).hexdigest()
        return JoinString(host=host, port=int(port), root_sha256=digest, minimum=minimum)

    # --- signing --------------------------------------------------------------------

    def sign(self, role, *more, by=None):
        """The bytes of a role, signed by its own key or another's."""
        metadata = copy.deepcopy(self.roles[role])
        metadata.signatures.clear()
        for signer in ((by or self.signers[role]), *more):
            metadata.sign(signer, append=True)
        return metadata.to_bytes()

    def publish_root(self, *more, bump=True):
        """A new root, signed by its own key and, if given, the one before it."""
        self.root.version += bump
        self.files[f"{self.root.version}.root.json"] = self.sign("root", *more)

    def publish(self, *, bump=True, only=None):
        """Everything below the root anew, each role with a new version; or ``only`` some roles."""
        lists = [role for role in self.roles if role not in {"root", "snapshot", "timestamp"}]
        for role in lists:
            if only is None or role in only:
                self.roles[role].signed.version += bump
                self.put(role)
        if only is None or "snapshot" in only:
            self.snapshot.version += bump
            self.put("snapshot")
        self.timestamp.version += bump
        self.files["timestamp.json"] = self.sign("timestamp")

    def put(self, role, data=None):
        """Serve a role as it is now, and name it in what names it."""
        data = data or self.sign(role)
        signed = self.roles[role].signed
        prefix = f"{signed.version}." if self.root.consistent_snapshot else ""
        self.files[f"{prefix}{role}.json"] = data
        meta = (
            MetaFile.from_data(signed.version, data, ["sha256"]) if self.hashes else MetaFile(signed.version)
        )
        if role == "snapshot":
            self.timestamp.snapshot_meta = meta
        else:
            self.snapshot.meta[f"{role}.json"] = meta

    def rotate(self, *roles):
        """New keys, and a root that says so."""
        before = self.signers["root"]
        for role in roles:
            self.root.revoke_key(self.signers[role].public_key.keyid, role)
            self.signers[role] = CryptoSigner.generate_ed25519()
            self.root.add_key(self.signers[role].public_key, role)
        self.publish_root(before)

    # --- targets --------------------------------------------------------------------

    def add(self, name, data, role="targets"):
        """List a target in a role, and serve it."""
        target = TargetFile.from_data(name, data)
        self.roles[role].signed.targets[name] = target
        path = target.get_prefixed_paths()[0] if self.root.consistent_snapshot else name
        self.contents[path] = data
        return path

    def delegate(self, role, paths, *, parent="targets", terminating=False):
        """Leave some targets to another role with a key of its own."""
        signer = self.signers[role] = CryptoSigner.generate_ed25519()
        above = self.roles[parent].signed
        above.delegations = above.delegations or Delegations({}, {})
        delegated = DelegatedRole(role, [], 1, terminating, paths=paths)
        above.delegations.roles[role] = delegated
        above.add_key(signer.public_key, role)
        self.roles[role] = Metadata(Targets(expires=self.targets.expires))
