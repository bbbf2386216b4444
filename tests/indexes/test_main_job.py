"""The whole main job against real indexes: what they give, what they leave out, and what a refusal costs."""

from __future__ import annotations

import hashlib
import os

import pytest
import requests
from tests.indexes import servers
from tests.services import service_wheel
from tests.sources.hosts import index_of
from tests.wheels import make_wheel

import rldlib
from rldlib.adapters import index as index_adapter
from rldlib.values.project_page import ACCEPT, JSON_PAGE

_PAYLOAD = 4 * 1024 * 1024
_PREFIX = 64 * 1024
_WORDS = {"shared.py": "value = 'shared'\n"}
_USES_SHARED = """
from rldlib.plugin import Service, operation
import shared

class Echo(Service):
    @operation
    def shared(self) -> str:
        return shared.value
"""


def _upload_service(served, folder):
    wheels = [
        service_wheel(folder, code=_USES_SHARED, requires=["shared>=1"]),
        make_wheel(folder, "shared", "1.0", {"shared.py": "value = 'old'\n"}),
        make_wheel(folder, "shared", "1.1", {"shared.py": "value = 'shared'\n"}),
    ]
    served.upload(*wheels)
    return {wheel.name: hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels}


def _shared(url, root, text="echo", **policy):
    with rldlib.LocalDaemon(index_url=url, root=root, policy=rldlib.Policy(**policy)) as daemon:
        return daemon.acquire(text).shared()


def _locked(root):
    """Files and their hashes in the locks below a root."""
    import tomllib

    found = {}
    for path in root.rglob("*pylock*.toml"):
        for package in tomllib.loads(path.read_text())["packages"]:
            for wheel in package["wheels"]:
                found[wheel.get("name") or wheel["url"].rpartition("/")[2]] = wheel["hashes"]["sha256"]
    return found


@pytest.mark.parametrize("resolver", ["auto", "pip"])
def test_a_service_comes_and_performs(index, tmp_path, resolver):
    hashes = _upload_service(index, tmp_path / "wheels")

    assert _shared(index.url, tmp_path / "root", resolver=resolver) == "shared"
    del hashes["shared-1.0-py3-none-any.whl"]
    assert _locked(tmp_path / "root") == hashes


# Asked for HTML by its newer name alone, devpi calls its answer "text_html": unknown, so refused.
@pytest.mark.parametrize("accept", [ACCEPT, JSON_PAGE, "text/html"])
def test_both_forms_of_a_page_lead_to_the_same_lock(index, tmp_path, monkeypatch, accept):
    hashes = _upload_service(index, tmp_path / "wheels")
    del hashes["shared-1.0-py3-none-any.whl"]
    monkeypatch.setattr(index_adapter, "ACCEPT", accept)

    assert _shared(index.url, tmp_path / "root") == "shared"
    assert _locked(tmp_path / "root") == hashes


def test_the_servers_speak_both_forms(devpi_server, tmp_path):
    """What the other tests rely on: devpi answers as it is asked, pypiserver in HTML alone."""
    told = {}
    with servers.pypiserver(tmp_path / "pypiserver") as plain:
        for name, served in (("devpi", devpi_server.index()), ("pypiserver", plain)):
            _upload_service(served, tmp_path / "wheels")
            answers = [
                requests.get(f"{served.url}shared/", headers={"Accept": kind}, timeout=10)
                for kind in (JSON_PAGE, "text/html")
            ]
            told[name] = [answer.headers["Content-Type"].partition(";")[0] for answer in answers]

    assert told == {"devpi": [JSON_PAGE, "text/html"], "pypiserver": ["text/html", "text/html"]}


def test_an_index_without_hashes_is_pinned_by_what_came(tmp_path):
    with servers.pypiserver(
        tmp_path / "pypiserver", options=["--disable-fallback", "--hash-algo", "off"]
    ) as plain:
        hashes = _upload_service(plain, tmp_path / "wheels")
        page = requests.get(f"{plain.url}shared/", timeout=10).text

        assert "sha256" not in page
        assert _shared(plain.url, tmp_path / "root") == "shared"
    del hashes["shared-1.0-py3-none-any.whl"]
    assert _locked(tmp_path / "root") == hashes


def test_what_is_here_needs_no_index(tmp_path):
    with servers.pypiserver(tmp_path / "pypiserver") as plain:
        _upload_service(plain, tmp_path / "wheels")
        _shared(plain.url, tmp_path / "root")

    assert _shared(plain.url, tmp_path / "root") == "shared"


def test_what_no_index_has_is_one_clear_error(index, tmp_path):
    index.upload(service_wheel(tmp_path / "wheels", requires=["nowhere>=1"]))

    with rldlib.LocalDaemon(index_url=index.url, root=tmp_path / "root") as daemon:
        with pytest.raises(rldlib.ServiceNotFoundError, match="no distribution toll nor rld-toll"):
            daemon.acquire("toll")
        with pytest.raises(rldlib.UnsatisfiableError, match="has no nowhere"):
            daemon.acquire("echo")
    assert not (tmp_path / "root" / "store").exists()


def test_a_refusal_costs_at_most_a_prefix(index, tmp_path, record_property):
    """Counted twice: by rldlib, and by what went over the wire."""
    wheel = service_wheel(
        tmp_path / "wheels",
        files={"payload.bin": os.urandom(_PAYLOAD)},
        demand={"memory_peak_bytes": 2**50},
    )
    index.upload(wheel)

    with (
        servers.Relay(index) as relay,
        rldlib.LocalDaemon(index_url=relay.url, root=tmp_path / "root") as daemon,
    ):
        with pytest.raises(rldlib.CapacityError):
            daemon.acquire("echo")
        received = daemon.why("echo")[-1]["received_bytes"]
        sent = relay.sent

    print(
        f"received {received:,} bytes; {sent:,} bytes had left the relay; the wheel has {wheel.stat().st_size:,}"
    )
    assert 0 < received < _PREFIX + 8192
    # What had left and was not yet read lies in the buffers of the sockets.
    assert sent < 8 * _PREFIX
    assert not (tmp_path / "root" / "store").exists()


@pytest.mark.parametrize("accept", [JSON_PAGE, "text/html"])
@pytest.mark.parametrize("way", ["straight", "devpi"])
def test_what_was_withdrawn_is_taken_only_where_it_is_pinned(
    devpi_server, tmp_path, monkeypatch, accept, way
):
    """PEP 592, from an index that says so, and through a devpi that mirrors it."""
    folder = tmp_path / "wheels"
    for version in ("1.0", "2.0"):
        service_wheel(folder, version=version, code=_USES_SHARED, requires=["shared"])
    make_wheel(folder, "shared", "1.0", {"shared.py": "value = 'kept'\n"})
    make_wheel(folder, "shared", "1.1", {"shared.py": "value = 'withdrawn'\n"})
    withdrawn = {"rld_echo-2.0-py3-none-any.whl": "wrong rates", "shared-1.1-py3-none-any.whl": ""}
    monkeypatch.setattr(index_adapter, "ACCEPT", accept if way == "devpi" else JSON_PAGE)
    with index_of(folder, {name: why or True for name, why in withdrawn.items()}) as upstream:
        url = upstream.url
        if way == "devpi":
            url = devpi_server.index(type="mirror", mirror_url=url).url
        with rldlib.LocalDaemon(index_url=url, root=tmp_path / "root") as daemon:
            newest = daemon.acquire("echo")
            assert (newest.version, newest.shared()) == ("1.0", "kept")
        with rldlib.LocalDaemon(index_url=url, root=tmp_path / "other") as daemon:
            pinned = daemon.acquire("echo==2.0")
            assert (pinned.version, pinned.shared()) == ("2.0", "kept")
