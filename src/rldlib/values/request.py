"""What a user asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from rldlib.errors import UsageError

MAX_NAME_LENGTH = 64
MAX_REQUEST_LENGTH = 512

# A service name is a normalised distribution name (PEP 503), so that it can
# be a file name, an entry point and a part of a URL without any quoting.
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\Z")
_REQUEST = re.compile(
    r"\s*(?P<service>[A-Za-z0-9][A-Za-z0-9._-]*)\s*"
    r"(?:@\s*(?P<distribution>[A-Za-z0-9][A-Za-z0-9._-]*)\s*)?"
    r"(?P<specifier>[<>=!~(].*)?\Z",
    re.DOTALL,
)


def is_service_name(text: str) -> bool:
    """Whether ``text`` is a normalised service name of at most 64 characters."""
    return len(text) <= MAX_NAME_LENGTH and _NAME.match(text) is not None and "--" not in text


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRequest:
    """A service by name, with the versions that will do.

    Attributes:
        service: The normalised name of the service.
        specifier: The versions that will do (PEP 440); empty is any.
        distribution: The distribution that holds it on an index, where the
            user said so outright; None lets the source look by the name.
    """

    service: str
    specifier: SpecifierSet = field(default_factory=SpecifierSet)
    distribution: str | None = None

    def __post_init__(self) -> None:
        for name in (self.service, self.distribution):
            if name is not None and not is_service_name(name):
                raise UsageError(
                    f"{name!r} is no service name: letters, digits and single hyphens, "
                    f"at most {MAX_NAME_LENGTH} characters"
                )

    def __str__(self) -> str:
        at = f"@{self.distribution}" if self.distribution else ""
        return f"{self.service}{at}{self.specifier}"


def parse_request(text: str) -> ServiceRequest:
    """Read ``SERVICE[@DISTRIBUTION][SPECIFIER]``, for example ``sales-tax>=1.2``.

    Raises:
        UsageError: The name or the specifier is none.
    """
    if len(text) > MAX_REQUEST_LENGTH:
        raise UsageError(
            f"a request of {len(text)} characters is no service name; at most {MAX_REQUEST_LENGTH}"
        )
    match = _REQUEST.match(text)
    if match is None:
        raise UsageError(f"{text!r} is no request: write SERVICE, SERVICE>=1.2 or SERVICE@DISTRIBUTION")
    distribution = match["distribution"]
    try:
        specifier = SpecifierSet((match["specifier"] or "").strip())
    except InvalidSpecifier as exc:
        raise UsageError(
            f"{match['specifier']!r} is no version specifier: write for example >=1.2,<2"
        ) from exc
    return ServiceRequest(
        service=canonicalize_name(match["service"]),
        specifier=specifier,
        distribution=canonicalize_name(distribution) if distribution else None,
    )
