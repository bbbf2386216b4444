"""Reads the arguments of a call from text, by the operation's own schema."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rldlib.errors import ArgumentsError
from rldlib.values.arguments import typed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def read_arguments(
    service: str, operation: str, expected: Mapping[str, Any], pairs: Sequence[str], document: str | None
) -> dict[str, Any]:
    """``NAME=VALUE`` and ``--args`` as typed values.

    A VALUE is taken as it stands for text and what is written as text
    (Decimal, dates, UUID); everything else is read as JSON.

    Raises:
        ArgumentsError: Every argument that does not fit, each by its name.
    """
    issues: list[str] = []
    plain = _document(document, issues)
    properties: Mapping[str, Any] = expected.get("properties", {})
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            issues.append(f"{pair!r} is no NAME=VALUE")
        elif name in plain:
            issues.append(f"{name} is given twice")
        else:
            plain[name] = _plain(name, text, properties.get(name, {}), issues)
    values = typed(expected, plain, issues)
    if issues:
        raise ArgumentsError(service, operation, issues)
    return values


def _document(text: str | None, issues: list[str]) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as exc:
        issues.append(f"--args is no JSON: {exc}")
        return {}
    if not isinstance(document, dict):
        issues.append(f"--args must be a JSON object of arguments, and is {type(document).__name__}")
        return {}
    return document


def _plain(name: str, text: str, expected: Mapping[str, Any], issues: list[str]) -> Any:
    if _is_text(expected):
        return None if text == "null" and _takes_null(expected) else text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        if _has_text(expected):
            return text
        issues.append(f"{name}: {text!r} is no JSON, which an argument of this type is written in")
        return None


def _alternatives(expected: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    several = expected.get("anyOf") or expected.get("oneOf")
    return several or (expected,)


def _textual(expected: Mapping[str, Any]) -> bool:
    if "enum" in expected:
        return all(isinstance(value, str) for value in expected["enum"])
    if "const" in expected:
        return isinstance(expected["const"], str)
    return expected.get("type") == "string"


def _takes_null(expected: Mapping[str, Any]) -> bool:
    return any(one.get("type") == "null" for one in _alternatives(expected))


def _is_text(expected: Mapping[str, Any]) -> bool:
    """Whether nothing but text, or text and null, is taken."""
    given = [one for one in _alternatives(expected) if one.get("type") != "null"]
    return bool(given) and all(_textual(one) for one in given)


def _has_text(expected: Mapping[str, Any]) -> bool:
    return any(_textual(one) for one in _alternatives(expected))
