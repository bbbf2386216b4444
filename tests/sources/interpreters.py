"""Interpreters for tests: this process's own, and made-up ones."""

from __future__ import annotations

import platform
import sys

from packaging.markers import default_environment
from packaging.tags import compatible_tags, cpython_tags, sys_tags
from packaging.version import Version

from rldlib.values.interpreter import Interpreter


def own_interpreter() -> Interpreter:
    """The one that runs the test."""
    return Interpreter(
        executable=sys.executable,
        version=Version(platform.python_version()),
        tags=tuple(sys_tags()),
        markers={name: str(value) for name, value in default_environment().items()},
        own=True,
    )


def made_up_interpreter(minor: int) -> Interpreter:
    """CPython 3.``minor`` on 64-bit Windows: another one in every respect."""
    tags = [
        *cpython_tags((3, minor), platforms=["win_amd64"]),
        *compatible_tags((3, minor), platforms=["win_amd64"]),
    ]
    return Interpreter(
        executable=f"C:\\python3{minor}\\python.exe",
        version=Version(f"3.{minor}.2"),
        tags=tuple(tags),
        markers={
            "implementation_name": "cpython",
            "implementation_version": f"3.{minor}.2",
            "os_name": "nt",
            "platform_machine": "AMD64",
            "platform_python_implementation": "CPython",
            "platform_release": "10",
            "platform_system": "Windows",
            "platform_version": "10.0",
            "python_full_version": f"3.{minor}.2",
            "python_version": f"3.{minor}",
            "sys_platform": "win32",
        },
    )
