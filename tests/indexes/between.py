"""What stands between rldlib and an index: a front that ends TLS, a proxy that opens tunnels."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import trustme
    from tests.indexes.servers import Served

# No host has it; a proxy knows where it is.
NAME = "index.test"
_RELAYS = Path(__file__).with_name("relays.py")


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy that runs."""

    host: str
    log: Path

    @property
    def asked(self) -> set[str]:
        """Every request so far, with the status of its answer."""
        return set(self.log.read_text().splitlines()) if self.log.exists() else set()


@contextlib.contextmanager
def front(served: Served, certificate: trustme.LeafCert, folder: Path) -> Iterator[Served]:
    """The index behind TLS."""
    pem = folder / "front.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(str(pem))
    with _running("front", served.host, str(pem)) as port:
        yield replace(served, url=served.url.replace(f"http://{served.host}", f"https://localhost:{port}"))


@contextlib.contextmanager
def proxy(behind: Served, folder: Path, user: str = "") -> Iterator[tuple[Served, Proxy]]:
    """A proxy that alone knows where `NAME` is, and the index as it is reached through it."""
    log = folder / "proxy.log"
    with _running("proxy", f"{NAME}:443={behind.host}", str(log), *([user] if user else [])) as port:
        yield (
            replace(behind, url=behind.url.replace(behind.host, NAME)),
            Proxy(host=f"127.0.0.1:{port}", log=log),
        )


@contextlib.contextmanager
def _running(*arguments: str) -> Iterator[int]:
    """The process, from the line with its port on."""
    with subprocess.Popen([sys.executable, _RELAYS, *arguments], stdout=subprocess.PIPE) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()
