"""Real indexes for these tests: `nox -s indexes` installs them."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from tests.indexes import servers


def pytest_collection_modifyitems(items):
    """Everything here needs what other sessions do not install."""
    missing = [name for name in ("pypiserver", "devpi_server") if find_spec(name) is None]
    for item in items:
        if "tests/indexes/" in item.path.as_posix():
            item.add_marker(pytest.mark.indexes)
            if missing:
                item.add_marker(
                    pytest.mark.skip(reason=f"{', '.join(missing)}: installed by 'nox -s indexes'")
                )


# Before any test looks at what it leaves behind.
@pytest.fixture(scope="session", autouse=True)
def devpi_server(tmp_path_factory):
    with servers.devpi(tmp_path_factory.mktemp("devpi")) as running:
        yield running


def _index(request, tmp_path, *, private):
    if request.param == "devpi":
        yield request.getfixturevalue("devpi_server").index(private=private)
    else:
        with servers.pypiserver(tmp_path / "pypiserver", private=private) as running:
            yield running


@pytest.fixture(params=["pypiserver", "devpi"])
def index(request, tmp_path):
    """An index that anybody may read."""
    yield from _index(request, tmp_path, private=False)


@pytest.fixture(params=["pypiserver", "devpi"])
def private_index(request, tmp_path):
    """An index that only `servers.USER` may read: pypiserver locks pages and files, devpi files."""
    yield from _index(request, tmp_path, private=True)
