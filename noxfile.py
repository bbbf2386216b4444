"""What has to hold before a change is merged; without arguments, all that the continuous integration runs."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests", "faults", "e2e", "docs"]

ROOT = Path(__file__).parent
PYPROJECT = nox.project.load_toml("pyproject.toml")
OLDEST = (3, 11)
# Beyond the newest CPython that exists: names that are not there cost one look-up each.
NEWEST_TRIED = 20
# Not the name of a session: nox keeps that session's environment there.
COVERAGE = ROOT / ".nox" / ".measured"
PARALLEL = ("-n", "2")
QUICK = "not faults and not e2e and not network and not indexes and not backends_extra"

_PROBE = """
import sys
final = sys.version_info.releaselevel == "final" and "free-threading" not in sys.version
print(sys.implementation.name, *sys.version_info[:2], int(final))
"""


def _interpreters() -> dict[str, str]:
    """Every CPython from 3.11 that is installed and starts, as ``{"3.11": absolute path}``.

    A name on PATH proves nothing: version managers put shims there that fail. So each
    candidate is started, and the folders behind the shims are looked into as well.
    """
    found = {f"{sys.version_info.major}.{sys.version_info.minor}": sys.executable}
    for candidate in _candidates():
        version = _version(candidate)
        if version is not None and version >= OLDEST:
            found.setdefault(".".join(map(str, version)), candidate)
    return dict(sorted(found.items(), key=lambda item: int(item[0].partition(".")[2])))


def _candidates() -> list[str]:
    """Paths that look like a CPython of this machine."""
    names = [f"python3.{minor}" for minor in range(OLDEST[1], NEWEST_TRIED + 1)]
    folders = [Path(folder) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if folder]
    managers = [Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")]
    managers += [folder.parent for folder in folders if folder.name == "shims"]
    for manager in managers:
        with contextlib.suppress(OSError):
            folders += sorted((manager / "versions").glob("*/bin"), reverse=True)
    paths = (shutil.which(name, path=str(folder)) for folder in folders for name in names)
    return list(dict.fromkeys(path for path in paths if path))


def _version(python: str) -> tuple[int, int] | None:
    """The version of a final CPython that starts; None for anything else."""
    try:
        told = subprocess.run(
            [python, "-I", "-c", _PROBE], capture_output=True, text=True, timeout=30, check=True
        ).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return None
    if len(told) != 4 or told[0] != "cpython" or told[3] != "1":
        return None
    return int(told[1]), int(told[2])


INTERPRETERS = _interpreters()
ONE = INTERPRETERS[min(INTERPRETERS, key=lambda version: int(version.partition(".")[2]))]


def _install(session: nox.Session, *groups: str) -> None:
    """Install rldlib, editable, with all extras and what the groups name."""
    requirements = [one for group in groups for one in nox.project.dependency_groups(PYPROJECT, group)]
    session.install("-e", ".[all]", *requirements)


def _pytest(session: nox.Session, marked: str, *arguments: str, measured: bool = True) -> None:
    """Run pytest; what is measured is held against the floor by `coverage`, over all runs together."""
    environment = {}
    if measured:
        COVERAGE.mkdir(parents=True, exist_ok=True)
        environment = {"COVERAGE_FILE": str(COVERAGE / f".coverage.{session.name}")}
        arguments += ("--cov", "--cov-report=", "--cov-fail-under=0")
    session.run(
        *("pytest", *PARALLEL, "-m", marked, *arguments, *session.posargs),
        env=environment,
        # 5, nothing selected, is right where a part was asked for, and an error where all was.
        success_codes=[0, 5] if session.posargs else [0],
    )


@nox.session(python=ONE)
def lint(session: nox.Session) -> None:
    """Style of the code, and links and fragments of the documents."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("python", "tests/documents.py")


@nox.session(python=ONE)
def types(session: nox.Session) -> None:
    """Types of the source, of the plugins, and of this file."""
    _install(session, "types", "test")
    session.install("nox")
    session.run("mypy", "src", "noxfile.py", "benchmarks")
    for source in sorted([*(ROOT / "plugins").glob("*/src"), *(ROOT / "plugins").glob("*/catalogue")]):
        session.run("mypy", str(source.relative_to(ROOT)))


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """The quick tests on every CPython from 3.11 that is installed, then the floor of coverage."""
    shutil.rmtree(COVERAGE, ignore_errors=True)
    session.log(f"on CPython {', '.join(INTERPRETERS)}")
    for version in INTERPRETERS:
        session.notify(f"tests-{version}", posargs=session.posargs)
    if not session.posargs:
        session.notify("coverage")


def _tests_on(version: str, python: str) -> None:
    @nox.session(name=f"tests-{version}", python=python, default=False)
    def run(session: nox.Session) -> None:
        """The quick tests on one interpreter."""
        _install(session, "test")
        # The same lines run on each; measuring costs a third of the time.
        _pytest(session, QUICK, measured=python == ONE)


for _version_found, _python_found in INTERPRETERS.items():
    _tests_on(_version_found, _python_found)


@nox.session(python=ONE)
def faults(session: nox.Session) -> None:
    """One fault per stage of the main job, by name."""
    _install(session, "test")
    _pytest(session, "faults")


@nox.session(python=ONE)
def e2e(session: nox.Session) -> None:
    """The main job as a user runs it, and what needs the index that pip is configured for."""
    _install(session, "test")
    _pytest(session, "e2e or network")


@nox.session(python=ONE, default=False)
def indexes(session: nox.Session) -> None:
    """The main job against pypiserver and devpi, which are installed and started for it."""
    _install(session, "test", "indexes")
    # One process: the tests share one devpi.
    _pytest(session, "indexes", "-n", "0", "tests/indexes")


@nox.session(python=ONE, default=False)
def fuzz(session: nox.Session) -> None:
    """Fuzz every reader of foreign bytes by what it reaches; keeps what is new in tests/fuzz/corpus.

    Arguments: seconds of processor time for each target, then the targets; three minutes and all without.
    """
    _install(session, "test", "fuzz")
    session.run("python", "-m", "tests.fuzz", *(session.posargs or ["180"]))


@nox.session(python=ONE, default=False)
def popular(session: nox.Session) -> None:
    """The gate over the wheels of much-used projects; writes a page of the reference."""
    _install(session)
    session.run("python", "tests/popular.py", str(Path(session.virtualenv.location) / "wheels"))


@nox.session(python=ONE, default=False)
def backends(session: nox.Session) -> None:
    """Profiles through build backends that the other tests do not install."""
    _install(session, "test")
    _pytest(session, "backends_extra")


@nox.session(python=ONE, default=False)
def coverage(session: nox.Session) -> None:
    """One report over all that ran, held against the floor; run by `tests`, last."""
    session.install("coverage>=7.10.7")
    # Each run has put its processes' figures together; what is left was cut off where a test killed one.
    for torn in COVERAGE.glob(".coverage.*.pid*"):
        torn.unlink()
    environment = {"COVERAGE_FILE": str(COVERAGE / ".coverage")}
    session.run("coverage", "combine", "--quiet", str(COVERAGE), env=environment)
    session.run("coverage", "report", env=environment)


@nox.session(python=ONE)
def docs(session: nox.Session) -> None:
    """The documentation, each warning an error. Its examples run in the tests."""
    _install(session, "docs")
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-b", "html", "docs", "docs/_build/html")


@nox.session(python=ONE, default=False)
def bench(session: nox.Session) -> None:
    """Figures, each against its alternative in the same run; writes docs/reference/benchmarks.md."""
    _install(session, "test", "bench")
    session.run("python", "benchmarks", *session.posargs)


@nox.session(python=ONE, default=False)
def demo_wheel(session: nox.Session) -> None:
    """Build the wheel that `rld demo` uses from its project, and put it where the package carries it."""
    _install(session)
    session.run("rld", "build", "plugins/rld-sales-tax", "--out", "src/rldlib/cli/demo")
