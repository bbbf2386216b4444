"""Looks for a password, in every form in which it travels."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from tests.indexes.servers import PASSWORD, USER

if TYPE_CHECKING:
    from pathlib import Path


def forms(password: str = PASSWORD) -> set[bytes]:
    """The password as it is, in a URL, in a header, and with the user in one."""
    texts = {password, quote(password, safe=""), quote(password), quote_plus(password)}
    found = {text.encode() for text in texts}
    return found | {b64encode(text) for text in found} | {b64encode(f"{USER}:{password}".encode())}


def tells(text: str, password: str = PASSWORD) -> bool:
    """Whether a text holds it."""
    return any(form in text.encode() for form in forms(password))


def files_that_tell(*folders: Path, password: str = PASSWORD) -> list[str]:
    """Every file below, open databases and logs included, that holds it."""
    sought = forms(password)
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return [str(path) for path in files if any(form in path.read_bytes() for form in sought)]
