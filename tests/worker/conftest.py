"""Workers for tests: in threads, and for real."""

from __future__ import annotations

import itertools
import sys

import pytest

_numbers = itertools.count()


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Start a worker in a thread for a service of some code; ended with the test."""
    from tests.worker.hosting import ThreadWorker, install

    started = []

    def served(code, *, service=None, entry_points=None):
        # Modules stay imported: no two services of one test run may share a name.
        service = service or f"echo-{next(_numbers)}"
        site = tmp_path / service
        install(site, code, service=service, entry_points=entry_points)
        monkeypatch.syspath_prepend(str(site))
        worker = ThreadWorker(site)
        started.append(worker)
        worker.service = service
        return worker

    yield served
    for worker in started:
        worker.__exit__()
    for name in [name for name in sys.modules if name.startswith("rldlib._pluggy")]:
        del sys.modules[name]
