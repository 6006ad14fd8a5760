"""CSV and JSON-lines manifests that are broken, or that name what they must not."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.data.factory import encoded, picture
from tests.data.hostile.case import Case, LeftOut, Outcome, Refused, Used

__all__ = ["CASES"]

GOOD = b"path,label\nimages/1.png,cat\nimages/2.png,dog\n"
GOOD_LINES = b'{"path": "images/1.png", "label": "cat"}\n{"path": "images/2.png", "label": "dog"}\n'


def listed(name: bytes, text: bytes) -> Callable[[], Mapping[bytes, bytes]]:
    images = {f"images/{number}.png".encode(): encoded(picture(seed=number)) for number in (1, 2)}
    return lambda: {name: text, **images}


def csv(title: str, text: bytes, outcome: Outcome, name: str = "") -> Case:
    return Case("CSV manifests", title, listed(b"m.csv", text), name, outcome, file="m.csv")


def jsonl(title: str, text: bytes, outcome: Outcome, name: str = "") -> Case:
    return Case("JSON-lines manifests", title, listed(b"m.jsonl", text), name, outcome, file="m.jsonl")


CASES: tuple[Case, ...] = (
    csv("a byte-order mark", b"\xef\xbb\xbf" + GOOD, Used("as if it were not there"), "images/1.png"),
    csv("mixed newlines", GOOD.replace(b"cat\n", b"cat\r\n"), Used("as any"), "images/1.png"),
    csv("a line with too few fields", GOOD + b"images/1.png\n",
        LeftOut("has 1 fields where the header has 2"), "m.csv:4"),
    csv("a line with too many fields", GOOD + b"images/1.png,cat,extra\n",
        LeftOut("has 3 fields where the header has 2"), "m.csv:4"),
    csv("a NUL byte", GOOD + b"images/1\0.png,cat\n", LeftOut("…"), "m.csv:4"),
    csv("a quote that is never closed", GOOD + b'"images/1.png,cat\n',
        Refused("…m.csv:4: no CSV from here on (…); mend the line")),
    csv("no column of labels", b"path,lable\nimages/1.png,cat\n",
        Refused("…m.csv:2 has no column 'label'; its columns are path, lable; set source.label_column")),
    csv("no column of places", b"img,label\nimages/1.png,cat\n",
        Refused("…m.csv:2 has no column 'uri', 'path' or 'file_name'; its columns are img, label; …")),
    csv("two columns of one name", b"path,label,label\na.png,1,2\n",
        Refused("…m.csv has two columns 'label'; rename one")),
    csv("no bytes", b"", Refused("…m.csv is empty; its first line names the columns")),
    csv("not UTF-8 (Latin-1)", GOOD + b"images/1.png,\xe9\n", Refused("…m.csv is not UTF-8 text (…); save …")),
    csv("UTF-16", GOOD.decode().encode("utf-16"), Refused("…m.csv is not UTF-8 text (…); save it as UTF-8")),
    csv("a path that climbs out", GOOD + b"../../etc/passwd,cat\n",
        LeftOut("names '../../etc/passwd': no plain path; it may hold no `..` and no empty name"), "m.csv:4"),
    csv("an address with a password", GOOD + b"s3://user:secret@bucket/1.png,cat\n",
        LeftOut("names 's3://***@bucket/1.png': …"), "m.csv:4"),
    csv("a scheme that no store has", GOOD + b"gopher://host/1.png,cat\n",
        LeftOut("names 'gopher://host/1.png': …"), "m.csv:4"),
    csv("an image that is not there", GOOD + b"images/9.png,cat\n", LeftOut("does not exist…"), "images/9.png"),
    csv("a file that is no image", GOOD + b"m.csv,cat\n",
        LeftOut("is not a PNG, JPEG, WebP, BMP, TIFF or GIF image"), "m.csv"),
    csv("a file name of 300 characters", GOOD + b"x" * 300 + b".png,cat\n",
        LeftOut("names '…': no store has so long a name (304 bytes)"), "m.csv:4"),
    csv("a path of 5,000 characters", GOOD + b"x/" * 2_500 + b"1.png,cat\n",
        LeftOut("names '…': no store has so long a name (5,005 bytes)"), "m.csv:4"),
    csv("a bucket that no S3 can have", GOOD + b"s3://Bad Bucket!/1.png,cat\n",
        LeftOut("names 's3://Bad Bucket!/1.png': no bucket can have this name"), "m.csv:4"),
    csv("an empty label", GOOD + b"images/1.png,\n", LeftOut("has no label"), "m.csv:4"),
    csv("class names with slashes, dots and quotes",
        GOOD + b'images/1.png,../../x\nimages/2.png,"a""b"\nimages/1.png,/\n',
        Used("as they are; no key or path is made from them",
             classes=("../../x", "/", 'a"b', "cat", "dog")), "images/1.png"),
    jsonl("a line that is no JSON", GOOD_LINES + b"{\n", LeftOut("is not JSON"), "m.jsonl:3"),
    jsonl("a line that is no object", GOOD_LINES + b"[1]\n", LeftOut("is no JSON object"), "m.jsonl:3"),
    jsonl("nested 100,000 deep", GOOD_LINES + b"[" * 100_000 + b"\n", LeftOut("is not JSON"), "m.jsonl:3"),
    jsonl("a label that is a list", GOOD_LINES + b'{"path": "images/1.png", "label": ["a"]}\n',
          LeftOut("has a 'label' that is neither a whole number nor text"), "m.jsonl:3"),
    jsonl("a path that is a number", GOOD_LINES + b'{"path": 7, "label": "a"}\n', LeftOut("has no path"), "m.jsonl:3"),
    jsonl("a label with half a surrogate pair", GOOD_LINES + b'{"path": "images/1.png", "label": "\\ud800"}\n',
          LeftOut("holds half a surrogate pair, which is no character"), "m.jsonl:3"),
    jsonl("a label above the largest 64-bit integer",
          GOOD_LINES + b'{"path": "images/1.png", "label": 99999999999999999999}\n',
          LeftOut("has a 'label' that does not fit into 64 bits"), "m.jsonl:3"),
    jsonl("no bytes", b"", Refused("…m.jsonl is empty")),
)  # fmt: skip
