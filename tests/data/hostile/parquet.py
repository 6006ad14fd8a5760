"""Parquet files that are broken, or whose columns and names are odd; each the source's one file."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.data.factory import class_label_metadata, encoded, image_structs, picture
from tests.data.hostile.case import Case, LeftOut, Outcome, Refused, Used
from tests.data.hostile.names import HOSTILE_CLASS_NAMES

__all__ = ["CASES"]

GROUP = "Parquet"
FILE = "a.parquet"
NOT_READABLE = "nothing at … can be read: a.parquet is truncated or not Parquet: none of its rows can be read"


def file_of(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def labelled(labels: pa.Array, images: pa.Array | None = None) -> pa.Table:
    return pa.table({"image": image_structs(len(labels)) if images is None else images, "label": labels})


def named(names: Sequence[str], labels: Sequence[int]) -> pa.Table:
    return labelled(pa.array(labels, pa.int64())).replace_schema_metadata(class_label_metadata(names))


def alone(data: Callable[[], bytes]) -> Callable[[], Mapping[bytes, bytes]]:
    return lambda: {FILE.encode(): data()}


def case(title: str, data: Callable[[], bytes], outcome: Outcome, name: str = "") -> Case:
    return Case(GROUP, title, alone(data), name, outcome, file=FILE)


def cut() -> bytes:
    return file_of(labelled(pa.array([0, 1])))[:-40]


def doubled_column() -> bytes:
    images, labels = image_structs(2), pa.array([0, 1])
    return file_of(pa.Table.from_arrays([images, labels, labels], names=["image", "label", "label"]))


def damaged_pages() -> bytes:
    """The image column's pages are zeros; footer and labels are whole."""
    data = bytearray(file_of(labelled(pa.array([0, 1])), compression="zstd"))
    start = pq.read_metadata(io.BytesIO(data)).row_group(0).column(0).data_page_offset
    data[start : start + 200] = bytes(200)
    return bytes(data)


def listed() -> pa.Array:
    return pa.array([[1, 2], [3]], pa.list_(pa.uint8()))


def without_bytes() -> pa.Array:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.array(
        [{"bytes": encoded(picture()), "path": None}, {"bytes": None, "path": "gone.png"}, None], kind
    )


def text_labels(*names: str) -> bytes:
    return file_of(labelled(pa.array(names, pa.string())))


CASES: tuple[Case, ...] = (
    case("truncated", cut, Refused(NOT_READABLE)),
    case("empty file", lambda: b"", Refused(NOT_READABLE)),
    case("CSV named .parquet", lambda: b"image,label\na.png,1\n", Refused(NOT_READABLE)),
    case("encrypted (magic PARE)", lambda: b"PARE" + bytes(100) + b"PARE", Refused(NOT_READABLE)),
    case("a footer longer than the file", lambda: b"PAR1" + b"\xff\xff\xff\x7fPAR1", Refused(NOT_READABLE)),
    case("no row group", lambda: file_of(labelled(pa.array([], pa.int64()))),
         Refused("… holds no labelled image (no rows)")),
    case("no label column", lambda: file_of(pa.table({"image": image_structs(1), "lable": [1]})),
         Refused("… has no column 'label'; did you mean 'lable'? its columns are image, lable; set …")),
    case("two columns called label", doubled_column, Refused("… has 2 columns called 'label'; rename …")),
    case("null labels", lambda: file_of(labelled(pa.array([0, None, 1]))), LeftOut("has no label (null)"),
         "a.parquet#1"),
    case("nothing but null labels", lambda: file_of(labelled(pa.array([None, None], pa.int64()))),
         Refused("… holds no labelled image: a.parquet#0 has no label (null)")),
    case("labels of the null type", lambda: file_of(labelled(pa.array([None, None]))),
         Refused("… column 'label' is null; source.label_column must name one of integers or strings")),
    case("float labels", lambda: file_of(labelled(pa.array([0.0, 1.0]))),
         Refused("… column 'label' is double; …")),
    case("boolean labels", lambda: file_of(labelled(pa.array([True, False]))),
         Refused("… column 'label' is bool; …")),
    case("lists of labels", lambda: file_of(labelled(pa.array([[0], [1]]))),
         Refused("… column 'label' is list<element: int64>; …")),
    case("structs of labels", lambda: file_of(labelled(pa.array([{"a": 0}, {"a": 1}]))),
         Refused("… column 'label' is struct<a: int64>; …")),
    case("a label above the largest 64-bit integer", lambda: file_of(labelled(pa.array([0, 2**63], pa.uint64()))),
         Refused("… a label does not fit into 64 bits (…)")),
    case("negative labels", lambda: file_of(labelled(pa.array([-(2**63), 5]))),
         Used("their own labels and names", classes=(str(-(2**63)), "5")), "a.parquet#0 (img/0.png)"),
    case("a label outside the ClassLabel names", lambda: file_of(named(["cat", "dog"], [0, 7, 1])),
         LeftOut("has the label 7, outside 0…1"), "a.parquet#1"),
    case("two ClassLabel names that are equal", lambda: file_of(named(["cat", "cat"], [0, 1])),
         Refused("… two classes 'cat'; rename one of them")),
    case("Hugging Face metadata that is no JSON",
         lambda: file_of(labelled(pa.array([0])).replace_schema_metadata({"huggingface": "{"})),
         Refused("… the schema's 'huggingface' metadata cannot be read (…); rewrite or remove it")),
    case("2,000 classes in a dictionary",
         lambda: file_of(pa.table({"image": pa.array([encoded(picture())] * 2_000),
                                   "label": pa.array([f"c{n:05d}" for n in range(2_000)]).dictionary_encode()})),
         Used("a class each", classes=tuple(f"c{n:05d}" for n in range(2_000))), "a.parquet#0"),
    case("images as lists of numbers", lambda: file_of(labelled(pa.array([0, 1]), listed())),
         Refused("… column 'image' is list<element: uint8>; source.image_column must name one of encoded …")),
    case("images as text", lambda: file_of(labelled(pa.array([0, 1]), pa.array(["a.png", "b.png"]))),
         Refused("… column 'image' is string; source.image_column must name one of encoded images, …")),
    case("an image without bytes", lambda: file_of(labelled(pa.array([0, 1, 1]), without_bytes())),
         LeftOut("is empty (0 bytes)", good=1, also=("a.parquet#2",)), "a.parquet#1 (gone.png)"),
    case("a null image", lambda: file_of(labelled(pa.array([0, 1, 1]), without_bytes())),
         LeftOut("is empty (0 bytes)", good=1, also=("a.parquet#1 (gone.png)",)), "a.parquet#2"),
    case("damaged pages in the image column", damaged_pages, Refused("…a.parquet…")),
    case("an empty class name", lambda: text_labels("cat", "", "dog"),
         LeftOut("has the label '', which names no class"), "a.parquet#1"),
    case("names of all sorts: slashes, dots, quotes, emoji, control characters, 300 characters, …",
         lambda: text_labels(*HOSTILE_CLASS_NAMES),
         Used("as they are; no key or path is made from them", classes=tuple(sorted(HOSTILE_CLASS_NAMES))),
         "a.parquet#0 (img/0.png)"),
    case("an image's own path that climbs out (../../x.png)",
         lambda: file_of(labelled(pa.array([0, 1]), pa.array(
             [{"bytes": encoded(picture(seed=n)), "path": "../../x.png"} for n in range(2)]))),
         Used("a name for people alone: nothing is opened by it"), "a.parquet#0 (../../x.png)"),
)  # fmt: skip
