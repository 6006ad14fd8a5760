"""A folder as an object store, with the same promises as S3: whole, durable, created at most once.

Owns the mapping of keys to files and of the operating system's errors to ours. Knows nothing of what the
objects hold.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, MutableSequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from augment.errors import AugmentError, ConfigError, InputError, RetryLaterError
from augment.objects.contract import TEMPORARY_DIR, ObjectNotFoundError, StoredObject, checked_key

__all__ = ["LocalStore"]

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})  # the disk, a quota, `ulimit -f`
_TRIES = 8  # of what a deletion at the same time can spoil: it removes folders that it finds empty


class LocalStore:
    """A folder. Create-if-absent is a hard link to a finished, fsynced temporary file."""

    def __init__(self, path: str) -> None:
        self._root = Path(os.path.abspath(os.path.expanduser(path)))
        self.uri = str(self._root)

    def __reduce__(self) -> tuple[type[LocalStore], tuple[str]]:
        return LocalStore, (self.uri,)

    def __repr__(self) -> str:
        return f"LocalStore({self.uri!r})"

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See ObjectStore. ConfigError on a filesystem without hard links."""
        return self._write(key, data, os.link)

    def put(self, key: str, data: bytes) -> None:
        """See ObjectStore."""
        self._write(key, data, os.replace)

    def get(self, key: str) -> bytes:
        """See ObjectStore."""
        path = self.uri_of(checked_key(key))
        with _local_errors(path), open(path, "rb", buffering=0) as file:
            return file.readall()

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        """See ObjectStore."""
        with _local_errors(self.uri_of(key)), self._path(key).open("rb") as file:
            file.seek(start)
            return file.read(stop - start)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """See ObjectStore. Symbolic links are followed; a folder that holds itself is an InputError."""
        folder = prefix.rpartition("/")[0]
        start = self._path(folder) if folder else self._root
        if os.path.isfile(self._root):
            raise InputError(f"{self.uri} is a file, not a folder of objects")
        return self._walk(start, f"{folder}/" if folder else "", prefix, ancestors=())

    def delete(self, key: str) -> None:
        """See ObjectStore."""
        with _local_errors(self.uri_of(key)):
            path = self._path(key)
            path.unlink(missing_ok=True)
            for folder in path.parents:  # as on S3, a folder is there only while it holds something
                if folder == self._root or not _is_empty(folder):
                    break
                with suppress(OSError):  # a writer may just have put something there
                    folder.rmdir()

    def delete_all(self, keys: Iterable[str]) -> None:
        """See ObjectStore."""
        for key in keys:
            self.delete(key)

    def uri_of(self, key: str) -> str:
        """See ObjectStore."""
        return f"{self._root}/{key}"

    def unfinished(self) -> Iterator[StoredObject]:
        """Writes that were begun and not finished: those of killed processes, and those at work now.

        Their keys are for `discard_unfinished` alone; no other method takes them.
        """
        folder = self._root / TEMPORARY_DIR
        with _local_errors(str(folder)):
            names = sorted(os.listdir(folder)) if folder.is_dir() else []
        for name in names:
            try:
                status = (folder / name).stat()
            except FileNotFoundError:
                continue  # its writer has just finished
            yield StoredObject(f"{TEMPORARY_DIR}/{name}", status.st_size, status.st_mtime)

    def discard_unfinished(self, key: str) -> None:
        """Remove an unfinished write; if its process lives after all, that write fails and can be repeated."""
        folder, _, name = key.partition("/")
        assert folder == TEMPORARY_DIR and "/" not in name  # noqa: S101, PT018
        with _local_errors(self.uri_of(key)):
            (self._root / TEMPORARY_DIR / name).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._root / checked_key(key)

    def _walk(
        self, folder: Path, base: str, prefix: str, ancestors: tuple[tuple[int, int], ...]
    ) -> Iterator[StoredObject]:
        with _local_errors(str(folder)):
            try:
                root = folder.stat()
                entries = [(entry, entry.is_dir()) for entry in os.scandir(folder)]
            except (FileNotFoundError, NotADirectoryError):
                return  # as on S3, a prefix without objects is not an error
        identity = (root.st_dev, root.st_ino)
        if identity in ancestors:
            raise InputError(f"{folder} is a symbolic link to a folder that holds it")
        # A folder sorts as 'name/', which is what puts whole keys in the order S3 lists them.
        for entry, is_dir in sorted(entries, key=lambda item: item[0].name + "/" * item[1]):
            key = f"{base}{entry.name}" + "/" * is_dir
            if entry.name == TEMPORARY_DIR or not (key.startswith(prefix) or prefix.startswith(key)):
                continue
            if is_dir:
                yield from self._walk(Path(entry.path), key, prefix, (*ancestors, identity))
            elif entry.is_file():
                try:
                    status = entry.stat()
                except FileNotFoundError:
                    continue  # deleted since the folder was read: no listing fails for that
                except OSError:
                    with _local_errors(entry.path):
                        raise
                yield StoredObject(key, status.st_size, status.st_mtime)

    def _write(self, key: str, data: bytes, place: Callable[[Path, Path], None]) -> bool:
        """Write `data` to a temporary file, synced, which `place` (os.link, os.replace) puts at `key`.

        False where `place` finds a file there; that one is as durable as ours would be.
        """
        target = self._path(key)
        with _local_errors(str(target), writing=len(data)):
            changed = _make_folders(target.parent)
            temporary = self._root / TEMPORARY_DIR / secrets.token_hex(16)
            try:
                with self._opened(temporary) as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                placed = self._place(temporary, target, place, changed)
            finally:
                temporary.unlink(missing_ok=True)
            for folder in (target.parent, *changed):
                _sync_folder(folder)
        return placed

    def _opened(self, temporary: Path) -> BinaryIO:
        """The new file; its folder is made again where it was removed, found empty, in between."""
        for _ in range(_TRIES - 1):
            temporary.parent.mkdir(exist_ok=True)
            with suppress(FileNotFoundError):
                return open(temporary, "xb")
        temporary.parent.mkdir(exist_ok=True)
        return open(temporary, "xb")

    def _place(
        self,
        temporary: Path,
        target: Path,
        place: Callable[[Path, Path], None],
        changed: MutableSequence[Path],
    ) -> bool:
        """Put the file in its place; adds to `changed` where its folder, found empty by a deletion, had gone."""
        for _ in range(_TRIES):
            changed.extend(_make_folders(target.parent))
            if not target.parent.resolve().is_relative_to(self._root.resolve()):
                raise ConfigError(f"{target} leaves {self.uri} by a symbolic link")
            try:
                place(temporary, target)
            except FileExistsError:
                return False
            except FileNotFoundError:
                continue
            return True
        raise RetryLaterError(f"{target}: something removes what is being written there; try again later")


def _make_folders(folder: Path) -> list[Path]:
    """Make `folder` and its missing parents; returns the parents whose entries changed."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for remaining in reversed(range(_TRIES)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            break
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise  # a full disk takes no new folder either: no fault of the place
            if remaining and isinstance(error, FileExistsError | FileNotFoundError):
                continue  # a deletion may have removed an empty parent in between
            if isinstance(error, FileExistsError | NotADirectoryError):
                raise ConfigError(f"{folder} cannot be a folder: a file is in the way") from error
            raise ConfigError(
                f"{folder} cannot be made: {error.strerror}; choose a place that can be written"
            ) from error
    return [path.parent for path in missing]


def _is_empty(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except FileNotFoundError:
        return False  # another process removed it: the parents are its care


def _sync_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return  # what was put there has been deleted already
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _local_errors(where: str, writing: int | None = None) -> Iterator[None]:
    """`writing`: bytes that are being written, for the message where there is no room for them."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise ObjectNotFoundError(f"{where} does not exist") from error
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        if error.errno in _NO_ROOM:
            size = "" if writing is None else f", for {writing:,} bytes"
            raise RetryLaterError(f"{where}: {reason}{size}; free some space and run again") from error
        if error.errno in (errno.EPERM, errno.EACCES, errno.EROFS, errno.EXDEV, errno.ENOTSUP, errno.EMLINK):
            raise ConfigError(
                f"{where}: {reason}; check its owner and mode, and that its filesystem has hard links"
            ) from error
        raise AugmentError(f"{where}: {reason}") from error
