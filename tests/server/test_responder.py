"""`rld serve` on a real socket: what it lists, what it gives, and what outlives a restart."""

from __future__ import annotations

import hashlib

import pytest
import requests
from tests.e2e.serving import serve
from tests.services import service_wheel
from tests.sources.hosts import index_of

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ANY = {"protocols": [1], "service": "echo", "wish": "remote"}
TOKENS = "for-echo-0123456789 echo\nfor-all-0123456789 *\n"


@pytest.fixture
def offered(tmp_path):
    folder = tmp_path / "offered"
    folder.mkdir()
    service_wheel(folder, summary="Says it again.")
    service_wheel(folder, "tax")
    return folder


@pytest.fixture
def web():
    with requests.Session() as session:
        session.trust_env = False
        yield session


def test_the_directory_has_every_service_and_a_token_sees_its_own(tmp_path, offered, web):
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKENS)
    with serve("--wheels", offered, "--root", tmp_path / "there", "--token-file", tokens) as there:

        def listed(token):
            answer = web.get(
                f"{there.url}/rld/v1/services", headers={"Authorization": f"Bearer {token}"}, timeout=30
            )
            assert answer.status_code == 200, answer.text
            return answer.json()

        everything = listed("for-all-0123456789")
        assert [one["service"] for one in everything["services"]] == ["echo", "tax"]
        assert everything["services"][0]["summary"] == "Says it again."
        assert everything["domain"] in there.join
        assert [one["service"] for one in listed("for-echo-0123456789")["services"]] == ["echo"]


def test_what_an_index_offers_is_listed_too(tmp_path, offered, web):
    with (
        index_of(offered) as index,
        serve("--index-url", index.url, "--root", tmp_path / "there") as there,
    ):
        told = web.get(f"{there.url}/rld/v1/services", timeout=30).json()
        assert [(one["service"], one["versions"]) for one in told["services"]] == [
            ("echo", ["1.0"]),
            ("tax", ["1.0"]),
        ]
        # It is no mirror of an index: those who want one ask that index.
        assert web.get(f"{there.url}/simple/", timeout=30).status_code == 404


def test_a_directory_is_an_index_too_for_who_may_have_all_of_it(tmp_path, offered, web):
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKENS)
    with serve("--wheels", offered, "--root", tmp_path / "there", "--token-file", tokens) as there:

        def ask(path, token=None):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            return web.get(there.url + path, headers=headers, timeout=30)

        (wheel,) = offered.glob("rld_echo-*.whl")
        for path in ("/simple/", "/simple/rld-echo/", f"/files/{wheel.name}"):
            assert ask(path).status_code == 401
            assert ask(path, "for-echo-0123456789").status_code == 403
            assert ask(path, "for-all-0123456789").status_code == 200
        assert ask(f"/files/{wheel.name}", "for-all-0123456789").content == wheel.read_bytes()


def test_after_a_restart_the_files_of_earlier_answers_are_still_given(tmp_path, offered, web):
    (wheel,) = offered.glob("rld_echo-*.whl")
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    from tests.peers import Responding

    from rldlib.values.support import PROTOCOLS, SupportRequest, host_kind, write

    asker = Responding(tmp_path / "nothing", tmp_path / "asker")
    kinds = tuple(host_kind(interpreter) for interpreter in asker.out.interpreters.all())
    asker.close()
    body = write(SupportRequest(service="echo", protocols=PROTOCOLS, interpreters=kinds))
    root = tmp_path / "there"
    with serve("--wheels", offered, "--root", root) as there:
        assert web.get(f"{there.url}/blobs/sha256/{sha256}", timeout=30).status_code == 404
        first = web.post(f"{there.url}/rld/v1/support", data=body, timeout=30)
        again = web.post(f"{there.url}/rld/v1/support", data=body, timeout=30)
        assert (first.status_code, again.status_code) == (200, 200)
        assert first.json()["locks"] == again.json()["locks"] != []
        assert first.json()["remote"] == again.json()["remote"]
        remote = [web.post(f"{there.url}/rld/v1/support", json=ANY, timeout=60).json() for _ in range(3)]
        assert all("echo" in one["operations"] for one in remote)
        later = web.post(f"{there.url}/rld/v1/support", data=body, timeout=30).json()
        assert later["operations"] == remote[0]["operations"]
    with serve("--wheels", offered, "--root", root) as there:
        given = web.get(f"{there.url}/blobs/sha256/{sha256}", timeout=30)
        assert given.content == wheel.read_bytes()
        assert web.get(f"{there.url}/blobs/sha256/{'0' * 64}", timeout=30).status_code == 404
