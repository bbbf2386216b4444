"""Whatever is no profile is refused whole, every fault named by its path."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.values.profiles import WHOLE, any_json, data, document, mangled, pinned

from rldlib.errors import ProfileError
from rldlib.values.document import MAX_FAULTS, examine, parse_profile, profile_document, render
from rldlib.values.operations import RESERVED
from rldlib.values.profile import MAX_BYTES, MAX_PROFILE_BYTES, Gpu, ResourceProfile
from rldlib.values.records import MAX_DEPTH


def issues(raw):
    with pytest.raises(ProfileError) as caught:
        parse_profile(raw, source="the test")
    assert caught.value.exit_status == 5
    assert caught.value.source == "the test"
    return caught.value.issues


def test_a_whole_profile_is_read_into_values():
    profile = parse_profile(json.dumps(WHOLE).encode(), source="the test")
    assert profile.service == "sales-tax"
    assert profile.demand.gpu == Gpu(memory_bytes=9)
    assert profile.demand.hardware == ("avx2", "sse4_2")
    assert [resource.name for resource in profile.resources] == ["rates", "key", "odd"]
    assert profile.resources[1].policy == "patch"
    assert profile.host.restarts == 0
    assert profile.operations["table"].cache_for_s == 3600


def test_a_profile_says_no_more_than_service_and_version_where_nothing_else_matters():
    assert parse_profile(data(), source="x") == ResourceProfile(service="sales-tax", version="1.2.0")


def test_a_version_is_read_into_its_normal_form():
    assert parse_profile(data(version="v1.2-rc1"), source="x").version == "1.2rc1"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        pytest.param({"service": "Sales_Tax"}, 'service: "Sales_Tax" is not a name of', id="name not normal"),
        pytest.param({"service": "a--b"}, 'service: "a--b" is not a name of', id="name with two hyphens"),
        pytest.param({"service": ""}, "service: is empty", id="no name"),
        pytest.param({"service": "a" * 65}, "service: 65 characters; at most 64", id="long name"),
        pytest.param({"service": "a\n"}, 'service: "a\\n" is not a name', id="name with a line end"),
        pytest.param({"version": "new"}, 'version: "new" is no version', id="no version"),
        pytest.param({"version": 1.2}, "version: 1.2 is no text", id="version as a number"),
        pytest.param({"schema": 2}, "schema: 2 is newer than this rldlib", id="newer schema"),
        pytest.param({"schema": 0}, "schema: 0 is none of 1", id="older schema"),
        pytest.param({"schema": True}, "schema: true is none of 1", id="schema as a boolean"),
        pytest.param({"schema": 1.0}, "schema: 1.0 is none of 1", id="schema as a fraction"),
        pytest.param({"demnad": {}}, "demnad: is unknown; did you mean demand?", id="unknown field"),
        pytest.param({"demand": {"memory": 1}}, "demand.memory: is unknown", id="unknown field within"),
        pytest.param({"host": {"umask": 0}}, "host.umask: is unknown", id="setting not on the list"),
        pytest.param({"demand": []}, "demand: a list is no object", id="list for object"),
        pytest.param({"demand": None}, "demand: null is no object", id="null for object"),
        pytest.param({"resources": {}}, "resources: an object is no list", id="object for list"),
        pytest.param(
            {"demand": {"memory_peak_bytes": -1}}, "demand.memory_peak_bytes: -1 is below 0", id="below"
        ),
        pytest.param({"demand": {"disk_bytes": MAX_BYTES + 1}}, f"is above {MAX_BYTES}", id="above"),
        pytest.param({"demand": {"disk_bytes": 10**39}}, f"is above {MAX_BYTES}", id="far above"),
        pytest.param(
            {"demand": {"disk_bytes": 1.0}}, "demand.disk_bytes: 1.0 is no whole number", id="fraction"
        ),
        pytest.param({"demand": {"threads": True}}, "demand.threads: true is no whole number", id="boolean"),
        pytest.param({"demand": {"threads": "2"}}, 'demand.threads: "2" is no whole number', id="text"),
        pytest.param({"demand": {"threads": 0}}, "demand.threads: 0 is below 1", id="no thread"),
        pytest.param(
            {"demand": {"startup_s": False}}, "demand.startup_s: false is no number", id="boolean time"
        ),
        pytest.param({"demand": {"startup_s": math.nan}}, "demand.startup_s: NaN is no number", id="NaN"),
        pytest.param(
            {"demand": {"startup_s": math.inf}}, "demand.startup_s: Infinity is no number", id="Infinity"
        ),
        pytest.param(
            {"demand": {"hardware": "avx2"}}, 'demand.hardware: "avx2" is no list', id="text for list"
        ),
        pytest.param(
            {"demand": {"hardware": ["avx2", 1]}}, "demand.hardware[1]: 1 is no text", id="number in list"
        ),
        pytest.param(
            {"demand": {"hardware": ["a", "a"]}}, 'demand.hardware: "a" is listed twice', id="twice"
        ),
        pytest.param(
            {"demand": {"hardware": ["a"] * 65}}, "demand.hardware: 65 entries; at most 64", id="many"
        ),
        pytest.param({"demand": {"gpu": 1}}, "demand.gpu: 1 is no object", id="gpu as a number"),
        pytest.param(
            {"demand": {"memory_start_bytes": 2, "memory_peak_bytes": 1}},
            "demand.memory_start_bytes: 2 is above memory_peak_bytes 1",
            id="start above peak",
        ),
        pytest.param(
            {"demand": {"cpu_call_p50_rcu_ms": 2.5, "cpu_call_p95_rcu_ms": 1}},
            "demand.cpu_call_p50_rcu_ms: 2.5 is above cpu_call_p95_rcu_ms 1",
            id="median above the 95th percentile",
        ),
        pytest.param({"summary": "a\nb"}, 'summary: "a\\nb" is not one line', id="two lines"),
        pytest.param({"summary": "\x1b[2J"}, "summary: ", id="terminal escape"),
        pytest.param({"summary": "a\u202eb"}, "summary: ", id="direction mark"),
        pytest.param({"summary": "\ud800"}, "summary: ", id="half a character"),
        pytest.param({"summary": "a" * 513}, "summary: 513 characters; at most 512", id="long text"),
        pytest.param(
            {"life": {"after_use": "keep"}}, 'life.after_use: "keep" is none of retain', id="no choice"
        ),
        pytest.param({"life": {"idle_s": -0.5}}, "life.idle_s: -0.5 is below 0", id="negative time"),
        pytest.param(
            {"update": {"gap_allowed": 1}}, "update.gap_allowed: 1 is neither true nor false", id="flag"
        ),
        pytest.param(
            {"isolation": {"endpoints": ["db"]}}, 'isolation.endpoints[0]: "db" is not HOST:PORT', id="port"
        ),
        pytest.param({"operations": {"_x": {}}}, 'operations._x: "_x" is not a name', id="private operation"),
        pytest.param(
            {"operations": {"a b": {}}}, 'operations["a b"]: "a b" is not a name', id="operation with space"
        ),
        pytest.param({"operations": {"import": {}}}, "operations.import: the name is reserved", id="keyword"),
        pytest.param(
            {"operations": {"x": {"media_type": "csv"}}}, "operations.x.media_type: ", id="media type"
        ),
        pytest.param(
            {"operations": {"x": {"arguments": []}}},
            "operations.x.arguments: a list is no object",
            id="schema",
        ),
        pytest.param(
            {"operations": {"x": {"arguments": {"properties": {"deadline": {}}}}}},
            "operations.x.arguments.properties.deadline: the name is reserved",
            id="argument deadline",
        ),
        pytest.param(
            {"operations": {"x": {"arguments": {"properties": {"a-b": {}}}}}},
            "operations.x.arguments.properties.a-b: is no name of a Python argument",
            id="argument that Python cannot name",
        ),
        pytest.param(
            {"operations": {"x": {"arguments": {"type": "array"}}}},
            'operations.x.arguments.type: "array" is not "object"',
            id="arguments as a list",
        ),
        pytest.param(
            {"operations": {"x": {"arguments": {"properties": []}}}},
            "operations.x.arguments.properties: a list is no object",
            id="properties as a list",
        ),
        pytest.param(
            {"operations": {"x": {"result": {"maximum": math.nan}}}},
            "operations.x.result.maximum: NaN is no JSON",
            id="NaN within a schema",
        ),
        pytest.param(
            {"operations": {f"x{at}": {} for at in range(257)}},
            "operations: 257 entries; at most 256",
            id="operations",
        ),
        pytest.param(
            {"resources": [{"kind": "data", "sha256": "a" * 64, "size": 3}]},
            "resources[0].name: is missing",
            id="resource without a name",
        ),
        pytest.param(
            {"resources": [pinned("a"), pinned("b"), pinned("a")]},
            'resources[0].name: "a" is the name of another resource too',
            id="two resources of a name",
        ),
        pytest.param(
            {"resources": [pinned("a", requires=["b"])]},
            'resources[0].requires: there is no resource "b"',
            id="requires what is not there",
        ),
        pytest.param(
            {
                "resources": [
                    pinned("a", requires=["b"]),
                    pinned("b", requires=["c"]),
                    pinned("c", requires=["b"]),
                ]
            },
            'resources: "b" requires "c" requires "b", a circle',
            id="circle",
        ),
        pytest.param(
            {"resources": [pinned("a", requires=["a"])]},
            'resources: "a" requires "a", a circle',
            id="requires itself",
        ),
        pytest.param(
            {"resources": [pinned("a", kind="x-model")]},
            'resources[0].kind: "x-model" is not known here, and the resource is required',
            id="unknown kind",
        ),
        pytest.param(
            {"resources": [pinned("a", authority="b" * 64, target="t")]},
            "resources[0]: has sha256 and size and authority and target",
            id="two origins",
        ),
        pytest.param(
            {"resources": [{"name": "a", "kind": "data"}]}, "resources[0]: has no origin", id="no origin"
        ),
        pytest.param(
            {"resources": [{"name": "a", "kind": "data", "sha256": "a" * 64}]},
            "resources[0].size: is missing beside sha256",
            id="hash without size",
        ),
        pytest.param(
            {"resources": [{"name": "a", "kind": "data", "target": "t"}]},
            "resources[0].authority: is missing beside target",
            id="target without authority",
        ),
        pytest.param(
            {"resources": [{"name": "a", "kind": "data", "authority": "b" * 64, "target": "a/../b"}]},
            "resources[0].target: ",
            id="target that leads out",
        ),
        pytest.param(
            {"resources": [pinned("a", policy="minor")]},
            "resources[0].policy: bytes pinned by sha256",
            id="policy",
        ),
        pytest.param(
            {"resources": [pinned("a", sha256="A" * 64)]}, "resources[0].sha256: ", id="hash in capitals"
        ),
    ],
)
def test_a_fault_is_told_with_its_path(fields, told):
    found = issues(data(**fields))
    assert any(issue.startswith(told) or issue.endswith(told) for issue in found)
    # One slip is one fault, but for a name that two have.
    assert len(found) == 1 + ("another resource too" in told)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        pytest.param(b"", "document: is no JSON", id="nothing"),
        pytest.param(b"[]", "document: a list is no object", id="a list"),
        pytest.param(b"1", "document: 1 is no object", id="a number"),
        pytest.param(b"\xff", "document: is no UTF-8", id="no UTF-8"),
        pytest.param(b"\xef\xbb\xbf{}", "document: is no JSON", id="byte order mark"),
        pytest.param("{}".encode("utf-16"), "document: is no UTF-8", id="UTF-16"),
        pytest.param(data() + b" x", "document: is no JSON", id="something after it"),
        pytest.param(data()[:-1], "document: is no JSON", id="cut off"),
        pytest.param(b'{"a": "\n"}', "document: is no JSON", id="a line end in a text"),
        pytest.param(b"[" * 30_000, f"document: nested deeper than {MAX_DEPTH}", id="deep lists"),
        pytest.param(b'{"a":' * 10_000, f"document: nested deeper than {MAX_DEPTH}", id="deep objects"),
        pytest.param(b'"' + b"\\" * 50_000, "document: is no JSON", id="a text that never ends"),
        pytest.param(data(summary="a" * MAX_PROFILE_BYTES), "document: over 61,440 bytes", id="too long"),
    ],
)
def test_what_is_no_json_object_is_refused_at_once(raw, told):
    (issue,) = issues(raw)
    assert issue.startswith(told)


def test_a_name_given_twice_is_a_fault_wherever_it_is():
    raw = b'{"schema": 1, "service": "a", "service": "b", "version": "1", "demand": {"threads": 1, "threads": 2}}'
    assert issues(raw) == ("service: is given twice", "demand.threads: is given twice")
    raw = b'{"schema":1,"service":"a","version":"1","operations":{"x":{"result":{"a":{"b":1,"b":2}}}}}'
    assert issues(raw) == ("operations.x.result.a.b: is given twice",)


def test_a_number_of_many_digits_costs_nothing():
    raw = b'{"schema": 1, "service": "a", "version": "1", "demand": {"threads": ' + b"9" * 50_000 + b"}}"
    (issue,) = issues(raw)
    assert issue == f"demand.threads: {'9' * 60}... is no whole number"


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_an_operation_is_not_named_like_a_part_of_the_handle(name):
    assert issues(data(operations={name: {}})) == (
        f"operations.{name}: the name is reserved; call the operation otherwise",
    )


def test_every_fault_of_a_document_is_told_at_once():
    raw = data(
        demand={"memory_peak_bytes": -1, "threads": "two"},
        life={"after_use": "burn"},
        resources=[pinned("a", requires=["z"], size=-1), {"name": "a", "kind": "tape", "extra": 1}],
        operations={"call": {"idempotent": 0}},
        host={"restarts": 1001},
    )
    assert {issue.partition(":")[0] for issue in issues(raw)} == {
        "demand.memory_peak_bytes",
        "demand.threads",
        "life.after_use",
        "resources[0].name",
        "resources[0].requires",
        "resources[0].size",
        "resources[1]",
        "resources[1].kind",
        "resources[1].name",
        "resources[1].extra",
        "operations.call",
        "operations.call.idempotent",
        "host.restarts",
    }


def test_a_flood_of_faults_is_counted_not_told():
    told = issues(data(**{f"x{at}": 1 for at in range(4_000)}))
    assert len(told) == MAX_FAULTS + 1
    assert told[-1] == f"and {4_000 - MAX_FAULTS} more"


def test_an_unknown_kind_is_kept_where_the_resource_is_optional_or_a_plugin_knows_it():
    optional = pinned("a", kind="x-model", required=False)
    assert parse_profile(data(resources=[optional]), source="x").resources[0].kind == "x-model"
    needed = data(resources=[pinned("a", kind="x-model")])
    assert parse_profile(needed, source="x", kinds=["x-model"]).resources[0].required


def test_faults_of_a_part_have_the_path_of_the_whole():
    profile, faults = examine(document(demand={"threads": 0}), path="tool.rldlib")
    assert profile is None
    assert faults == ("tool.rldlib.demand.threads: 0 is below 1",)


def test_the_canonical_form_is_whole_and_comes_back_the_same():
    profile = parse_profile(json.dumps(WHOLE).encode(), source="x")
    assert parse_profile(render(profile), source="x") == profile
    assert render(profile) == render(parse_profile(render(profile), source="x"))
    assert render(profile).endswith(b"}\n")
    plain = profile_document(ResourceProfile(service="a", version="1"))
    assert plain["demand"]["gpu"] is None
    assert plain["life"]["idle_s"] == 600
    assert plain["host"] == {}
    assert "authority" not in profile_document(profile)["resources"][0]


def test_the_canonical_form_does_not_depend_on_the_order_of_names():
    first = parse_profile(data(operations={"a": {}, "b": {}}), source="x")
    second = parse_profile(data(operations={"b": {}, "a": {}}), source="x")
    assert render(first) == render(second)


def _only_a_profile_error_comes_out(raw):
    try:
        profile = parse_profile(raw, source="fuzz")
    except ProfileError as exc:
        profile, told = None, exc.issues
    else:
        told = ()
    assert all(issue.isprintable() for issue in told)
    assert profile is None or parse_profile(render(profile), source="fuzz") == profile


@given(st.binary(max_size=200))
@example(b"{" * 1_000_00)
def test_any_bytes_are_a_profile_or_refused(raw):
    _only_a_profile_error_comes_out(raw)


@given(any_json)
def test_any_json_is_a_profile_or_refused(value):
    _only_a_profile_error_comes_out(json.dumps(value).encode())


@given(mangled)
def test_a_mangled_profile_is_a_profile_or_refused(value):
    _only_a_profile_error_comes_out(json.dumps(value).encode())


@given(st.integers(0, len(json.dumps(WHOLE)) - 1), st.binary(min_size=1, max_size=3))
def test_a_profile_with_some_other_bytes_is_a_profile_or_refused(at, other):
    raw = json.dumps(WHOLE).encode()
    _only_a_profile_error_comes_out(raw[:at] + other + raw[at + len(other) :])
