"""A headless Chromium, driven over a pipe in its own protocol: pages opened, filled in, sent, looked at."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None
)
_PATIENCE_S = 60


class Browser:
    """One page."""

    def __init__(self, told, heard):
        self._told, self._heard, self._number, self._rest = told, heard, 0, b""
        self.events = []
        target = self.say("Target.createTarget", url="about:blank")["targetId"]
        attached = self.say("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Log", "Runtime"):
            self.say(f"{domain}.enable")

    def say(self, method, **parameters):
        """Ask one thing, and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        session = getattr(self, "_session", None)
        if session:
            message["sessionId"] = session
        os.write(self._told, json.dumps(message).encode() + b"\0")
        while True:
            heard = self._next()
            if heard.get("id") == self._number:
                assert "error" not in heard, heard
                return heard["result"]
            self.events.append(heard)

    def wait(self, method):
        """Wait until something happens that has not been waited for."""
        while True:
            for at, event in enumerate(self.events):
                if event.get("method") == method:
                    del self.events[at]
                    return event
            self.events.append(self._next())

    def open(self, url):
        self.say("Page.navigate", url=url)
        self.wait("Page.loadEventFired")

    def evaluate(self, code):
        """What an expression gives in the page."""
        told = self.say("Runtime.evaluate", expression=code, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def picture(self):
        return base64.b64decode(self.say("Page.captureScreenshot", format="png")["data"])

    def _next(self):
        until = time.monotonic() + _PATIENCE_S
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._heard], [], [], max(0, until - time.monotonic()))
            chunk = os.read(self._heard, 1 << 16) if ready else b""
            if not chunk:
                raise RuntimeError("Chromium says nothing any more")
            self._rest += chunk
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


@contextmanager
def browser(folder, width=390, height=844):
    """A browser with a profile of its own; gone afterwards."""
    (theirs_in, told), (heard, theirs_out) = os.pipe(), os.pipe()
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"),
        *(f"--user-data-dir={folder}", f"--window-size={width},{height}", "--no-proxy-server"),
    ]
    # It reads from descriptor 3 and writes to 4.
    code = (
        "import fcntl, os, sys; "
        "reads, writes = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]); "
        "os.dup2(reads, 3); os.dup2(writes, 4); os.execv(sys.argv[3], sys.argv[3:])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(theirs_in), str(theirs_out), *command],
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Browser(told, heard)
    finally:
        os.close(told)
        os.close(heard)
        process.terminate()
        process.wait(timeout=30)
