"""What published rows call a real image: a name relative to its source, which tells no place.

Rows go wherever a data set goes, and the folders and buckets of whoever made it are nobody's business there. A name
is relative to its URI. Of several URIs the one meant stands before it, counted from 0: `uri[1]/cat/1.png`. What lies
outside its URI, as a manifest's line may, has a digest in the place of its folder: `@5d41402abc4b/1.png`. Both depend
on nothing but the listing, so that a source that was moved gives the same names. Whoever has the config finds the image
again by `Source.find_published`.

Owns these forms. Knows no format.
"""

import re

from augment.types import sha256_hex

__all__ = ["name_below", "numbered_name", "placeless_name"]

_DIGITS = 12
_PLACE = re.compile(r"[/\\~]|[A-Za-z]:[\\/]|[A-Za-z][A-Za-z0-9+.-]*:/")  # absolute, or a URI
_SEPARATORS = re.compile(r"[/\\]+")


def numbered_name(name: str, part: int, parts: int) -> str:
    """A name below URI `part` of `parts`, as rows have it."""
    return name if parts == 1 else f"uri[{part}]/{name}"


def name_below(location: str, root: str) -> str:
    """The name of the image at `location`, a full URI or an absolute path, in a source whose keys lie below `root`."""
    home = root.rstrip("/") + "/"
    return location[len(home) :] if location.startswith(home) else placeless_name(location)


def placeless_name(name: str) -> str:
    """A name as it is where it is relative and stays inside; else its last part, behind a digest of the rest."""
    *folders, last = _SEPARATORS.split(name.rstrip("/\\"))
    if ".." not in folders and not _PLACE.match(name):
        return name
    folder = name[: len(name) - len(last)].encode("utf-8", "surrogatepass")
    return f"@{sha256_hex(folder)[:_DIGITS]}/{last}"
