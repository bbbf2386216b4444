"""A build backend around another one: its wheels carry the project's resource profile.

The inner backend is named in ``[tool.rldlib-build]``, the profile is the table
``[tool.rldlib]``. A hook exists here if it exists there. Standard library only:
what is not known here (every rule of a profile) is checked by ``rld check``.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib
import json
import re
import sys
import zipfile
from email.parser import HeaderParser
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import tomllib

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["build_sdist", "build_wheel"]

PROFILE_NAME = "rldlib.json"
_METADATA = re.compile(r"[^/]+\.dist-info/METADATA")
# The hooks that a backend may have (PEP 517 and 660), by what becomes of their result.
_WHEELS = ("build_editable",)
_FOLDERS = ("prepare_metadata_for_build_wheel", "prepare_metadata_for_build_editable")
_UNTOUCHED = (
    "get_requires_for_build_wheel",
    "get_requires_for_build_sdist",
    "get_requires_for_build_editable",
)


class ProjectError(ValueError):
    """The project's ``pyproject.toml`` does not say what is needed; the message says where."""


def build_wheel(
    wheel_directory: str,
    config_settings: Mapping[str, Any] | None = None,
    metadata_directory: str | None = None,
) -> str:
    """Build the inner backend's wheel and put the profile into it (PEP 517)."""
    name: str = _inner().build_wheel(wheel_directory, config_settings, metadata_directory)
    _stamp(Path(wheel_directory) / name, is_whole=True)
    return name


def build_sdist(sdist_directory: str, config_settings: Mapping[str, Any] | None = None) -> str:
    """Build the inner backend's source distribution; it needs no profile of its own (PEP 517)."""
    name: str = _inner().build_sdist(sdist_directory, config_settings)
    return name


def __getattr__(name: str) -> Callable[..., Any]:
    """A hook that the inner backend has; front ends ask by looking whether it is there."""
    if name in _UNTOUCHED + _FOLDERS + _WHEELS:
        hook = getattr(_inner(), name, None)
        if hook is not None:
            return hook if name in _UNTOUCHED else partial(_FOLLOWED[name], hook)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _with_profile(hook: Callable[..., str], metadata_directory: str, *rest: Any, **named: Any) -> str:
    name = hook(metadata_directory, *rest, **named)
    folder = Path(metadata_directory) / name
    (folder / PROFILE_NAME).write_bytes(_profile((folder / "METADATA").read_bytes()))
    return name


def _editable(hook: Callable[..., str], wheel_directory: str, *rest: Any, **named: Any) -> str:
    name = hook(wheel_directory, *rest, **named)
    _stamp(Path(wheel_directory) / name, is_whole=False)
    return name


_FOLLOWED = {**dict.fromkeys(_FOLDERS, _with_profile), **dict.fromkeys(_WHEELS, _editable)}


@cache
def _inner() -> Any:
    table = _tool("rldlib-build")
    if not isinstance(table.get("backend"), str):
        raise ProjectError(
            'pyproject.toml: [tool.rldlib-build] has no backend; add backend = "hatchling.build"'
        )
    # As a front end does it for a backend that lies in the project.
    sys.path[:0] = [str(_inside(path)) for path in table.get("backend-path", ())]
    module, _, attributes = table["backend"].partition(":")
    backend: Any = importlib.import_module(module)
    for attribute in filter(None, attributes.split(".")):
        backend = getattr(backend, attribute)
    return backend


def _tool(name: str) -> dict[str, Any]:
    # A hook runs in the folder of the project (PEP 517).
    document = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    table = document.get("tool", {}).get(name)
    if not isinstance(table, dict):
        raise ProjectError(f"pyproject.toml has no table [tool.{name}]")
    return table


def _inside(path: str) -> Path:
    told = PurePosixPath(path)
    if (
        told.is_absolute()
        or ".." in told.parts
        or not Path(path).resolve().is_relative_to(Path.cwd().resolve())
    ):
        raise ProjectError(f"pyproject.toml: {path!r} is no path below the project")
    return Path(path).resolve()


# --- the profile -----------------------------------------------------------------


def _profile(metadata: bytes) -> bytes:
    """The canonical profile: the table, completed by METADATA and by the schema's defaults."""
    table, told = _tool("rldlib"), HeaderParser().parsestr(metadata.decode())
    for name in table.keys() & {"schema", "version"}:
        raise ProjectError(f"tool.rldlib.{name}: the build writes it; leave it out")
    summary = " ".join(str(told.get("Summary", "")).split())
    document = {
        "service": re.sub(r"[-_.]+", "-", str(told["Name"]).strip()).lower().removeprefix("rld-"),
        "summary": "" if summary == "UNKNOWN" else summary,
        **table,
        "schema": 1,
        "version": str(told["Version"]).strip(),
    }
    if isinstance(table.get("resources"), list):
        document["resources"] = [_pinned(resource) for resource in table["resources"]]
    schema = json.loads(Path(__file__).with_name("profile.schema.json").read_bytes())
    whole = _completed(schema, document, "tool.rldlib")
    return f"{json.dumps(whole, ensure_ascii=False, allow_nan=False, indent=2, sort_keys=True)}\n".encode()


def _pinned(resource: Any) -> Any:
    if not isinstance(resource, dict) or "file" not in resource:
        return resource
    data = _inside(resource["file"]).read_bytes()
    rest = {name: value for name, value in resource.items() if name != "file"}
    return {**rest, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def _completed(shape: Mapping[str, Any], value: Any, path: str) -> Any:
    """A value with the defaults that its schema names written out."""
    if isinstance(value, list) and "items" in shape:
        return [_completed(shape["items"], item, f"{path}[{at}]") for at, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    shape = next((option for option in shape.get("anyOf", ()) if option.get("type") == "object"), shape)
    each = shape.get("additionalProperties")
    if isinstance(each, dict):
        return {name: _completed(each, item, f"{path}.{name}") for name, item in value.items()}
    known = shape.get("properties")
    if known is None:
        return value
    unknown = sorted(value.keys() - known.keys())
    if unknown:
        raise ProjectError("; ".join(f"{path}.{name}: is unknown" for name in unknown))
    whole = {name: part["default"] for name, part in known.items() if "default" in part} | value
    whole = {name: _completed(known[name], item, f"{path}.{name}") for name, item in whole.items()}
    return {
        name: item
        for name, item in whole.items()
        if not (known[name].get("x-when-set") and item == known[name]["default"])
    }


# --- the wheel -------------------------------------------------------------------


def _stamp(wheel: Path, *, is_whole: bool) -> None:
    """Write the wheel anew: the profile first and stored, RECORD last, all else as it was."""
    beside = wheel.with_name(f".{wheel.name}.stamping")
    try:
        with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(beside, "w") as new:
            metadata = next(info for info in old.infolist() if _METADATA.fullmatch(info.filename))
            path, record = (metadata.filename.replace("METADATA", name) for name in (PROFILE_NAME, "RECORD"))
            profile = _profile(old.read(metadata))
            if is_whole:
                _check_files(old)
            entry = zipfile.ZipInfo(path, metadata.date_time)
            entry.external_attr = 0o100644 << 16
            new.writestr(entry, profile)
            for info in old.infolist():
                if info.filename not in {path, record}:
                    new.writestr(info, old.read(info))
            new.writestr(old.getinfo(record), _recorded(old.read(record).decode(), path, profile))
        beside.replace(wheel)
    finally:
        beside.unlink(missing_ok=True)


def _check_files(wheel: zipfile.ZipFile) -> None:
    """Refuse a resource whose file stayed behind: only ``rld build`` can put it beside the wheel."""
    files = [one["file"] for one in _tool("rldlib").get("resources", ()) if "file" in one]
    for file in files:
        data = _inside(file).read_bytes()
        if not any(info.file_size == len(data) and wheel.read(info) == data for info in wheel.infolist()):
            raise ProjectError(
                f"tool.rldlib.resources: {file!r} is not in the wheel; add it, or use 'rld build'"
            )


def _recorded(record: str, path: str, data: bytes) -> bytes:
    lines = [line for line in record.splitlines() if line and next(csv.reader([line]))[0] != path]
    own = next(
        at for at, line in enumerate(lines) if next(csv.reader([line]))[0].endswith(".dist-info/RECORD")
    )
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    lines.insert(own, f"{path},sha256={digest},{len(data)}")
    return "".join(f"{line}\n" for line in lines).encode()
