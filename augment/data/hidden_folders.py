"""Images in hidden folders (`..dots/1.png`): they are not used, and a user is told so.

Owns which hidden folders are worth a word and what is said. A hidden folder is hidden by a tool that keeps its
own things there, or by a class's name that happens to begin with a dot: the first is passed over in silence,
the second must not be lost unseen.
"""

from collections import Counter

from augment.data.images import IMAGE_SUFFIXES
from augment.data.places import is_hidden, suffix_of
from augment.types import BadImage

__all__ = ["HiddenFolders"]

_OF_TOOLS = frozenset(
    {
        "@eaDir", "__MACOSX", ".AppleDouble", ".Spotlight-V100", ".TemporaryItems", ".Trash", ".Trashes", ".cache",
        ".dvc", ".fseventsd", ".git", ".hg", ".idea", ".ipynb_checkpoints", ".picasaoriginals", ".snapshot", ".stfolder",
        ".stversions", ".svn", ".thumbnails", ".tmp", ".venv", ".vscode", ".@__thumb",
    }
)  # fmt: skip
_TRASH = ".Trash-"  # of a user, whose number follows


class HiddenFolders:
    """Counts the images in hidden folders; memory depends on the folders, not on the images."""

    def __init__(self) -> None:
        self._images = Counter[str]()

    def add(self, key: str) -> None:
        """Take a hidden file. What is no image, is itself hidden or lies in a tool's folder is not counted."""
        *folders, name = key.split("/")
        if suffix_of(name) not in IMAGE_SUFFIXES or is_hidden(name):
            return
        if any(folder in _OF_TOOLS or folder.startswith(_TRASH) for folder in folders):
            return
        first = next(depth for depth, folder in enumerate(folders, start=1) if is_hidden(folder))
        self._images["/".join(folders[:first])] += 1

    def left_out(self) -> list[BadImage]:
        """One entry a folder, in the order of their names."""
        return [
            BadImage(name=_printable(folder), reason=_reason(images))
            for folder, images in sorted(self._images.items())
        ]


def _reason(images: int) -> str:
    files = f"{images:,} image file{'' if images == 1 else 's'}"
    return f"is a hidden folder: {files} left out with it; rename it to use them"


def _printable(folder: str) -> str:
    """The name, or Python's way to write one that is not UTF-8."""
    return folder if folder.isprintable() else ascii(folder)
