"""Resolves by asking pip: slower, and for what is resolved nowhere else."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name
from packaging.version import Version

from rldlib.adapters.pinning import locked
from rldlib.errors import SourceUnavailableError, UnsatisfiableError
from rldlib.reporter import Reporter
from rldlib.values.metadata import parse_metadata
from rldlib.values.policy import Policy
from rldlib.values.wanted import PROVIDED
from rldlib.values.wheel import read_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rldlib.ports import Source
    from rldlib.values.interpreter import Interpreter
    from rldlib.values.lock import Lock
    from rldlib.values.wheel import WheelFile

_DEADLINE_S = 600
_TOLD_LINES = 8
# What pip may know of this host: where things are, how to get out, whom to trust.
_ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "NETRC",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
)
# How pip says that there is no answer, rather than that something broke.
_UNSATISFIABLE = (
    "No matching distribution",
    "ResolutionImpossible",
    "conflicting dependencies",
    "requires a different Python",
)


class PipResolving:
    """See `rldlib.ports.Resolver`. pip reads one source, and nothing of the user's configuration."""

    def __init__(self, policy: Policy | None = None, reporter: Reporter | None = None) -> None:
        self._policy = policy or Policy()
        self._reporter = reporter or Reporter()

    def lock(self, service: str, carrier: WheelFile, interpreter: Interpreter, source: Source) -> Lock:
        """See `Resolver.lock`."""
        self._reporter.noted(service, f"pip resolves for {interpreter}")
        with tempfile.TemporaryDirectory(prefix="rldlib-pip-") as folder:
            provided = _provided_wheel(Path(folder), _provided_version(carrier, source))
            report = self._report(service, carrier, interpreter, source, provided)
        wheels = [_offered(service, item, source) for item in report if _name(item) != PROVIDED]
        # pip was asked for its version; the very file was decided before.
        wheels = [carrier if wheel.name == carrier.name else wheel for wheel in wheels]
        return locked(service, carrier, wheels, interpreter, source, threads=self._policy.downloads)

    def _report(
        self, service: str, carrier: WheelFile, interpreter: Interpreter, source: Source, provided: Path
    ) -> list[dict[str, Any]]:
        root = f"{carrier.name}=={carrier.version}"
        argv = [*_PIP, "--python", interpreter.executable, "install", *_OPTIONS]
        argv += ["--pre"] if self._policy.prereleases else []
        argv += [*_from(source), root, f"{PROVIDED} @ {provided.as_uri()}"]
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        environment |= {"PIP_CONFIG_FILE": os.devnull, **_netrc(source, provided.parent)}
        try:
            done = subprocess.run(
                argv,
                env=environment,
                cwd=provided.parent,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=_DEADLINE_S,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise SourceUnavailableError(
                source.identity, f"pip gave no answer within {_DEADLINE_S} s"
            ) from exc
        if done.returncode:
            raise _refusal(service, source, done.stderr.decode("utf-8", "replace"))
        try:
            report: list[dict[str, Any]] = json.loads(done.stdout)["install"]
        except (ValueError, KeyError, TypeError) as exc:
            raise SourceUnavailableError(source.identity, "pip's report cannot be read") from exc
        return report


_PIP = (sys.executable, "-I", "-m", "pip")
_OPTIONS = (
    "--dry-run",
    "--ignore-installed",
    # Without it, resolving runs the code of strangers.
    "--only-binary=:all:",
    "--isolated",
    "--no-input",
    "--no-cache-dir",
    "--disable-pip-version-check",
    "--quiet",
    "--report=-",
)


def _from(source: Source) -> list[str]:
    if source.identity.startswith(("http://", "https://")):
        return ["--index-url", source.identity]
    return ["--no-index", "--find-links", Path(source.identity).as_uri()]


def _netrc(source: Source, folder: Path) -> Mapping[str, str]:
    """Credentials go by a file of our own: arguments can be read by every user of the host."""
    credentials: tuple[str, str] | None = getattr(source, "credentials", None)
    if credentials is None:
        return {}
    path = folder / "netrc"
    path.touch(mode=0o600)
    user, password = credentials
    host = urlsplit(source.identity).hostname
    path.write_text(f"machine {host} login {_quoted(user)} password {_quoted(password)}\n", encoding="utf-8")
    return {"NETRC": str(path)}


def _quoted(text: str) -> str:
    """As a token of a netrc: spaces, quotes, hashes and nothing at all are taken as they are."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _refusal(service: str, source: Source, told: str) -> Exception:
    lines = [line.removeprefix("ERROR:").strip() for line in told.splitlines() if line.strip()]
    if any(mark in told for mark in _UNSATISFIABLE):
        return UnsatisfiableError(service, [*lines[:_TOLD_LINES]])
    return SourceUnavailableError(source.identity, f"pip: {'; '.join(lines[-_TOLD_LINES:]) or 'no word'}")


def _name(item: Mapping[str, Any]) -> str:
    return canonicalize_name(str(item["metadata"]["name"]))


def _offered(service: str, item: Mapping[str, Any], source: Source) -> WheelFile:
    """The source's own word on a file that pip chose; what the source does not offer is refused."""
    filename = unquote(urlsplit(str(item["download_info"]["url"])).path.rpartition("/")[2])
    try:
        name = read_name(filename)[0]
    except InvalidWheelFilename:
        name = canonicalize_name(_name(item))
    found = [wheel for wheel in source.project(name) or () if wheel.filename == filename]
    if item.get("is_direct") or not found:
        raise UnsatisfiableError(
            service, [f"{filename} comes from an address of its own, not from {source.identity}"]
        )
    return found[0]


# --- what is provided -----------------------------------------------------------------


def _provided_version(carrier: WheelFile, source: Source) -> Version:
    """A version of what is provided that suits the carrier, whatever it asks for."""
    from importlib.metadata import version

    specifier = SpecifierSet()
    for requirement in parse_metadata(source.metadata(carrier)).requires:
        if canonicalize_name(requirement.name) == PROVIDED:
            specifier &= requirement.specifier
    own = Version(version(PROVIDED))
    named = [Version(part.version.removesuffix(".*")) for part in specifier]
    above = [Version(f"{one.major + 1}.0") for one in named]
    return next((one for one in (own, *named, *above) if specifier.contains(one, prereleases=True)), own)


def _provided_wheel(folder: Path, version: Version) -> Path:
    """A wheel without content that stands for what is provided, so that pip finds it."""
    info = f"{PROVIDED}-{version}.dist-info"
    members = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {PROVIDED}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: rldlib\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{name},sha256={_record_hash(text)},{len(text)}" for name, text in members.items()]
    members[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,\n"])
    path = folder / f"{PROVIDED}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in members.items():
            wheel.writestr(name, text)
    return path


def _record_hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
