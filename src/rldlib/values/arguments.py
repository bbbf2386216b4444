"""The arguments of a call as they are written in JSON, read as what the operation takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rldlib.values import schema

if TYPE_CHECKING:
    from collections.abc import Mapping


def typed(expected: Mapping[str, Any], plain: Mapping[str, Any], issues: list[str]) -> dict[str, Any]:
    """The arguments as typed values; what cannot be read is added to `issues`, each by its name.

    Args:
        expected: The schema of all arguments together.
        plain: They, as JSON has them.
        issues: What is wrong with them.
    """
    properties: Mapping[str, Any] = expected.get("properties", {})
    values: dict[str, Any] = {}
    for name, value in plain.items():
        try:
            values[name] = schema.convert(properties.get(name, {}), value)
        except ValueError as exc:
            issues.append(f"{name}: {exc}")
    return values
