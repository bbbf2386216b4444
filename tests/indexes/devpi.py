"""Starts devpi-server with one rule of its own: an index of the title ``private`` is read by its owner alone.

devpi leaves the right to read to plugins; the published one needs a web server in front.
"""

from __future__ import annotations

import sys

from devpi_server import main
from pluggy import HookimplMarker

_OWNER = "bringer"


class _Readers:
    @HookimplMarker("devpiserver")
    def devpiserver_stage_get_principals_for_pkg_read(self, ixconfig):
        return [_OWNER] if ixconfig.get("title") == "private" else None


if __name__ == "__main__":
    plugins = main.get_pluginmanager()
    plugins.register(_Readers())
    with main.CommandRunner(pluginmanager=plugins) as runner:
        runner.return_code = main._main(runner.pluginmanager)
    sys.exit(runner.return_code)
