"""Where a source's files lie: a URI, or a glob of files, as a store and the keys that are chosen in it.

Owns what a URI of a source may be, hidden files, which folders above the keys may tell a split, two URIs that
choose one file, and the digest by which a file that was written anew with the same size is known. Knows no
format, and no word for a split.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, takewhile
from pathlib import PurePosixPath

from augment.data.demo import DEMO_SCHEME, demo_path
from augment.errors import ConfigError, InputError
from augment.objects import StoredObject, open_store

__all__ = [
    "EtagDigest",
    "Place",
    "check_overlaps",
    "is_hidden",
    "place_of",
    "places_of",
    "root_of",
    "suffix_of",
]

_WILDCARDS = re.compile(r"[*?\[]")
_COPIES = frozenset({"@eaDir", "__MACOSX"})  # thumbnails of a Synology disk; resource forks in a Mac's zip


@dataclass(frozen=True)
class Place:
    """One URI of a source: `root` is a store, and `pattern` chooses keys in it ('' takes all)."""

    uri: str  # as the config has it
    root: str
    pattern: str = ""
    folders: tuple[
        str, ...
    ] = ()  # above the keys, outermost first, whose names may tell a split; see places_of

    def objects(self) -> Iterator[StoredObject]:
        """The chosen files in the order of their keys, listed as they are asked for; none is hidden."""
        return (item for item in self.objects_and_hidden() if not is_hidden(item.key))

    def objects_and_hidden(self) -> Iterator[StoredObject]:
        """As `objects`, with the hidden files that would be chosen if they were not hidden."""
        if self.pattern:
            _ = self._chosen  # what is no glob is refused, whatever lies there
        listed = open_store(self.root).list(self._prefix)
        return (item for item in listed if self._matches(item.key)) if self.pattern else listed

    def chooses(self, key: str) -> bool:
        """Whether a file of this key below `root` is meant, if there is one."""
        return not is_hidden(key) and self._matches(key)

    def _matches(self, key: str) -> bool:
        return not self.pattern or self._chosen.fullmatch(key) is not None

    def uri_of(self, key: str) -> str:
        """A file's full URI, or its absolute path."""
        return open_store(self.root).uri_of(key)

    @property
    def is_demo(self) -> bool:
        """Whether it is packaged data, whose names say nothing."""
        return self.uri.startswith(DEMO_SCHEME)

    @property
    def only_key(self) -> str:
        """The key of the one file that the URI names outright; '' for a folder or a glob."""
        key = re.sub(r"\[([*?\[])\]", r"\1", self.pattern)
        return key if _escaped(key) == self.pattern else ""

    @property
    def _prefix(self) -> str:
        return "".join(takewhile(lambda character: character not in "*?[", self.pattern))

    @cached_property
    def _chosen(self) -> re.Pattern[str]:
        return _glob_regex(self.pattern, self.uri)


class EtagDigest:
    """A digest over (key, size, etag) of files; where a store has no etags, their times stand in for them."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, item: StoredObject) -> None:
        """Take the next file, in the order of keys."""
        version = item.etag or f"{item.modified_s:.9f}"
        self._digest.update(f"{item.size} {version} {item.key}\n".encode("utf-8", "surrogateescape"))

    def hexdigest(self) -> str:
        """64 hex digits."""
        return self._digest.hexdigest()


def place_of(uri: str) -> Place:
    """The place that `uri` names: a folder, one file, or the files that a glob chooses.

    `*`, `?` and `[…]` match within a name, `**` across folders; keys are relative to the folder before the
    first of them. What exists by its literal name is meant literally. Raises ConfigError for a URI that no
    store has, InputError for packaged data that isn't there.
    """
    if uri.startswith(DEMO_SCHEME):
        path = demo_path(uri)
        return Place(uri, str(path.parent), _escaped(path.name))
    root, pattern = _split_at_wildcard(uri)
    if pattern:
        return Place(uri, root, pattern)
    parent, _, name = root.rpartition("/")
    if PurePosixPath(name).suffix:
        parent = parent or ("/" if root.startswith("/") else ".")
        if not parent.endswith(":/") and any(item.key == name for item in open_store(parent).list(name)):
            return Place(uri, parent, _escaped(name))
    return Place(uri, root)  # maybe a folder whose name ends in .parquet, as Spark writes it


def places_of(uris: Sequence[str]) -> tuple[Place, ...]:
    """The places of a source's URIs, each with the folders above its keys that may tell its split.

    These are the folders that set a place apart from the others, and at least the nearest one: of `x/train/a`
    and `x/test/a` they are (train, a) and (test, a), of `x/test/part.parquet` alone (test). A bucket is no folder.
    """
    places = [place_of(uri) for uri in uris]
    steps = [_steps(place.root) for place in places]
    # In stores apart no folder sets them apart: the nearest alone counts.
    shared = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, zip(*steps, strict=False)))
    shared = shared or max(map(len, steps))
    return tuple(
        place if place.is_demo else replace(place, folders=tuple(own[max(1, shared) :] or own[1:][-1:]))
        for place, own in zip(places, steps, strict=True)
    )


def check_overlaps(places: Sequence[Place]) -> None:
    """InputError where two of these places choose one file: each of its rows would be there twice.

    A place is listed only if the names that it chooses begin as another's do.
    """
    homes = [open_store(place.root).uri.rstrip("/") + "/" for place in places]
    starts = [home + (place.only_key or place._prefix) for home, place in zip(homes, places, strict=True)]
    for pair in combinations(range(len(places)), 2):
        wide, narrow = sorted(pair, key=lambda at: len(starts[at]))
        if not starts[narrow].startswith(starts[wide]):
            continue
        only = places[narrow].only_key
        for key in [only] if only else (item.key for item in places[narrow].objects()):
            name = homes[narrow] + key
            if name.startswith(homes[wide]) and places[wide].chooses(name[len(homes[wide]) :]):
                first, second = (places[at].uri for at in pair)
                raise InputError(
                    f"source.uri names {name} twice, by {first} and by {second}: each of its rows would be there "
                    "twice; remove one, or make them choose different files"
                )


def root_of(uri: str) -> str:
    """The URI below which all files of a source lie, as far as its text tells; nothing is contacted."""
    root, pattern = _split_at_wildcard(uri)
    # A pattern of one level chooses no file of a folder beside those files.
    return f"{root}/{pattern}" if pattern and "/" not in pattern and "**" not in pattern else root


def is_hidden(key: str) -> bool:
    """Whether any part of the path starts with a dot (.git, .DS_Store, …) or is a tool's own folder of copies."""
    return key.startswith(".") or "/." in key or (("@" in key or "__" in key) and _in_copies(key))


def suffix_of(key: str) -> str:
    """The last suffix in lower case, with its dot: `.png`; '' for none."""
    name = key[key.rfind("/") + 1 :]
    dot = name.rfind(".")
    return name[dot:].lower() if 0 < dot < len(name) - 1 else ""


def _in_copies(key: str) -> bool:
    return not _COPIES.isdisjoint(key.split("/"))


def _split_at_wildcard(uri: str) -> tuple[str, str]:
    """The folder before the first name with a wildcard, and the rest; no rest where there is none."""
    scheme, separator, _ = uri.partition("://")
    literal = separator == "" and os.path.exists(os.path.expanduser(uri))
    if literal or not (match := _WILDCARDS.search(uri, len(scheme + separator) if separator else 0)):
        stripped = uri.rstrip("/")
        return (stripped if stripped and not stripped.endswith(":") else uri), ""
    cut = uri.rfind("/", 0, match.start())
    root, pattern = (uri[:cut], uri[cut + 1 :]) if cut >= 0 else (".", uri)
    if separator and (cut < len(scheme + separator)):
        raise ConfigError(f"{uri}: a wildcard can't stand for a bucket; name it")
    return root or "/", pattern.rstrip("/")


def _steps(root: str) -> list[str]:
    """A store (a bucket, `/` or `.`) and the folders below it."""
    scheme, separator, rest = root.partition("://")
    if separator:
        bucket, *folders = rest.strip("/").split("/")
        return [f"{scheme}://{bucket}", *folders]
    path = os.path.normpath(os.path.expanduser(root))
    return [
        "/" if path.startswith("/") else ".",
        *(part for part in path.split("/") if part not in ("", ".")),
    ]


def _escaped(name: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", name)


def _glob_regex(pattern: str, uri: str) -> re.Pattern[str]:
    """Matches the keys that `pattern` chooses, and everything below a folder that it chooses."""
    parts, position = [], 0
    while position < len(pattern):
        character = pattern[position]
        end = pattern.find("]", position + 2) if character == "[" else -1
        if pattern.startswith("**/", position):
            parts.append("(?:.*/)?")
            position += 3
        elif pattern.startswith("**", position):
            parts.append(".*")
            position += 2
        elif end > 0:
            parts.append(_character_class(pattern[position + 1 : end]))
            position = end + 1
        else:
            parts.append({"*": "[^/]*", "?": "[^/]"}.get(character) or re.escape(character))
            position += 1
    try:
        return re.compile("".join(parts) + "(?:/.*)?", re.DOTALL)
    except re.error as error:
        raise ConfigError(f"{uri} is not a glob: {error.msg}") from error


def _character_class(body: str) -> str:
    negated = body.startswith("!")
    escaped = re.sub(r"([\\^\[&~|])", r"\\\1", body[negated:])
    return f"(?!/)[{'^' if negated else ''}{escaped}]"
