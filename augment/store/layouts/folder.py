"""Plain images in a folder a class, as torchvision's ImageFolder and a person want them.

    00000-cat/no-images               where a class has none
    00001-dog-wild/<sample_id>.png
    classes.json                      {"00001-dog-wild": {"label": 1, "name": "dog | wild"}, …}

A folder's name is the label's number and what is plain ASCII of the name: no path is made from a raw class
name, and two classes never share a folder. Sorted, the folders come in the order of their labels. A reader that
numbers folders would number those after a missing one anew: so every class has its own, by a file that is no image
where it has no images, since an object store holds no empty folder.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping

from augment.store.layouts.contract import FileBytes, Layout, OpenedShard

__all__ = ["FOLDER", "class_folder"]

_LOADING = """\
import json, torchvision

class Images(torchvision.datasets.ImageFolder):
    def find_classes(self, directory):
        with open(f"{directory}/classes.json", encoding="utf-8") as file:
            labels = {folder: one["label"] for folder, one in json.load(file).items()}
        return list(labels), labels

Images(root, allow_empty=True)   # with the dataset's own labels; classes.json has the true names too
"""

_MOST_SLUG = 40
_NO_IMAGES = "no-images"  # no glob for images matches it


def class_folder(label: int, name: str) -> str:
    """The folder of a class; its characters are digits, a–z and '-'."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_MOST_SLUG].rstrip("-")
    return f"{label:05d}-{slug}" if slug else f"{label:05d}"


def _files(shard: OpenedShard) -> Iterator[FileBytes]:
    columns = shard.table.select(["image", "label", "label_name"])
    for batch in columns.to_batches(max_chunksize=256):
        for row in batch.to_pylist():
            folder = class_folder(row["label"], row["label_name"])
            yield FileBytes(f"{folder}/{row['image']['path']}", row["image"]["bytes"])


def _extras(class_names: Mapping[int, str], rows: Mapping[int, int]) -> tuple[FileBytes, ...]:
    folders = {label: class_folder(label, name) for label, name in class_names.items()}
    classes = {folders[label]: {"label": label, "name": name} for label, name in class_names.items()}
    empty = [FileBytes(f"{folder}/{_NO_IMAGES}", b"") for label, folder in folders.items() if not rows[label]]
    return (*empty, FileBytes("classes.json", json.dumps(classes, ensure_ascii=False, indent=2).encode()))


FOLDER = Layout(
    name="folder",
    files=_files,
    owns=re.compile(r"-?\d{4,}[a-z0-9-]*/[0-9a-f]{32}\.(png|webp)"),
    unfinished_key="unfinished-export/unfinished-export.png",
    records="images",
    data_files="*/*.*",
    loading=_LOADING,
    extras=_extras,
)
