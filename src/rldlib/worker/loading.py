"""Loading: from the environment's own entry points to a registered service."""

from __future__ import annotations

import os
import re
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location

from rldlib import hooks, plugin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_GROUP = "rldlib.services"
_OBJECT = re.compile(r"(?P<module>[\w.]+)\s*(:\s*(?P<attributes>[\w.]+)\s*)?(\[.*\]\s*)?\Z")


class LoadError(Exception):
    """The environment does not hold the service it should; nothing of it was started."""


def mount_pluggy(folder: str) -> None:
    """Mount pluggy from `folder` under its private name: ``pluggy`` stays the service's.

    Raises:
        LoadError: It is not there.
    """
    if hooks.PRIVATE_PLUGGY in sys.modules:
        return
    spec = spec_from_file_location(
        hooks.PRIVATE_PLUGGY, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    if spec is None or spec.loader is None or not os.path.isfile(os.path.join(folder, "__init__.py")):
        raise LoadError(f"there is no pluggy in {folder}")
    module = module_from_spec(spec)
    sys.modules[hooks.PRIVATE_PLUGGY] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[hooks.PRIVATE_PLUGGY]
        raise


def entry_point(service: str, distribution: str, folders: list[str]) -> str:
    """What the distribution's entry point for the service names, as ``module:object``.

    Args:
        service: The name of the entry point.
        distribution: The one distribution that is looked at.
        folders: Where its .dist-info may be.

    Raises:
        LoadError: There is no such distribution or entry point.
    """
    for folder in folders:
        for entry in _listing(folder):
            stem, _, extension = entry.rpartition(".")
            if extension == "dist-info" and _normal(stem.partition("-")[0]) == _normal(distribution):
                return _read(os.path.join(folder, entry, "entry_points.txt"), service, distribution)
    raise LoadError(f"the environment has no distribution {distribution}")


def _listing(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # a path entry that is a zip, or is not there
        return []


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _read(path: str, service: str, distribution: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        lines = []
    group, names = "", []
    for line in map(str.strip, lines):
        if line.startswith("["):
            group = line.strip("[]").strip()
        elif group == _GROUP and "=" in line and not line.startswith(("#", ";")):
            name, _, target = line.partition("=")
            names.append(name.strip())
            if _normal(name.strip()) == _normal(service):
                return target.strip()
    raise LoadError(
        f"{distribution} has no entry point {service} in the group {_GROUP}; it has {', '.join(names) or 'none'}"
    )


def load(target: str) -> Any:
    """The plugin that ``module:object`` names; a class of a service is made an instance.

    Raises:
        LoadError: It names nothing. What the service's own code raises comes out as it is.
    """
    match = _OBJECT.match(target)
    if match is None:
        raise LoadError(f"the entry point {target!r} is none; write module:object")
    found: Any = import_module(match["module"])
    for attribute in (match["attributes"] or "").split("."):
        if attribute:
            if not hasattr(found, attribute):
                raise LoadError(f"the entry point names {target}, and there is no {attribute}")
            found = getattr(found, attribute)
    return found() if isinstance(found, type) else found


class Life:
    """The service's hooks, called through pluggy."""

    def __init__(self, found: object, service: str) -> None:
        """Register the plugin, and see that its hooks are those of the specification.

        Raises:
            LoadError: It has no operations hook, or a hook that is not ours.
        """
        pluggy = hooks.pluggy()
        specified = pluggy.HookspecMarker(hooks.PROJECT)

        class Manager(pluggy.PluginManager):  # type: ignore[name-defined,misc]  # the class of a module found at run time
            def parse_hookimpl_opts(self, candidate: Any, name: str) -> Any:
                if isinstance(candidate, plugin.Service):
                    # A service marks nothing: what bears a hook's name is that hook.
                    return dict(_PLAIN_HOOK) if name in hooks.NAMES else None
                return super().parse_hookimpl_opts(candidate, name)

        manager = Manager(hooks.PROJECT)
        specification = {name: specified(getattr(hooks, name)) for name in hooks.NAMES}
        manager.add_hookspecs(
            type("Specification", (), {n: staticmethod(f) for n, f in specification.items()})
        )
        try:
            manager.register(found, service)
            manager.check_pending()
        except pluggy.PluginValidationError as exc:
            raise LoadError(str(exc)) from exc
        self._hook = manager.hook
        if not self._hook.operations.get_hookimpls():
            raise LoadError(
                f"{found!r} has no operations: derive from rldlib.plugin.Service, "
                "or give the module an operations() marked with rldlib.plugin.hookimpl"
            )

    def start(self, resources: plugin.Resources) -> Any:
        """See `rldlib.hooks.start`."""
        return _first(self._hook.start(resources=resources))

    def operations(self) -> Mapping[str, Any]:
        """See `rldlib.hooks.operations`."""
        found = _first(self._hook.operations())
        if not isinstance(found, dict) or not found:
            raise LoadError("operations() gave no operations; it returns a dict of functions by name")
        return found

    def check(self) -> Any:
        """See `rldlib.hooks.check`."""
        return _first(self._hook.check())

    def stop(self) -> Any:
        """See `rldlib.hooks.stop`."""
        return _first(self._hook.stop())


_PLAIN_HOOK = {
    "wrapper": False,
    "hookwrapper": False,
    "optionalhook": False,
    "tryfirst": False,
    "trylast": False,
    "specname": None,
}


def _first(results: list[Any]) -> Any:
    return results[0] if results else None
