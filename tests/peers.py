"""A responder next door: the real role of a responder, without a network between."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from rldlib.adapters import pylock
from rldlib.adapters.identity import signer
from rldlib.adapters.ledger import Ledger
from rldlib.daemon import LocalDaemon
from rldlib.defaults import outside, source
from rldlib.errors import SourceUnavailableError
from rldlib.reporter import Reporter
from rldlib.responding import Responder
from rldlib.values.policy import Policy
from rldlib.values.support import Load, Support, read, write


class Signed:
    """What was published, by name; a trust root whose word is believed."""

    def __init__(self, root_sha256="f" * 64):
        self.root_sha256 = root_sha256
        self.targets = {}
        self.publications = 0

    def publish_many(self, contents):
        self.publications += 1
        new = {name: data for name, data in contents.items() if self.targets.get(name) != data}
        self.targets.update(new)
        return bool(new)

    def published(self):
        return {name: hashlib.sha256(data).hexdigest() for name, data in self.targets.items()}

    def target(self, path):
        folder, _, name = path.rpartition("/")
        sha256, _, base = name.partition(".")
        data = self.targets.get(f"{folder}/{base}")
        return data if data is not None and hashlib.sha256(data).hexdigest() == sha256 else None

    def until(self):
        return datetime(2030, 1, 1, tzinfo=UTC)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Responding:
    """A responder over a folder of wheels."""

    def __init__(self, wheels, root, name="f", signed=None):
        wheels.mkdir(exist_ok=True)
        self.wheels, self.signed, self.clock = wheels, signed or Signed(name * 64), Clock()
        self.out = outside(source=source(None, wheels), root=root, policy=Policy(), reporter=Reporter())
        self.ledger = Ledger(root)
        self.responder = Responder(
            self.out,
            authority=self.signed,
            ledger=self.ledger,
            signer=signer,
            load=lambda: Load(slots=4, active=1),
            clock=self.clock,
        )

    def close(self):
        self.out.close()


class Next:
    """See `rldlib.ports.Peer`: hands everything over by hand, and counts it."""

    def __init__(self, there):
        self.there = there
        self.identity = f"rldlib:{there.signed.root_sha256}"
        self.asked, self.heard, self.fetched = [], [], []
        self.silent = self.deaf = False
        self.received_bytes = 0
        self.source = self

    def close(self):
        pass

    def support(self, asked):
        if self.silent:
            raise SourceUnavailableError(self.identity, "it is silent")
        self.asked.append(asked)
        answer = self.there.responder.support(read(type(asked), write(asked)))
        profile = self.there.signed.targets[answer.profile]
        self.received_bytes += len(write(answer)) + len(profile)
        if not answer.locks:
            return Support(answer=answer, profile=profile)
        (target,) = answer.locks
        lock = pylock.read(self.there.signed.targets[target.target].decode())
        return Support(answer=answer, profile=profile, lock=lock, interpreter=target.interpreter)

    def acknowledge(self, said):
        if self.deaf or self.silent:
            raise SourceUnavailableError(self.identity, "it does not listen")
        self.there.responder.acknowledge(said)
        self.heard.append(said)

    def fetch(self, locator, into, *, max_bytes):
        if self.silent or not self.blob(locator.rpartition("/")[2], into, max_bytes=max_bytes):
            raise SourceUnavailableError(self.identity, f"it has no {locator}")

    def blob(self, sha256, into, *, max_bytes):
        path = self.there.responder.file(sha256)
        if path is None:
            return False
        data = path.read_bytes()
        assert hashlib.sha256(data).hexdigest() == sha256
        self.fetched.append(sha256)
        self.received_bytes += len(data)
        into.write(data[:max_bytes])
        return True


def daemon(root, *peers, wheels=None):
    """A daemon that asks these responders, and then perhaps a folder."""
    found = outside(source=source(None, wheels), root=root, policy=Policy(), reporter=Reporter(), peers=peers)
    return LocalDaemon(found)
