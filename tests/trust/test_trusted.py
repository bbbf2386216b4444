"""What is verified of another domain, and that many may look at once, and be killed."""

from __future__ import annotations

import os
import random
import shutil
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme
from tests.trust.forge import Forge
from tests.trust.responders import LOCK, PROFILE, Responder, everything
from tests.trust.webs import ADDRESS, Web

from rldlib.adapters.files import FileSystem
from rldlib.adapters.http import Http
from rldlib.adapters.trust import contents
from rldlib.adapters.trust.trusted import Trusted
from rldlib.errors import ResponderSilentError, StorageError, TrustError
from rldlib.values.join import parse_join
from rldlib.values.trust import METADATA_PATH, Pathway

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def http():
    with Http() as made:
        yield made


@pytest.fixture
def published(authority):
    authority.publish_many({PROFILE: b"profile", LOCK: b"lock"})
    return authority


@pytest.fixture
def open_(tmp_path, published, responder, http, clock):
    """``open_(folder)``: the domain, as a process that was just started finds it."""

    def opened(folder=tmp_path / "trust" / "other", join=None, url=None):
        return Trusted(folder, Pathway.of(join or published.join(responder.url), url), http, clock)

    return opened


def test_a_join_string_is_all_that_is_needed(tmp_path, published, responder, http):
    join = parse_join(str(published.join(responder.url)))
    trusted = Trusted.of(tmp_path, join, http)

    assert trusted.target(PROFILE) == b"profile"
    assert trusted.target(LOCK) == b"lock"
    assert trusted.target("profiles/other/1.0.json") is None
    assert (tmp_path / "trust" / join.root_sha256).is_dir()


def test_a_look_that_finds_nothing_new_asks_for_two_files_and_writes_none(tmp_path, open_, responder):
    open_().refresh()
    before = everything(tmp_path / "trust")
    responder.asked.clear()

    trusted = open_()
    trusted.refresh()

    assert responder.asked == [f"{METADATA_PATH}2.root.json", f"{METADATA_PATH}timestamp.json"]
    assert everything(tmp_path / "trust") == before
    assert responder.connections == 1


def test_targets_that_are_here_are_not_fetched_again(open_, responder):
    for _ in range(2):
        assert open_().target(PROFILE) == b"profile"

    assert len([path for path in responder.asked if "/targets/" in path]) == 1


def test_what_is_published_is_seen_at_the_next_look_and_not_before(open_, published):
    trusted = open_()
    assert trusted.target(PROFILE) == b"profile"
    published.publish(PROFILE, b"newer")
    assert trusted.target(PROFILE) == b"profile"

    trusted.refresh()

    assert trusted.target(PROFILE) == b"newer"
    assert trusted.kept(PROFILE) == b"newer"


def test_what_another_process_saw_is_known_without_asking(open_, published, responder):
    mine, other = open_(), open_()
    assert mine.target(PROFILE) == b"profile"
    published.publish_many({PROFILE: b"newer", LOCK: b"newer"})
    other.refresh()
    responder.asked.clear()

    assert mine.target(PROFILE) == b"newer"
    assert mine.target(LOCK) == b"newer"

    assert not [path for path in responder.asked if "root" in path or "timestamp" in path]
    assert b'"version":3' in (mine._folder / "locks.json").read_bytes()


def test_a_domain_that_moves_keeps_its_trust(tmp_path, open_, published, responder):
    """Two addresses, one folder: nobody can take it back by way of the other."""
    open_().refresh()
    published.publish(PROFILE, b"newer")
    join = published.join(responder.url)
    with Responder(published) as elsewhere:
        assert open_(join=published.join(elsewhere.url)).target(PROFILE) == b"newer"
        elsewhere.lies[f"{METADATA_PATH}timestamp.json"] = b"{}"
        with pytest.raises(TrustError):
            open_(join=published.join(elsewhere.url)).refresh()

    assert open_(join=join).target(PROFILE) == b"newer"


def test_status_tells_what_was_verified_and_asks_nobody(open_, responder, clock):
    trusted = open_()
    assert trusted.status()["verified_at"] is None
    assert trusted.status()["roles"] == []
    trusted.refresh()
    responder.asked.clear()

    told = trusted.status()

    assert told["verified_at"] == clock().isoformat(timespec="seconds")
    assert [role["role"] for role in told["roles"]] == ["root", "snapshot", "targets", "timestamp"]
    assert not any(role["expired"] for role in told["roles"])
    clock.forward(days=2)
    assert [role["role"] for role in trusted.status()["roles"] if role["expired"]] == ["timestamp"]
    assert responder.asked == []


@pytest.mark.parametrize("harm", [b"", b"{}", b"[]", b'{"signed": {"expires": 3}}', b"\xff"])
def test_status_tells_nothing_of_a_file_that_is_damaged(open_, harm):
    trusted = open_()
    trusted.refresh()
    (trusted._folder / "snapshot.json").write_bytes(harm)

    assert [role["role"] for role in trusted.status()["roles"]] == ["root", "targets", "timestamp"]


def test_a_publication_between_two_questions_is_met_by_asking_again(tmp_path, http, clock):
    """What the timestamp named a moment ago is gone: it was a busy responder, no attack."""
    forge = Forge()
    forge.add(PROFILE, b"1")
    forge.publish()

    def publishes(host, connection, head):
        del responder.lies[path]
        forge.add(PROFILE, b"2")
        forge.publish()
        host.answer(connection, b"", "404 Not Found")

    with Responder(forge) as responder:
        path = f"{METADATA_PATH}2.snapshot.json"
        responder.lies[path] = publishes
        trusted = Trusted(tmp_path / "new", Pathway.of(forge.join(responder.url)), http, clock)
        trusted.refresh()
        forge.contents.clear()
        forge.add(PROFILE, b"3")
        forge.publish()

        assert trusted.target(PROFILE) == b"3"


@pytest.mark.parametrize("consistent", [True, False])
def test_both_ways_to_name_files_are_understood(tmp_path, http, clock, consistent):
    forge = Forge(consistent=consistent)
    forge.add("a/b c/d.txt", b"1")
    forge.publish()
    with Responder(forge) as responder:
        trusted = Trusted(tmp_path / "new", Pathway.of(forge.join(responder.url)), http, clock)

        assert trusted.target("a/b c/d.txt") == b"1"
        assert any("a/b c/" in path for path in responder.asked)


@pytest.mark.slow
def test_a_domain_may_rotate_for_many_years(tmp_path, clock):
    """More often than the library follows by itself."""
    forge = Forge()
    for _ in range(300):
        forge.rotate("timestamp")
    forge.add(PROFILE, b"late")
    forge.publish()
    web = Web(forge)

    for _ in range(2):
        trusted = Trusted(tmp_path / "new", Pathway.of(forge.join(ADDRESS), ADDRESS), web, clock)
        assert trusted.target(PROFILE) == b"late"

    assert len([path for path in web.asked if "root" in path]) == 303


# --- TLS --------------------------------------------------------------------------------


@pytest.fixture
def tls(published, monkeypatch, tmp_path):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with Responder(published, context) as made:
        yield made


def test_over_tls_with_a_certificate_of_the_callers_own_authority(
    tmp_path, tls, open_, published, monkeypatch
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))

    trusted = open_(join=published.join(tls.url), url=tls.url)

    assert trusted.target(PROFILE) == b"profile"


def test_a_certificate_that_nobody_vouches_for_is_a_responder_that_is_silent(tmp_path, tls, open_, published):
    trusted = open_(tmp_path / "new", join=published.join(tls.url), url=tls.url)

    with pytest.raises(ResponderSilentError, match="its certificate is not trusted"):
        trusted.refresh()

    assert everything(tmp_path / "new") == {}


# --- many at once ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("known", ["nothing", "an older state"])
def test_sixteen_processes_look_at_once(tmp_path, open_, published, responder, known):
    folder = tmp_path / "trust" / "shared"
    join = published.join(responder.url)
    if known == "an older state":
        open_(folder).target(PROFILE)
        published.publish_many({PROFILE: b"newer", LOCK: b"newer"})
        published.rotate()

    told = subprocess.run(
        [sys.executable, "-m", "tests.trust.looking", str(folder), responder.url, str(join), "16"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert told.stdout.split() == ["0"] * 16, told.stderr
    responder.asked.clear()
    open_(folder).refresh()
    assert len(responder.asked) == 2
    assert not list(folder.rglob("*.tmp"))


@pytest.mark.slow
def test_sixteen_threads_look_at_once_while_it_publishes(tmp_path, open_, published):
    shared = open_()

    def look(number):
        if number % 4 == 0:
            published.publish(LOCK, b"%d" % number)
        trusted = shared if number % 2 else open_()
        trusted.refresh()
        return trusted.target(PROFILE), trusted.target(LOCK) is not None

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(look, range(32))) == {(b"profile", True)}


# --- killed, and damaged -------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize("known", ["nothing", "an older state"])
def test_a_look_killed_before_any_call_leaves_what_the_next_goes_on_from(
    tmp_path, open_, published, responder, known
):
    folder = tmp_path / "trust" / "killed"
    join = published.join(responder.url)
    if known == "an older state":
        assert (open_(folder).target(PROFILE), open_(folder).target(LOCK)) == (b"profile", b"lock")
        published.rotate()
        published.publish_many({PROFILE: b"newer", LOCK: b"newer"})

    told = subprocess.run(
        [sys.executable, "-m", "tests.trust.looking", str(folder), responder.url, str(join), "kill"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    died = int(told.stdout)
    assert died >= 20
    content = {"nothing": (b"profile", b"lock"), "an older state": (b"newer", b"newer")}[known]
    for nth in range(1, died + 2):
        copy = folder.with_name(f"killed.{nth}")
        trusted = open_(copy)
        if known == "an older state":
            assert trusted.kept(PROFILE) in {b"profile", b"newer"}
        trusted.refresh()
        assert (trusted.target(PROFILE), trusted.target(LOCK)) == content
        assert not list(copy.glob("*.tmp"))


@pytest.mark.parametrize("harm", ["gone", "empty", "torn", "flipped"])
def test_whatever_is_damaged_here_is_fetched_again(tmp_path, open_, harm):
    folder = tmp_path / "trust" / "other"
    trusted = open_()
    assert (trusted.target(PROFILE), trusted.target(LOCK)) == (b"profile", b"lock")
    chance = random.Random(7)
    for path in sorted(
        path for path in folder.rglob("*") if path.is_file() and path.name not in {"lock", "verified"}
    ):
        copy = tmp_path / "trust" / f"without {path.name}"
        shutil.copytree(folder, copy, symlinks=True)
        victim = copy / path.relative_to(folder)
        data = bytearray(victim.read_bytes())
        data[chance.randrange(len(data))] ^= 1
        match harm:
            case "gone":
                victim.unlink()
            case "empty":
                victim.write_bytes(b"")
            case "torn":
                victim.write_bytes(data[: len(data) // 2])
            case "flipped":
                victim.write_bytes(data)

        healed = open_(copy)
        healed.refresh()

        assert (healed.target(PROFILE), healed.target(LOCK)) == (b"profile", b"lock"), path.name
        assert {role["role"] for role in healed.status()["roles"]} >= {
            "root",
            "snapshot",
            "targets",
            "timestamp",
        }


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize("call", ["create", "write", "flush", "rename"])
def test_on_a_full_disk_a_look_is_told_and_what_was_kept_is_kept(
    tmp_path, open_, published, responder, monkeypatch, call
):
    folder = tmp_path / "trust" / "other"
    assert (open_().target(PROFILE), open_().target(LOCK)) == (b"profile", b"lock")
    published.publish_many({PROFILE: b"newer", LOCK: b"newer"})
    join = published.join(responder.url)
    real = getattr(FileSystem, call)
    for nth in range(1, 20):
        copy = tmp_path / "trust" / f"full {nth}"
        shutil.copytree(folder, copy, symlinks=True)
        left = [nth]

        def full(files, *args, _left=left, _real=real):
            _left[0] -= 1
            if _left[0] <= 0:
                raise OSError(28, os.strerror(28))
            return _real(files, *args)

        trusted = open_(copy, join=join)
        with monkeypatch.context() as patched:
            patched.setattr(FileSystem, call, full)
            told = _looked(trusted)
        if told == (b"newer", b"newer"):
            break
        assert os.strerror(28) in told
        assert trusted.kept(PROFILE) in {b"profile", b"newer"}
        assert (trusted.target(PROFILE), trusted.target(LOCK)) == (b"newer", b"newer")
    assert 3 < nth < 19


def _looked(trusted):
    """What a look finds, or what it is told."""
    try:
        trusted.refresh()
        return trusted.target(PROFILE), trusted.target(LOCK)
    except StorageError as exc:
        return str(exc)


def test_of_contents_the_newest_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "_MOST", 3)
    kept = contents.Contents(tmp_path)
    for number in range(6):
        kept.keep(f"a/{number}", b"%d" % number)

    assert [kept.kept(f"a/{number}") for number in range(6)] == [None, None, None, b"3", b"4", b"5"]
