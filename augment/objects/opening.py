"""From a URI to a store, and to a filesystem for column-wise reads.

Owns what a URI may be: its schemes, and the refusal of credentials in it. To add a store, write its class
and one entry of `_STORES`; the contract suite in tests/objects runs on it at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote

from augment.errors import ConfigError, InputError, RetryLaterError
from augment.objects.contract import ObjectNotFoundError, ObjectStore
from augment.objects.local import LocalStore
from augment.objects.memory import MemoryStore
from augment.objects.s3 import S3Store

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

__all__ = ["filesystem_errors", "filesystem_for", "open_store"]


def open_store(uri: str) -> ObjectStore:
    """The store at `uri`: a local path, `file:///path`, `s3://bucket/prefix` or `memory://name`.

    Nothing is contacted yet. Raises ConfigError for another scheme or for credentials in the URI.
    """
    scheme, rest = _split_uri(uri)
    return _STORES[scheme](rest)


def _split_uri(uri: str) -> tuple[str, str]:
    """Scheme ('' is a local path) and the rest; no message repeats what might be a secret."""
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", uri, re.DOTALL)
    if match is None:
        if not uri:
            raise ConfigError("an empty URI names no store; give a local path or s3://bucket/prefix")
        return "", uri
    scheme, rest = match[1].lower(), match[2]
    if "@" in rest.partition("/")[0]:
        raise ConfigError(
            f"a {scheme}:// URI holds credentials before '@'; remove them and use the standard AWS chain "
            "(AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
        )
    if scheme not in _STORES:
        raise ConfigError(
            f"scheme {scheme}:// is not supported; use a local path, file:// or s3://bucket/prefix"
        )
    if scheme == "s3" and re.search(r"[?#]", rest):
        raise ConfigError(
            "an s3:// URI takes no '?' or '#'; set the endpoint and region by AWS_ENDPOINT_URL and AWS_REGION"
        )
    return scheme, rest


def _file_uri_path(rest: str) -> str:
    host, slash, path = rest.partition("/")
    if host not in ("", "localhost") or not slash:
        raise ConfigError(f"file://{rest} names a host; a local path is file:///absolute/path")
    return unquote(slash + path)


_STORES: dict[str, Callable[[str], ObjectStore]] = {
    "": LocalStore,
    "file": lambda rest: LocalStore(_file_uri_path(rest)),
    "s3": S3Store,
    "memory": MemoryStore,
}


def filesystem_for(uri: str) -> tuple[FileSystem, str]:
    """A pyarrow filesystem and the path in it, for reading single Parquet columns from a store.

    Build it in the process that reads and never pickle it: an S3 filesystem holds the credentials. Reads
    belong inside `filesystem_errors(uri)`. Never write through it: a failed stream leaves a truncated,
    readable object behind (apache/arrow#40502).
    """
    import pyarrow.fs

    scheme, rest = _split_uri(uri)
    if scheme == "memory":
        raise ConfigError(f"{uri}: memory:// has no column-wise reads; use get()")
    if scheme != "s3":
        return pyarrow.fs.LocalFileSystem(), LocalStore(_file_uri_path(rest) if scheme else rest).uri
    with filesystem_errors(uri):
        filesystem, path = pyarrow.fs.FileSystem.from_uri(S3Store(rest).uri)
    return filesystem, path


@contextmanager
def filesystem_errors(where: str) -> Iterator[None]:
    """Turns what pyarrow raises while reading into our errors, naming `where`."""
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError as error:
        raise ObjectNotFoundError(f"{where} does not exist") from error
    except (pa.ArrowException, UnicodeDecodeError) as error:  # of damaged bytes; texts are decoded late
        raise InputError(f"{where} is not valid Parquet, or its URI is not: {error}") from error
    except OSError as error:
        text = str(error)
        if isinstance(error, PermissionError) or re.search(
            r"ACCESS_DENIED|ACCESS_KEY|SIGNATURE|FORBIDDEN", text
        ):
            raise ConfigError(
                f"{where}: access denied; check the AWS credentials or the file's mode"
            ) from error
        if re.search(
            r"NETWORK_CONNECTION|SLOW_DOWN|THROTTL|TIMEOUT|SERVICE_UNAVAILABLE|INTERNAL_FAIL", text, re.I
        ):
            raise RetryLaterError(f"{where}: the store did not answer; try again later") from error
        raise InputError(f"{where} cannot be read: {text}") from error
