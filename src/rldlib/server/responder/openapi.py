"""What a responder answers, as an OpenAPI 3.1 document: made of the very records that it reads and writes."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from rldlib.values.offering import Offerings
from rldlib.values.records import Record
from rldlib.values.support import PROTOCOL, Acknowledgement, SupportAnswer, SupportRequest

if TYPE_CHECKING:
    from starlette.requests import Request

_JSON: Final = "application/json"
_BYTES: Final = "application/octet-stream"
_RECORDS: Final = (SupportRequest, SupportAnswer, Acknowledgement, Offerings)
_WHEN: Final = {
    200: "What was asked for.",
    204: "It is entered.",
    206: "The range that was asked for.",
    304: "It did not change.",
    307: "The page is elsewhere.",
    400: "What was sent is no such message.",
    401: "No token, or one that is unknown.",
    403: "A token for other services.",
    404: "There is no such thing here.",
    405: "No such method.",
    406: "Nothing fits that kind of host.",
    409: "No common version of the exchange.",
    413: "More than is read.",
    416: "No such range.",
    503: "It cannot be had just now.",
}
_ERROR: Final = {
    "description": "Why something was refused.",
    "type": "object",
    "required": ["error"],
    "additionalProperties": False,
    "properties": {
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {
                "type": {"type": "string"},
                "message": {"type": "string"},
                "faults": {"type": "array", "items": {"type": "string"}},
                "service": {"type": "string"},
                "spoken": {"type": "array", "items": {"type": "integer"}},
            },
        }
    },
}
_SHA256: Final = {
    "name": "sha256",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
}


def openapi(_: Request) -> Response:
    """``GET /openapi.json``."""
    return Response(_written(), media_type=_JSON)


@cache
def _written() -> bytes:
    return json.dumps(document(), separators=(",", ":")).encode()


def document() -> dict[str, Any]:
    """The document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "A responder",
            "version": str(PROTOCOL),
            "summary": "Gives services to the daemons of others, signed.",
        },
        # Nobody needs a token where the responder asks for none.
        "security": [{}, {"token": []}],
        "paths": {
            "/rld/v1/support": {"post": _said("support", "Ask for support.", SupportRequest, SupportAnswer)},
            "/rld/v1/ack": {"post": _said("acknowledge", "Acknowledge what was received.", Acknowledgement)},
            "/rld/v1/services": {
                "get": _read("services", "All that is offered.", _ref(Offerings), refused=(401, 405, 503))
            },
            "/blobs/sha256/{sha256}": {"get": _blob()},
            "/metadata/{name}": {"get": _named("metadata", "What the domain signs (TUF).", "name", _JSON)},
            "/metadata/targets/{path}": {"get": _named("target", "A signed target.", "path", _BYTES)},
            "/healthz": {"get": _read("health", "Whether it answers.", {"type": "string"}, "text/plain")},
        },
        "components": {
            "schemas": {record.__name__: Record(record).schema() for record in _RECORDS} | {"Error": _ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _said(name: str, summary: str, asked: type, answered: type | None = None) -> dict[str, Any]:
    body = {"required": True, "content": {_JSON: {"schema": _ref(asked)}}}
    refused = _refusals(400, 401, 403, 405, 413, 503, *((404, 406, 409) if answered else ()))
    done = {"204": {"description": _WHEN[204]}} if answered is None else _answers(_ref(answered), _JSON)
    return {"operationId": name, "summary": summary, "requestBody": body, "responses": done | refused}


def _read(
    name: str,
    summary: str,
    schema: dict[str, Any],
    media_type: str = _JSON,
    refused: tuple[int, ...] = (405,),
) -> dict[str, Any]:
    responses = _answers(schema, media_type) | _refusals(*refused)
    return {"operationId": name, "summary": summary, "responses": responses}


def _named(name: str, summary: str, parameter: str, media_type: str) -> dict[str, Any]:
    asked = {"name": parameter, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    told = _read(name, summary, {}, media_type, (404, 405, 503))
    return told | {"parameters": [asked], "security": [{}]}


def _blob() -> dict[str, Any]:
    told = _read(
        "blob", "A wheel or a data resource that an answer pinned.", {}, _BYTES, (401, 403, 404, 405, 503)
    )
    part = {"description": _WHEN[206], "content": {_BYTES: {"schema": {}}}}
    # The library that serves files refuses a range in its own words.
    ranges = {str(status): {"description": _WHEN[status]} for status in (304, 400, 416)}
    return told | {"parameters": [_SHA256], "responses": told["responses"] | {"206": part} | ranges}


def _answers(schema: dict[str, Any], media_type: str) -> dict[str, Any]:
    return {"200": {"description": _WHEN[200], "content": {media_type: {"schema": schema}}}}


def _refusals(*statuses: int) -> dict[str, Any]:
    return {
        str(status): {
            "description": _WHEN[status],
            "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
        for status in statuses
    }


def _ref(record: type) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{record.__name__}"}
