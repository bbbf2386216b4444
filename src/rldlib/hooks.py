"""What rldlib asks of a service, and of a plugin of the host: the hook specifications, for pluggy.

A service has entry points in the group ``rldlib.services``, and its hooks are
`NAMES`. A plugin of the host has them in ``rldlib.plugins``, and its hooks are `HOST_NAMES`.

A plugin is an object with any of these: a module whose functions are marked
with `rldlib.plugin.hookimpl`, or an instance of a `rldlib.plugin.Service`.
An implementation takes the arguments it wants, by name. pluggy loads and
starts a service; it is never in the path of a call.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType
    from typing import Any

    from rldlib.plugin import Resources

PROJECT = "rldlib"
# Where a worker mounts pluggy, so that the service may have its own or none.
PRIVATE_PLUGGY = "rldlib._pluggy"


def start(resources: Resources) -> None:
    """Get ready to serve; called once, before anything else."""


def operations() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]  # a specification has no body
    """The operations by name; asked once, after `start`."""


def check() -> object:
    """Say whether the service is well: raise if it is not; what is returned goes to the host."""


def stop() -> None:
    """Let go of everything; called once, and not at all if the worker is killed."""


NAMES = ("start", "operations", "check", "stop")


def place(service: str, figures: Mapping[str, Any], proposed: str) -> str | None:
    """Say where the calls of a service go: ``local``, ``remote``, or None for no opinion.

    Asked of the host's plugins where there is something to choose: the caller
    wished for no place, and both can perform the service. It is asked when a
    choice is made, never for each call. The first that answers decides. One
    that raises, or answers anything else, is not heeded, and `why` says so.

    Args:
        service: The service's name.
        figures: What rldlib's own rule chose and reckoned with, as plain data: ``expected_remote_s``,
            ``expected_local_s``, ``acquire_s``, ``break_even_calls``, ``calls``, ``figures``, ``assumed``,
            ``reasons``. It is a copy.
        proposed: Where rldlib's own rule would send them.
    """


HOST_NAMES = ("place",)


def pluggy() -> ModuleType:
    """The worker's private pluggy; in any other process the installed one."""
    try:
        return import_module(PRIVATE_PLUGGY)
    except ModuleNotFoundError as exc:
        if exc.name != PRIVATE_PLUGGY:
            raise
        return import_module("pluggy")
