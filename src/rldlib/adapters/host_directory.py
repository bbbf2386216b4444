"""Where facts of the host lie that all roots of one user share."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "RLDLIB_HOST_DIR"


def host_directory() -> Path:
    """The folder named by ``RLDLIB_HOST_DIR``, else the platform's for state. It need not exist."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).absolute()
    from platformdirs import user_state_path

    return user_state_path("rldlib", appauthor=False)
