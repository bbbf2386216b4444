"""The direction of imports, the size of modules, and what `import rldlib` costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rldlib

PACKAGE = Path(__file__).parent.parent / "src" / "rldlib"
MODULES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 320
# Longer, each with its reason.
LONG = {
    "errors.py": "one list of every error a caller can see; most of it is documentation",
    "ports.py": "every port of a daemon; nothing but signatures and what they promise",
}

# What a daemon may know of: everything that does not touch the outside world.
_INSIDE = {"values", "rules", "ports", "errors", "reporter"}
_DAEMON = {
    "journey",
    "later",
    "outside",
    "running",
    "offers",
    "preparation",
    "cohabitation",
    "handle",
    "supervisor",
    "daemon",
    "acknowledging",
    "performing",
    "remote",
    "responding",
    "answers",
    "listing",
    "pinned",
}

# A room is a folder of the package, or a module beside them. Each row: who may be imported from it.
MAY_IMPORT = {
    "errors": set(),
    "reporter": set(),
    "hooks": set(),
    "plugin": {"hooks", "errors"},
    "wire": {"errors"},
    "worker": {"wire", "hooks", "plugin", "errors"},
    "values": {"errors"},
    "rules": {"values", "errors"},
    "ports": {"values", "errors"},
    "journey": _INSIDE | {"outside"},
    "later": _INSIDE,
    "outside": _INSIDE,
    "offers": _INSIDE | {"journey", "outside"},
    "acknowledging": _INSIDE | {"journey", "outside", "offers"},
    "preparation": _INSIDE | {"journey", "outside", "offers", "acknowledging"},
    "cohabitation": _INSIDE | {"journey", "outside", "preparation"},
    "handle": _INSIDE | {"wire"},
    "supervisor": _INSIDE | {"handle", "later"},
    "running": _INSIDE | {"journey", "preparation", "supervisor"},
    "daemon": _INSIDE | _DAEMON,
    "answers": _INSIDE,
    "listing": _INSIDE,
    "pinned": _INSIDE | {"outside"},
    "responding": _INSIDE | {"outside", "offers", "answers", "listing", "pinned", "performing"},
    "remote": _INSIDE | {"handle", "journey", "outside"},
    "performing": _INSIDE | {"handle", "daemon"},
    "adapters": _INSIDE | {"wire"},
    "defaults": _INSIDE | _DAEMON | {"adapters"},
    "testing": _INSIDE | {"plugin", "wire", "adapters", "daemon", "defaults"},
    "server": _INSIDE | _DAEMON | {"adapters", "defaults"},
    "__main__": {"cli"},
    "cli": _INSIDE | _DAEMON | {"adapters", "defaults", "server"},
}
# Names that only type checkers read, beyond the rows above.
MAY_NAME = {
    "errors": {"values"},
    "hooks": {"plugin"},
}
# Single modules that may import more, each with its reason.
MAY_ALSO_IMPORT = {
    "server/responder/languages.py": ({"wire"}, "reads and writes calls in the wire's own encoding"),
    "adapters/host_plugins.py": ({"hooks"}, "what a plugin of the host may implement is said there"),
    "adapters/spawner.py": ({"worker"}, "starts that program: where it lies, and what it is given"),
    "adapters/spawner_process.py": ({"worker"}, "starts that program, and speaks its words"),
    "adapters/inprocess/performing.py": (
        {"worker", "plugin"},
        "performs a service as a worker does: loading, binding and calls are the same code, stdlib only",
    ),
}
# Adapters never import each other, but for these, which own no dependency or serve one room.
SHARED_ADAPTERS = {
    "files": "atomic writes and locks of files: the standard library's, owned by nobody else",
    "host_directory": "where facts of the host lie: a path, not a dependency",
}
# One adapter in several modules. A folder is one adapter by itself.
FAMILIES = (
    {
        "http",
        "http_download",
        "http_exchange",
        "http_faults",
        "http_reading",
        "http_retrying",
        "http_sockets",
    },
    {"index", "index_files", "http", "http_reading"},  # an index is what its client reads
    {"resolving", "resolution", "prefetching", "pinning", "pip_resolving"},
    {"stamping", "repacking", "building"},
    {"inprocess", "calls", "stream", "io_loop"},  # whoever waits for a call waits alike in both modes
    {"peer", "calls", "http", "http_exchange"},  # and alike where a responder performs it
    {
        *("spawner", "spawner_process", "worker", "liveness"),
        *(
            "channel",
            "listener",
            "calls",
            "stream",
            "line",
            "turns",
            "incoming",
            "outgoing",
            "io_loop",
            "watch",
        ),
        "memory",
    },
)
# Lives in the worker and needs nothing but the standard library (pluggy is mounted for hooks alone).
WORKER_SIDE = ("errors", "hooks", "plugin", "wire", "worker")
NEVER = {"pickle", "marshal", "shelve", "cPickle", "dill", "cloudpickle"}
# Modules that use one of these all the same, each with its reason.
BUT = {"worker/compiling.py": ({"marshal"}, "writes bytecode of sources that it has verified; reads none")}
PUBLIC = {
    "ArgumentsError",
    "CallTimeoutError",
    "CapacityError",
    "Handle",
    "InProcessRefusedError",
    "IntegrityError",
    "InterpreterNotFoundError",
    "LocalDaemon",
    "MismatchError",
    "NoCommonProtocolError",
    "NoSupportError",
    "OperationNotFoundError",
    "OverloadedError",
    "OversizeError",
    "Policy",
    "ProfileError",
    "Reporter",
    "ResourceProfile",
    "ResourceUnavailableError",
    "ResponderSilentError",
    "RldlibError",
    "ServiceFaultError",
    "ServiceNotFoundError",
    "SigningKeyMissingError",
    "SourceUnavailableError",
    "StorageError",
    "TrustError",
    "TrustExpiredError",
    "UnavailableError",
    "UnsatisfiableError",
    "UsageError",
    "WheelRefusedError",
    "WorkerError",
    "WorkerLostError",
    "WorkerStartError",
}
HEAVY = (
    "requests",
    "virtualenv",
    "psutil",
    "msgspec",
    "resolvelib",
    "pip",
    "installer",
    "archspec",
    "rich",
    "asyncio",
    "tuf",
    "cryptography",
)


def room(module: Path) -> str:
    """The room a file of the package belongs to."""
    first = module.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(module: Path, *, typing_only: bool = False) -> set[str]:
    """The absolute names that a module imports; those of `if TYPE_CHECKING` only on request."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    typed = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    found = set()
    for node in ast.walk(tree):
        if (id(node) in typed) != typing_only:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.update(_targets(module, node))
    return found


def _targets(module: Path, node: ast.ImportFrom) -> set[str]:
    package = ["rldlib", *module.relative_to(PACKAGE).parts[:-1]]
    base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
    name = ".".join(filter(None, (base, node.module)))
    # `from rldlib.values import profile` names a module, `from rldlib.errors import UsageError` does not.
    return {f"{name}.{alias.name}" if _is_package(name) else name for alias in node.names}


def _is_package(name: str) -> bool:
    return f"{name}.".startswith("rldlib.") and (PACKAGE.parent / Path(*name.split("."))).is_dir()


def _own(names: set[str]) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith("rldlib.")} & set(MAY_IMPORT)


def _label(module: Path) -> str:
    return str(module.relative_to(PACKAGE))


@pytest.mark.parametrize(
    "module",
    [module for module in MODULES if module.parent != PACKAGE or module.stem != "__init__"],
    ids=_label,
)
def test_imports_run_one_way(module):
    here = room(module)
    assert here in MAY_IMPORT, f"{here} is a new room: give it a row in MAY_IMPORT, or another place"
    allowed = {here} | MAY_IMPORT[here] | MAY_ALSO_IMPORT.get(_label(module), (set(), ""))[0]
    at_run_time = _own(imports(module)) - allowed
    for_types = _own(imports(module, typing_only=True)) - allowed - MAY_NAME.get(here, set())
    assert not at_run_time, f"{_label(module)} may not import {sorted(at_run_time)}"
    assert not for_types, f"{_label(module)} may not name types of {sorted(for_types)}"


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) == "adapters"], ids=_label)
def test_adapters_do_not_import_each_other(module):
    here = module.relative_to(PACKAGE / "adapters").parts[0].removesuffix(".py")
    names = {name for name in imports(module) if name.startswith("rldlib.adapters.")}
    family = set().union(*(family for family in FAMILIES if here in family))
    assert not {name.split(".")[2] for name in names} - {here} - set(SHARED_ADAPTERS) - family


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) in WORKER_SIDE], ids=_label)
def test_what_runs_in_a_worker_needs_the_standard_library_only(module):
    foreign = {name.split(".")[0] for name in imports(module)} - set(sys.stdlib_module_names) - {"rldlib"}
    allowed = {"pluggy"} if room(module) in {"hooks", "plugin", "worker"} else set()
    # numpy is there where the value is one of its arrays, and only then.
    allowed |= {"numpy"} if room(module) in {"wire", "worker"} else set()
    assert not foreign - allowed


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) in WORKER_SIDE], ids=_label)
def test_what_runs_in_a_worker_is_written_for_python_3_10(module):
    ast.parse(module.read_text(encoding="utf-8"), feature_version=(3, 10))


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) == "rules"], ids=_label)
def test_rules_do_not_touch_the_outside_world(module):
    reached = {name.split(".")[0] for name in imports(module)}
    assert not reached & {
        "os",
        "time",
        "subprocess",
        "requests",
        "psutil",
        "random",
        "socket",
        "threading",
        "shutil",
    }


@pytest.mark.parametrize("module", MODULES, ids=_label)
def test_modules_stay_short(module):
    if _label(module) not in LONG:
        assert len(module.read_text(encoding="utf-8").splitlines()) <= MAX_LINES, (
            "split it, or give the reason in LONG"
        )


@pytest.mark.parametrize("module", MODULES, ids=_label)
def test_modules_are_nouns_of_the_domain(module):
    assert module.stem not in {"utils", "util", "helpers", "helper", "common", "core", "misc", "tools"}


@pytest.mark.parametrize("module", MODULES, ids=_label)
def test_nothing_is_pickled_and_no_shell_is_used(module):
    assert not {name.split(".")[0] for name in imports(module)} & NEVER - BUT.get(_label(module), (set(),))[0]
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "shell":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"os.system", "os.popen", "eval", "exec"}:
            pytest.fail(f"{_label(module)}:{node.lineno} calls {ast.unparse(node.func)}")


@pytest.mark.parametrize("module", MODULES, ids=_label)
def test_annotations_are_not_evaluated_at_import(module):
    source = module.read_text(encoding="utf-8")
    if any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in ast.parse(source).body):
        assert "from __future__ import annotations" in source


def test_importing_rldlib_imports_nothing_heavy():
    code = f"import sys, rldlib; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    told = subprocess.run(
        [sys.executable, "-Ic", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout.split() == []


def test_the_public_names_are_these():
    """Adding one is a decision; taking one away breaks callers."""
    assert set(rldlib.__all__) == PUBLIC
    assert list(rldlib.__all__) == sorted(rldlib.__all__)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_can_be_imported_and_says_what_it_is(name):
    assert getattr(rldlib, name).__doc__


def test_an_unknown_name_is_told():
    with pytest.raises(AttributeError, match="no_such_name"):
        rldlib.no_such_name  # noqa: B018 - the look-up is what is tested
