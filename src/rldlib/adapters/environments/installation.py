"""Images into one environment: every byte compared with its hash on the way."""

from __future__ import annotations

import binascii
import csv
import hashlib
import io
import os
from typing import TYPE_CHECKING, Final, NamedTuple

from rldlib.adapters.files import REAL, opened, share, write_file
from rldlib.errors import StorageError, WheelRefusedError
from rldlib.rules.layout import destination, entry_scripts, is_left_out
from rldlib.values.image import BLOCK_BYTES, LARGE_BYTES, DamagedImageError, Image

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rldlib.adapters.environments.skeletons import Skeleton
    from rldlib.adapters.files import FileSystem, OpenFile
    from rldlib.ports import Store
    from rldlib.rules.layout import EntryScript, Scheme
    from rldlib.values.image import ImageFile
    from rldlib.values.lock import LockedWheel

# Small files lie side by side in an image, and are read so many bytes at a time.
_WINDOW_BYTES: Final = 512 * 1024


class _Target(NamedTuple):
    """Where one file lies in an image, and where it goes, relative to the environment."""

    file: ImageFile
    start: int
    path: str
    scheme: Scheme


_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")

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
        except (DamagedImageError, StorageError):
            try:
                self._install(wheel, store.renew(wheel))
            except DamagedImageError as exc:
                raise StorageError(str(image), f"damaged again right after it was unpacked, {exc}") from exc

    def _install(self, wheel: LockedWheel, path: Path) -> None:
        with opened(path) as image:
            content = Image.read(image)
            record = f"{content.info}/RECORD"
            targets = [target for target in self._targets(content) if target.file.path != record]
            self._refuse_conflicts(wheel, [(target.path, target.file.sha256) for target in targets])
            # The same file of two wheels lies there once; both list it.
            new = [target for target in targets if target.path not in self._owners]
            for folder in dict.fromkeys(target.path.rpartition("/")[0] for target in new):
                self._make_folders(folder)
            try:
                rows = self._copy_all(image, new)
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
        for file, start in zip(content.files, content.starts(), strict=True):
            if not is_left_out(file.path):
                scheme, inner = destination(file.path, data)
                yield _Target(file, start, f"{bases[scheme]}/{inner}".lstrip("/"), scheme)

    def _refuse_conflicts(self, wheel: LockedWheel, files: Sequence[tuple[str, str]]) -> None:
        faults = []
        for path, sha256 in files:
            owner, content = self._owners.get(path, ("", sha256))
            if content != sha256:
                faults.append(f"conflict: {path}: is also in {owner}, with other content")
            elif path in self._folders:
                faults.append(f"conflict: {path}: is a file here and a folder there")
        folders = {path.rpartition("/")[0] for path, _ in files} - self._folders
        above = {above for folder in folders for above in (folder, *_above(folder))}
        faults += [
            f"conflict: {path}: is a file there and a folder here"
            for path in sorted(above & self._owners.keys())
        ]
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

    def _copy_all(self, image: OpenFile, targets: Sequence[_Target]) -> list[_Row]:
        rows: list[_Row] = []
        large = [target for target in targets if _is_large(target)]

        def copy_small() -> None:
            for target, content in _contents(image, [each for each in targets if not _is_large(each)]):
                rows.append(self._copy_small(target, content))

        def copy_large(target: _Target) -> None:
            rows.append(self._copy_large(target, image))

        share(copy_small, large, copy_large, lambda target: target.file.size)
        return rows

    def _copy_small(self, target: _Target, content: memoryview) -> _Row:
        file = target.file
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise DamagedImageError(f"{file.path} differs from its hash")
        path = f"{self._folder}/{target.path}"
        if target.scheme == "scripts":
            return self._write_script(path, target, bytes(content))
        fd = self._files.create(path, 0o777 if file.executable else 0o666)
        try:
            if content:
                self._files.write(fd, content)
        finally:
            os.close(fd)
        return target.path, file.sha256, file.size

    def _copy_large(self, target: _Target, image: OpenFile) -> _Row:
        """Shared where the file system can, and compared with its hash either way."""
        file = target.file
        fd = self._files.create(f"{self._folder}/{target.path}", 0o777 if file.executable else 0o666)
        try:
            at, cloned, digest = 0, self._cloned(image, target, fd), hashlib.sha256()
            for chunk in image.chunks(target.start, file.size):
                digest.update(chunk)
                at += len(chunk)
                if at > cloned:
                    self._files.write_at(fd, chunk[-(at - cloned) :], max(cloned, at - len(chunk)))
        finally:
            os.close(fd)
        if digest.hexdigest() != file.sha256:
            raise DamagedImageError(f"{file.path} differs from its hash")
        return target.path, file.sha256, file.size

    def _cloned(self, image: OpenFile, target: _Target, fd: int) -> int:
        """How many bytes of a file are there without being written: whole blocks, or none."""
        size = target.file.size - target.file.size % BLOCK_BYTES
        if self._clones:
            try:
                self._files.clone(image.fileno(), target.start, size, fd)
            except OSError:
                self._clones = False  # this file system cannot; it is asked once
        return size if self._clones else 0

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
        inside = f"{self._site}/"
        up = "../" * (self._site.count("/") + 1)
        lines = []
        for path, sha256, size in sorted(rows):
            relative = path.removeprefix(inside) if path.startswith(inside) else up + path
            lines.append((relative, f"sha256={_in_base64(sha256)}", size))
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([*lines, (own, "", "")])
        return text.getvalue().encode()


def _in_base64(sha256: str) -> str:
    """As RECORD has it: for addresses, and without padding."""
    told = binascii.b2a_base64(bytes.fromhex(sha256), newline=False)
    return told.translate(_URL_SAFE, b"=").decode()


def _above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _is_large(target: _Target) -> bool:
    # A script is rewritten, whatever its size.
    return target.file.size >= LARGE_BYTES and target.scheme != "scripts"


def _contents(image: OpenFile, targets: Sequence[_Target]) -> Iterator[tuple[_Target, memoryview]]:
    """What lies side by side is read together."""
    at, window = 0, memoryview(b"")
    for target in targets:
        size = target.file.size
        if target.start < at or target.start + size > at + len(window):
            at = target.start
            window = memoryview(image[at : at + max(size, _WINDOW_BYTES)])
        yield target, window[target.start - at : target.start - at + size]


def _forget(path: str) -> None:
    try:
        os.unlink(path)  # noqa: PTH108 - beside a string
    except FileNotFoundError:
        return
