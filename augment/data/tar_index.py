"""What lies where in a tar file, read by its headers: ranged reads of a store, and no member's bytes but small ones.

Owns the walk over a tar and the refusal of one that is not whole. Knows nothing of images or labels.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from augment.data.ranged import ranged_file
from augment.errors import InputError
from augment.objects import ObjectStore

__all__ = ["BrokenTarError", "Member", "members_of"]

_WINDOW_BYTES = 256 * 1024  # of a read: small members and their headers come several at a time
_BLOCK_BYTES = 512


class BrokenTarError(InputError):
    """A tar that is not whole; the message is the reason, to be read after its name."""


@dataclass(frozen=True)
class Member:
    """A regular file in a tar."""

    name: str
    offset: int  # of its first byte, in the tar
    size: int
    tar: Any  # the open file that `content` reads from

    def content(self) -> bytes:
        """Its bytes; to be asked for while its turn is, and of small members."""
        self.tar.seek(self.offset)
        data: bytes = self.tar.read(self.size)
        return data


def members_of(store: ObjectStore, key: str, size: int) -> Iterator[Member]:
    """The regular files of the tar at `key`, in order; folders and links are passed over.

    Raises BrokenTarError, maybe after some members, where the tar is truncated, damaged or compressed.
    """
    file = ranged_file(store, key, size, _WINDOW_BYTES)
    end = 0
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            while (info := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # it keeps them all, however many they are
                if tar.offset <= end:  # a size below 0 would lead round for ever
                    raise BrokenTarError(f"is damaged: {info.name!r} ends before it begins")
                end = tar.offset  # of the next header
                if info.isreg() and info.sparse is None:
                    yield Member(info.name, info.offset_data, info.size, file)
    except RecursionError as error:  # tarfile reads a header that belongs to a header by calling itself
        raise BrokenTarError("is damaged: a thousand headers in a row name one member") from error
    except (tarfile.TarError, EOFError, ValueError, OverflowError, UnicodeError) as error:
        raise BrokenTarError(f"is no tar, or is damaged ({error})") from error
    # tarfile takes whatever is no header for the end; the end is a block of zeros.
    file.seek(end)
    if file.read(_BLOCK_BYTES) != bytes(_BLOCK_BYTES):
        raise BrokenTarError("is truncated or damaged: it has no end mark where its last member ends")
