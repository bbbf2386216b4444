"""Which files of a wheel may be compiled, and what of it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rldlib.rules.layout import destination, is_left_out
from rldlib.values.bytecode import place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from rldlib.values.image import Image, ImageFile
    from rldlib.values.interpreter import Interpreter

# A larger source is data in disguise, and Python reads it once in a while.
_LARGEST_SOURCE_BYTES: Final = 8 * 1024 * 1024


def cache_tag(interpreter: Interpreter) -> str:
    """What the interpreter puts into the names of its bytecode."""
    threads = "t" if interpreter.label.startswith("cpythont-") else ""
    return f"cpython-{interpreter.version.major}{interpreter.version.minor}{threads}"


def sources(image: Image) -> dict[str, ImageFile]:
    """The modules of a wheel, by their path below site-packages."""
    data = f"{image.info.removesuffix('.dist-info')}.data"
    found = {}
    for file in image.files:
        if file.path.endswith(".py") and not is_left_out(file.path) and file.size <= _LARGEST_SOURCE_BYTES:
            scheme, inner = destination(file.path, data)
            if scheme == "site":
                found[inner] = file
    return found


def uncompiled(
    image: Image, tag: str, kept: Collection[str], names_in: Callable[[str], Collection[str]]
) -> dict[str, ImageFile]:
    """The modules of a wheel that a worker imported and whose bytecode is not kept.

    Args:
        image: The wheel's content.
        tag: The cache tag of the worker's interpreter.
        kept: The modules whose bytecode is kept.
        names_in: The names in a ``__pycache__``, by its path below site-packages: what a worker left there.
            They tell what was imported and nothing else; what is no module of the wheel is not looked at.
    """
    found = {}
    for path, file in sources(image).items():
        if path not in kept:
            folder, _, name = place_of(path, tag).rpartition("/")
            if name in names_in(folder):
                found[path] = file
    return found
