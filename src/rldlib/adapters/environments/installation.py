"""Images into one environment: every byte compared with its hash on the way."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rldlib.adapters.files import REAL, write_file
from rldlib.errors import StorageError, WheelRefusedError
from rldlib.rules.layout import destination, entry_scripts, is_left_out
from rldlib.values.image import MANIFEST_NAME, TREE_NAME, DamagedImageError, Image

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rldlib.adapters.environments.skeletons import Skeleton
    from rldlib.adapters.files import FileSystem
    from rldlib.ports import Store
    from rldlib.rules.layout import EntryScript, Scheme
    from rldlib.values.image import ImageFile
    from rldlib.values.lock import LockedWheel

_THREADS: Final = min(4, os.cpu_count() or 1)
_CHUNK_BYTES: Final = 4 * 1024 * 1024
# Below it, starting threads costs more than they save; of small files they only take turns.
_FEW_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Target:
    """Where one file of an image goes, relative to the environment."""

    file: ImageFile
    path: str
    scheme: Scheme


# One line of an installed RECORD: path in the environment, hash in hex, size.
_Row = tuple[str, str, int]


class Installation:
    """The content of one environment while it is built; one thread uses it."""

    def __init__(self, folder: Path, place: Path, skeleton: Skeleton, *, files: FileSystem = REAL) -> None:
        """Begin in a folder that holds an empty virtualenv.

        Args:
            folder: Where it is built.
            place: Where it will lie; scripts name their interpreter by it.
            skeleton: What is there already.
            files: The file system.
        """
        self._folder = str(folder)
        self._python = str(place / "bin" / "python")
        self._site = skeleton.site
        self._files = files
        self._folders = {"", *skeleton.folders}
        # Whose file lies at each path, and the hash of its content.
        self._owners = dict.fromkeys((*skeleton.links, *skeleton.files), ("the virtualenv", ""))
        self._clones = True

    def install(self, wheel: LockedWheel, image: Path, store: Store) -> None:
        """Copy one image; one that turns out damaged is renewed once.

        Raises:
            WheelRefusedError: It would replace a file of another wheel.
            StorageError: It is damaged again.
        """
        try:
            self._install(wheel, image)
        except (DamagedImageError, FileNotFoundError):
            try:
                self._install(wheel, store.renew(wheel))
            except DamagedImageError as exc:
                raise StorageError(str(image), f"damaged again right after it was unpacked, {exc}") from exc

    def _install(self, wheel: LockedWheel, image: Path) -> None:
        content = Image.parse((image / MANIFEST_NAME).read_bytes())
        record = f"{content.info}/RECORD"
        targets = [target for target in self._targets(content) if target.file.path != record]
        self._refuse_conflicts(wheel, [(target.path, target.file.sha256) for target in targets])
        # The same file of two wheels lies there once; both list it.
        new = [target for target in targets if target.path not in self._owners]
        for target in new:
            self._make_folders(target.path.rpartition("/")[0])
        try:
            rows = self._copy_all(f"{image}/{TREE_NAME}", new)
        except BaseException:
            for target in new:
                _forget(f"{self._folder}/{target.path}")
            raise
        shared = [target for target in targets if target.path in self._owners]
        rows += [(target.path, target.file.sha256, target.file.size) for target in shared]
        rows += self._write_scripts(wheel, f"{self._folder}/{self._site}/{content.info}/entry_points.txt")
        self._own(wheel, rows)
        write_file(f"{self._folder}/{self._site}/{record}", self._record(rows, record), files=self._files)

    # --- where it goes --------------------------------------------------------------

    def _targets(self, content: Image) -> Iterator[_Target]:
        data = f"{content.info.removesuffix('.dist-info')}.data"
        # `include/site/pythonX.Y/NAME`, as pip has it.
        version, name = self._site.split("/")[1], data.rpartition("-")[0]
        bases = {
            "site": self._site,
            "scripts": "bin",
            "data": "",
            "headers": f"include/site/{version}/{name}",
        }
        for file in content.files:
            if not is_left_out(file.path):
                scheme, inner = destination(file.path, data)
                yield _Target(file, f"{bases[scheme]}/{inner}".lstrip("/"), scheme)

    def _refuse_conflicts(self, wheel: LockedWheel, files: Sequence[tuple[str, str]]) -> None:
        faults = []
        for path, sha256 in files:
            owner, content = self._owners.get(path, ("", sha256))
            above = next((folder for folder in _above(path) if folder in self._owners), None)
            if content != sha256:
                faults.append(f"conflict: {path}: is also in {owner}, with other content")
            elif path in self._folders or above is not None:
                faults.append(f"conflict: {path}: is a file here and a folder there")
        if faults:
            raise WheelRefusedError(wheel.filename, faults)

    def _make_folders(self, folder: str) -> None:
        if folder not in self._folders:
            self._make_folders(folder.rpartition("/")[0])
            self._files.make_folder(f"{self._folder}/{folder}")
            self._folders.add(folder)

    def _own(self, wheel: LockedWheel, rows: Sequence[_Row]) -> None:
        for path, sha256, _ in rows:
            self._owners.setdefault(path, (wheel.filename, sha256))

    # --- copying ----------------------------------------------------------------------

    def _copy_all(self, tree: str, targets: Sequence[_Target]) -> list[_Row]:
        if sum(target.file.size for target in targets) < _FEW_BYTES:
            return [self._copy(tree, target) for target in targets]

        def copy_some(some: Sequence[_Target]) -> list[_Row]:
            return [self._copy(tree, target) for target in some]

        with ThreadPoolExecutor(_THREADS, "rldlib-copy") as pool:
            shares = [targets[first :: 4 * _THREADS] for first in range(4 * _THREADS)]
            return [row for rows in pool.map(copy_some, shares) for row in rows]

    def _copy(self, tree: str, target: _Target) -> _Row:
        file = target.file
        path = f"{self._folder}/{target.path}"
        source = os.open(f"{tree}/{file.path}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if target.scheme == "scripts":
                return self._write_script(path, target, _read(source, file))
            fd = self._files.create(path, 0o777 if file.executable else 0o666)
            try:
                self._transfer(source, fd, file)
            finally:
                os.close(fd)
        finally:
            os.close(source)
        return target.path, file.sha256, file.size

    def _transfer(self, source: int, fd: int, file: ImageFile) -> None:
        """The content, shared where the file system can, and compared with its hash either way."""
        cloned = self._cloned(source, fd)
        digest = hashlib.sha256()
        while chunk := os.read(source, min(file.size + 1, _CHUNK_BYTES)):
            digest.update(chunk)
            if not cloned:
                self._files.write(fd, chunk)
        if digest.hexdigest() != file.sha256:
            raise DamagedImageError(f"{file.path} differs from its hash")

    def _cloned(self, source: int, fd: int) -> bool:
        if self._clones:
            try:
                self._files.clone(source, fd)
            except OSError:
                self._clones = False  # this file system cannot; it is asked once
        return self._clones

    # --- scripts and RECORD --------------------------------------------------------------

    def _write_script(self, path: str, target: _Target, content: bytes) -> _Row:
        from installer.utils import fix_shebang

        with fix_shebang(io.BytesIO(content), self._python) as fixed:
            return self._write(path, target.path, fixed.read())

    def _write_scripts(self, wheel: LockedWheel, entry_points: str) -> list[_Row]:
        try:
            with open(entry_points, encoding="utf-8") as file:  # noqa: PTH123 - beside strings
                scripts = entry_scripts(file.read())
        except FileNotFoundError:
            return []
        if not scripts:
            return []
        made = [(f"bin/{script.name}", self._generated(script)) for script in scripts]
        self._refuse_conflicts(wheel, [(path, hashlib.sha256(content).hexdigest()) for path, content in made])
        return [
            self._write(f"{self._folder}/{path}", path, content)
            for path, content in made
            if path not in self._owners
        ]

    def _generated(self, script: EntryScript) -> bytes:
        from installer.scripts import Script

        made = Script(script.name, script.module, script.attribute, script.section)
        return made.generate(self._python, "posix")[1]

    def _write(self, path: str, relative: str, content: bytes) -> _Row:
        write_file(path, content, mode=0o777, files=self._files)
        return relative, hashlib.sha256(content).hexdigest(), len(content)

    def _record(self, rows: Sequence[_Row], own: str) -> bytes:
        """RECORD as it is once installed: paths relative to site-packages."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        inside = f"{self._site}/"
        up = "../" * (self._site.count("/") + 1)
        for path, sha256, size in sorted(rows):
            told = base64.urlsafe_b64encode(bytes.fromhex(sha256)).rstrip(b"=").decode()
            relative = path.removeprefix(inside) if path.startswith(inside) else up + path
            writer.writerow((relative, f"sha256={told}", size))
        writer.writerow((own, "", ""))
        return text.getvalue().encode()


def _above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _read(source: int, file: ImageFile) -> bytes:
    content = b"".join(iter(lambda: os.read(source, _CHUNK_BYTES), b""))
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise DamagedImageError(f"{file.path} differs from its hash")
    return content


def _forget(path: str) -> None:
    try:
        os.unlink(path)  # noqa: PTH108 - beside a string
    except FileNotFoundError:
        return
