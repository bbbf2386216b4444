"""The profile as a document: strict reading, canonical writing, its published schema."""

from __future__ import annotations

import json
import keyword
from collections import Counter
from typing import TYPE_CHECKING, Any

from rldlib.errors import ProfileError
from rldlib.values.foreign import MalformedDocumentError, load
from rldlib.values.operations import RESERVED, RESERVED_ARGUMENT
from rldlib.values.profile import MAX_PROFILE_BYTES, RESOURCE_KINDS, SCHEMA_VERSION, ResourceProfile
from rldlib.values.records import Record
from rldlib.values.shapes import shown, within

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

# Enough to mend a document by; a hostile one does not fill the screen.
MAX_FAULTS = 50
_PROFILE = Record(ResourceProfile)


def parse_profile(data: bytes, *, source: str, kinds: Collection[str] = ()) -> ResourceProfile:
    """Read the bytes of a ``rldlib.json``.

    Args:
        data: The bytes, from anyone.
        source: Where they were read, for the message.
        kinds: Kinds of resource that plugins of this host know.

    Raises:
        ProfileError: They are no profile; every fault is named with its path.
    """
    profile, faults = examine(_loaded(data, source), kinds=kinds)
    if profile is None or faults:
        raise ProfileError(source, faults)
    return profile


def examine(
    document: object, *, path: str = "", kinds: Collection[str] = ()
) -> tuple[ResourceProfile | None, tuple[str, ...]]:
    """Read a profile from plain data; the faults are told, not raised.

    Args:
        document: What a JSON or TOML reader gave.
        path: Where it lies in a larger document; the faults' paths begin with it.
        kinds: Kinds of resource that plugins of this host know.

    Returns:
        The profile and no fault, or None and every fault.
    """
    faults: list[str] = []
    schema = document.get("schema") if isinstance(document, dict) else None
    if type(schema) is int and schema > SCHEMA_VERSION:
        # Its other fields mean what a later rldlib says they mean.
        told = f"{schema} is newer than this rldlib, which reads {SCHEMA_VERSION}: update rldlib"
        return None, (f"{within(path, 'schema')}: {told}",)
    profile = _PROFILE.read(document, path, faults)
    if isinstance(document, dict):
        faults.extend(_across(document, path, RESOURCE_KINDS.union(kinds)))
    if len(faults) > MAX_FAULTS:
        faults[MAX_FAULTS:] = [f"and {len(faults) - MAX_FAULTS} more"]
    return (profile if isinstance(profile, ResourceProfile) and not faults else None), tuple(faults)


def profile_document(profile: ResourceProfile) -> dict[str, Any]:
    """The profile as plain data, whole: defaults are written out.

    Left out are only the fields marked so in `ResourceProfile`'s parts: what
    does not apply to a resource, and settings of the host left as they are.
    """
    return _PROFILE.plain(profile)


def render(profile: ResourceProfile) -> bytes:
    """The profile as canonical JSON: equal profiles give equal bytes."""
    return canonical(profile_document(profile))


def canonical(document: Mapping[str, Any]) -> bytes:
    """Plain data as canonical JSON: names sorted, two spaces, UTF-8, one newline at the end."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2, sort_keys=True)
    return f"{text}\n".encode()


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a profile, from the table that `parse_profile` reads by.

    It says all but the rules across fields. ``default`` completes a document;
    ``x-when-set`` marks what the canonical form leaves out at its default.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "rldlib resource profile",
        **_PROFILE.schema(),
    }


def _loaded(data: bytes, source: str) -> object:
    try:
        return load(data, max_bytes=MAX_PROFILE_BYTES)
    except MalformedDocumentError as exc:
        raise ProfileError(source, exc.faults) from exc


# --- rules across fields, on the data as read: a fault elsewhere hides none of them


def _across(document: Mapping[str, Any], path: str, kinds: Collection[str]) -> Iterator[str]:
    yield from _demand_faults(_objects(document, "demand"), within(path, "demand"))
    operations = _objects(document, "operations")
    for name in operations:
        yield from _operation_faults(
            name, _objects(operations, name), within(within(path, "operations"), name)
        )
    yield from _resources_faults(document.get("resources"), within(path, "resources"), kinds)


def _texts(found: object) -> list[str]:
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []


def _objects(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _demand_faults(demand: Mapping[str, Any], path: str) -> Iterator[str]:
    # A figure that is zero or absent was not stated, so it contradicts nothing.
    for low, high in (
        ("memory_start_bytes", "memory_peak_bytes"),
        ("cpu_call_p50_rcu_ms", "cpu_call_p95_rcu_ms"),
    ):
        less, more = demand.get(low), demand.get(high)
        if isinstance(less, (int, float)) and isinstance(more, (int, float)) and 0 < more < less:
            yield f"{within(path, low)}: {less} is above {high} {more}"


def _operation_faults(name: str, operation: Mapping[str, Any], path: str) -> Iterator[str]:
    if name in RESERVED or keyword.iskeyword(name):
        yield f"{path}: the name is reserved; call the operation otherwise"
    arguments = _objects(operation, "arguments")
    if arguments.get("type", "object") != "object":
        yield f'{path}.arguments.type: {shown(arguments["type"])} is not "object"'
    properties = arguments.get("properties", {})
    if not isinstance(properties, dict):
        yield f"{path}.arguments.properties: {shown(properties)} is no object"
        return
    for argument in properties:
        if not argument.isidentifier() or keyword.iskeyword(argument):
            yield f"{within(f'{path}.arguments.properties', argument)}: is no name of a Python argument"
        elif argument == RESERVED_ARGUMENT:
            yield f"{path}.arguments.properties.{argument}: the name is reserved for the call's own deadline"


def _resources_faults(resources: object, path: str, kinds: Collection[str]) -> Iterator[str]:
    if not isinstance(resources, list):
        return
    known = [
        (f"{path}[{at}]", resource) for at, resource in enumerate(resources) if isinstance(resource, dict)
    ]
    names = Counter(name for _, resource in known if isinstance(name := resource.get("name"), str))
    needs: dict[str, list[str]] = {name: [] for name in names}
    for here, resource in known:
        name, kind = resource.get("name"), resource.get("kind")
        if isinstance(name, str) and names[name] > 1:
            yield f"{here}.name: {shown(name)} is the name of another resource too"
        yield from _origin_faults(resource, here)
        if isinstance(kind, str) and kind not in kinds and resource.get("required", True) is True:
            yield f"{here}.kind: {shown(kind)} is not known here, and the resource is required"
        for needed in _texts(resource.get("requires")):
            if needed not in names:
                yield f"{here}.requires: there is no resource {shown(needed)}"
            elif isinstance(name, str):
                needs[name].append(needed)
    circle = _circle(needs)
    if circle:
        yield f"{path}: {' requires '.join(map(shown, circle))}, a circle"


def _origin_faults(resource: Mapping[str, Any], path: str) -> Iterator[str]:
    """Bytes are pinned, or signed for by an authority; never both, never half."""
    pinned = [name for name in ("sha256", "size") if resource.get(name) is not None]
    signed = [name for name in ("authority", "target") if resource.get(name) is not None]
    if pinned and signed:
        yield f"{path}: has {' and '.join(pinned + signed)}; give sha256 and size, or authority and target"
    elif not pinned and not signed:
        yield f"{path}: has no origin; give sha256 and size, or authority and target"
    elif len(pinned) + len(signed) == 1:
        other = {"sha256": "size", "size": "sha256", "authority": "target", "target": "authority"}
        yield f"{path}.{other[(pinned + signed)[0]]}: is missing beside {(pinned + signed)[0]}"
    if pinned and resource.get("policy", "any") != "any":
        yield f"{path}.policy: bytes pinned by sha256 are never updated; leave it out"


def _circle(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Names that require each other in a circle, the first one repeated; empty where there is none."""
    done: set[str] = set()
    for start in needs:
        trail: list[str] = []
        todo = [(start, False)]
        while todo:
            name, leaving = todo.pop()
            if leaving:
                done.add(trail.pop())
            elif name in trail:
                return [*trail[trail.index(name) :], name]
            elif name not in done:
                trail.append(name)
                todo.append((name, True))
                todo.extend((needed, False) for needed in needs.get(name, ()))
    return []
