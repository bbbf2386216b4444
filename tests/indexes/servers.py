"""Real package indexes on loopback: pypiserver and devpi, each a process, and a relay that counts."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

import requests

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

USER = "bringer"
# Whatever netrc, URLs and headers have a meaning for; and no other text contains it.
PASSWORD = "S3cret-7c#19 p@ss/w:rd%"
_READY_S = 60
_ENDED_S = 10
_INIT = "import devpi_server.init; devpi_server.init.init()"
_DEVPI = Path(__file__).with_name("devpi.py")


@dataclass(frozen=True, kw_only=True)
class Served:
    """An index that runs.

    Attributes:
        url: Its root, without credentials.
        upload_url: Where the legacy API of uploads is.
    """

    url: str
    upload_url: str

    @property
    def host(self) -> str:
        return self.url.split("/")[2]

    def url_with(self, user: str = USER, password: str = PASSWORD) -> str:
        """The root with credentials in it, as people write them."""
        return self.url.replace("://", f"://{quote(user, safe='')}:{quote(password, safe='')}@")

    def upload(self, *wheels: Path, password: str = PASSWORD) -> None:
        """Send wheels as twine does: one form each, to the legacy API."""
        for wheel in wheels:
            name, version = wheel.name.split("-")[:2]
            content = wheel.read_bytes()
            answer = requests.post(
                self.upload_url,
                data={
                    ":action": "file_upload",
                    "protocol_version": "1",
                    "metadata_version": "2.1",
                    "name": name.replace("_", "-"),
                    "version": version,
                    "filetype": "bdist_wheel",
                    "pyversion": "py3",
                    "sha256_digest": hashlib.sha256(content).hexdigest(),
                },
                files={"content": (wheel.name, content)},
                auth=(USER, password),
                timeout=_READY_S,
            )
            assert answer.ok, answer.text


@contextlib.contextmanager
def pypiserver(
    folder: Path, *, private: bool = False, options: Sequence[str] = ("--disable-fallback",)
) -> Iterator[Served]:
    """pypiserver over an empty folder; `private` asks for credentials for reading too."""
    packages = folder / "packages"
    packages.mkdir(parents=True)
    passwords = folder / "htpasswd"
    digest = b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()
    passwords.write_text(f"{USER}:{{SHA}}{digest}\n")
    port = _free_port()
    command = [sys.executable, "-m", "pypiserver", "run", "-i", "127.0.0.1", "-p", str(port)]
    command += ["-P", str(passwords), "-a", "update,download,list" if private else "update"]
    with _running([*command, *options, str(packages)], port, folder / "pypiserver.log"):
        root = f"http://127.0.0.1:{port}"
        yield Served(url=f"{root}/simple/", upload_url=f"{root}/")


class Devpi:
    """A devpi server; `index` makes an index in it."""

    def __init__(self, port: int) -> None:
        self._root = f"http://127.0.0.1:{port}"
        self._count = 0
        self._session = requests.Session()
        self._session.trust_env = False

    def __enter__(self) -> Self:
        self._ask("PUT", USER, {"password": PASSWORD})
        answer = self._ask("POST", "+login", {"user": USER, "password": PASSWORD})
        token = b64encode(f"{USER}:{answer['result']['password']}".encode()).decode()
        self._session.headers["X-Devpi-Auth"] = token
        return self

    def __exit__(self, *_) -> None:
        self._session.close()

    def index(self, *, private: bool = False, **settings: str) -> Served:
        """A new index; a private one is read by its owner alone (see `devpi.py`)."""
        self._count += 1
        name = f"index{self._count}"
        document = {"type": "stage", "title": "private" if private else "open", **settings}
        self._ask("PUT", f"{USER}/{name}", document)
        root = f"{self._root}/{USER}/{name}/"
        return Served(url=f"{root}+simple/", upload_url=root)

    def _ask(self, method: str, path: str, document: Mapping[str, object]):
        # The legacy API of uploads takes basic authentication; the one for users and indexes only a token.
        answer = self._session.request(method, f"{self._root}/{path}", json=document, timeout=_READY_S)
        assert answer.ok, answer.text
        return answer.json()


@contextlib.contextmanager
def devpi(folder: Path) -> Iterator[Devpi]:
    """A devpi server with an empty state."""
    state = folder / "state"
    subprocess.run(
        [sys.executable, "-c", _INIT, "--serverdir", str(state), "--no-root-pypi"],
        check=True,
        capture_output=True,
        timeout=_READY_S,
    )
    port = _free_port()
    command = [sys.executable, "-P", str(_DEVPI), "--serverdir", str(state), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--threads", "4"]
    with _running(command, port, folder / "devpi.log"), Devpi(port) as server:
        yield server


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


@contextlib.contextmanager
def _running(command: Sequence[str], port: int, log: Path) -> Iterator[None]:
    """A server's process, from its first answer on."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        deadline = time.monotonic() + _READY_S
        while not _answers(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
        yield
    finally:
        process.terminate()
        try:
            process.wait(_ENDED_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        # Neither server says when it listens; the system does not either.
        threading.Event().wait(0.05)
        return False
    return True


class Relay:
    """Passes connections on to a server, and counts what the server sent that a client took.

    Attributes:
        sent: Bytes that went to clients, heads included.
    """

    def __init__(self, served: Served) -> None:
        host, _, port = served.host.partition(":")
        self._target = host, int(port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        # Like a link: little is under way that nobody has taken.
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self.url = served.url.replace(served.host, f"127.0.0.1:{self._listening.getsockname()[1]}")
        self.sent = 0

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_) -> None:
        for one in (self._listening, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(_ENDED_S)
            assert not thread.is_alive()
        for one in self._open:
            one.close()

    def _start(self, target, *args) -> None:
        thread = threading.Thread(target=target, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            self._open += [client, server]
            self._start(self._pass, client, server, False)
            self._start(self._pass, server, client, True)

    def _pass(self, source, target, counted) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                target.sendall(data)
                self.sent += len(data) if counted else 0
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
