"""Forms made of the schemas of operations, and arguments read back from what was filled in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rldlib.server.responder.markup import Markup, element

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def form(service: str, operation: str, schema: Mapping[str, Any], filled: Mapping[str, str]) -> Markup:
    """A form that calls an operation by a plain post.

    Args:
        service: The service.
        operation: The operation.
        schema: The JSON Schema of its arguments.
        filled: What was filled in before, by argument.
    """
    fields = [
        part
        for name, expected in properties(schema).items()
        for part in _field(
            f"{operation}-{name}", name, expected, filled.get(name), is_needed=name in needed(schema)
        )
    ]
    button = element("button", f"Call {operation}", type="submit")
    return element("form", *fields, button, method="post", action=f"/services/{service}/{operation}")


def arguments(schema: Mapping[str, Any], filled: Mapping[str, str], issues: list[str]) -> dict[str, Any]:
    """The arguments as JSON has them: text as it is, the rest read as JSON; an empty optional one is none.

    Args:
        schema: The JSON Schema of the arguments.
        filled: The fields of the form.
        issues: What cannot be read is added here.
    """
    given: dict[str, Any] = {}
    for name, expected in properties(schema).items():
        text = filled.get(name, "")
        if kind_of(expected) == "boolean":
            given[name] = name in filled
        elif not text and name not in needed(schema):
            continue
        elif _is_text(expected):
            given[name] = text
        else:
            try:
                given[name] = json.loads(text)
            except (ValueError, RecursionError):
                issues.append(f"{name}: it is no JSON; write for example {_example(expected)}")
    issues += [f"{name[:64]}: there is no such argument" for name in filled if name not in properties(schema)]
    return given


def properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of each argument by its name; the schema as a whole may be anything."""
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


def needed(schema: Mapping[str, Any]) -> Sequence[Any]:
    """The names of the arguments that must be given."""
    found = schema.get("required")
    return found if isinstance(found, list) else ()


def kind_of(schema: Any) -> str:
    """A schema in a word or two; whatever else it is, as it is written."""
    if not isinstance(schema, dict) or not schema:
        return "anything"
    kind = schema.get("format") or schema.get("type")
    if isinstance(kind, str):
        inner = schema.get("items")
        return f"list of {kind_of(inner)}" if kind == "array" and inner else kind
    return json.dumps(schema, ensure_ascii=False)[:200]


def _field(identity: str, name: str, schema: Any, filled: str | None, *, is_needed: bool) -> Sequence[Markup]:
    told = kind_of(schema) + ("" if is_needed else ", optional")
    if not _is_text(schema) and kind_of(schema) != "boolean":
        told += f"; as JSON, for example {_example(schema)}"
    label = element("label", name, element("span", told, class_="hint"), for_=identity)
    if kind_of(schema) == "boolean":
        return label, element(
            "input", id=identity, name=name, type="checkbox", value="true", checked=filled is not None
        )
    if _is_text(schema):
        return label, element("input", id=identity, name=name, value=filled or "", required=is_needed)
    return label, element("textarea", filled or "", id=identity, name=name, rows="2", required=is_needed)


def _is_text(schema: Any) -> bool:
    """Whether a value of it is written as it is, without quotes."""
    return isinstance(schema, dict) and schema.get("type") == "string" and "contentEncoding" not in schema


def _example(schema: Any) -> str:
    kind = schema.get("type") if isinstance(schema, dict) else None
    if kind == "array":
        items = schema.get("items")
        return '["19.99"]' if _is_text(items) else "[1, 2]"
    return {"integer": "1", "number": "1.5", "object": '{"name": "value"}', "null": "null"}.get(
        str(kind), '"text" or 1'
    )
