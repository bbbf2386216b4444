"""Where the files of a wheel go in an environment, and which of its scripts do.

The gate and the environments both ask here, so that what was checked is what
is written.
"""

from __future__ import annotations

import configparser
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

Scheme = Literal["site", "headers", "scripts", "data"]
# purelib and platlib are one folder in a virtualenv.
_SCHEMES: Final[dict[str, Scheme]] = {
    "purelib": "site",
    "platlib": "site",
    "headers": "headers",
    "scripts": "scripts",
    "data": "data",
}
_ENTRY_POINT: Final = re.compile(r"([\w.]+)\s*:\s*([\w.]+)\s*(\[[^\]]*\])?\s*\Z")
# One line of headers, without its end; an empty one too.
_LINE: Final = re.compile(r"(?:\A|(?<=\n)|(?<=\r)(?!\n))[^\r\n]*")
# Enough to tell that it is there more than once.
_TWICE: Final = 2
_SECTIONS: Final = {"console_scripts": "console", "gui_scripts": "gui"}


class UnknownSchemeError(ValueError):
    """A file of the ``.data`` folder is in none of the five schemes."""


class EntryPointsError(ValueError):
    """``entry_points.txt`` declares a script that cannot be made."""


@dataclass(frozen=True, slots=True)
class EntryScript:
    """A script that an entry point declares."""

    name: str
    module: str
    attribute: str
    section: Literal["console", "gui"]


def destination(path: str, data_folder: str) -> tuple[Scheme, str]:
    """The scheme of a wheel's file, and its path within that scheme.

    Raises:
        UnknownSchemeError: It lies in `data_folder`, and in no scheme there.
    """
    if not path.startswith(f"{data_folder}/"):
        return "site", path
    _, _, inner = path.partition("/")
    name, _, rest = inner.partition("/")
    if name not in _SCHEMES or not rest:
        raise UnknownSchemeError(path)
    return _SCHEMES[name], rest


def is_left_out(path: str) -> bool:
    """Whether a file of a wheel is never installed: bytecode that its source does not vouch for."""
    return "__pycache__" in path.split("/")[:-1]


def entry_scripts(text: str) -> tuple[EntryScript, ...]:
    """The scripts that ``entry_points.txt`` declares.

    Raises:
        EntryPointsError: It cannot be read, or names no function.
    """
    parser = configparser.RawConfigParser(delimiters=("=",), default_section="", strict=True)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # names keep their case
    try:
        parser.read_string(text)
    except configparser.Error as exc:
        raise EntryPointsError(str(exc).splitlines()[0]) from exc
    return tuple(_scripts(parser))


def _scripts(parser: configparser.RawConfigParser) -> Iterator[EntryScript]:
    for group, section in _SECTIONS.items():
        for name, value in parser.items(group) if parser.has_section(group) else ():
            match = _ENTRY_POINT.match(value)
            if match is None:
                raise EntryPointsError(f"{group}: {name} = {value} names no function")
            yield EntryScript(name, match[1], match[2], "gui" if section == "gui" else "console")


def headers(text: str, wanted: Collection[str]) -> dict[str, list[str]]:
    """The headers of METADATA or WHEEL with these lower-case names, each twice at the most.

    The body is left out: it is not even cut into lines.
    """
    found: dict[str, list[str]] = {}
    is_first = True
    for match in _LINE.finditer(text):
        line = match[0]
        name, colon, value = line.partition(":")
        if line[:1] in {" ", "\t"} and not is_first:
            continue  # goes on from the line before
        if not colon:
            break
        is_first = False
        name = name.strip().lower()
        if name in wanted and len(found.setdefault(name, [])) < _TWICE:
            found[name].append(value.strip())
    return found
