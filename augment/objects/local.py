"""A folder as an object store, with the same promises as S3: whole, durable, created at most once.

Owns the mapping of keys to files and of the operating system's errors to ours. Knows nothing of what the
objects hold.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from augment.errors import AugmentError, ConfigError, InputError, RetryLaterError
from augment.objects.contract import TEMPORARY_DIR, ObjectNotFoundError, StoredObject, checked_key

__all__ = ["LocalStore"]


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
        with self._finished_file(key, data) as (temporary, target):
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
        return True

    def put(self, key: str, data: bytes) -> None:
        """See ObjectStore."""
        with self._finished_file(key, data) as (temporary, target):
            os.replace(temporary, target)

    def get(self, key: str) -> bytes:
        """See ObjectStore."""
        with _local_errors(self.uri_of(key)):
            return self._path(key).read_bytes()

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

    def uri_of(self, key: str) -> str:
        """See ObjectStore."""
        return f"{self._root}/{key}"

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
                with _local_errors(entry.path):
                    status = entry.stat()
                yield StoredObject(key, status.st_size, status.st_mtime)

    @contextmanager
    def _finished_file(self, key: str, data: bytes) -> Iterator[tuple[Path, Path]]:
        """A synced temporary file with `data`, and the target; what the body does to the target is synced."""
        target = self._path(key)
        with _local_errors(str(target)):
            created = _make_folders(target.parent)
            if not target.parent.resolve().is_relative_to(self._root.resolve()):
                raise ConfigError(f"{target} leaves {self.uri} by a symbolic link")
            temporary = self._root / TEMPORARY_DIR / secrets.token_hex(16)
            temporary.parent.mkdir(exist_ok=True)
            try:
                with open(temporary, "xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                yield temporary, target
            finally:
                temporary.unlink(missing_ok=True)
            for folder in (target.parent, *created):
                _sync_folder(folder)


def _make_folders(folder: Path) -> list[Path]:
    """Make `folder` and its missing parents; returns the parents whose entries changed."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ConfigError(f"{folder} cannot be a folder: a file is in the way") from error
    except OSError as error:
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
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _local_errors(where: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise ObjectNotFoundError(f"{where} does not exist") from error
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RetryLaterError(f"{where}: {reason}; free some space and run again") from error
        if error.errno in (errno.EPERM, errno.EACCES, errno.EROFS, errno.EXDEV, errno.ENOTSUP, errno.EMLINK):
            raise ConfigError(
                f"{where}: {reason}; check its owner and mode, and that its filesystem has hard links"
            ) from error
        raise AugmentError(f"{where}: {reason}") from error
