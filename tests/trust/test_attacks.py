"""What an attacker may send, and that nothing of what was verified changes by it."""

from __future__ import annotations

import contextlib
import json
import socket
from datetime import UTC, datetime, timedelta

import pytest
from securesystemslib.signer import CryptoSigner
from tests.trust.forge import TOP, Forge
from tests.trust.responders import LOCK, PROFILE, Clock, Responder, everything

from rldlib.adapters.http import Http
from rldlib.adapters.trust.trusted import Trusted
from rldlib.errors import ResponderSilentError, TrustError, TrustExpiredError
from rldlib.values.trust import METADATA_PATH, TARGETS_PATH, Pathway

SOON_S = 5


@pytest.fixture
def forge():
    made = Forge()
    made.add(PROFILE, b"genuine")
    made.delegate("locks", ["locks/*/*/*"], terminating=True)
    made.add(LOCK, b"lock", "locks")
    made.publish()
    return made


@pytest.fixture
def responder(forge):
    with Responder(forge) as made:
        yield made


@pytest.fixture
def http():
    with Http() as made:
        yield made


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def domain(tmp_path, forge, responder, http, clock):
    """A domain that was joined and looked at, and can be looked at anew as another process would."""

    class Domain:
        folder = tmp_path / "trust"

        def open(self, folder=folder, *, minimum=1, deadline_s=10):
            pathway = Pathway.of(forge.join(responder.url, minimum), responder.url)
            return Trusted(folder, pathway, http, clock, deadline_s=deadline_s)

        def refused(self, kind, role, *names, error=TrustError):
            """Every way to ask is refused, and nothing that is kept changes but `names`."""
            before = everything(self.folder)
            for ask in (Trusted.refresh, lambda trusted: trusted.target(PROFILE)):
                with pytest.raises(error) as told:
                    ask(self.open())
                assert (told.value.kind, told.value.role, told.value.exit_status) == (kind, role, 5)
                assert told.value.root_sha256 == self.open().root_sha256
                assert responder.url in str(told.value)
                assert "rld trust status" in str(told.value)
            after = everything(self.folder)
            changed = {
                str(name) for name in before.keys() | after.keys() if before.get(name) != after.get(name)
            }
            assert changed == set(names)
            assert self.open().kept(PROFILE) == b"genuine"
            return str(told.value)

    made = Domain()
    trusted = made.open()
    assert (trusted.target(PROFILE), trusted.target(LOCK)) == (b"genuine", b"lock")
    return made


# --- rollback ---------------------------------------------------------------------------


def test_an_older_timestamp_is_refused(domain, forge):
    old = forge.files["timestamp.json"]
    forge.publish()
    domain.open().refresh()
    forge.files["timestamp.json"] = old

    told = domain.refused("rollback", "timestamp")

    assert "version 2 must be >= 3" in told


def test_an_older_snapshot_is_refused_though_the_timestamp_is_new(domain, forge):
    forge.publish()
    domain.open().refresh()
    forge.snapshot.version -= 1
    forge.publish(only=["timestamp"])
    forge.timestamp.snapshot_meta.version = forge.snapshot.version
    forge.files["timestamp.json"] = forge.sign("timestamp")

    domain.refused("rollback", "timestamp")


def test_older_targets_are_refused_though_the_snapshot_is_new(domain, forge):
    """The timestamp is genuine and newer: it is kept, so that it cannot be taken back."""
    forge.publish()
    domain.open().refresh()
    forge.targets.version -= 2
    forge.put("targets")
    forge.publish(only=["snapshot"])

    domain.refused("rollback", "snapshot", "timestamp.json")


def test_a_role_that_vanishes_from_the_snapshot_is_refused(domain, forge):
    del forge.snapshot.meta["locks.json"]
    forge.publish(only=["snapshot"])

    domain.refused("mix-and-match", "snapshot", "timestamp.json")


def test_the_same_version_with_other_content_changes_nothing(domain, forge):
    forge.timestamp.snapshot_meta.version = 99
    forge.files["timestamp.json"] = forge.sign("timestamp")
    before = everything(domain.folder)

    domain.open().refresh()

    assert everything(domain.folder) == before


# --- freeze -----------------------------------------------------------------------------


def test_a_responder_that_stands_still_is_refused_once_its_timestamp_is_no_longer_true(domain, clock):
    clock.forward(days=31)

    told = domain.refused("expired", "root", error=TrustExpiredError)

    assert "was true until" in told
    assert "by this host's clock" in told
    assert "compare the clocks" in told


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_what_is_signed_for_the_past_is_refused(role, domain, forge, clock):
    forge.roles[role].signed.expires = (clock() - timedelta(hours=1)).replace(microsecond=0)
    if role == "root":
        forge.publish_root()
    forge.publish()
    known = {
        "root": {"root.json", "root_history/2.root.json"},
        "timestamp": set(),
        "snapshot": {"timestamp.json"},
    }

    told = domain.refused(
        "expired",
        role,
        *known.get(role, {"timestamp.json", "snapshot.json"}),
        error=TrustExpiredError,
    )

    assert "1:00:" in told


def test_an_expired_lock_is_refused_and_its_profile_is_not(domain, forge, clock):
    forge.locks.expires = (clock() - timedelta(hours=1)).replace(microsecond=0)
    forge.publish()
    trusted = domain.open()

    assert trusted.target(PROFILE) == b"genuine"
    with pytest.raises(TrustExpiredError) as told:
        trusted.target(LOCK)

    assert told.value.role == "locks"
    assert "0:00" in str(told.value)


def test_what_was_true_at_the_last_look_is_refused_when_time_has_overtaken_it(domain, clock):
    trusted = domain.open()
    trusted.refresh()
    clock.forward(days=31)

    with pytest.raises(TrustExpiredError):
        trusted.target(PROFILE)

    assert trusted.kept(PROFILE) == b"genuine"
    assert all(role["expired"] for role in trusted.status()["roles"])


# --- clocks -----------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [-20, 20])
def test_a_clock_that_is_some_hours_off_changes_nothing(tmp_path, domain, clock, hours):
    clock.forward(hours=hours)

    assert domain.open(tmp_path / "other").target(PROFILE) == b"genuine"


def test_a_clock_that_is_put_back_does_not_bring_back_what_expired(domain, forge, clock):
    """The last instant at which all was true is remembered; only signed times can move it."""
    forge.timestamp.expires = (clock() + timedelta(days=1)).replace(microsecond=0)
    forge.publish()
    old = dict(forge.files)
    clock.forward(hours=30)
    forge.timestamp.expires = (clock() + timedelta(days=1)).replace(microsecond=0)
    forge.publish()
    domain.open().refresh()
    clock.forward(hours=-29)
    (domain.folder / "timestamp.json").unlink()
    forge.files = old

    with pytest.raises(TrustExpiredError):
        domain.open().refresh()


# --- mix and match ------------------------------------------------------------------------


@pytest.mark.parametrize("hashes", [True, False])
@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_files_of_different_publications_are_refused(role, hashes, domain, forge):
    forge.hashes = hashes
    name = f"{forge.roles[role].signed.version}.{role}.json"
    old = forge.files[name]
    forge.publish()
    forge.files[f"{forge.roles[role].signed.version}.{role}.json"] = old

    domain.refused(
        "mix-and-match", role, "timestamp.json", *({"snapshot.json"} if role == "targets" else set())
    )


def test_locks_of_another_publication_are_refused(domain, forge):
    old = forge.files["2.locks.json"]
    forge.publish()
    forge.files["3.locks.json"] = old
    trusted = domain.open()
    assert trusted.target(PROFILE) == b"genuine"
    before = everything(domain.folder)

    with pytest.raises(TrustError) as told:
        trusted.target(LOCK)

    assert (told.value.kind, told.value.role) == ("mix-and-match", "locks")
    assert everything(domain.folder) == before


@pytest.mark.parametrize(
    ("sent", "kind"),
    [(b"forged!", "hash"), (b"short", "hash"), (b"longer than it was signed", "length"), (b"", "hash")],
)
def test_a_target_that_is_not_what_was_signed_is_refused(sent, kind, tmp_path, domain, forge, responder):
    path = TARGETS_PATH + forge.targets.targets[PROFILE].get_prefixed_paths()[0]
    responder.lies[path] = sent
    trusted = domain.open(tmp_path / "new")
    trusted.refresh()
    before = everything(tmp_path / "new")

    with pytest.raises(TrustError) as told:
        trusted.target(PROFILE)

    assert (told.value.kind, told.value.role) == (kind, PROFILE)
    assert everything(tmp_path / "new") == before
    # Who has it already does not ask.
    assert domain.open().target(PROFILE) == b"genuine"
    del responder.lies[path]
    assert trusted.target(PROFILE) == b"genuine"


# --- endless data ---------------------------------------------------------------------------


def _endless(host, connection, head):
    host.send(connection, b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
    while not host.closing.is_set():
        host.send(connection, b" " * 65536)


def _huge(host, connection, head):
    host.answer(connection, b"{}", Content_Length="99999999999")


@pytest.mark.parametrize("lie", [_endless, _huge])
@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_endless_metadata_ends_at_its_bound(role, lie, domain, forge, responder, http):
    forge.publish()
    name = {"root": "2.root", "timestamp": "timestamp"}.get(
        role, f"{forge.roles[role].signed.version}.{role}"
    )
    responder.lies[f"{METADATA_PATH}{name}.json"] = lie
    before = http.received_bytes

    below = {"root": set(), "timestamp": set(), "snapshot": {"timestamp.json"}}
    told = domain.refused("length", role, *below.get(role, {"timestamp.json", "snapshot.json"}))

    assert "are read" in told
    assert http.received_bytes - before < 4_000_000


def test_endless_targets_end_at_the_signed_length(tmp_path, domain, forge, responder):
    responder.lies[TARGETS_PATH + forge.targets.targets[PROFILE].get_prefixed_paths()[0]] = _endless

    with pytest.raises(TrustError) as told:
        domain.open(tmp_path / "new").target(PROFILE)

    assert told.value.kind == "length"
    assert "at most 7 bytes are read" in str(told.value)


def test_a_target_signed_as_too_long_is_not_asked_for(domain, forge, responder):
    forge.add("profiles/big/1.json", b"x")
    forge.targets.targets["profiles/big/1.json"].length = 2**40
    forge.publish()
    trusted = domain.open()
    trusted.refresh()
    responder.asked.clear()

    with pytest.raises(TrustError, match="1,099,511,627,776 bytes are signed"):
        trusted.target("profiles/big/1.json")

    assert responder.asked == []


# --- keys -----------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
@pytest.mark.parametrize("key", ["stranger", "another role"])
def test_what_another_key_signed_is_refused(role, key, domain, forge):
    forge.hashes = False
    forge.publish()
    other = CryptoSigner.generate_ed25519() if key == "stranger" else forge.signers["locks"]
    name = "timestamp.json" if role == "timestamp" else f"{forge.roles[role].signed.version}.{role}.json"
    forge.files[name] = forge.sign(role, by=other)

    below = {
        "timestamp": set(),
        "snapshot": {"timestamp.json"},
        "targets": {"timestamp.json", "snapshot.json"},
    }
    domain.refused("signature", role, *below[role])


def test_another_domain_at_the_address_is_refused(domain, responder, forge):
    """It is whole and signed; it is only not the one that was joined."""
    stranger = Forge()
    stranger.add(PROFILE, b"forged")
    for _ in range(4):
        stranger.publish()
    responder.authority = stranger

    domain.refused("signature", "timestamp")


def test_a_root_that_is_not_signed_by_the_one_before_it_is_refused(domain, forge):
    forge.signers["root"] = CryptoSigner.generate_ed25519()
    forge.rotate("timestamp")

    domain.refused("signature", "root")


def test_a_root_that_skips_a_version_is_refused(domain, forge):
    forge.root.version += 1
    forge.publish_root()
    forge.files["2.root.json"] = forge.files.pop("3.root.json")

    told = domain.refused("rollback", "root")

    assert "Expected root version 2 instead got version 3" in told


def test_several_rotations_are_followed_at_once(tmp_path, domain, forge):
    for number in range(7):
        forge.rotate(*TOP)
        forge.add(PROFILE, b"%d" % number)
        forge.publish()

    assert domain.open().target(PROFILE) == b"6"
    assert domain.open(tmp_path / "new").target(PROFILE) == b"6"
    assert sorted(path.name for path in (domain.folder / "root_history").iterdir()) == [
        f"{version}.root.json" for version in range(1, 9)
    ]


def test_of_a_chain_of_roots_what_holds_is_kept_and_the_rest_is_not(domain, forge):
    """A root that says that a key is lost stays known, whatever is sent after it."""
    for _ in range(3):
        forge.rotate(*TOP)
    forged = json.loads(forge.files["4.root.json"])
    forged["signed"]["expires"] = "2099-01-01T00:00:00Z"
    forge.files["4.root.json"] = json.dumps(forged).encode()

    domain.refused("signature", "root", "root.json", "root_history/2.root.json", "root_history/3.root.json")


def test_a_key_that_was_rotated_away_signs_nothing_more(domain, forge):
    lost = forge.signers["timestamp"]
    forge.rotate("timestamp")
    forge.publish()
    domain.open().refresh()
    forge.timestamp.version += 5
    forge.files["timestamp.json"] = forge.sign("timestamp", by=lost)

    domain.refused("signature", "timestamp")


def test_a_rotation_recovers_from_versions_that_a_thief_pushed_ahead(domain, forge):
    forge.timestamp.version = 2**40
    forge.publish(only=["timestamp"])
    domain.open().refresh()
    forge.rotate("timestamp")
    forge.timestamp.version = 5
    forge.add(PROFILE, b"after")
    forge.publish()

    assert domain.open().target(PROFILE) == b"after"


# --- a delegated key signs what is not its own ------------------------------------------------


def test_the_key_of_locks_cannot_sign_a_profile(domain, forge, responder):
    """Neither one that nobody else signs, nor one that is signed already."""
    forge.add("profiles/evil/1.0.json", b"forged", "locks")
    forge.add(PROFILE, b"forged", "locks")
    forge.add("locks/a/b/c/d.toml", b"forged", "locks")
    forge.publish()
    trusted = domain.open()

    assert trusted.target("profiles/evil/1.0.json") is None
    assert trusted.target("locks/a/b/c/d.toml") is None
    assert trusted.target(PROFILE) == b"genuine"
    assert not [path for path in responder.asked if "evil" in path]


def test_the_key_of_locks_cannot_sign_for_the_key_of_profiles(domain, forge):
    forge.hashes = False
    forge.add(PROFILE, b"forged")
    forge.publish()
    forge.files[f"{forge.targets.version}.targets.json"] = forge.sign("targets", by=forge.signers["locks"])

    domain.refused("signature", "targets", "timestamp.json", "snapshot.json")


def test_the_key_of_profiles_cannot_sign_locks_in_its_place(domain, forge):
    forge.hashes = False
    forge.add(LOCK, b"forged", "locks")
    forge.publish()
    forge.files[f"{forge.locks.version}.locks.json"] = forge.sign("locks", by=forge.signers["targets"])
    trusted = domain.open()
    trusted.refresh()
    before = everything(domain.folder)

    with pytest.raises(TrustError) as told:
        trusted.target(LOCK)

    assert (told.value.kind, told.value.role) == ("signature", "locks")
    assert everything(domain.folder) == before


# --- beginnings -------------------------------------------------------------------------------


def test_a_replay_to_who_asks_for_the_first_time_is_refused_below_the_minimum(
    tmp_path, domain, forge, responder
):
    old = dict(forge.files)
    forge.add(PROFILE, b"newer")
    for _ in range(3):
        forge.publish()
    minimum = forge.timestamp.version
    assert domain.open(tmp_path / "honest", minimum=minimum).target(PROFILE) == b"newer"
    forge.files = old

    new = tmp_path / "new"
    for _ in range(2):
        with pytest.raises(TrustError) as told:
            domain.open(new, minimum=minimum).refresh()
        assert (told.value.kind, told.value.role) == ("minimum", "timestamp")
        assert "its version is 2, and the join string asks for 5 or newer" in str(told.value)
        assert sorted(str(name) for name in everything(new)) == [
            "anchor",
            "root.json",
            "root_history/1.root.json",
        ]


def test_a_minimum_learnt_later_counts_for_what_is_known_too(domain, forge):
    before = everything(domain.folder)

    with pytest.raises(TrustError, match="asks for 9 or newer"):
        domain.open(minimum=9).refresh()

    assert everything(domain.folder) == before


@pytest.mark.parametrize("sent", ["another domain's", "damaged", "empty", "endless"])
def test_a_first_root_that_was_not_named_is_refused_and_nothing_is_kept(
    sent, tmp_path, domain, forge, responder
):
    genuine = forge.files["1.root.json"]
    lies = {
        "another domain's": Forge().files["1.root.json"],
        "damaged": genuine.replace(b"2026", b"2099", 1) + b" ",
        "empty": b"",
        "endless": _endless,
    }
    responder.lies[f"{METADATA_PATH}1.root.json"] = lies[sent]
    new = tmp_path / "new"

    with pytest.raises(TrustError) as told:
        domain.open(new).refresh()

    assert told.value.kind == ("length" if sent == "endless" else "root")
    assert everything(new) == {}
    assert responder.asked[-1] == f"{METADATA_PATH}1.root.json"
    if sent == "empty":
        assert domain.open().root_sha256 in str(told.value)
        assert "a new join string, by another way" in str(told.value)


@pytest.mark.parametrize(
    "sent", [b"", b"null", b"[]", b"{}", b"[" * 100_000, b"\xff", b'{"signed": {}, "signatures": []}']
)
@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_what_is_no_metadata_is_refused(role, sent, domain, forge):
    forge.hashes = False
    forge.publish()
    name = {"root": "2.root", "timestamp": "timestamp"}.get(
        role, f"{forge.roles[role].signed.version}.{role}"
    )
    forge.files[f"{name}.json"] = sent

    below = {"root": set(), "timestamp": set(), "snapshot": {"timestamp.json"}}
    kind = "length" if role == "timestamp" and len(sent) > 16384 else "format"
    domain.refused(kind, role, *below.get(role, {"timestamp.json", "snapshot.json"}))


# --- silence ------------------------------------------------------------------------------------


def _silent(domain, *, deadline_s=10):
    before = everything(domain.folder)
    with pytest.raises(ResponderSilentError) as told:
        domain.open(deadline_s=deadline_s).refresh()
    assert told.value.exit_status == 4
    assert "What runs keeps running" in str(told.value)
    assert everything(domain.folder) == before
    assert domain.open().kept(PROFILE) == b"genuine"
    return str(told.value)


def test_a_responder_that_is_gone_is_told_and_what_was_verified_is_known(domain, responder):
    responder._listening.shutdown(socket.SHUT_RDWR)
    responder._listening.close()
    for one in responder._open:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)

    assert "refused" in _silent(domain)


@pytest.mark.parametrize("status", ["500 Oops", "403 No", "204 Nothing", "400 What", "302 Found"])
@pytest.mark.parametrize("path", ["2.root.json", "timestamp.json"])
def test_an_answer_that_is_none_is_told(status, path, domain, responder):
    responder.lies[METADATA_PATH + path] = status

    assert f"status {status[:3]}" in _silent(domain)


def test_a_server_that_is_no_responder_is_told(tmp_path, domain, responder):
    responder.lies[f"{METADATA_PATH}1.root.json"] = "404 Not Found"

    with pytest.raises(ResponderSilentError, match="so it is no responder"):
        domain.open(tmp_path / "new").refresh()

    assert everything(tmp_path / "new") == {}


def test_metadata_that_is_named_and_missing_is_told(domain, forge):
    forge.publish()
    del forge.files[f"{forge.snapshot.version}.snapshot.json"]

    with pytest.raises(ResponderSilentError, match="it has no snapshot metadata"):
        domain.open().refresh()


def test_a_content_that_is_signed_and_missing_is_told(tmp_path, domain, forge):
    forge.contents.clear()

    with pytest.raises(ResponderSilentError, match="which it signed"):
        domain.open(tmp_path / "new").target(PROFILE)


def test_another_origin_is_never_asked(domain, responder):
    with Responder(responder.authority) as other:
        responder.lies[f"{METADATA_PATH}timestamp.json"] = lambda host, connection, head: host.answer(
            connection, b"", "302 Found", Location=f"{other.url}{METADATA_PATH}timestamp.json"
        )

        assert "redirects to another origin" in _silent(domain)
        assert other.asked == []


@pytest.mark.slow
def test_a_slow_responder_ends_at_the_deadline_of_all_it_sends(domain, forge, responder):
    """
    Each file alone would come in time.
    """

    def drip(host, connection, head):
        body = forge.files[head.split()[1].rpartition("/")[2]]
        host.send(connection, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body), 100):
            if host.closing.wait(0.05):
                return
            host.send(connection, body[at : at + 100])

    for _ in range(5):
        forge.rotate("timestamp")
    for version in range(2, 7):
        responder.lies[f"{METADATA_PATH}{version}.root.json"] = drip
    began = datetime.now(UTC)

    with pytest.raises(ResponderSilentError, match="within"):
        domain.open(deadline_s=1).refresh()

    assert (datetime.now(UTC) - began).total_seconds() < SOON_S
