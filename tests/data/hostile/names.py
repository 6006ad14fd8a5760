"""Names of files and class folders that tools trip over, on a local disk."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping

from tests.data.factory import encoded, picture
from tests.data.hostile.case import Case, LeftOut, Outcome, Refused, Used

__all__ = ["CASES", "HOSTILE_CLASS_NAMES"]

ACCENTED = "é"
HOSTILE_CLASS_NAMES = (
    "a/b", "/etc/passwd", "../../escape", "..", ".", "a\\b", "C:\\temp", "~", "-rf", "--help", "%2F", "%00",
    "class=1", "a=b", "null", "None", "NA", "nan", "1", "True", "test", "train", "data", "_runs", ".hidden",
    "single'quote", 'double"quote', "back`tick", "$HOME", "$(id)", "a;b", "a|b", "a,b", "a\tb", "a\nb", "a\rb",
    "\x01\x1b[31mred", "\x7f", " leading", "trailing ", "trailing.", " ", "\u202egnp.exe", "\u200b", "😀", "日本語",
    unicodedata.normalize("NFC", ACCENTED), unicodedata.normalize("NFD", ACCENTED), "case", "CASE", "x" * 300,
    "<script>alert(1)</script>", "| table |", "{json}", "${env}", "*", "?", "[a-z]", "con", "nul.png",
)  # fmt: skip
"""Names that a label may have in Parquet, CSV or JSON: no file system limits them."""


def files(*names: str | bytes) -> Callable[[], Mapping[bytes, bytes]]:
    """Image files of these names in class `odd`, beside class `good`."""
    return folders(*(b"odd/" + (name.encode() if isinstance(name, str) else name) for name in names))


def folders(*paths: bytes) -> Callable[[], Mapping[bytes, bytes]]:
    def made() -> Mapping[bytes, bytes]:
        good = {b"good/1.png": encoded(picture(seed=1)), b"odd/ok.png": encoded(picture(seed=2))}
        return good | {path: encoded(picture(seed=3 + at)) for at, path in enumerate(paths)}

    return made


def file_case(title: str, name: str) -> Case:
    return Case("Names of files", title, files(name), f"odd/{name}", Used("as it is"))


def class_case(title: str, *names: str) -> Case:
    paths = [f"{name}/1.png".encode() for name in names]
    outcome: Outcome = Used("as it is", classes=tuple(sorted({"good", "odd", *names})))
    return Case("Names of class folders", title, folders(*paths), f"{names[0]}/1.png", outcome)


NFC, NFD = unicodedata.normalize("NFC", ACCENTED), unicodedata.normalize("NFD", ACCENTED)
NOT_UTF8 = "has a name that is not UTF-8; rename it"

CASES: tuple[Case, ...] = (
    file_case("a newline", "a\nb.png"),
    file_case("quotes", "'\"`.png"),
    file_case("emoji", "😀.png"),
    file_case("255 bytes", "x" * 251 + ".png"),
    file_case("a leading dash", "-rf.png"),
    file_case("a percent escape", "%2e%2e%2f.png"),
    file_case("a terminal's escape sequence", "\x1b[31mred.png"),
    file_case("right-to-left override", "\u202egnp.png"),
    file_case("a backslash", "a\\b.png"),
    Case("Names of files", "a dot at the end", files("a.png."), "odd/a.png.",
         LeftOut("is no image by its …")),
    Case("Names of files", "é as one character and as two (NFC, NFD)", files(f"{NFC}.png", f"{NFD}.png"),
         f"odd/{NFC}.png", Used("two files")),
    Case("Names of files", "not UTF-8", files(b"\xff\xfe.png"), "'odd/\\udcff\\udcfe.png'", LeftOut(NOT_UTF8)),
    Case("Names of files", "hidden", files(".hidden.png"), "", Used("hidden files do not exist",
         classes=("good", "odd"))),
    class_case("quotes", "'\"`"),
    class_case("emoji", "😀"),
    class_case("three dots… and not hidden", "a..."),
    class_case("a leading dash", "-rf"),
    class_case("white space only", " "),
    class_case("control characters", "\x01\x1b[31m"),
    class_case("a newline", "a\nb"),
    class_case("right-to-left override", "\u202egnp"),
    class_case("250 bytes", "x" * 250),
    class_case("names that differ in case only", "Cat", "cat"),
    class_case("é as one character and as two (NFC, NFD)", NFC, NFD),
    class_case("a name like a Hive key", "class=1"),
    class_case("a percent escape", "%2F"),
    class_case("a backslash", "a\\..\\b"),
    Case("Names of class folders", "not UTF-8", folders(b"\xff/1.png"), "'\\udcff/1.png'", LeftOut(NOT_UTF8)),
    Case("Names of class folders", "hidden (.git)", folders(b".git/1.png"), "",
         Used("folders that tools hide do not exist", classes=("good", "odd"))),
    Case("Names of class folders", "copies of a Synology disk or a Mac's zip (@eaDir, __MACOSX)",
         folders(b"odd/@eaDir/1.png/thumb.png", b"__MACOSX/odd/1.png"), "",
         Used("folders of such copies do not exist", classes=("good", "odd"))),
    Case("Names of class folders", "begins with a dot", folders(b"..dots/1.png", b"..dots/2.png"), "..dots",
         LeftOut("is a hidden folder: 2 image files left out with it; rename it to use them")),
    Case("Names of class folders", "a folder with no usable image", lambda: {**folders()(), b"bad/1.png": b""},
         "", Refused("class folder …/bad holds no usable image: bad/1.png is empty (0 bytes); add images or …")),
    Case("Names of class folders", "images in no class folder alone", lambda: {b"1.png": encoded(picture())}, "",
         Refused("… has no class folders with images; expected …/<class>/<image>.png, but found 1.png, which …")),
)  # fmt: skip
