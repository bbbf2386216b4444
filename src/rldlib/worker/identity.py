"""What a process is by its start: taken over, by a forked worker, from the environment it is to run in.

``ENV/bin/python -I main.py 3`` costs an interpreter's start and every import of
a worker. A process that was forked from one that has all of that becomes the
same without it, where the interpreter is the very same file, started the very
same way: then what differs is named here, and set. Wherever anything else
would differ, the program is executed.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from io import TextIOWrapper
    from typing import Any

_MAIN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "main.py")
_CHANNEL = "3"
# What an interpreter reads of its environment variables while it starts, and never again.
_READ_AT_START = ("LANG", "LC_", "TZ")
# What a module remembers of the environment in which it was imported.
_REMEMBERING = ("site", "sitecustomize", "usercustomize", "sysconfig")
# From here on the interpreter itself sets the prefix, before `site` is imported.
_PREFIX_BEFORE_SITE = (3, 14)


class Identity:
    """What this process is, as its interpreter has started it. Made early, before anything is changed."""

    def __init__(self) -> None:
        self._inside = sys.prefix + os.sep
        self._path = [entry for entry in sys.path if not entry.startswith(self._inside)]
        self._executable = sys.executable
        # What a process does while it waits for its order; None before it is imported.
        self.rehearse: Callable[[], None] | None = None
        self._main: Any = None
        self._file = os.path.realpath(sys.executable)
        self._home = _home(sys.prefix)
        self._is_alike = not sys.flags.no_site and sys.prefix != sys.base_prefix and self._home is not None
        self._variables = _at_start(_initial_environment())
        # The interpreter sets a locale where none, or an unusable one, is named.
        self._coerced = {
            name: value for name, value in _at_start(os.environ).items() if name not in self._variables
        }

    def fits(self, argv: list[str], env: dict[str, str]) -> bool:
        """Whether a fork of this process can become what executing this would make.

        Only a process that was itself started with ``-I`` alone, in a virtualenv, is alike: without its
        `site`, say, it would hand that on to every interpreter that a service starts.
        """
        if not self._is_alike:
            return False
        if len(argv) != 4 or argv[1:] != ["-I", _MAIN, _CHANNEL]:
            return False
        return self._same_interpreter(argv[0]) and _at_start(env) == self._variables

    def _same_interpreter(self, python: str) -> bool:
        folder, name = os.path.split(python)
        try:
            # The file that runs, and not what an upgrade has put there since.
            same_file = os.path.samestat(os.stat(python), os.stat("/proc/self/exe"))
        except OSError:
            return False
        return (
            same_file
            and name == os.path.basename(self._executable)
            and os.path.realpath(python) == self._file
            and _home(os.path.dirname(folder)) == self._home
        )

    def prepare(self) -> None:
        """Do ahead what `become` can do without knowing what for; a program may still be executed instead."""
        if not self._is_alike or self.rehearse is None:
            return
        import site

        # Both for the pages of memory that they write to; what `site` has set here is set again.
        self.rehearse()
        site.main()
        self._undo()

    def _undo(self) -> None:
        """Be what an interpreter is before it runs `site`."""
        sys.path[:] = self._path
        for entry in [entry for entry in sys.path_importer_cache if entry.startswith(self._inside)]:
            del sys.path_importer_cache[entry]
        for name in ("stdout", "stderr"):
            opened = _opened_anew(getattr(sys, name), f"<{name}>")
            sys.__dict__[name] = sys.__dict__[f"__{name}__"] = opened
        _own_thread()
        self._main = _fresh_main(_MAIN)
        for name in _REMEMBERING:
            sys.modules.pop(name, None)

    def become(self, argv: list[str], env: dict[str, str]) -> None:
        """Do what executing this would have done, from here to the end of the program."""
        if self._main is None:
            self._undo()
        os.environ.clear()
        os.environ.update(env | self._coerced)
        # As an interpreter has them when it has started; all others are at their defaults.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        sys.argv = argv[2:]
        sys.orig_argv = list(argv)
        if getattr(sys, "_base_executable", None) == sys.executable:  # as before 3.11
            sys.__dict__["_base_executable"] = argv[0]
        sys.executable = argv[0]
        new = sys.version_info >= _PREFIX_BEFORE_SITE
        sys.prefix = sys.exec_prefix = os.path.dirname(os.path.dirname(argv[0])) if new else sys.base_prefix
        # Imported is run: it finds pyvenv.cfg, sets the prefix, and adds site-packages and its .pth files.
        import site  # noqa: F401 - see above

        self._main.__loader__.exec_module(self._main)


def _home(prefix: str) -> str | None:
    """Where a virtualenv says that its interpreter comes from; None where there is no virtualenv.

    It is all that the interpreter itself reads there; the rest is read by `site`, which is run again.
    """
    try:
        with open(os.path.join(prefix, "pyvenv.cfg"), encoding="utf-8") as file:
            pairs = [line.partition("=") for line in file]
    except (OSError, UnicodeDecodeError):
        return None
    return next((value.strip() for key, _, value in pairs if key.strip().lower() == "home"), None)


def _initial_environment() -> dict[str, str]:
    with open("/proc/self/environ", "rb") as file:
        entries = os.fsdecode(file.read()).split("\0")
    return {name: value for name, _, value in (entry.partition("=") for entry in entries if entry)}


def _at_start(env: Any) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(_READ_AT_START)}


def _opened_anew(stream: Any, name: str) -> TextIOWrapper:
    """The stream of the same descriptor: whether it is a pipe is asked once, when it is opened."""
    from io import TextIOWrapper

    stream.flush()
    binary: Any = open(stream.fileno(), "wb", closefd=False)  # noqa: SIM115 - it stays open as long as the process
    binary.raw.name = name
    opened: Any = TextIOWrapper(
        binary, stream.encoding, stream.errors, newline="\n", line_buffering=stream.line_buffering
    )
    opened.mode = "w"
    return opened  # type: ignore[no-any-return]  # it is one; its `mode` is set as the interpreter sets it


def _own_thread() -> None:
    """A fork keeps its parent's number for the thread in some versions."""
    import threading

    renew = getattr(threading.main_thread(), "_set_native_id", None)
    if renew is not None:
        renew()


def _fresh_main(path: str) -> Any:
    """A new ``__main__``, as a script finds it; not run yet."""
    import builtins
    from importlib.machinery import SourceFileLoader

    main = type(sys)("__main__")
    sys.modules["__main__"] = main
    main.__dict__.update(
        __annotations__={},
        __builtins__=builtins,
        __cached__=None,
        __file__=path,
        __loader__=SourceFileLoader("__main__", path),
    )
    return main
