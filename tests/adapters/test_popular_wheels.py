"""What well-known wheels are refused for, and how a host lets exactly one of them in."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest
from tests.popular import check
from tests.services import rld, service_wheel
from virtualenv.seed.wheels.embed import get_embed_wheel

# virtualenv brings these two along: real wheels without a download.
_KINDS = {"setuptools": "pth-file", "pip": "script-name"}


@pytest.fixture(params=sorted(_KINDS))
def name(request):
    return request.param


@pytest.fixture
def wheels():
    return [get_embed_wheel(name, "3.11").path for name in sorted(_KINDS)]


@pytest.fixture
def wheel(name):
    return get_embed_wheel(name, "3.11").path


def _exception(wheel, kind):
    return f"{hashlib.sha256(wheel.read_bytes()).hexdigest()}:{kind}"


def _refused(checked):
    return {one.wheel.name.partition("-")[0] for one in checked if one.faults}


@pytest.mark.slow
def test_the_exception_that_is_told_lets_exactly_that_file_pass(name, wheel, wheels):
    (found,) = check([wheel])

    assert {fault.partition(":")[0] for fault in found.faults} == {_KINDS[name]}
    assert found.exceptions == [_exception(wheel, _KINDS[name])]
    assert _refused(check(wheels, found.exceptions)) == set(_KINDS) - {name}


@pytest.mark.slow
def test_the_exception_holds_for_no_other_bytes_of_that_name(name, wheel, tmp_path):
    """The same content packed anew is another file."""
    allow = [_exception(wheel, _KINDS[name])]
    unpacked = tmp_path / "unpacked"
    shutil.unpack_archive(wheel, unpacked, "zip")
    made = shutil.make_archive(str(tmp_path / "made"), "zip", unpacked)
    other = shutil.move(made, tmp_path / wheel.name)

    (kept,) = check([wheel], allow)
    (refused,) = check([other], allow)

    assert kept.faults == ()
    assert {fault.partition(":")[0] for fault in refused.faults} == {_KINDS[name]}


@pytest.mark.slow
def test_a_service_that_needs_such_a_wheel_is_refused_until_it_is_allowed(tmp_path, host_dir):
    wheel = get_embed_wheel("setuptools", "3.11").path
    source = tmp_path / "wheels"
    service_wheel(source, requires=["setuptools"])
    shutil.copy(wheel, source)
    common = ["acquire", "echo", "--json", "--wheels", source, "--root", tmp_path / "root"]

    refused = rld(*common)
    wrong_kind = rld(*common, "--allow", _exception(wheel, "script-name"))
    allowed = rld(*common, "--allow", _exception(wheel, "pth-file"))

    assert (refused.returncode, wrong_kind.returncode, allowed.returncode) == (5, 5, 0), allowed.stderr
    assert "distutils-precedence.pth" in json.loads(refused.stdout)["error"]["message"]
