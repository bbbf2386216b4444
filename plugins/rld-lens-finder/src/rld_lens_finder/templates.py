"""Templates that are data: they say how to ask and how to show, and can do nothing else.

They come with the profile, as the catalogue does, so a query may read and
not write, and a format may name its fields and not reach into them.
"""

from __future__ import annotations

import re
import sqlite3
from html import escape
from string import Formatter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Catalogue", "Formats", "TemplateError"]

_NAMED = re.compile(r"^-- name: (?P<name>[a-z_]+)$", re.MULTILINE)
_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ})
_FUNCTIONS = frozenset({"ifnull", "like", "lower", "max", "min"})


class TemplateError(ValueError):
    """A template does what a template must not; the service does not start with it."""


class Catalogue:
    """The catalogue, asked by the queries of a template. Opened for reading alone.

    Args:
        path: The SQLite file.
        template: SQL; each query begins with a line ``-- name: NAME``.
        queries: Which queries there are, and the parameters that each is given, with a value to try it by.

    Raises:
        TemplateError: A query is missing, unknown, is no SQL, asks for other
            parameters, or would do more than read.
    """

    def __init__(self, path: str, template: str, queries: Mapping[str, Mapping[str, Any]]) -> None:
        self._texts = _split(template, queries)
        # Nobody changes a resource: SQLite need not lock it, and writes no file beside it.
        self._database = sqlite3.connect(f"file:{quote(path)}?mode=ro&immutable=1", uri=True)
        try:
            self._database.row_factory = sqlite3.Row
            # Authorised while a statement is prepared, so nothing of a refused one is ever done.
            self._database.set_authorizer(_authorise)
            for name, parameters in queries.items():
                self._try(name, parameters)
        except BaseException:
            self.close()
            raise

    def ask(self, query: str, /, **parameters: Any) -> list[sqlite3.Row]:
        """The rows of a query. SQLite binds the parameters; they are never part of its text."""
        return self._database.execute(self._texts[query], parameters).fetchall()

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _try(self, name: str, parameters: Mapping[str, Any]) -> None:
        try:
            rows = self._database.execute(self._texts[name], parameters)
        except (sqlite3.Error, sqlite3.Warning) as exc:
            raise TemplateError(f"the query {name} cannot be used: {exc}") from exc
        if rows.description is None:
            raise TemplateError(f"the query {name} cannot be used: it asks for nothing")
        rows.close()


def _split(template: str, queries: Mapping[str, Any]) -> dict[str, str]:
    begins = list(_NAMED.finditer(template))
    ends = [match.start() for match in begins[1:]] + [len(template)]
    found = {
        match["name"]: template[match.end() : end].strip() for match, end in zip(begins, ends, strict=True)
    }
    _compare("queries", found, queries)
    return found


def _compare(what: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    if set(found) != set(wanted):
        told = ", ".join(sorted(found)) or "none"
        raise TemplateError(f"the {what} are {told}; they have to be {', '.join(sorted(wanted))}")


def _authorise(action: int, _first: str | None, second: str | None, *_: str | None) -> int:
    allowed = action in _READING or (action == sqlite3.SQLITE_FUNCTION and second in _FUNCTIONS)
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


class Formats:
    """Texts with named fields.

    Args:
        templates: The texts by name.
        fields: Which formats there are, and the fields that each is given.

    Raises:
        TemplateError: A format is missing or unknown, or names a field that it
            is not given, or does more with one than name it.
    """

    def __init__(self, templates: object, fields: Mapping[str, tuple[str, ...]]) -> None:
        if not isinstance(templates, dict) or not all(isinstance(text, str) for text in templates.values()):
            raise TemplateError("the formats are no object of texts")
        _compare("formats", templates, fields)
        self._parts = {name: _parts(name, templates[name], fields[name]) for name in fields}

    def text(self, name: str, /, **values: str) -> str:
        """The format as plain text."""
        return "".join(before + (values[field] if field else "") for before, field in self._parts[name])

    def markup(self, name: str, /, *, rows: str = "", **values: str) -> str:
        """The format as HTML: every value escaped but for `rows`, which is markup made here."""
        escaped = {field: escape(value) for field, value in values.items()}
        return self.text(name, **escaped, rows=rows)


def _parts(name: str, template: str, fields: tuple[str, ...]) -> tuple[tuple[str, str | None], ...]:
    try:
        parts = list(Formatter().parse(template))
    except ValueError as exc:
        raise TemplateError(f"the format {name} cannot be read: {exc}") from exc
    for _, field, specification, conversion in parts:
        if field is not None and (field not in fields or specification or conversion):
            shown = f"{field}{'!' + conversion if conversion else ''}{':' + specification if specification else ''}"
            raise TemplateError(
                f"the format {name} has {{{shown}}}; it may name {', '.join(fields)} and no more"
            )
    return tuple((before, field) for before, field, _, _ in parts)
