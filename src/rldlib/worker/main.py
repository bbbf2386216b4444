"""The worker's first file: ``ENV/bin/python -I main.py FD``, or what a fork runs that is the same.

It runs in the service's environment, where rldlib is not installed. It mounts
the package from where this file lies, without a search path for anybody, and
without running the package's ``__init__``, which is the host's.
"""

from __future__ import annotations

import os
import sys


def mount() -> None:
    """Let ``rldlib.…`` be imported from here, and nothing else from the folder around it."""
    package = type(sys)("rldlib")
    package.__path__ = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
    sys.modules["rldlib"] = package


if __name__ == "__main__":
    if "rldlib" not in sys.modules:  # else inherited, with all that was imported from it
        mount()
    from rldlib.worker.process import run

    run(int(sys.argv[1]))
