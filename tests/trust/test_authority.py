"""What a domain signs, seen by a client that is nothing but the TUF library."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from tests.faults.harness import CALLS, Counting, Failing
from tests.trust.responders import LOCK, PROFILE, Clock, Responder, everything, look
from tuf.api.exceptions import ExpiredMetadataError

from rldlib.adapters.trust.authority import Authority
from rldlib.errors import SigningKeyMissingError, StorageError, UsageError
from rldlib.values.join import parse_join

URL = "https://pricing.internal:8443"


def _seen(tmp_path, responder, *names, who="other", at=None):
    first = responder.authority.metadata("1.root.json")
    return look(tmp_path / who, responder.url, first, *names, at=at)


def _roles(authority):
    return {role["role"]: role for role in authority.status()["roles"]}


def _keys(authority):
    return {path.name.partition("-")[0]: path for path in (authority._folder / "keys").iterdir()}


def test_a_first_start_makes_a_domain_that_others_can_join(tmp_path, authority, responder):
    join = authority.join(URL)

    assert parse_join(str(join)) == join
    assert (join.host, join.port, join.minimum) == ("pricing.internal", 8443, 1)
    assert join.root_sha256 == hashlib.sha256(authority.metadata("1.root.json")).hexdigest()
    assert authority.join(URL) == join
    assert _seen(tmp_path, responder, PROFILE) == {}


def test_what_is_signed_is_told_by_name_and_found_by_its_hash(authority, clock):
    authority.publish_many({PROFILE: b"a profile", LOCK: b"a lock"})
    told = authority.published()
    assert {name: told[name] for name in (PROFILE, LOCK)} == {
        PROFILE: hashlib.sha256(b"a profile").hexdigest(),
        LOCK: hashlib.sha256(b"a lock").hexdigest(),
    }
    folder, _, base = PROFILE.rpartition("/")
    assert authority.target(f"{folder}/{told[PROFILE]}.{base}") == b"a profile"
    assert clock() < authority.until()
    assert authority.until().isoformat() == min(role["expires"] for role in authority.status()["roles"])


def test_two_domains_never_have_one_identity(tmp_path, clock):
    made = {Authority(tmp_path / name, clock).root_sha256 for name in ("a", "b")}

    assert len(made) == 2


@pytest.mark.parametrize("url", ["https://", "pricing:8443", "ftp://host/"])
def test_a_join_string_needs_an_address(authority, url):
    with pytest.raises(UsageError):
        authority.join(url)


def test_what_is_published_can_be_had_by_any_tuf_client(tmp_path, authority, responder):
    assert authority.publish_many({PROFILE: b"{}", LOCK: b"lock"}) is True

    assert _seen(tmp_path, responder, PROFILE, LOCK) == {PROFILE: b"{}", LOCK: b"lock"}


def test_targets_published_before_stay_and_the_newest_content_counts(tmp_path, authority, responder):
    authority.publish(PROFILE, b"old")
    _seen(tmp_path, responder, PROFILE)
    authority.publish("templates/list.html", b"<p>")
    authority.publish(PROFILE, b"new")

    assert _seen(tmp_path, responder, PROFILE, "templates/list.html") == {
        PROFILE: b"new",
        "templates/list.html": b"<p>",
    }


def test_what_is_withdrawn_is_no_longer_signed(tmp_path, authority, responder):
    authority.publish_many({PROFILE: b"{}", LOCK: b"lock"})

    assert authority.withdraw(PROFILE, LOCK) is True
    assert authority.withdraw(PROFILE) is False
    assert _seen(tmp_path, responder, PROFILE, LOCK) == {}


def test_a_publication_that_changes_nothing_writes_nothing(authority):
    authority.publish_many({PROFILE: b"{}", LOCK: b"lock"})
    before = everything(authority._folder)

    assert authority.publish_many({PROFILE: b"{}", LOCK: b"lock"}) is False
    assert authority.publish_many({}) is False
    assert authority.withdraw("profiles/none/1.json") is False
    assert everything(authority._folder) == before


def test_many_targets_are_one_publication(authority):
    authority.publish(PROFILE, b"{}")
    version = _roles(authority)["timestamp"]["version"]

    authority.publish_many({f"profiles/s{number}/1.0.json": b"%d" % number for number in range(50)})

    assert _roles(authority)["timestamp"]["version"] == version + 1
    assert authority.status()["targets"] == 51


@pytest.mark.parametrize(
    "name",
    ["", "profile", "/profiles/x", "../x/y", "a/../b", "a//b", "a/b/", "a/.b", "a/b c", "a/b?c", "locks/x.toml",
     "locks/a/b/c/d.toml", "a/" + "b" * 300, "a/\u00e9", "a/b\n"],
)  # fmt: skip
def test_a_name_that_is_none_is_refused_before_anything_is_written(authority, name):
    authority.publish(PROFILE, b"{}")
    before = everything(authority._folder)

    with pytest.raises(UsageError):
        authority.publish_many({"profiles/good/1.json": b"{}", name: b"x"})

    assert everything(authority._folder) == before


def test_a_content_that_is_too_big_is_refused(authority):
    with pytest.raises(UsageError, match="at most 16,777,216"):
        authority.publish(PROFILE, b"x" * (16 * 1024 * 1024 + 1))


@pytest.mark.parametrize(
    "path",
    ["../keys/x.pem", "keys", "timestamp.json.tmp", "0.root.json", "1.root.json/..", "lock", "", "root.json"],
)
def test_nothing_but_metadata_is_served_as_metadata(authority, path):
    authority.publish(PROFILE, b"{}")

    assert authority.metadata(path) is None
    assert authority.target(path) is None


# --- keys ------------------------------------------------------------------------------


def test_keys_are_read_by_their_owner_alone(authority):
    authority.publish(PROFILE, b"{}")
    keys = authority._folder / "keys"

    assert {path.name.partition("-")[0] for path in keys.iterdir()} == {
        *("root", "targets", "locks", "snapshot", "timestamp")
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys.iterdir()} == {0o600}
    assert stat.S_IMODE(keys.stat().st_mode) == stat.S_IMODE(authority._folder.stat().st_mode) == 0o700


def test_no_key_reaches_a_repr_a_log_or_an_error(authority, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    authority.publish(PROFILE, b"{}")
    key = _keys(authority)["timestamp"]
    secret = key.read_text().splitlines()[1]
    authority.rotate()
    told = [repr(authority), repr(vars(authority)), json.dumps(authority.status())]
    broken = _keys(authority)["timestamp"]
    broken.write_text(key.name + secret)
    with pytest.raises(StorageError) as refused:
        authority.publish(PROFILE, b"[]")
    told += [
        str(refused.value),
        repr(refused.value),
        repr(refused.value.__cause__),
        caplog.text,
        *capfd.readouterr(),
    ]

    assert not [one for one in told if secret in one or "PRIVATE" in one]


def test_the_key_of_profiles_may_be_kept_elsewhere(tmp_path, authority, responder):
    authority.publish(PROFILE, b"{}")
    key = _keys(authority)["targets"]
    key.rename(tmp_path / "safe.pem")
    before = everything(authority._folder)

    with pytest.raises(SigningKeyMissingError) as refused:
        authority.publish_many({PROFILE: b"[]", LOCK: b"lock"})
    assert refused.value.path == str(key)
    assert refused.value.exit_status == 4
    assert everything(authority._folder) == before
    assert [role for role, told in _roles(authority).items() if not told["key_here"]] == ["targets"]

    authority.publish(LOCK, b"lock")
    assert _seen(tmp_path, responder, PROFILE, LOCK) == {PROFILE: b"{}", LOCK: b"lock"}

    (tmp_path / "safe.pem").rename(key)
    authority.publish(PROFILE, b"[]")
    assert _seen(tmp_path, responder, PROFILE) == {PROFILE: b"[]"}


def test_a_key_of_another_is_not_signed_with(tmp_path, authority, clock):
    authority.publish(PROFILE, b"{}")
    other = Authority(tmp_path / "other", clock)
    other.publish(PROFILE, b"{}")
    before = everything(authority._folder / "metadata")
    shutil.copy(_keys(other)["timestamp"], _keys(authority)["timestamp"])

    with pytest.raises(StorageError, match="does not hold the key that signs timestamp"):
        authority.publish(PROFILE, b"[]")

    assert everything(authority._folder / "metadata") == before


# --- time ------------------------------------------------------------------------------


def test_who_asks_for_the_timestamp_gets_one_that_is_true_for_half_a_day_at_least(authority, clock):
    first = authority.metadata("timestamp.json")
    clock.forward(hours=11)
    assert authority.metadata("timestamp.json") == first

    clock.forward(hours=2)
    renewed = authority.metadata("timestamp.json")

    assert renewed != first
    assert json.loads(renewed)["signed"]["version"] == 2
    # Nothing else was due.
    assert _roles(authority)["snapshot"]["version"] == 1


def test_a_responder_that_was_away_for_long_is_believed_again_once_it_is_asked(
    tmp_path, authority, responder, clock
):
    authority.publish_many({PROFILE: b"{}", LOCK: b"lock"})
    first = _seen(tmp_path, responder, PROFILE, at=clock())
    clock.forward(days=400)

    assert _seen(tmp_path, responder, PROFILE, at=clock()) == first
    assert _seen(tmp_path, responder, PROFILE, LOCK, at=clock(), who="new") == {PROFILE: b"{}", LOCK: b"lock"}
    assert not any(role["expired"] for role in _roles(authority).values())


def test_renewing_tells_when_to_look_again_and_does_nothing_before(authority, clock):
    again = authority.renew()
    before = everything(authority._folder)

    assert again - clock() == pytest.approx(timedelta(hours=12), abs=timedelta(seconds=2))
    assert authority.renew() == again
    assert everything(authority._folder) == before


def test_a_role_whose_key_is_elsewhere_is_left_as_it_is(tmp_path, authority, responder, clock):
    authority.publish(PROFILE, b"{}")
    _keys(authority)["targets"].rename(tmp_path / "safe.pem")
    clock.forward(days=360)

    assert authority.renew() > clock()
    assert _roles(authority)["targets"]["version"] == 2
    assert _seen(tmp_path, responder, PROFILE, at=clock()) == {PROFILE: b"{}"}

    clock.forward(days=10)
    authority.renew()
    assert _roles(authority)["targets"]["expired"] is True
    with pytest.raises(ExpiredMetadataError):
        _seen(tmp_path, responder, PROFILE, at=clock(), who="new")


def test_status_makes_nothing_and_renews_nothing(tmp_path, clock):
    authority = Authority(tmp_path / "own", clock)
    assert authority.status() is None
    assert not (tmp_path / "own").exists()

    authority.publish(PROFILE, b"{}")
    clock.forward(days=2)
    before = everything(tmp_path / "own")
    assert _roles(authority)["timestamp"]["expired"] is True
    assert everything(tmp_path / "own") == before


# --- rotation --------------------------------------------------------------------------


def test_clients_follow_every_rotation_from_any_version(tmp_path, authority, responder):
    authority.publish_many({PROFILE: b"{}", LOCK: b"lock"})
    join = authority.join(URL)
    _seen(tmp_path, responder, PROFILE, LOCK)
    for number in range(3):
        before = {path.name for path in (authority._folder / "keys").iterdir()}
        assert set(authority.rotate().values()) == {"new key"}
        assert not before & {path.name for path in (authority._folder / "keys").iterdir()}
        authority.publish(LOCK, b"%d" % number)
        _seen(tmp_path, responder, PROFILE, LOCK, who=f"joined after {number}")

    for who in ("other", "joined after 0", "new"):
        assert _seen(tmp_path, responder, PROFILE, LOCK, who=who) == {PROFILE: b"{}", LOCK: b"2"}
    assert authority.root_sha256 == join.root_sha256
    assert _roles(authority)["root"]["version"] == 4


def test_a_rotation_without_the_key_of_profiles_keeps_what_that_key_signs(tmp_path, authority, responder):
    authority.publish_many({PROFILE: b"{}", LOCK: b"lock"})
    _keys(authority)["targets"].rename(tmp_path / "safe.pem")

    told = authority.rotate()

    assert told == {
        "root": "new key",
        "snapshot": "new key",
        "timestamp": "new key",
        "targets": "kept: its key is elsewhere",
        "locks": "kept: its key is elsewhere",
    }
    authority.publish(LOCK, b"more")
    assert _seen(tmp_path, responder, PROFILE, LOCK) == {PROFILE: b"{}", LOCK: b"more"}


@pytest.mark.parametrize("role", ["root", "snapshot"])
def test_a_rotation_that_cannot_be_signed_changes_nothing(tmp_path, authority, role):
    authority.publish(PROFILE, b"{}")
    _keys(authority)[role].rename(tmp_path / "safe.pem")
    before = everything(authority._folder)

    with pytest.raises(SigningKeyMissingError, match=f"the key that signs {role} is not at"):
        authority.rotate()

    assert everything(authority._folder) == before


# --- many at once, and things that break --------------------------------------------------


def test_versions_nobody_reads_any_more_are_removed(authority, clock):
    for number in range(30):
        authority.publish(LOCK, b"%d" % number)
    names = [path.name for path in (authority._folder / "metadata").iterdir()]

    assert len([name for name in names if name.endswith(".locks.json")]) == 17
    assert len([name for name in names if name.endswith(".snapshot.json")]) == 17
    assert len(list((authority._folder / "targets").iterdir())) == 30

    clock.forward(days=4)
    authority.renew()
    assert [path.read_bytes() for path in (authority._folder / "targets").iterdir()] == [b"29"]


def test_threads_and_authorities_of_one_folder_take_turns(tmp_path, authority, responder, clock):
    names = [f"profiles/s{number}/1.json" for number in range(12)]
    authorities = [authority, Authority(authority._folder, clock), Authority(authority._folder, clock)]

    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(lambda at: authorities[at % 3].publish(names[at], b"%d" % at), range(12)))

    assert done == [True] * 12
    assert _seen(tmp_path, responder, *names) == {name: b"%d" % at for at, name in enumerate(names)}


def test_a_lost_timestamp_is_told_and_not_made_anew(authority):
    authority.publish(PROFILE, b"{}")
    (authority._folder / "metadata" / "timestamp.json").unlink()
    before = everything(authority._folder)

    with pytest.raises(StorageError, match="bring a copy of it back"):
        authority.publish(PROFILE, b"[]")

    assert everything(authority._folder) == before


def test_on_a_full_disk_what_is_still_true_is_served(tmp_path, authority, clock):
    authority.publish(PROFILE, b"{}")
    before = authority.metadata("timestamp.json")
    clock.forward(hours=13)
    full = Authority(authority._folder, clock, files=Failing("write", 1, 28, stays=True))

    assert full.metadata("timestamp.json") == before
    assert authority.metadata("timestamp.json") != before
    with pytest.raises(StorageError):
        Authority(tmp_path / "new", clock, files=Failing("write", 1, 28, stays=True)).metadata(
            "timestamp.json"
        )


@pytest.mark.parametrize("content", [b"", b"{", b"\0" * 400])
def test_damaged_metadata_is_told_and_not_built_upon(authority, content, clock):
    authority.publish(PROFILE, b"{}")
    (authority._folder / "metadata" / "2.snapshot.json").write_bytes(content)
    before = everything(authority._folder)

    with pytest.raises(StorageError, match="damaged"):
        Authority(authority._folder, clock).publish(PROFILE, b"[]")

    assert everything(authority._folder) == before


@pytest.fixture(scope="module")
def mortal():
    """``mortal(folder, deed)``: see `tests.trust.mortal`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.trust.mortal"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    )

    def order(folder, deed):
        process.stdin.write(f"{json.dumps({'folder': str(folder), 'deed': deed})}\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    with process:
        yield order
        process.stdin.close()


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize("deed", ["found", "publish", "rotate"])
def test_an_authority_killed_before_any_call_leaves_what_clients_accept(deed, mortal, tmp_path):
    """Clients that were there before, and new ones; and the next publication works."""
    folder = tmp_path / "domain"
    folder.mkdir()
    clock = Clock()
    if deed != "found":
        authority = Authority(folder / "own", clock)
        authority.publish_many({PROFILE: b"first", LOCK: b"first"})
        with Responder(authority) as responder:
            assert len(_seen(tmp_path, responder, PROFILE, LOCK, who="pristine")) == 2

    died = mortal(folder, deed)

    assert died >= 20
    for nth in range(1, died + 2):
        authority = Authority(tmp_path / f"domain.{nth}" / "own", clock)
        with Responder(authority) as responder:
            if deed == "found":
                authority.publish_many({PROFILE: b"first", LOCK: b"first"})
            else:
                shutil.copytree(tmp_path / "pristine", tmp_path / f"old {nth}")
            for who in (f"old {nth}", f"new {nth}"):
                found = _seen(tmp_path, responder, PROFILE, LOCK, who=who)
                assert set(found) == {PROFILE, LOCK}
                assert len(set(found.values())) == 1, "of one publication both count, or none"
            authority.publish_many({PROFILE: b"third", LOCK: b"third"})
            assert set(_seen(tmp_path, responder, PROFILE, LOCK, who=f"old {nth}").values()) == {b"third"}


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize("call", [call for call in CALLS if call not in {"make_folder", "link"}])
def test_a_failing_file_system_is_told_and_what_counted_still_counts(call, tmp_path, clock):
    pristine = tmp_path / "pristine"
    Authority(pristine, clock).publish_many({PROFILE: b"first", LOCK: b"first"})
    counting = Counting()
    shutil.copytree(pristine, tmp_path / "counted")
    Authority(tmp_path / "counted", clock, files=counting).publish_many({PROFILE: b"second", LOCK: b"second"})
    total = sum(made == call for made, _ in counting.made)
    assert total

    for nth in range(1, total + 1):
        folder = tmp_path / f"{call} {nth}"
        shutil.copytree(pristine, folder)
        failing = Authority(folder, clock, files=Failing(call, nth, 28))
        with Responder(Authority(folder, clock)) as responder:
            with pytest.raises(StorageError, match=os.strerror(28)):
                failing.publish_many({PROFILE: b"second", LOCK: b"second"})
            found = _seen(tmp_path, responder, PROFILE, LOCK, who=f"seen {call} {nth}")
            assert len(set(found.values())) == 1
            assert failing.publish_many({PROFILE: b"third", LOCK: b"third"})
            assert set(_seen(tmp_path, responder, PROFILE, LOCK, who=f"{call} {nth}.seen").values()) == {
                b"third"
            }
