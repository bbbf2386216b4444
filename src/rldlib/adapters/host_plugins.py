"""Plugins of this host: found by their entry points in the group ``rldlib.plugins``, called by pluggy."""

from __future__ import annotations

import copy
import logging
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import pluggy

from rldlib import hooks
from rldlib.errors import UsageError
from rldlib.values.placement import Opinion

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.metadata import EntryPoint
    from typing import Any

GROUP = "rldlib.plugins"
_LOG = logging.getLogger(__name__)


class HostPlugins:
    """See `rldlib.ports.PlacementPolicies`.

    All plugins are loaded and checked whole when this is made: one with a
    hook that is none, or with an argument that its hook does not give, is
    refused by its name before any is called.

    Raises:
        UsageError: A plugin cannot be loaded or does not fit; the message
            names plugin, hook and argument.
    """

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(hooks.PROJECT)
        specified = pluggy.HookspecMarker(hooks.PROJECT)
        specification = {name: staticmethod(specified(getattr(hooks, name))) for name in hooks.HOST_NAMES}
        self._manager.add_hookspecs(type("Specification", (), specification))
        # By name, so that the first to be asked is the same on each start.
        for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
            self._register(entry)

    def opinions(self, service: str, figures: Mapping[str, Any], proposed: str) -> tuple[Opinion, ...]:
        """See `rldlib.ports.PlacementPolicies.opinions`."""
        names = [name for name, _ in self._manager.list_name_plugin()]
        asked = (self._opinion(name, service, figures, proposed) for name in names)
        return tuple(opinion for opinion in asked if opinion is not None)

    def _opinion(self, name: str, service: str, figures: Mapping[str, Any], proposed: str) -> Opinion | None:
        others = [plugin for other, plugin in self._manager.list_name_plugin() if other != name]
        hook = self._manager.subset_hook_caller("place", remove_plugins=others)
        if not hook.get_hookimpls():
            return None
        try:
            answers = hook(service=service, figures=copy.deepcopy(dict(figures)), proposed=proposed)
        except Exception as exc:  # noqa: BLE001 - another author's code, and no call is to fail for it
            _LOG.warning("the policy %s raised, and is not heeded", name, exc_info=True)
            return Opinion(policy=name, error=f"{type(exc).__name__}: {exc}")
        return Opinion(policy=name, answer=answers[0] if answers else None)

    def _register(self, entry: EntryPoint) -> None:
        try:
            plugin = entry.load()
            self._manager.register(plugin() if isinstance(plugin, type) else plugin, entry.name)
            self._manager.check_pending()
        except Exception as exc:  # a plugin's import is its author's code, and may raise anything
            raise UsageError(
                f"the plugin {entry.name} ({entry.value}, group {GROUP}) cannot be used: {exc}; "
                "mend it, or uninstall what it came with"
            ) from exc
