"""Indexes that ask who reads them: by netrc, by URL, and with what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from urllib.parse import quote

import pytest
from tests.indexes.passwords import files_that_tell, forms, tells
from tests.indexes.servers import PASSWORD, USER
from tests.services import ECHO, rld, service_wheel
from tests.wheels import make_wheel

_WRONG = "Wr0ng-and-9f#c2"
# What a worker, and whoever lists the processes of the host, can see.
_LOOKING = """
    @operation
    def seen(self) -> dict[str, str]:
        import pathlib
        import shared
        found = {"environment": repr(dict(os.environ)), "shared": shared.value}
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                line = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if b"-m\\0rldlib\\0" not in line and b"tests" not in line:
                found[process.name] = repr(line)
        return found
"""
# Everything that rldlib, requests and urllib3 log, and the whole traceback of what went wrong.
_DEBUGGED = """
import logging, os, sys, traceback
import rldlib
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
policy = rldlib.Policy(resolver=sys.argv[2])
try:
    with rldlib.LocalDaemon(index_url=os.environ["INDEX"], root=sys.argv[1], policy=policy) as daemon:
        print(daemon.acquire("echo").seen()["shared"], daemon.why("echo"))
except rldlib.RldlibError as exc:
    traceback.print_exc()
    print(repr(exc), exc.args, exc.facts())
    sys.exit(exc.exit_status)
"""


@pytest.fixture
def served(private_index, tmp_path):
    wheels = tmp_path / "wheels"
    private_index.upload(
        service_wheel(wheels, code=ECHO + _LOOKING, requires=["shared"]),
        make_wheel(wheels, "shared", "1.0", {"shared.py": "value = 'from the private index'\n"}),
    )
    return private_index


@pytest.fixture
def places(tmp_path, host_dir):
    """All that rldlib may write."""
    for name in ("root", "home", "tmp"):
        (tmp_path / name).mkdir()
    return [tmp_path / "root", tmp_path / "home", tmp_path / "tmp", host_dir]


@pytest.fixture
def environment(tmp_path, places):
    return {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp"), "NETRC": os.devnull}


def _netrc(folder, served, password=PASSWORD):
    path = folder / "netrc"
    path.touch(mode=0o600)
    path.write_text(f'machine {served.host.partition(":")[0]} login {USER} password "{password}"\n')
    return {"NETRC": str(path)}


def _debugged(root, index, resolver, environment):
    return subprocess.run(
        [sys.executable, "-c", _DEBUGGED, str(root), resolver],
        capture_output=True,
        text=True,
        env={**os.environ, **environment, "INDEX": index},
        timeout=120,
        check=False,
    )


def test_netrc_opens_a_private_index(served, tmp_path, environment, places):
    netrc = _netrc(tmp_path, served)

    done = rld(
        "call",
        "echo",
        "seen",
        "--json",
        "--index-url",
        served.url,
        "--root",
        tmp_path / "root",
        **environment | netrc,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"]["shared"] == "from the private index"
    assert not tells(done.stdout + done.stderr)
    assert files_that_tell(*places) == []


def test_a_netrc_at_home_is_found(served, tmp_path, environment, places):
    _netrc(tmp_path, served)
    (tmp_path / "netrc").replace(tmp_path / "home" / ".netrc")
    del environment["NETRC"]
    kept = {name: value for name, value in os.environ.items() if name != "NETRC"}

    done = subprocess.run(
        [sys.executable, "-m", "rldlib", "profile", "echo", "--index-url", served.url],
        capture_output=True,
        text=True,
        env={**kept, **environment},
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_credentials_in_the_url_open_it_and_stay_out_of_everything(served, tmp_path, environment, places):
    done = rld(
        "call",
        "echo",
        "seen",
        "--json",
        "--index-url",
        served.url_with(),
        "--root",
        tmp_path / "root",
        **environment,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"]["shared"] == "from the private index"
    assert not tells(done.stdout + done.stderr)
    assert files_that_tell(*places) == []
    why = rld("why", "echo", "--json", "--root", tmp_path / "root", **environment)
    assert served.host in why.stdout
    assert not tells(why.stdout)


@pytest.mark.parametrize("resolver", ["auto", "pip"])
@pytest.mark.parametrize("way", ["netrc", "url"])
def test_nothing_that_is_logged_tells_the_password(served, tmp_path, environment, places, way, resolver):
    by_netrc = way == "netrc"
    environment |= _netrc(tmp_path, served) if by_netrc else {}

    done = _debugged(tmp_path / "root", served.url if by_netrc else served.url_with(), resolver, environment)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("from the private index")
    assert "DEBUG:urllib3" in done.stderr
    assert not tells(done.stdout + done.stderr)
    assert files_that_tell(*places) == []


@pytest.mark.parametrize("way", ["netrc", "url", "none"])
def test_wrong_credentials_are_one_clear_error(served, tmp_path, environment, places, way):
    url = served.url_with(password=_WRONG) if way == "url" else served.url
    environment |= _netrc(tmp_path, served, _WRONG) if way == "netrc" else {}

    plain = rld("call", "echo", "seen", "--index-url", url, "--root", tmp_path / "root", **environment)
    as_json = rld("acquire", "echo", "--json", "--index-url", url, "--root", tmp_path / "root", **environment)

    assert plain.returncode == as_json.returncode == 4
    error = json.loads(as_json.stdout)["error"]
    assert error["type"] == "SourceUnavailableError"
    told = "refused the credentials" if way != "none" else "put credentials into netrc"
    assert told in error["message"]
    lines = [line for line in plain.stderr.splitlines() if "gave no usable answer" in line]
    assert len(lines) == 1
    for text in (plain.stdout, plain.stderr, as_json.stdout, as_json.stderr):
        assert not tells(text, _WRONG)
        assert "Traceback" not in text
    assert files_that_tell(*places, password=_WRONG) == []
    assert not (tmp_path / "root" / "store").exists()


@pytest.mark.parametrize("resolver", ["auto", "pip"])
def test_no_traceback_tells_a_wrong_password(served, tmp_path, environment, places, resolver):
    done = _debugged(tmp_path / "root", served.url_with(password=_WRONG), resolver, environment)

    assert done.returncode == 4
    assert not tells(done.stdout + done.stderr, _WRONG)
    assert files_that_tell(*places, password=_WRONG) == []


def test_a_password_that_was_changed_meanwhile_is_told_when_it_is_needed(
    served, tmp_path, environment, places
):
    """What is here already is used without asking; what is not is refused."""
    root = tmp_path / "root"
    first = rld("acquire", "echo", "--index-url", served.url_with(), "--root", root, **environment)
    again = rld(
        "acquire", "echo", "--index-url", served.url_with(password=_WRONG), "--root", root, **environment
    )
    other = rld(
        "acquire", "echo>1.0", "--index-url", served.url_with(password=_WRONG), "--root", root, **environment
    )

    assert (first.returncode, again.returncode, other.returncode) == (0, 0, 4)
    assert files_that_tell(*places) == files_that_tell(*places, password=_WRONG) == []


def test_a_password_that_was_kept_would_be_found(tmp_path):
    for number, form in enumerate(forms()):
        (tmp_path / str(number)).write_bytes(b"before" + form + b"after")

    assert len(files_that_tell(tmp_path)) == len(forms())
    assert tells(f"http://{USER}:{quote(PASSWORD, safe='')}@host/")
    assert not tells("nothing of it")
