"""The first flow between two daemons on a network: everything comes from the responder."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest
import requests
import trustme

import rldlib
from tests.e2e.serving import serve
from tests.services import rld, rld_json, service_wheel

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def offered(tmp_path):
    folder = tmp_path / "offered"
    folder.mkdir()
    return folder


def test_join_call_and_ledger_with_a_join_string_and_no_index(tmp_path, offered):
    wheel = service_wheel(offered)
    here, there = tmp_path / "here", tmp_path / "there"
    announced = tmp_path / "announced.json"
    with serve("--wheels", offered, "--root", there, "--announce", announced) as responder:
        told = json.loads(announced.read_text())
        assert (told["url"], told["join"], told["pid"]) == (responder.url, responder.join, responder.pid)
        rld_json("join", responder.join, "--root", here)
        called = rld_json("call", "echo", "echo", "value=1", "--root", here)
        again = rld_json("call", "echo", "echo", "value=2", "--root", here)
        rows = rld_json("ledger", "--root", there)
    assert (called["result"], called["placement"], again["result"]) == (1, "local", 2)
    steps = [step["name"] for step in called["steps"]]
    assert steps == [
        *("ask", "decide", "lock", "promise", "fetch", "environment", "acknowledge", "start", "call"),
    ]
    (row,) = rows
    assert row["resources"] == [hashlib.sha256(wheel.read_bytes()).hexdigest()]
    assert (row["service"], row["version"], row["released_at"]) == ("echo", "1.0", None)
    # The responder is gone: what is here is still started.
    assert rld_json("call", "echo", "echo", "value=3", "--root", here)["result"] == 3


def test_a_refusal_costs_the_signed_profile_and_no_byte_of_the_payload(tmp_path, offered):
    service_wheel(
        offered, demand={"memory_peak_bytes": 2**59}, files={"large.bin": bytes(range(256)) * 40_000}
    )
    with (
        serve("--wheels", offered, "--root", tmp_path / "there") as responder,
        rldlib.LocalDaemon(responders=[responder.join], root=tmp_path / "here") as daemon,
    ):
        with pytest.raises(rldlib.CapacityError):
            daemon.acquire("echo")
        decision, elsewhere = daemon.why("echo")
    assert decision["received_bytes"] < 30_000
    # The responder was asked to perform it instead, and has no room either.
    assert elsewhere["placement"]["chosen"] == "remote"
    assert "no room" in elsewhere["error"]["message"]
    assert not (tmp_path / "here" / "store").exists()


def test_a_domain_is_known_by_its_key_and_not_by_its_address(tmp_path, offered):
    service_wheel(offered)
    with serve("--wheels", offered, "--root", tmp_path / "there") as responder:
        foreign = responder.join.replace(responder.join.partition("root-sha256=")[2][:8], "00000000")
        with (
            rldlib.LocalDaemon(responders=[foreign], root=tmp_path / "here") as daemon,
            pytest.raises(rldlib.IntegrityError),
        ):
            daemon.prepare("echo")
    assert not (tmp_path / "here" / "store").exists()


def test_a_second_pathway_is_used_when_the_first_fails(tmp_path, offered):
    service_wheel(offered)
    with serve("--wheels", offered, "--root", tmp_path / "there") as responder:
        address = responder.url.partition("//")[2]
        silent = responder.join.replace(address, "127.0.0.1:9")
        with rldlib.LocalDaemon(responders=[silent, responder.join], root=tmp_path / "here") as daemon:
            assert daemon.acquire("echo").call("echo", value=1) == 1


def test_who_shows_no_token_or_one_for_another_service_gets_nothing(tmp_path, offered):
    wheel = service_wheel(offered)
    tokens = tmp_path / "tokens"
    tokens.write_text("for-echo-0123456789 echo\nfor-others-0123456789 other,third\n")
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    body = {"protocols": [1], "service": "echo", "wish": "remote"}
    with serve("--wheels", offered, "--root", tmp_path / "there", "--token-file", tokens) as responder:

        def ask(path, token=None, **more):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            method = "POST" if more else "GET"
            return requests.request(
                method, responder.url + path, headers=headers, timeout=30, **more
            ).status_code

        assert ask("/rld/v1/support", json=body) == 401
        assert ask("/rld/v1/support", "for-others-0123456789", json=body) == 403
        assert ask("/rld/v1/support", "unknown-0123456789", json=body) == 401
        assert ask("/rld/v1/support", "for-echo-0123456789", json=body) == 200
        assert ask("/rld/v1/services") == 401
        netrc = tmp_path / "netrc"
        with_netrc = {"NETRC": str(netrc)}
        call = ("call", "echo", "echo", "value=1", "--responder", responder.join)
        for token, status in (("for-others-0123456789", 4), ("for-echo-0123456789", 0)):
            netrc.write_text(f"machine 127.0.0.1 login any password {token}\n")
            netrc.chmod(0o600)
            done = rld(*call, "--root", tmp_path / "here", **with_netrc)
            assert done.returncode == status, done.stderr
            assert token not in done.stderr
        assert ask(f"/blobs/sha256/{sha256}") == 401
        assert ask("/metadata/timestamp.json") == 200
        assert ask("/healthz") == 200


def test_what_is_no_request_is_refused_with_its_faults(tmp_path, offered):
    service_wheel(offered)
    with serve("--wheels", offered, "--root", tmp_path / "there") as responder:

        def ask(data):
            answer = requests.post(f"{responder.url}/rld/v1/support", data=data, timeout=30)
            return answer.status_code, answer.json()["error"]

        status, error = ask(b"{")
        assert (status, error["type"]) == (400, "MalformedDocument")
        status, error = ask(b'{"protocols": [1], "service": "UPPER", "extra": 1}')
        assert status == 400
        assert len(error["faults"]) == 2
        assert ask(b'{"protocols": [9], "service": "echo"}')[0] == 409
        assert ask(b'{"protocols": [1], "service": "unknown"}')[0] == 404
        assert ask(b" " * 300_000)[0] == 413
        told = json.dumps(ask(b'{"protocols": [1], "service": "echo", "specifier": ">9"}'))
        assert str(tmp_path) not in told
        for path in ("/blobs/sha256/..", "/blobs/sha256/" + "0" * 64, "/metadata/..%2fkeys", "/nothing"):
            assert requests.get(responder.url + path, timeout=30).status_code == 404


def test_https_with_a_private_authority_and_client_certificates(tmp_path, offered):
    service_wheel(offered)
    authority = trustme.CA()
    server, client = authority.issue_cert("localhost", "127.0.0.1"), authority.issue_cert("asker@example.org")
    for name, blobs in {
        "ca.pem": [authority.cert_pem],
        "server.pem": server.cert_chain_pems,
        "server.key": [server.private_key_pem],
        "client.pem": [client.private_key_and_cert_chain_pem],
    }.items():
        (tmp_path / name).write_bytes(b"".join(blob.bytes() for blob in blobs))
    tls = ("--cert", tmp_path / "server.pem", "--key", tmp_path / "server.key")
    with serve("--wheels", offered, "--root", tmp_path / "there", *tls) as responder:
        assert responder.url.startswith("https://")
        ask = {"root": tmp_path / "here", "join": responder.join}
        trusted = _call(ask, REQUESTS_CA_BUNDLE=str(tmp_path / "ca.pem"))
        assert trusted.returncode == 0, trusted.stderr
        foreign = _call(ask | {"root": tmp_path / "other"})
        assert foreign.returncode == 4
        assert "certificate" in foreign.stderr
    with serve(
        "--wheels", offered, "--root", tmp_path / "there", *tls, "--client-ca", tmp_path / "ca.pem"
    ) as responder:
        url = f"{responder.url}/healthz"
        with pytest.raises(requests.exceptions.RequestException):
            requests.get(url, verify=str(tmp_path / "ca.pem"), timeout=30)
        shown = requests.get(
            url, verify=str(tmp_path / "ca.pem"), cert=str(tmp_path / "client.pem"), timeout=30
        )
        assert shown.status_code == 200


def _call(ask, **environment):
    arguments = ("call", "echo", "echo", "value=1", "--root", ask["root"], "--responder", ask["join"])
    return rld(*arguments, **environment)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        pytest.param(["--host", "0.0.0.0"], "--insecure", id="plain HTTP to others"),
        pytest.param(["--cert", "cert.pem"], "give --cert and --key", id="half a certificate"),
        pytest.param(["--token-file", "missing"], "cannot be read", id="no tokens"),
    ],
)
def test_what_would_open_more_than_was_said_is_refused(tmp_path, offered, options, told):
    done = rld("serve", "--wheels", offered, "--root", tmp_path / "there", *options)
    assert done.returncode == 2
    assert told in done.stderr


def test_sixteen_requestors_at_once_all_get_it(tmp_path, offered):
    service_wheel(offered)
    code = (
        "import sys, rldlib\n"
        "with rldlib.LocalDaemon(responders=[sys.argv[1]], root=sys.argv[2]) as daemon:\n"
        "    print(daemon.prepare('echo')['version'])\n"
    )
    with serve("--wheels", offered, "--root", tmp_path / "there") as responder:
        started = [
            subprocess.Popen(
                [sys.executable, "-c", code, responder.join, str(tmp_path / f"root-{number}")],
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(16)
        ]
        told = [process.communicate(timeout=300)[0].strip() for process in started]
    assert told == ["1.0"] * 16
    rows = rld_json("ledger", "--root", tmp_path / "there")
    assert len({row["domain"] for row in rows}) == 16
