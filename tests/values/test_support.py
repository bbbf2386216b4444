"""What two daemons say to each other is read strictly, and says no more than it must."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given
from tests.values.profiles import any_json

from rldlib.adapters.interpreters import Interpreters
from rldlib.values.foreign import MalformedDocumentError
from rldlib.values.support import (
    MAX_REQUEST_BYTES,
    PROTOCOLS,
    Acknowledgement,
    HostKind,
    Load,
    LockTarget,
    SupportAnswer,
    SupportRequest,
    asking_interpreter,
    host_kind,
    read,
    write,
)

SHA256 = "ab" * 32
ANSWER = SupportAnswer(
    protocol=1,
    service="sales-tax",
    version="1.2.0",
    profile="profiles/sales-tax/1.2.0.json",
    locks=(LockTarget(interpreter=0, environment="cpython-3.11.7-x", target="locks/sales-tax/1.2.0/x.toml"),),
    remote=True,
    operations={"table": {"kind": "call"}},
    load=Load(slots=2, active=1, queued=3, queue_slots=16, busy=0.5, score_rcu=980),
)
RECEIPT = Acknowledgement(
    service="sales-tax",
    version="1.2.0",
    profile_digest=SHA256,
    resources=(SHA256,),
    at="2026-01-01T00:00:00Z",
    key=base64.b64encode(bytes(32)).decode(),
)


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory):
    return Interpreters(tmp_path_factory.mktemp("host")).all()[0]


def faults(kind, data):
    with pytest.raises(MalformedDocumentError) as caught:
        read(kind, data)
    return caught.value.faults


def test_a_request_comes_back_as_it_was_written(interpreter):
    request = SupportRequest(
        protocols=PROTOCOLS,
        service="sales-tax",
        specifier=">=1.2",
        wish="local",
        domain=SHA256,
        interpreters=(host_kind(interpreter),),
        score_rcu=1000,
    )
    assert read(SupportRequest, write(request), max_bytes=MAX_REQUEST_BYTES) == request


@pytest.mark.parametrize("message", [ANSWER, RECEIPT], ids=["answer", "acknowledgement"])
def test_a_message_comes_back_as_it_was_written(message):
    assert read(type(message), write(message)) == message


def test_an_interpreter_told_to_another_host_takes_the_same_wheels_in_the_same_order(interpreter):
    told = asking_interpreter(read(HostKind, write(host_kind(interpreter))))
    assert told.tags == interpreter.tags
    assert told.version == interpreter.version
    assert told.label == interpreter.label
    kernel = {"platform_release", "platform_version"}
    assert {name: told.markers[name] for name in told.markers if name not in kernel} == {
        name: value for name, value in interpreter.markers.items() if name not in kernel
    }


def test_what_is_told_of_an_interpreter_names_neither_its_place_nor_its_kernel(interpreter):
    told = write(host_kind(interpreter)).decode()
    assert interpreter.executable not in told
    assert interpreter.markers["platform_version"] not in told
    assert len(told) < 8_000


def test_two_hosts_of_one_kind_have_one_digest_and_another_libc_has_another(interpreter):
    markers = dict(interpreter.markers) | {"platform_release": "9.9", "platform_version": "another build"}
    assert host_kind(replace(interpreter, markers=markers)).digest == host_kind(interpreter).digest
    older = replace(interpreter, tags=interpreter.tags[5:])
    assert host_kind(older).digest != host_kind(interpreter).digest


def test_tags_that_name_no_platforms_are_refused(interpreter):
    kind = host_kind(interpreter)
    odd = replace(kind, platforms=kind.platforms[:1], markers={})
    with pytest.raises(MalformedDocumentError) as caught:
        asking_interpreter(odd)
    assert any("there is no list 1" in fault for fault in caught.value.faults)
    assert "markers.sys_platform: is missing" in caught.value.faults
    with pytest.raises(MalformedDocumentError, match="takes no wheels"):
        asking_interpreter(replace(kind, tags=()))


def test_every_fault_of_an_answer_is_told_with_its_path():
    document = json.loads(write(ANSWER)) | {"blobs": "//elsewhere/", "profile": "../../x", "extra": 1}
    document["load"] |= {"busy": 2, "slots": 0}
    told = faults(SupportAnswer, json.dumps(document).encode())
    assert sorted(fault.partition(":")[0] for fault in told) == [
        "blobs",
        "extra",
        "load.busy",
        "load.slots",
        "profile",
    ]


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"null", b"{}", b"\xff", b"[" * 100_000, b'{"service": "a", "service": "b"}', b"{" * 40],
    ids=["nothing", "list", "null", "empty", "no UTF-8", "deep", "twice", "never ends"],
)
def test_what_is_no_message_is_refused(data):
    for kind in (SupportRequest, SupportAnswer, Acknowledgement, HostKind):
        assert faults(kind, data)


@given(any_json)
def test_any_json_is_read_or_refused_and_nothing_else(document):
    data = json.dumps(document).encode()
    for kind in (SupportRequest, SupportAnswer, Acknowledgement):
        try:
            read(kind, data)
        except MalformedDocumentError as exc:
            assert exc.faults  # noqa: PT017 - either is right


def test_what_is_too_large_is_not_read():
    with pytest.raises(MalformedDocumentError, match="over 10 bytes"):
        read(Acknowledgement, write(RECEIPT), max_bytes=10)


def test_a_signature_covers_all_but_itself():
    signed = replace(RECEIPT, signature="c2ln")
    assert signed.signed_bytes == RECEIPT.signed_bytes
    for changed in (
        replace(RECEIPT, version="1.2.1"),
        replace(RECEIPT, state="released"),
        replace(RECEIPT, resources=()),
        replace(RECEIPT, at="2026-01-01T00:00:01Z"),
        replace(RECEIPT, key=base64.b64encode(b"\x01" * 32).decode()),
    ):
        assert changed.signed_bytes != RECEIPT.signed_bytes
