"""Cuts the long-tailed demo data sets out of Fashion-MNIST's IDX files.

    python -m augment.data.demo.make_fashion_mnist_lt --idx DIR --out DIR [--full]

Owns how the packaged Parquet files came to be: no random number is drawn, so a rerun gives the same rows.
Class c keeps its first n_c = ⌊n_max · ρ^(-c / (C - 1))⌋ images in file order (Cui et al. 2019,
"Class-balanced loss based on effective number of samples", section 5.1), ρ = the imbalance ratio.
"""

import argparse
import gzip
import io
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from augment.errors import InputError

__all__ = ["CLASS_NAMES", "long_tail_counts", "main", "make_demo", "make_full", "read_idx"]

CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_IMBALANCE_RATIO = 100.0
_DEMO_LARGEST_CLASS = 3_000  # both demo files together stay below 3 MB
_DEMO_TEST_PER_CLASS = 50
_FULL_LARGEST_CLASS = 5_000  # down to 50, as in the long-tail literature
_FULL_TEST_PER_CLASS = 1_000
_ROW_GROUP_ROWS = 2_048  # what one read task takes
_IDX_UINT8 = 0x08  # the IDX header's type code for unsigned bytes


def long_tail_counts(largest: int, ratio: float, classes: int) -> tuple[int, ...]:
    """Images to keep of each class: from `largest` down to `largest / ratio`, exponentially."""
    return tuple(int(largest * ratio ** (-index / (classes - 1))) for index in range(classes))


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """The array of a gzipped IDX file of unsigned bytes, e.g. [60000, 28, 28]."""
    data = gzip.decompress(path.read_bytes())
    if len(data) < 4 or data[:3] != bytes([0, 0, _IDX_UINT8]):
        raise InputError(f"{path} is not an IDX file of unsigned bytes")
    dims = data[3]
    shape = np.frombuffer(data, dtype=">u4", count=dims, offset=4).astype(np.int64)
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * dims).reshape(tuple(shape))


def make_demo(idx: Path, out: Path) -> tuple[Path, Path]:
    """Write the packaged pair, fashion-mnist-lt.parquet and fashion-mnist-test.parquet, into `out`."""
    return _make_pair(
        idx, out, _DEMO_LARGEST_CLASS, _DEMO_TEST_PER_CLASS, ("fashion-mnist-lt", "fashion-mnist-test")
    )


def make_full(idx: Path, out: Path) -> tuple[Path, Path]:
    """Write Fashion-MNIST-LT at full size (5,000 images of the largest class to 50) and the whole test split."""
    names = ("fashion-mnist-lt-full", "fashion-mnist-test-full")
    return _make_pair(idx, out, _FULL_LARGEST_CLASS, _FULL_TEST_PER_CLASS, names)


def _make_pair(
    idx: Path, out: Path, largest: int, test_per_class: int, names: tuple[str, str]
) -> tuple[Path, Path]:
    out.mkdir(parents=True, exist_ok=True)
    train, test = (out / f"{name}.parquet" for name in names)
    counts = long_tail_counts(largest, _IMBALANCE_RATIO, len(CLASS_NAMES))
    _write_split(idx, "train", counts, train)
    _write_split(idx, "t10k", (test_per_class,) * len(CLASS_NAMES), test)
    return train, test


def _write_split(idx: Path, split: str, counts: tuple[int, ...], target: Path) -> None:
    """Cut one split down to `counts` images a class, class after class, and write it."""
    images_BHW = read_idx(idx / f"{split}-images-idx3-ubyte.gz")
    labels_B = read_idx(idx / f"{split}-labels-idx1-ubyte.gz")
    kept = np.concatenate([np.flatnonzero(labels_B == label)[:count] for label, count in enumerate(counts)])
    rows = [{"bytes": _stored_png(images_BHW[i]), "path": f"{split}/{i:05d}.png"} for i in kept]
    features = {"image": {"_type": "Image"}, "label": {"names": list(CLASS_NAMES), "_type": "ClassLabel"}}
    schema = pa.schema(
        {"image": pa.struct([("bytes", pa.binary()), ("path", pa.string())]), "label": pa.int64()},
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    columns = {"image": rows, "label": labels_B[kept].astype(np.int64)}
    pq.write_table(
        pa.table(columns, schema=schema), target,
        compression="brotli", compression_level=11, data_page_size=64 << 20,
        use_dictionary=False, write_statistics=False, row_group_size=_ROW_GROUP_ROWS,
    )  # fmt: skip


def _stored_png(pixels_HW: npt.NDArray[np.uint8]) -> bytes:
    """A PNG that is filtered but not deflated.

    The Parquet page is compressed across images instead, which makes the file a quarter smaller than
    deflating images of half a kilobyte one by one.
    """
    buffer = io.BytesIO()
    Image.fromarray(pixels_HW).save(buffer, format="PNG", compress_level=0)
    return buffer.getvalue()


def main() -> None:
    """Read the command line and write the pair of files."""
    parser = argparse.ArgumentParser(description="Cut long-tailed data sets out of Fashion-MNIST.")
    parser.add_argument("--idx", type=Path, required=True, help="folder of the four *-ubyte.gz files")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the Parquet files into")
    parser.add_argument("--full", action="store_true", help="write the full-size pair, not the demo's")
    arguments = parser.parse_args()
    make = make_full if arguments.full else make_demo
    for path in make(arguments.idx, arguments.out):
        print(f"{path}  {path.stat().st_size:,} bytes  {pq.read_metadata(path).num_rows:,} rows")


if __name__ == "__main__":
    main()
