"""The conformance protocol of TUF, against a repository of the tests' own."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from tests.trust.forge import TOP, Forge
from tests.trust.responders import Responder
from tuf.api.metadata import Metadata

from rldlib.testing.tuf_client import main
from rldlib.values.trust import METADATA_PATH, TARGETS_PATH


@pytest.fixture(params=[True, False], ids=["consistent", "plain"])
def forge(request):
    return Forge(consistent=request.param)


@pytest.fixture
def client(tmp_path, forge):
    """The protocol as the suite speaks it, and what the suite looks at afterwards."""

    class Client:
        metadata = tmp_path / "metadata"
        targets = tmp_path / "targets"

        def init(self, root=None):
            self.metadata.mkdir(exist_ok=True)
            self.targets.mkdir(exist_ok=True)
            (tmp_path / "initial.json").write_bytes(root or forge.files["1.root.json"])
            return main(["--metadata-dir", str(self.metadata), "init", str(tmp_path / "initial.json")])

        def refresh(self):
            return main([*self._where(), "refresh"])

        def download(self, *names):
            base = f"{responder.url}{TARGETS_PATH}"
            named = [word for name in names for word in ("--target-name", name)]
            return main(
                [
                    *self._where(),
                    *named,
                    "--target-base-url",
                    base,
                    "--target-dir",
                    str(self.targets),
                    "download",
                ]
            )

        def _where(self):
            return ["--metadata-url", f"{responder.url}{METADATA_PATH}", "--metadata-dir", str(self.metadata)]

        @property
        def roles(self):
            """As the suite reads them: every ``.json`` of the folder, and no other."""
            files = sorted(path for path in self.metadata.iterdir() if path.name.endswith(".json"))
            return [(path.stem, Metadata.from_file(str(path)).signed.version) for path in files]

        @property
        def asked(self):
            return [path.removeprefix(METADATA_PATH) for path in responder.asked]

        @property
        def contents(self):
            return {path.name: path.read_bytes() for path in self.targets.iterdir()}

    with Responder(forge) as responder:
        made = Client()
        made.responder = responder
        yield made


def _first(forge, name):
    return f"1.{name}.json" if forge.root.consistent_snapshot else f"{name}.json"


def test_init_asks_nobody_and_a_refresh_asks_in_the_order_of_the_specification(client, forge):
    assert client.init() == 0
    assert client.asked == []
    assert client.roles == [("root", 1)]

    assert client.refresh() == 0

    assert client.asked == [
        "2.root.json",
        "timestamp.json",
        _first(forge, "snapshot"),
        _first(forge, "targets"),
    ]
    assert client.roles == [("root", 1), ("snapshot", 1), ("targets", 1), ("timestamp", 1)]
    assert client.init() == 0


@pytest.mark.parametrize(
    "harm",
    [lambda root: b"{}", lambda root: root.replace(b'"version":1', b'"version":2'), lambda root: root[:-9]],
)
def test_a_first_root_that_is_none_is_refused_and_nobody_is_asked(client, forge, harm):
    assert client.init(harm(forge.files["1.root.json"])) == 1
    assert client.refresh() == 1

    assert client.asked == []
    assert client.roles == []


def test_a_download_refreshes_by_itself_and_fails_for_what_nobody_signs(client):
    client.init()

    assert client.download("none") == 1

    assert client.roles == [("root", 1), ("snapshot", 1), ("targets", 1), ("timestamp", 1)]
    assert client.contents == {}


def test_targets_are_downloaded_once_and_again_when_they_changed(client, forge):
    client.init()
    for content in (b"one", b"two"):
        forge.add("path/to/a.txt", content)
        forge.add("b c.txt", b"b")
        forge.publish()
        for _ in range(2):
            assert client.download("path/to/a.txt", "b c.txt") == 0
        assert client.contents == {quote("path/to/a.txt", safe=""): content, quote("b c.txt", safe=""): b"b"}
    fetched = [path for path in client.responder.asked if path.startswith(TARGETS_PATH)]
    assert len(fetched) == 3


@pytest.mark.parametrize("lie", [b"ond", b"o", b"one and more", b""])
def test_a_target_of_another_hash_or_length_is_refused(client, forge, lie):
    client.init()
    path = forge.add("a.txt", b"one")
    forge.publish()
    forge.contents[path] = lie

    assert client.download("a.txt") == 1
    assert client.contents == {}


def test_roots_are_followed_one_by_one(client, forge):
    client.init()
    assert client.refresh() == 0
    for _ in range(4):
        forge.rotate(*TOP)
    forge.publish()

    assert client.refresh() == 0
    assert client.roles == [("root", 5), ("snapshot", 2), ("targets", 2), ("timestamp", 2)]


@pytest.mark.parametrize("role", TOP)
def test_expired_metadata_stops_there(client, forge, role):
    client.init()
    client.refresh()
    forge.roles[role].signed.expires = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    if role == "root":
        forge.publish_root()
    forge.publish()

    assert client.refresh() == 1

    order = ["root", "timestamp", "snapshot", "targets"]
    newer = order[: order.index(role)] if role != "root" else ["root"]
    assert dict(client.roles) == {
        one: 2 if one in newer and not (one == "root" and role != "root") else 1 for one in order
    }


def test_an_expired_timestamp_here_does_not_stop_a_newer_one(client, forge):
    forge.timestamp.expires = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    forge.publish()
    client.init()
    assert client.refresh() == 1
    forge.timestamp.expires += timedelta(days=3)
    forge.publish()

    assert client.refresh() == 0
    assert dict(client.roles)["timestamp"] == 3


def test_older_versions_are_refused(client, forge):
    client.init()
    old = forge.files["timestamp.json"]
    forge.publish()
    client.refresh()
    forge.files["timestamp.json"] = old

    assert client.refresh() == 1
    assert client.roles == [("root", 1), ("snapshot", 2), ("targets", 2), ("timestamp", 2)]


def test_a_snapshot_of_another_version_is_refused(client, forge):
    client.init()
    forge.hashes = False
    forge.snapshot.version += 1
    forge.files[_first(forge, "snapshot")] = forge.sign("snapshot")

    assert client.refresh() == 1
    assert client.roles == [("root", 1), ("timestamp", 1)]


@pytest.mark.parametrize("terminating", [True, False])
def test_delegations_are_walked_in_their_order(client, forge, terminating):
    forge.delegate("first", ["*.txt"], terminating=terminating)
    forge.delegate("second", ["a.*"])
    forge.delegate("deep", ["a.txt"], parent="second")
    forge.add("a.txt", b"deep", "deep")
    forge.publish()
    client.init()

    assert client.download("a.txt") == (1 if terminating else 0)

    asked = [name.rpartition(".json")[0].rpartition(".")[2] for name in client.asked]
    walked = ["first"] if terminating else ["first", "second", "deep"]
    assert [name for name in asked if name in {"first", "second", "deep"}] == walked


@pytest.mark.parametrize("role", ["?", "#", "/delegated", "../delegated", "\u00e9"])
def test_a_role_may_be_called_anything(client, forge, role):
    forge.delegate(role, ["*"])
    forge.add("a.txt", b"a", role)
    forge.publish()
    client.init()

    assert client.download("a.txt") == 0
    assert len(client.roles) == 5
    assert (client.metadata / f"{quote(role, safe='')}.json").exists()
    assert {path.parent for path in client.metadata.rglob("*.json")} == {
        client.metadata,
        client.metadata / "root_history",
    }


def test_a_silent_repository_is_a_failure_and_changes_nothing(client):
    client.init()
    client.responder.lies[f"{METADATA_PATH}timestamp.json"] = "503 Later"

    assert client.refresh() == 1
    assert client.roles == [("root", 1)]


@pytest.mark.slow
def test_it_is_a_program(client, tmp_path, forge):
    client.init()
    told = subprocess.run(
        [sys.executable, "-m", "rldlib.testing.tuf_client", *client._where(), "refresh"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    forge.files["timestamp.json"] = b"{}"

    told = subprocess.run(
        [sys.executable, "-m", "rldlib.testing.tuf_client", *client._where(), "refresh"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 1
    assert "timestamp" in told.stderr
