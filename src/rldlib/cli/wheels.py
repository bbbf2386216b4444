"""The commands about wheels: profile, stamp, build, check, index."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rldlib import defaults
from rldlib.cli.outcome import Outcome
from rldlib.cli.progress import progress
from rldlib.errors import IntegrityError, ProfileError, ServiceNotFoundError, UsageError, WheelRefusedError
from rldlib.values.document import parse_profile

if TYPE_CHECKING:
    import argparse

_MISSING_SERVER = "'rld index' needs the server extra: pip install 'rldlib[server]'"


def configure_profile(parser: argparse.ArgumentParser) -> None:
    """Options of `rld profile`."""
    parser.add_argument(
        "what", metavar="WHEEL|SERVICE", help="a wheel on disk, or a service of an index or directory"
    )


def run_profile(options: argparse.Namespace) -> Outcome:
    """The profile, exactly as it was stamped."""
    path = Path(options.what)
    if path.suffix == ".whl" or path.is_file():
        from rldlib.adapters.stamping import read_profile

        if not path.is_file():
            raise UsageError(f"there is no file {path}")
        data = read_profile(path)
        if data is None:
            raise ServiceNotFoundError(
                "any", path.name, "it carries no resource profile; 'rld stamp' puts one into it"
            )
        parse_profile(data, source=path.name)
    else:
        reporter = progress()
        with defaults.LocalDaemon(
            index_url=options.index_url, wheels=options.wheels, root=options.root, reporter=reporter
        ) as daemon:
            data = daemon.profile(options.what)
    return Outcome(document=data, text=data)


def configure_stamp(parser: argparse.ArgumentParser) -> None:
    """Options of `rld stamp`."""
    parser.add_argument("wheel", metavar="WHEEL", type=Path)
    parser.add_argument(
        "--profile", metavar="FILE", type=Path, required=True, help="the rldlib.json to put in"
    )


def run_stamp(options: argparse.Namespace) -> Outcome:
    """Put a profile into a wheel, in place."""
    from rldlib.adapters.stamping import stamp

    for path in (options.wheel, options.profile):
        if not path.is_file():
            raise UsageError(f"there is no file {path}")
    stamp(options.wheel, options.profile.read_bytes())
    profile = parse_profile(options.profile.read_bytes(), source=str(options.profile))
    document = {
        "wheel": str(options.wheel.absolute()),
        "service": profile.service,
        "version": profile.version,
    }
    return Outcome(
        document=document, text=f"{options.wheel} carries the profile of {profile.service} {profile.version}"
    )


def configure_build(parser: argparse.ArgumentParser) -> None:
    """Options of `rld build`."""
    parser.add_argument("project", metavar="DIR", type=Path)
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("dist"), help="where the wheel goes (dist)"
    )


def run_build(options: argparse.Namespace) -> Outcome:
    """Build a project and stamp its wheel."""
    from rldlib.adapters.building import build
    from rldlib.adapters.stamping import read_profile

    if not (options.project / "pyproject.toml").is_file():
        raise UsageError(f"there is no pyproject.toml in {options.project}")
    print(f"building {options.project}", file=sys.stderr)
    wheel = build(options.project, options.out)
    profile = parse_profile(read_profile(wheel) or b"", source=wheel.name)
    document = {"wheel": str(wheel.absolute()), "service": profile.service, "version": profile.version}
    return Outcome(document=document, text=str(wheel))


def configure_check(parser: argparse.ArgumentParser) -> None:
    """Options of `rld check`."""
    parser.add_argument("files", metavar="WHEEL", nargs="+", type=Path)


def run_check(options: argparse.Namespace) -> Outcome:
    """Run the gate on each wheel; 5 if any is refused."""
    rows: list[dict[str, Any]] = []
    lines: list[str] = []
    for path in options.files:
        faults = _faults(path, frozenset(options.allow))
        rows.append({"wheel": str(path), "accepted": not faults, "faults": faults})
        lines += [f"{path}: {'refused' if faults else 'accepted'}", *(f"  {fault}" for fault in faults)]
    refused = any(row["faults"] for row in rows)
    return Outcome(document=rows, text="\n".join(lines), status=IntegrityError.exit_status if refused else 0)


def _faults(path: Path, allow: frozenset[str]) -> list[str]:
    from rldlib.adapters.gate import inspect
    from rldlib.adapters.stamping import read_profile

    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    faults = [str(fault) for fault in inspect(path, allow=allow)]
    if faults:
        return faults
    try:
        data = read_profile(path)
        # A wheel without a profile is fine: most wheels are no service.
        if data is not None:
            parse_profile(data, source=path.name)
    except ProfileError as exc:
        return [f"profile: {issue}" for issue in exc.issues]
    except WheelRefusedError as exc:
        return list(exc.faults)
    return []


def configure_index(parser: argparse.ArgumentParser) -> None:
    """Options of `rld index`."""
    parser.add_argument("directory", metavar="DIR", type=Path)
    parser.add_argument("--host", default="127.0.0.1", help="the loopback address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="the port to listen on; 0 takes a free one (0)")


def run_index(options: argparse.Namespace) -> Outcome:
    """Serve a directory of wheels until interrupted; says where on the first line."""
    try:
        from rldlib.server.index import serve_index
    except ImportError as exc:
        raise UsageError(_MISSING_SERVER) from exc
    if not options.directory.is_dir():
        raise UsageError(f"there is no folder {options.directory}")

    def ready(url: str, pid: int) -> None:
        document = {"url": url, "pid": pid}
        Outcome(document=document, text=f"serving {options.directory} at {url}").write(as_json=options.json)

    serve_index(options.directory, host=options.host, port=options.port, on_ready=ready)
    return Outcome(document=b"", text="")
