"""Profiles as plain data, good and bad, for tests."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from rldlib.values.profile import MAX_BYTES


def document(**fields):
    """A profile with nothing but what has to be, and the fields given."""
    return {"schema": 1, "service": "sales-tax", "version": "1.2.0", **fields}


def data(**fields):
    """The same as bytes."""
    return json.dumps(document(**fields)).encode()


def pinned(name, **fields):
    """A resource whose bytes are pinned."""
    return {"name": name, "kind": "data", "sha256": "a" * 64, "size": 3, **fields}


# Every part filled.
WHOLE = document(
    summary="Sales tax of the US states",
    operations={
        "table": {
            "arguments": {
                "type": "object",
                "properties": {"state": {"type": "string"}},
                "required": ["state"],
            },
            "result": {"type": "array"},
            "idempotent": True,
            "cache_for_s": 3600,
            "media_type": "text/csv; charset=utf-8",
        }
    },
    demand={
        "memory_start_bytes": 1,
        "memory_peak_bytes": 2,
        "disk_bytes": MAX_BYTES,
        "download_bytes": 4,
        "cpu_idle_rcu": 5,
        "cpu_call_p50_rcu_ms": 0.5,
        "cpu_call_p95_rcu_ms": 7,
        "threads": 8,
        "startup_s": 5,
        "open_files": 64,
        "hardware": ["avx2", "sse4_2"],
        "devices": ["usb"],
        "gpu": {"memory_bytes": 9},
        "measured": "on a laptop",
    },
    resources=[
        pinned("rates", use="Read once.", requires=["key"]),
        {"name": "key", "kind": "secret", "authority": "b" * 64, "target": "keys/eu", "policy": "patch"},
        {
            "name": "odd",
            "kind": "x-model",
            "sha256": "c" * 64,
            "size": 0,
            "required": False,
            "after_use": "delete",
        },
    ],
    life={"after_use": "delete", "idle_s": 0, "lease_s": 3600},
    update={"policy": "pinned", "gap_allowed": True},
    isolation={
        "level": "strict",
        "subprocesses": True,
        "endpoints": ["db.internal:5432"],
        "writes": ["cache"],
    },
    host={"call_deadline_s": 2.5, "stop_s": 1, "heartbeat_s": 1, "restarts": 0, "log_bytes": 2048},
)


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def _places(value, path=()):
    """The path of every value within a document."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inner:
        yield from _places(item, (*path, name))


def _replaced(value, path, other):
    if not path:
        return other
    copy = value.copy()
    copy[path[0]] = _replaced(value[path[0]], path[1:], other)
    return copy


_values = st.booleans() | st.integers(-1, 100) | st.floats() | st.text("ab0-_. /", max_size=6) | any_json
mangled = st.builds(_replaced, st.just(WHOLE), st.sampled_from(sorted(_places(WHOLE), key=str)), _values)
