"""Runs the gate over the wheels of much-used projects and writes what it said of each into the docs.

``nox -s popular`` downloads the newest wheel of each project that suits the
interpreter (some 250 MB, kept in the session's folder), from wherever pip is
configured to look; runs ``rld check`` over all of them, and over each refused
one again with exactly the exceptions that let it pass.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from zipfile import ZipFile

from rldlib.adapters.gate import inspect
from rldlib.rules.gate import EXCUSABLE

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "popular-wheels.md"
MAX_BYTES = 400_000_000
_BATCH = 12
_RUNS = 3
_MB = 1_000_000
# Much-downloaded projects, and what they bring along.
_NAMES = """
aiohappyeyeballs aiohttp aiosignal annotated-types anyio attrs beautifulsoup4 black blinker boto3 botocore
cachetools certifi cffi charset-normalizer click colorama contourpy coverage cryptography cycler decorator distlib
docutils et-xmlfile exceptiongroup fastapi filelock flask fonttools frozenlist fsspec google-api-core google-auth
googleapis-common-protos greenlet grpcio h11 httpcore httpx idna importlib-metadata iniconfig isort itsdangerous
jinja2 jmespath joblib jsonschema jsonschema-specifications kiwisolver lxml markdown-it-py markupsafe matplotlib
mdurl more-itertools msgpack multidict mypy-extensions networkx numpy oauthlib openpyxl packaging pandas pillow pip
platformdirs pluggy propcache protobuf psutil pyarrow pyasn1 pyasn1-modules pycparser pydantic pydantic-core
pygments pyjwt pyopenssl pyparsing pytest python-dateutil python-dotenv pytz pyyaml referencing regex requests
requests-oauthlib rich rpds-py rsa ruff s3transfer scikit-learn scipy setuptools six sniffio soupsieve sqlalchemy
starlette tabulate threadpoolctl tomli tqdm typing-extensions typing-inspection tzdata urllib3 uvicorn virtualenv
websocket-client werkzeug wheel wrapt yarl zipp
"""
PROJECTS = _NAMES.split()
# What a refusal is about, for those who wonder whether to allow it.
_MEANING = {
    "pth-file": "a `.pth` in site-packages runs at every start of the interpreter, in whatever service",
    "script-name": "a script of that name replaces a command of the environment itself",
}


@dataclass(frozen=True)
class Checked:
    """One wheel and what `rld check` said of it."""

    wheel: Path
    sha256: str
    faults: tuple[str, ...]

    @property
    def exceptions(self) -> list[str]:
        """What lets it pass; empty where nothing can."""
        kinds = dict.fromkeys(fault.partition(":")[0] for fault in self.faults)
        return [f"{self.sha256}:{kind}" for kind in kinds] if EXCUSABLE.issuperset(kinds) else []

    @property
    def name(self) -> str:
        return "-".join(self.wheel.name.split("-")[:2])


def download(folder: Path) -> list[Path]:
    """One wheel of each project; what is there already is not fetched again."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
    ]
    for start in range(0, len(PROJECTS), _BATCH):
        subprocess.run([*command, str(folder), *PROJECTS[start : start + _BATCH]], check=True)
    wheels = sorted(folder.glob("*.whl"))
    size = sum(wheel.stat().st_size for wheel in wheels)
    if size > MAX_BYTES:
        sys.exit(f"{size:,} bytes were downloaded; the list is meant to stay below {MAX_BYTES:,}")
    return wheels


def check(wheels: list[Path], allow: list[str] | None = None) -> list[Checked]:
    """What the command says; it says 5 where one is refused, and nothing else but 0."""
    options = [part for one in allow or () for part in ("--allow", one)]
    done = subprocess.run(
        [sys.executable, "-m", "rldlib", "check", "--json", *options, *map(str, wheels)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in {0, 5}:
        sys.exit(done.stderr)
    rows = json.loads(done.stdout)
    digests = [hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels]
    found = [
        Checked(wheel, digest, tuple(row["faults"]))
        for wheel, digest, row in zip(wheels, digests, rows, strict=True)
    ]
    if (done.returncode == 5) != any(one.faults for one in found):
        sys.exit(f"exit status {done.returncode} is not what the rows say")
    return found


def pace(wheels: list[Path]) -> list[float]:
    """Seconds that the gate takes for all of them, run by run, files in memory."""
    runs = []
    for _ in range(_RUNS):
        began = time.perf_counter()
        for wheel in wheels:
            inspect(wheel)
        runs.append(time.perf_counter() - began)
    return runs


def page(checked: list[Checked], seconds: list[float]) -> str:
    """The document, whole."""
    refused = [one for one in checked if one.faults]
    packed = sum(one.wheel.stat().st_size for one in checked)
    unpacked = sum(entry.file_size for one in checked for entry in ZipFile(one.wheel).infolist())
    took = median(seconds)
    host = f"CPython {platform.python_version()} on {platform.system()} {platform.machine()}"
    spread = f"{packed / max(seconds) / _MB:,.0f} to {packed / min(seconds) / _MB:,.0f}"
    lines = [
        "# Popular wheels and the gate",
        "",
        f"Written by `nox -s popular` on {datetime.now(UTC):%Y-%m-%d}, with {host}, {os.cpu_count()} processors:",
        f"the newest wheels of {len(checked)} much-downloaded projects, each through `rld check`.",
        "",
        "| | |",
        "|---|---|",
        f"| passed | {len(checked) - len(refused)} of {len(checked)} |",
        f"| refused | {len(refused)} |",
        f"| bytes | {packed / _MB:,.1f} MB as downloaded, {unpacked / _MB:,.1f} MB unpacked |",
        f"| pace over the bytes as downloaded | {packed / took / _MB:,.0f} MB/s ({spread}) |",
        f"| pace over the bytes unpacked | {unpacked / took / _MB:,.0f} MB/s |",
        "",
        f"The pace is that of the gate over all files, one after another, read before: the median of {len(seconds)}",
        "runs, in brackets the slowest and the fastest. Whatever else the machine does slows it.",
        "",
        "## Refused",
        "",
        "By design: each does something on purpose that reaches beyond its own package. A host allows it for one",
        "exact file; the exception holds for no other file and for no other kind.",
        "",
    ]
    for one in refused:
        lines += [f"### {one.name}", ""]
        lines += [f"- `{fault}`" for fault in one.faults]
        lines += [
            f"- {kind}: {text}"
            for kind, text in _MEANING.items()
            if any(f.startswith(kind) for f in one.faults)
        ]
        lines += ["", "```text", *(f"--allow {text}" for text in one.exceptions or ["(nothing)"]), "```", ""]
    lines += ["## All", "", "| wheel | kB | |", "|---|--:|---|"]
    lines += [
        f"| {one.name} | {one.wheel.stat().st_size / 1000:,.0f} | {'refused' if one.faults else 'passed'} |"
        for one in checked
    ]
    return "\n".join(lines) + "\n"


def main(folder: Path) -> int:
    """Exit status 1 where something was refused that no exception lets pass."""
    wheels = download(folder)
    checked = check(wheels)
    seconds = pace(wheels)
    status = 0
    for one in checked:
        if not one.faults:
            continue
        print(f"{one.wheel.name}: {'; '.join(one.faults)}")
        again = check(wheels, one.exceptions)
        let_in = [row.name for row, was in zip(again, checked, strict=True) if was.faults and not row.faults]
        print(f"  with {len(one.exceptions)} exceptions: {', '.join(let_in) or 'still refused'}")
        if let_in != [one.name]:
            status = 1
    PAGE.write_text(page(checked, seconds), encoding="utf-8")
    packed = sum(wheel.stat().st_size for wheel in wheels)
    passed = sum(not one.faults for one in checked)
    print(
        f"{passed} of {len(checked)} passed; {packed / median(seconds) / _MB:.0f} MB/s over {packed / _MB:.0f} MB"
    )
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
