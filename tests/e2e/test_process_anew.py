"""A process that calls what is here already: what it imports, and what it leaves."""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import pytest

from rldlib.values.places import BYTECODE_KEPT
from tests.services import rld_json, service_wheel
from tests.sources.hosts import index_of

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# Each takes longer to import than the whole preparation of a warm start takes.
NEEDLESS = (
    *("requests", "urllib3", "ssl", "http.client", "virtualenv", "pip", "resolvelib", "psutil", "archspec"),
    *(
        "msgspec",
        "installer",
        "rich",
        "tomllib",
        "tomli_w",
        "packaging.pylock",
        "packaging.markers",
        "html.parser",
    ),
    *("email.parser", "zipfile", "tempfile", "configparser", "csv", "importlib.metadata", "asyncio"),
    *("rldlib.adapters.resolving", "rldlib.adapters.stamping", "rldlib.adapters.pylock"),
    *("rldlib.adapters.index_files", "rldlib.adapters.http_sockets", "rldlib.adapters.collection"),
    *("rldlib.adapters.compiling.background", "rldlib.rules.compiling"),
)
_CALL = """
import sys, rldlib
with rldlib.LocalDaemon(index_url=sys.argv[1], root=sys.argv[2]) as daemon:
    daemon.acquire("echo").call("echo", value=1)
print(sorted(sys.modules))
"""


def test_a_warm_start_imports_nothing_that_only_a_first_one_needs(tmp_path):
    service_wheel(tmp_path / "wheels")
    with index_of(tmp_path / "wheels") as index:
        command = [sys.executable, "-c", _CALL, index.url, str(tmp_path / "root")]
        # What measures coverage reads its own configuration in each process.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        # The first makes bytecode once it is ready, a second finds that it has all; busy, they take more.
        for _ in range(20):
            subprocess.run(command, capture_output=True, check=True, timeout=120, env=environment)
            if list((tmp_path / "root" / "environments").glob(f"*/{BYTECODE_KEPT}")):
                break
        told = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=120, env=environment
        )

    assert set(ast.literal_eval(told.stdout)) & set(NEEDLESS) == set()


def test_the_brief_form_of_a_lock_may_be_damaged_or_missing(tmp_path):
    service_wheel(tmp_path / "wheels")
    called = ("call", "echo", "echo", "value=1", "--wheels", tmp_path / "wheels", "--root", tmp_path / "root")
    first = rld_json(*called)
    (standard,) = (tmp_path / "root" / "services" / "echo" / "1.0").glob("*.pylock.toml")
    brief = standard.with_suffix(".brief")
    whole = brief.read_bytes()

    for content in (whole[:-1], b"", None):
        brief.unlink()
        if content is not None:
            brief.write_bytes(content)
        again = rld_json(*called)

        assert again["worker"]["environment"] == first["worker"]["environment"]
        assert [step["name"] for step in again["steps"]] == ["promise", "start", "call"]
        assert brief.read_bytes() == whole
