"""A domain is its key: made once, kept private, the same for every process of its root."""

from __future__ import annotations

import base64
import stat
import subprocess
import sys

import pytest

from rldlib.adapters.identity import Identity, signer
from rldlib.errors import StorageError


def test_a_domain_is_the_same_for_everybody_who_opens_its_root(tmp_path):
    first = Identity(tmp_path)
    assert Identity(tmp_path).domain == first.domain == signer(first.key, first.sign(b"x"), b"x")
    assert len(first.domain) == 64
    assert Identity(tmp_path / "another").domain != first.domain


def test_nothing_is_made_before_somebody_asks_who_it_is(tmp_path):
    Identity(tmp_path / "root")
    assert list(tmp_path.iterdir()) == []


def test_eight_processes_at_once_make_one_key(tmp_path):
    code = (
        "import pathlib, sys\n"
        "from rldlib.adapters.identity import Identity\n"
        "sys.stdin.read()\n"
        "print(Identity(pathlib.Path(sys.argv[1])).domain)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(8)
    ]
    told = [process.communicate("go")[0] for process in started]
    assert len(set(told)) == 1
    assert len(told[0].strip()) == 64


def test_the_key_is_for_its_user_alone_and_is_never_shown(tmp_path):
    identity = Identity(tmp_path)
    assert identity.domain
    path = tmp_path / "identity.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    private = path.read_bytes()
    for shown in (repr(identity), str(identity), repr(vars(identity))):
        assert private.hex() not in shown
        assert base64.b64encode(private).decode() not in shown


def test_a_signature_holds_for_its_key_and_its_bytes_alone(tmp_path):
    identity, other = Identity(tmp_path / "one"), Identity(tmp_path / "other")
    signature = identity.sign(b"what was said")
    assert signer(identity.key, signature, b"what was said") == identity.domain
    assert signer(identity.key, signature, b"what was said.") is None
    assert signer(other.key, signature, b"what was said") is None
    assert signer(identity.key, other.sign(b"what was said"), b"what was said") is None


@pytest.mark.parametrize("key", ["", "AAAA", "no base64!", "A" * 100], ids=["none", "short", "odd", "long"])
def test_what_is_no_key_signs_nothing(tmp_path, key):
    signature = Identity(tmp_path).sign(b"x")
    assert signer(key, signature, b"x") is None


def test_what_is_no_signature_is_refused(tmp_path):
    identity = Identity(tmp_path)
    for signature in ("", "AAAA", "no base64!", "A" * 88):
        assert signer(identity.key, signature, b"x") is None


def test_a_damaged_key_is_an_error_and_is_left_as_it_is(tmp_path):
    (tmp_path / "identity.key").write_bytes(b"short")
    with pytest.raises(StorageError, match="32 bytes, this file has 5"):
        _ = Identity(tmp_path).domain
    assert (tmp_path / "identity.key").read_bytes() == b"short"
