"""A daemon that is asked for support names signed things, and gives away only what it named."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from rldlib.adapters import pylock
from rldlib.adapters.identity import Identity
from rldlib.answers import Question
from rldlib.errors import (
    InterpreterNotFoundError,
    MismatchError,
    NoCommonProtocolError,
    ServiceNotFoundError,
    UnavailableError,
    UnsatisfiableError,
    UsageError,
)
from rldlib.values.document import parse_profile
from rldlib.values.foreign import MalformedDocumentError
from rldlib.values.support import PROTOCOLS, Acknowledgement, Load, SupportRequest, host_kind, write
from tests.peers import Responding
from tests.services import service_wheel
from tests.wheels import make_wheel

ROOT = "f" * 64


class Scene:
    """A responder over a folder of wheels, and who asks it."""

    def __init__(self, tmp_path):
        self.there = Responding(tmp_path / "wheels", tmp_path / "root")
        self.wheels, self.signed, self.clock = self.there.wheels, self.there.signed, self.there.clock
        self.out, self.responder = self.there.out, self.there.responder
        self.identity = Identity(tmp_path / "asker")
        self.kinds = tuple(host_kind(interpreter) for interpreter in self.out.interpreters.all())

    def ask(self, service="echo", specifier="", **more):
        more = {"interpreters": self.kinds, "protocols": PROTOCOLS} | more
        return self.responder.support(SupportRequest(service=service, specifier=specifier, **more))

    def lock(self, answer):
        return pylock.read(self.signed.targets[answer.locks[0].target].decode())


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    yield scene
    scene.there.close()


def test_an_answer_names_the_profile_and_the_lock_for_the_asking_kind_of_host(scene):
    wheel = service_wheel(scene.wheels)
    answer = scene.ask()

    profile = parse_profile(scene.signed.targets[answer.profile], source="the target")
    assert (answer.service, answer.version) == (profile.service, profile.version) == ("echo", "1.0")
    assert answer.profile == "profiles/echo/1.0.json"
    (lock,) = answer.locks
    kind = scene.kinds[lock.interpreter]
    assert lock.environment.endswith(kind.digest)
    assert lock.target == f"locks/echo/1.0/{lock.environment}.toml"
    locked = scene.lock(answer)
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert [(one.locator, one.sha256) for one in locked.wheels] == [(f"/blobs/sha256/{sha256}", sha256)]
    assert locked.source == f"rldlib:{ROOT}"
    assert answer.load == Load(slots=4, active=1)


def test_two_kinds_of_host_get_different_wheels(scene):
    make_wheel(scene.wheels, "fast", "1.0", files={"fast.py": "kind = 'plain'"})
    ours = scene.out.interpreters.all()[0]
    best = ours.tags[0]
    make_wheel(scene.wheels, "fast", "1.0", files={"fast.py": "kind = 'native'"}, tag=str(best))
    service_wheel(scene.wheels, requires=["fast"])

    native = scene.lock(scene.ask(interpreters=(host_kind(ours),)))
    foreign = replace(ours, tags=tuple(tag for tag in ours.tags if tag != best))
    plain = scene.lock(scene.ask(interpreters=(host_kind(foreign),)))

    def fast(lock):
        return next(wheel.filename for wheel in lock.wheels if wheel.name == "fast")

    assert fast(native) == f"fast-1.0-{best}.whl"
    assert fast(plain) == "fast-1.0-py3-none-any.whl"


def test_the_answer_for_a_known_kind_asks_nobody(scene, monkeypatch):
    service_wheel(scene.wheels)
    first = scene.ask()

    def offers(_):
        raise AssertionError("the source was asked")

    monkeypatch.setattr(scene.out.source, "offers", offers)
    assert scene.ask() == first
    assert scene.signed.publications == 1


def test_a_new_version_is_offered_once_the_answer_is_no_longer_fresh(scene):
    service_wheel(scene.wheels)
    assert scene.ask().version == "1.0"
    service_wheel(scene.wheels, version="1.1")
    scene.clock.now = 3.0
    assert scene.ask().version == "1.1"
    assert scene.ask(specifier="<1.1").version == "1.0"


def test_sixteen_who_ask_at_once_are_answered_from_one_resolution(scene):
    service_wheel(scene.wheels)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: scene.ask(), range(16)))
    assert len({answer.locks for answer in answers}) == 1
    assert scene.signed.publications == 1


def test_only_what_an_answer_pinned_is_given_away(scene):
    wheel = service_wheel(scene.wheels)
    other = make_wheel(scene.wheels, "other", "1.0")
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert scene.responder.file(sha256) is None

    scene.ask()

    assert scene.responder.file(sha256).read_bytes() == wheel.read_bytes()
    assert scene.responder.file(hashlib.sha256(other.read_bytes()).hexdigest()) is None
    assert scene.responder.file("0" * 64) is None


def test_a_wheel_that_changed_since_it_was_pinned_is_not_given_away(scene):
    wheel = service_wheel(scene.wheels)
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    scene.ask()
    wheel.write_bytes(wheel.read_bytes() + b"more")
    with pytest.raises(MismatchError):
        scene.responder.file(sha256)


def test_what_was_pinned_before_a_restart_is_still_given_away(scene, tmp_path):
    wheel = service_wheel(scene.wheels)
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    scene.ask()
    # Its store is empty: it must know where the source has the file.
    again = Responding(scene.wheels, tmp_path / "again", signed=scene.signed)
    try:
        assert again.responder.pinning(sha256) == {"echo"}
        assert again.responder.file(sha256).read_bytes() == wheel.read_bytes()
        assert again.responder.file("0" * 64) is None
    finally:
        again.close()


def test_a_pinned_wheel_that_left_the_source_is_told_as_gone(scene, tmp_path):
    wheel = service_wheel(scene.wheels)
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    scene.ask()
    wheel.unlink()
    again = Responding(scene.wheels, tmp_path / "again", signed=scene.signed)
    try:
        with pytest.raises(UnavailableError, match="gone there"):
            again.responder.file(sha256)
    finally:
        again.close()


def test_data_belongs_to_the_service_whose_profile_names_it_and_to_no_other(scene):
    rates = hashlib.sha256(b"rates").hexdigest()
    named = [{"name": "rates", "kind": "data", "sha256": rates, "size": 5}]
    service_wheel(scene.wheels, "tax", resources=named)
    service_wheel(scene.wheels)
    scene.ask("tax")
    scene.ask("echo")
    assert scene.responder.pinning(rates) == {"tax"}


def test_the_directory_lists_what_nobody_asked_for_yet(scene):
    service_wheel(scene.wheels)
    service_wheel(scene.wheels, version="1.1", summary="Says it again.")
    service_wheel(scene.wheels, "tax", distribution="rld-tax")
    make_wheel(scene.wheels, "library", "1.0")
    (scene.wheels / "broken-1.0-py3-none-any.whl").write_bytes(b"no wheel")

    before = scene.responder.services()
    assert [(one.service, one.versions) for one in before.services] == [
        ("echo", ("1.1", "1.0")),
        ("tax", ("1.0",)),
    ]
    assert before.services[0].summary == "Says it again."
    assert (before.domain, before.complete) == (ROOT, True)
    assert {one.signed_until for one in before.services} == {None}
    assert scene.signed.targets == {}

    scene.ask()
    told = {one.service: one.signed_until for one in scene.responder.services().services}
    assert told == {"echo": "2030-01-01T00:00:00+00:00", "tax": None}


def test_the_directory_is_looked_up_again_once_it_is_no_longer_fresh(scene):
    service_wheel(scene.wheels)
    assert len(scene.responder.services().services) == 1
    service_wheel(scene.wheels, "tax")
    assert len(scene.responder.services().services) == 1
    scene.clock.now = 3.0
    assert len(scene.responder.services().services) == 2


def test_a_known_answer_goes_out_as_bytes_with_the_load_of_now(scene):
    service_wheel(scene.wheels)
    asked = SupportRequest(service="echo", protocols=PROTOCOLS, interpreters=scene.kinds)
    question = Question.of(asked)
    assert scene.responder.told(question) is None
    answer = scene.responder.support(asked)
    assert scene.responder.told(question) == write(answer)
    scene.clock.now = 3.0
    assert scene.responder.told(question) is None


def test_who_can_only_do_it_locally_is_refused_though_others_of_its_kind_were_answered(scene):
    service_wheel(scene.wheels)
    assert scene.ask(interpreters=(), wish="auto").locks == ()
    with pytest.raises(InterpreterNotFoundError):
        scene.ask(interpreters=(), wish="local")


@pytest.mark.parametrize(
    ("asked", "error", "told"),
    [
        pytest.param({"service": "unknown"}, ServiceNotFoundError, "unknown", id="service"),
        pytest.param({"specifier": ">=9"}, UnsatisfiableError, "there is 1.0", id="version"),
        pytest.param({"specifier": ">>1"}, UsageError, "specifier", id="specifier"),
        pytest.param({"protocols": (7, 9)}, NoCommonProtocolError, "here it is 1, there 7, 9", id="protocol"),
        pytest.param({"interpreters": (), "wish": "local"}, InterpreterNotFoundError, "echo", id="host"),
    ],
)
def test_what_cannot_be_answered_is_refused_and_nothing_is_signed(scene, asked, error, told):
    service_wheel(scene.wheels)
    with pytest.raises(error, match=told):
        scene.ask(**asked)
    assert scene.signed.targets == {}


def test_a_host_that_tells_nonsense_of_itself_is_refused(scene):
    service_wheel(scene.wheels)
    with pytest.raises(MalformedDocumentError, match="takes no wheels"):
        scene.ask(interpreters=(replace(scene.kinds[0], tags=()),))


def test_who_wants_it_performed_elsewhere_gets_no_lock(scene):
    service_wheel(scene.wheels)
    answer = scene.ask(wish="remote", interpreters=())
    assert answer.version == "1.0"
    assert answer.locks == ()


def test_a_signed_receipt_makes_one_row_however_often_it_comes(scene):
    receipt = Acknowledgement(
        service="echo",
        version="1.0",
        profile_digest="1" * 64,
        resources=("2" * 64,),
        at=datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
        key=scene.identity.key,
    )
    signed = replace(receipt, signature=scene.identity.sign(receipt.signed_bytes))
    for _ in range(3):
        scene.responder.acknowledge(signed)
    (row,) = scene.responder.holders()
    assert (row["domain"], row["resources"]) == (scene.identity.domain, ["2" * 64])

    for forged in (receipt, replace(signed, version="2.0.0"), replace(signed, state="released")):
        with pytest.raises(UsageError, match="not signed by its own key"):
            scene.responder.acknowledge(forged)
    assert len(scene.responder.holders()) == 1
