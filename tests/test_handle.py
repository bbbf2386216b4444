from __future__ import annotations

from concurrent.futures import Future
from datetime import timedelta

import pytest

from rldlib.errors import ArgumentsError, OperationNotFoundError, UsageError
from rldlib.handle import Handle
from rldlib.values.profile import HostSettings

TEXT = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}


def operation(kind="call"):
    return {
        "arguments": TEXT,
        "result": {},
        "idempotent": False,
        "cache_for_s": None,
        "media_type": None,
        "kind": kind,
    }


class Target:
    """Answers with what it was asked."""

    def __init__(self, placement="local", worker=None):
        self.placement = placement
        self.worker = worker
        self.operations = {"echo": operation(), "words": operation("stream")}
        self.asked = []

    def call(self, operation, arguments, deadline_s):
        self.asked.append((operation, dict(arguments), deadline_s))
        return arguments["text"]

    def submit(self, operation, arguments, deadline_s):
        future = Future()
        future.set_result(self.call(operation, arguments, deadline_s))
        return future

    def stream(self, operation, arguments, deadline_s):
        return iter(self.call(operation, arguments, deadline_s).split())


@pytest.fixture
def target():
    return Target(worker={"pid": 7, "python": "3.11", "environment": "/e"})


@pytest.fixture
def handle(target):
    return Handle(service="echo", version="1.0", target=target)


def test_an_operation_is_called_by_name_or_as_an_attribute(handle, target):
    assert handle.call("echo", text="a") == "a"
    assert handle.echo(text="b") == "b"
    assert handle.submit("echo", text="c").result() == "c"
    assert list(handle.stream("words", text="d e")) == ["d", "e"]
    assert list(handle.words(text="f g")) == ["f", "g"]
    assert [asked[2] for asked in target.asked] == [None] * 5


@pytest.mark.parametrize(
    ("given", "seconds"),
    [(2, 2.0), (0.5, 0.5), (timedelta(milliseconds=250), 0.25), (float("inf"), None), (None, 9.0)],
)
def test_a_deadline_is_seconds_a_duration_or_the_profile_s(target, given, seconds):
    handle = Handle(service="echo", version="1.0", target=target, settings=HostSettings(call_deadline_s=9.0))
    handle.call("echo", deadline=given, text="a")

    assert target.asked == [("echo", {"text": "a"}, seconds)]


@pytest.mark.parametrize("given", [0, -1, float("nan"), timedelta(0)])
def test_a_deadline_that_is_over_before_it_begins_is_refused(handle, target, given):
    with pytest.raises(UsageError, match="over before it begins"):
        handle.call("echo", deadline=given, text="a")

    assert target.asked == []


def test_an_operation_it_does_not_have_is_told_with_those_it_has(handle, target):
    with pytest.raises(OperationNotFoundError, match="no operation sing; it has echo, words"):
        handle.call("sing", text="a")
    with pytest.raises(AttributeError, match="no operation sing; it has echo, words"):
        handle.sing  # noqa: B018 - the look-up is what is tested
    assert not hasattr(handle, "__wrapped__")

    assert target.asked == []


@pytest.mark.parametrize("way", ["call", "submit", "stream"])
def test_arguments_that_do_not_fit_are_refused_before_sending(handle, target, way):
    name = "words" if way == "stream" else "echo"
    with pytest.raises(ArgumentsError) as caught:
        getattr(handle, way)(name, text=3, more=1)

    assert len(caught.value.issues) == 2
    assert target.asked == []


def test_a_stream_is_not_called_and_a_call_not_streamed(handle, target):
    with pytest.raises(UsageError, match=r"echo\.words is a stream: use stream\(\)"):
        handle.call("words", text="a")
    with pytest.raises(UsageError, match=r"echo\.echo is a call: use call\(\)"):
        handle.stream("echo", text="a")

    assert target.asked == []


def test_it_says_where_its_calls_go(handle):
    assert (handle.service, handle.version, handle.placement) == ("echo", "1.0", "local")
    assert handle.worker == {"pid": 7, "python": "3.11", "environment": "/e"}
    assert set(handle.operations) == {"echo", "words"}
    assert {"echo", "words", "call"} <= set(dir(handle))
    assert repr(handle) == "<Handle echo 1.0 (local)>"


def test_its_calls_go_elsewhere_from_one_moment_to_the_next(handle, target):
    elsewhere = Target("remote")
    held = handle.echo
    handle.retarget(elsewhere)

    assert handle.echo(text="a") == "a"
    assert held(text="b") == "b"
    assert (handle.placement, handle.worker) == ("remote", None)
    assert target.asked == []
    assert len(elsewhere.asked) == 2


def test_it_is_released_once_and_then_refuses_calls(target):
    released = []
    with Handle(service="echo", version="1.0", target=target, on_release=released.append) as handle:
        handle.echo(text="a")
    handle.release()

    assert released == [handle]
    assert repr(handle) == "<Handle echo 1.0 (released)>"
    for way in (handle.call, handle.submit):
        with pytest.raises(UsageError, match="was released"):
            way("echo", text="a")
    with pytest.raises(UsageError, match="was released"):
        handle.stream("words", text="a")
    assert len(target.asked) == 1


def test_it_tells_why(target):
    decisions = [{"kind": "acquired"}]
    told = Handle(service="echo", version="1.0", target=target, on_why=lambda: decisions)

    assert told.why() == decisions
    assert Handle(service="echo", version="1.0", target=target).why() == ()
