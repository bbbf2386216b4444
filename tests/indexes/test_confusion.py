"""Dependency confusion: a second index has higher versions, and all but `--index-url` points there."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tests.indexes import servers
from tests.services import service_wheel
from tests.sources.hosts import index_of
from tests.wheels import make_wheel

_SERVICE = """
from rldlib.plugin import Service, operation

class Echo(Service):
    @operation
    def origin(self) -> str:
        import shared
        return shared.value
"""
_ASK = """
import os, sys
import rldlib
try:
    policy = rldlib.Policy(resolver=sys.argv[2])
    with rldlib.LocalDaemon(index_url=os.environ["INDEX"], root=sys.argv[1], policy=policy) as daemon:
        print(daemon.acquire("echo").origin())
except rldlib.RldlibError as exc:
    print(type(exc).__name__, exc)
    sys.exit(exc.exit_status)
"""


@pytest.fixture
def second(tmp_path):
    """Another index, where everything has a higher version."""
    folder = tmp_path / "second"
    make_wheel(folder, "shared", "9.9", {"shared.py": "value = 'from the second index'\n"})
    service_wheel(folder, version="9.9", code=_SERVICE.replace("import shared", "raise SystemExit"))
    make_wheel(folder, "echo", "9.9")
    with index_of(folder) as running:
        yield running


@pytest.fixture
def tempted(tmp_path, second):
    """An environment in which pip and uv would look there."""
    url, folder = second.url, str(tmp_path / "second")
    settings = tmp_path / "home" / ".config"
    for name in ("pip/pip.conf", "uv/uv.toml", "rldlib/pip.conf"):
        (settings / name).parent.mkdir(parents=True, exist_ok=True)
    configuration = f"[global]\nindex-url = {url}\nextra-index-url = {url}\nfind-links = {folder}\n"
    (settings / "pip" / "pip.conf").write_text(configuration)
    (settings / "uv" / "uv.toml").write_text(f'[[index]]\nurl = "{url}"\n')
    project = tmp_path / "project"
    project.mkdir()
    (project / "pip.conf").write_text(configuration)
    (project / "uv.toml").write_text(f'[[index]]\nurl = "{url}"\n')
    (project / "pyproject.toml").write_text(f'[[tool.uv.index]]\nurl = "{url}"\n')
    names = ("INDEX_URL", "EXTRA_INDEX_URL")
    return {
        **os.environ,
        **{f"{tool}_{name}": url for tool in ("PIP", "UV") for name in names},
        "PIP_CONFIG_FILE": str(settings / "pip" / "pip.conf"),
        "PIP_FIND_LINKS": folder,
        "PIP_PRE": "1",
        "UV_INDEX": url,
        "UV_DEFAULT_INDEX": url,
        "UV_FIND_LINKS": folder,
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "HOME": str(tmp_path / "home"),
        "XDG_CONFIG_HOME": str(settings),
        "project": str(project),
    }


def _ask(served, tempted, root, resolver):
    return subprocess.run(
        [sys.executable, "-c", _ASK, str(root), resolver],
        capture_output=True,
        text=True,
        env={**tempted, "INDEX": served.url},
        cwd=tempted["project"],
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("resolver", ["auto", "pip"])
def test_a_higher_version_elsewhere_is_never_taken(index, second, tempted, tmp_path, resolver):
    index.upload(
        service_wheel(tmp_path / "first", code=_SERVICE, requires=["shared"]),
        make_wheel(tmp_path / "first", "shared", "1.0", {"shared.py": "value = 'own'\n"}),
    )

    done = _ask(index, tempted, tmp_path / "root", resolver)

    assert (done.returncode, done.stdout) == (0, "own\n"), done.stderr
    assert second.asked.total() == 0


@pytest.mark.parametrize("resolver", ["auto", "pip"])
def test_what_the_index_lacks_is_not_looked_for_elsewhere(index, second, tempted, tmp_path, resolver):
    index.upload(service_wheel(tmp_path / "first", code=_SERVICE, requires=["shared"]))

    done = _ask(index, tempted, tmp_path / "root", resolver)

    assert done.returncode == 4, done.stderr
    assert done.stdout.startswith("UnsatisfiableError")
    assert "shared" in done.stdout
    assert second.asked.total() == 0
    assert not (tmp_path / "root" / "store").exists()


@pytest.mark.parametrize("resolver", ["auto", "pip"])
def test_an_index_that_falls_back_to_another_is_not_followed_there(second, tempted, tmp_path, resolver):
    """pypiserver as it comes sends whoever asks for what it lacks to a public index."""
    with servers.pypiserver(tmp_path / "pypiserver", options=["--fallback-url", second.url]) as first:
        first.upload(service_wheel(tmp_path / "first", code=_SERVICE, requires=["shared"]))
        refused = _ask(first, tempted, tmp_path / "root", resolver)
        first.upload(make_wheel(tmp_path / "first", "shared", "1.0", {"shared.py": "value = 'own'\n"}))
        done = _ask(first, tempted, tmp_path / "root", resolver)

    assert refused.returncode == 4, refused.stderr
    assert refused.stdout.startswith("UnsatisfiableError")
    assert (done.returncode, done.stdout) == (0, "own\n"), done.stderr
    # pip follows the redirect; what it finds there is refused, and its bytes are not used.
    assert resolver == "pip" or second.asked.total() == 0
    assert not any("9.9" in path.name for path in (tmp_path / "root").rglob("*"))
