"""Metadata of every odd shape, signed and unsigned, by who has the keys and who has not."""

from __future__ import annotations

import contextlib
import copy
import json
import random

import pytest
from securesystemslib.exceptions import FormatError
from securesystemslib.formats import encode_canonical
from tests.trust.forge import Forge
from tests.trust.responders import LOCK, PROFILE, everything
from tests.trust.webs import ADDRESS, Web

from rldlib.adapters.trust.trusted import Trusted
from rldlib.errors import RldlibError
from rldlib.values.trust import Pathway

_ROUNDS = 60
_ODD = (
    None,
    True,
    0,
    -1,
    2**70,
    1.5,
    "",
    "x",
    "\u00e9",
    "9999-99-99T00:00:00Z",
    [],
    {},
    [1],
    {"x": 1},
    {"x": {}},
)


def _spots(document, path=()):
    yield path
    children = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in children:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from list(_spots(value, (*path, key)))[1:]


def _harmed(document, chance):
    """The document with one thing in it changed, removed, or added."""
    document = copy.deepcopy(document)
    *above, last = chance.choice([spot for spot in _spots(document) if spot])
    inner = document
    for key in above:
        inner = inner[key]
    deed = chance.choice(("change", "change", "remove", "add"))
    if deed == "change":
        inner[last] = chance.choice(_ODD)
    elif deed == "remove":
        del inner[last]
    elif isinstance(inner, dict):
        inner[chance.choice(("", "x", "_type", "version"))] = chance.choice(_ODD)
    return document


@pytest.fixture
def forge():
    made = Forge(hashes=False)
    made.add(PROFILE, b"genuine")
    made.delegate("locks", ["locks/*/*/*"], terminating=True)
    made.add(LOCK, b"lock", "locks")
    made.publish()
    made.rotate("timestamp")
    made.publish()
    return made


@pytest.mark.slow
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets", "locks"])
def test_odd_metadata_is_believed_or_refused_and_nothing_else(tmp_path, forge, role, signed):
    chance = random.Random(f"{role} {signed}")
    names = {"root": "2.root.json", "timestamp": "timestamp.json"}
    name = names.get(role, f"3.{role}.json")
    genuine = json.loads(forge.files[name])
    refused = 0
    for number in range(_ROUNDS):
        document = _harmed(genuine, chance)
        if signed and isinstance(document.get("signed"), dict | list):
            with contextlib.suppress(FormatError):  # no number of JSON's is signed that is none of TUF's
                key = forge.signers[role]
                content = encode_canonical(document["signed"]).encode()
                document["signatures"] = [{"keyid": key.public_key.keyid, "sig": key.sign(content).signature}]
        forge.files[name] = json.dumps(document).encode()
        join = forge.join(ADDRESS)
        trusted = Trusted(tmp_path / str(number), Pathway.of(join, ADDRESS), Web(forge))
        try:
            trusted.refresh()
            trusted.target(PROFILE)
            trusted.target(LOCK)
        except RldlibError:
            refused += 1
        assert everything(tmp_path / str(number)).keys()
        trusted.status()
    assert refused > _ROUNDS / 3
    # Some of what its owner signed is only unusual.
    assert refused < _ROUNDS or not signed
