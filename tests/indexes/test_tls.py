"""Indexes behind TLS, and beyond a proxy: what is trusted, what is refused, and what a refusal leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from tests.indexes.between import NAME, front, proxy
from tests.indexes.passwords import files_that_tell, tells
from tests.indexes.servers import PASSWORD, USER
from tests.services import rld, service_wheel
from tests.wheels import make_wheel

_SERVICE = """
from rldlib.plugin import Service, operation
import shared

class Echo(Service):
    @operation
    def shared(self) -> str:
        return shared.value
"""
_ASK = """
import os, sys
import rldlib
try:
    policy = rldlib.Policy(resolver=sys.argv[2])
    with rldlib.LocalDaemon(index_url=os.environ["INDEX"], root=sys.argv[1], policy=policy) as daemon:
        print(daemon.acquire("echo").shared())
except rldlib.RldlibError as exc:
    print(type(exc).__name__, exc)
    sys.exit(exc.exit_status)
"""
_TRUSTING = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_PROXIES = (
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
)


@pytest.fixture(scope="session")
def authority():
    return trustme.CA()


@pytest.fixture
def bundle(authority, tmp_path):
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Nobody is trusted but whom a test names; nothing of this host leads anywhere."""
    for name in (*_TRUSTING, *_PROXIES):
        monkeypatch.delenv(name, raising=False)
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    return {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp"), "NETRC": os.devnull}


def _upload(served, folder):
    served.upload(
        service_wheel(folder, code=_SERVICE, requires=["shared"]),
        make_wheel(folder, "shared", "1.0", {"shared.py": "value = 'by a locked door'\n"}),
    )
    return served


@pytest.fixture
def private(private_index, tmp_path):
    return _upload(private_index, tmp_path / "wheels")


@pytest.fixture
def secure(private, authority, tmp_path):
    """A private index behind TLS."""
    with front(private, authority.issue_cert("localhost"), tmp_path) as running:
        yield running


def _netrc(folder, host):
    path = folder / "netrc"
    path.touch(mode=0o600)
    path.write_text(f'machine {host} login {USER} password "{PASSWORD}"\n')
    return {"NETRC": str(path)}


def _ask(url, root, environment, resolver="auto"):
    return subprocess.run(
        [sys.executable, "-c", _ASK, str(root), resolver],
        capture_output=True,
        text=True,
        env={**os.environ, **environment, "INDEX": url},
        timeout=120,
        check=False,
    )


def _refused(url, root, environment):
    """What is told once where the index cannot be used; nothing but its record is left of the attempt."""
    before = sorted(root.rglob("*")) if root.exists() else []
    plain = rld("call", "echo", "shared", "--index-url", url, "--root", root, **environment)
    as_json = rld("acquire", "echo", "--json", "--index-url", url, "--root", root, **environment)

    assert (plain.returncode, as_json.returncode) == (4, 4), plain.stderr + as_json.stdout
    error = json.loads(as_json.stdout)["error"]
    assert error["type"] == "SourceUnavailableError"
    assert sum("gave no usable answer" in line for line in plain.stderr.splitlines()) == 1
    for text in (plain.stdout, plain.stderr, as_json.stdout, as_json.stderr):
        assert not tells(text)
        assert "Traceback" not in text
    after = sorted(root.rglob("*")) if root.exists() else []
    assert [path for path in after if path not in before and path.name != "journal.sqlite"] == []
    return error["message"]


# --- what is trusted -----------------------------------------------------------------


@pytest.mark.parametrize("resolver", ["auto", "pip"])
@pytest.mark.parametrize("trusting", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
@pytest.mark.parametrize("way", ["netrc", "url"])
def test_a_private_index_behind_tls_is_used(secure, bundle, tmp_path, environment, way, trusting, resolver):
    environment |= {trusting: bundle, **(_netrc(tmp_path, "localhost") if way == "netrc" else {})}

    done = _ask(secure.url if way == "netrc" else secure.url_with(), tmp_path / "root", environment, resolver)

    assert (done.returncode, done.stdout) == (0, "by a locked door\n"), done.stdout + done.stderr
    assert not tells(done.stderr)
    assert files_that_tell(tmp_path / "root", tmp_path / "home", tmp_path / "tmp") == []


def test_wrong_credentials_behind_tls_are_one_clear_error(secure, bundle, tmp_path, environment):
    environment |= {"REQUESTS_CA_BUNDLE": bundle}

    told = _refused(secure.url_with(password="another"), tmp_path / "root", environment)

    assert "refused the credentials" in told


# --- what is not ---------------------------------------------------------------------


def _certificates():
    now = datetime.now(UTC)
    past = {"not_before": now - timedelta(days=9), "not_after": now - timedelta(days=1)}
    early = {"not_before": now + timedelta(days=1), "not_after": now + timedelta(days=9)}
    return [
        pytest.param(lambda _: trustme.CA().issue_cert("localhost"), "REQUESTS_CA_BUNDLE", id="unknown"),
        pytest.param(lambda ca: ca.issue_cert("localhost", **past), "has expired", id="expired"),
        pytest.param(lambda ca: ca.issue_cert("localhost", **early), "not yet valid", id="too early"),
        pytest.param(lambda ca: ca.issue_cert("other.test"), "not valid for 'localhost'", id="another name"),
    ]


@pytest.mark.parametrize(("issue", "reason"), _certificates())
@pytest.mark.parametrize("trusting", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_certificate_that_does_not_hold_is_one_clear_error(
    index, authority, bundle, tmp_path, environment, issue, reason, trusting
):
    with front(index, issue(authority), tmp_path) as running:
        told = _refused(running.url_with(), tmp_path / "root", environment | {trusting: bundle})

    assert "its certificate is not trusted" in told
    assert reason in told


def test_nobody_is_trusted_unless_the_host_says_so(secure, tmp_path, environment):
    assert "its certificate is not trusted" in _refused(secure.url_with(), tmp_path / "root", environment)


def test_what_is_here_stays_when_the_certificate_no_longer_holds(
    private, authority, bundle, tmp_path, environment
):
    environment |= {"REQUESTS_CA_BUNDLE": bundle}
    with front(private, authority.issue_cert("localhost"), tmp_path) as running:
        assert _ask(running.url_with(), tmp_path / "root", environment).returncode == 0
    kept = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "root" / "store").rglob("*") if path.is_file()
    }

    with front(private, trustme.CA().issue_cert("localhost"), tmp_path) as running:
        url = running.url_with()
        newer = rld("acquire", "echo>1.0", "--index-url", url, "--root", tmp_path / "root", **environment)

    assert newer.returncode == 4
    assert "its certificate is not trusted" in newer.stderr
    assert kept == {path: path.stat().st_mtime_ns for path in kept}


@pytest.mark.parametrize("trusting", _TRUSTING)
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bundle_that_is_none_is_told(secure, tmp_path, environment, trusting, content):
    path = tmp_path / "bundle.pem"
    if content is not None:
        path.write_text(content)

    told = _refused(secure.url_with(), tmp_path / "root", environment | {trusting: str(path)})

    assert trusting in told
    assert str(path) in told


# --- through a proxy -----------------------------------------------------------------


@pytest.fixture
def behind(private, authority, tmp_path):
    """A private index behind TLS that only a proxy finds."""
    with front(private, authority.issue_cert(NAME), tmp_path) as running:
        yield running


@pytest.mark.parametrize("resolver", ["auto", "pip"])
@pytest.mark.parametrize("way", ["netrc", "url"])
def test_an_index_is_used_through_a_proxy(behind, bundle, tmp_path, environment, way, resolver):
    environment |= {"SSL_CERT_FILE": bundle, **(_netrc(tmp_path, NAME) if way == "netrc" else {})}
    with proxy(behind, tmp_path, "me:pass") as (served, running):
        environment |= {"HTTPS_PROXY": f"http://me:pass@{running.host}"}
        url = served.url if way == "netrc" else served.url_with()
        done = _ask(url, tmp_path / "root", environment, resolver)

    assert (done.returncode, done.stdout) == (0, "by a locked door\n"), done.stdout + done.stderr
    assert running.asked == {f"CONNECT {NAME}:443 200"}
    assert not tells(done.stderr)


def test_a_certificate_is_verified_beyond_a_proxy(behind, tmp_path, environment):
    with proxy(behind, tmp_path) as (served, running):
        environment |= {"HTTPS_PROXY": f"http://{running.host}"}
        told = _refused(served.url_with(), tmp_path / "root", environment)

    assert "its certificate is not trusted" in told
    assert NAME in told


@pytest.mark.parametrize("user", ["", "me:wrong@"])
def test_a_proxy_that_asks_who_comes_is_one_clear_error(behind, bundle, tmp_path, environment, user):
    with proxy(behind, tmp_path, "me:pass") as (served, running):
        environment |= {"SSL_CERT_FILE": bundle, "HTTPS_PROXY": f"http://{user}{running.host}"}
        message = _refused(served.url_with(), tmp_path / "root", environment)

    assert "its proxy: it answers with status 407; put credentials into its URL" in message
    assert "wrong" not in message
    assert running.asked == {f"CONNECT {NAME}:443 407"}


def test_a_proxy_that_does_not_go_there_is_one_clear_error(behind, bundle, tmp_path, environment):
    with proxy(behind, tmp_path) as (served, running):
        environment |= {"SSL_CERT_FILE": bundle, "HTTPS_PROXY": f"http://{running.host}"}
        url = served.url_with().replace(NAME, "elsewhere.test")
        assert "status 403" in _refused(url, tmp_path / "root", environment)


def test_a_proxy_that_is_gone_is_told_apart_from_the_index(behind, bundle, tmp_path, environment):
    with proxy(behind, tmp_path) as (served, running):
        environment |= {"SSL_CERT_FILE": bundle, "HTTPS_PROXY": f"http://{running.host}"}

    assert "its proxy: connection refused" in _refused(served.url_with(), tmp_path / "root", environment)
