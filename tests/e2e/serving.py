"""`rld serve` as a process of its own, as its operator starts it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager


class Served:
    """A responder that answers: ``url``, ``join``, ``pid``, as it announced them."""

    def __init__(self, process, told):
        self.process = process
        self.url, self.join, self.pid = told["url"], told["join"], told["pid"]


@contextmanager
def serve(*arguments, **environment):
    """Start it, wait until it says that it is ready, and end it as an operator does."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rldlib", "serve", "--json", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(process.communicate(timeout=30)[1])
        yield Served(process, json.loads(line))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
