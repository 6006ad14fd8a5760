"""Sources for the mixing reader's tests: in every format, with leaks, with bad images."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from tests.data.factory import class_folders, write_files, write_parquet
from tests.data.layouts import tar_bytes

REAL = {"cat": 9, "dog | wild": 2, "test": 5}  # as tiny_run's plan counts them


LEAKED = ["train/cat/000.png", "train/cat/001.png", "train/dog | wild/000.png"]


def leaking(folder: Path) -> str:
    """A source of which three training images lie in its test split too."""
    files = {f"train/{key}": data for key, data in class_folders(REAL).items()}
    files |= {key.replace("train/", "test/"): files[key] for key in LEAKED}
    return write_files(folder, files)


def with_bad_images(folder: Path) -> str:
    """62 images, 16 of them truncated."""
    files = class_folders({"cat": 32, "dog | wild": 10, "test": 20})
    return write_files(
        folder,
        {key: data[:50] if number % 4 == 1 else data for number, (key, data) in enumerate(files.items())},
    )


def source_of(layout: str, folder: Path) -> str:
    """The images of REAL in one of the formats."""
    files = class_folders(REAL)
    names = [key.split("/")[0] for key in files]
    if layout == "tar":
        members = [
            (f"{number:04d}.{suffix}", data)
            for number, (image, name) in enumerate(zip(files.values(), names, strict=True))
            for suffix, data in (("png", image), ("cls", name.encode()))
        ]
        return write_files(folder, {"rows.tar": tar_bytes(members)}) + "/rows.tar"
    if layout == "parquet":
        images = [{"bytes": data, "path": None} for data in files.values()]
        return write_parquet(folder / "rows.parquet", pa.array(names), pa.array(images), row_group_size=6)
    if layout == "csv":
        lines = "".join(f'"{key}","{name}"\n' for key, name in zip(files, names, strict=True))
        return write_files(folder, files | {"rows.csv": f"path,label\n{lines}".encode()}) + "/rows.csv"
    return write_files(folder, files)
