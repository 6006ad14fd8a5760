"""WebDataset tars that are broken, or whose members lie; each one beside a good shard."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Mapping

from tests.data.factory import encoded, picture
from tests.data.hostile.case import Case, LeftOut, Outcome, Used
from tests.data.hostile.names import HOSTILE_CLASS_NAMES
from tests.fuzzing import with_checksums

__all__ = ["CASES"]

GROUP = "WebDataset tars"
LOST = "none of its rows can be read"

Members = Mapping[str, bytes]


def tar_of(members: Members) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return sink.getvalue()


def row(name: str, label: bytes | str = b"cat", seed: int = 0) -> Members:
    return {
        f"{name}.png": encoded(picture(seed=seed)),
        f"{name}.cls": label.encode() if isinstance(label, str) else label,
    }


def linked(kind: bytes, target: str) -> bytes:
    """A good row, and a member 2.png that is a link."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for name, data in row("1", seed=9).items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("2.png")
        link.type, link.linkname = kind, target
        tar.addfile(link)
        label = tarfile.TarInfo("2.cls")
        label.size = 3
        tar.addfile(label, io.BytesIO(b"cat"))
    return sink.getvalue()


def bad_checksum() -> bytes:
    """The second header's checksum is wrong."""
    data = bytearray(tar_of({**row("1"), **row("2")}))
    first = 512 + -(-len(row("1")["1.png"]) // 512) * 512
    data[first + 148 : first + 154] = b"000000"
    return bytes(data)


def giant() -> bytes:
    """A header that claims 8 GB."""
    info = tarfile.TarInfo("1.png")
    info.size = 8 * 10**9
    return info.tobuf() + bytes(1024)


def sparse() -> bytes:
    info = tarfile.TarInfo("1.png")
    info.type = tarfile.GNUTYPE_SPARSE
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


def first_row() -> bytes:
    """The members of a good row, without an end mark."""
    whole = io.BytesIO(tar_of(row("1")))
    with tarfile.open(fileobj=whole) as tar:
        tar.getmembers()
        return whole.getvalue()[: tar.offset]


def negative() -> bytes:
    """A header whose size, in base 256, is below 0: it would lead back to itself."""
    header = bytearray(tarfile.TarInfo("2.png").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" + (256**11 - 512).to_bytes(11, "big")
    return first_row() + with_checksums(bytes(header)) + bytes(1024)


def negative_by_pax() -> bytes:
    """The same, by a pax header."""
    member = tarfile.TarInfo("2.png")
    member.pax_headers = {"size": "-1536"}
    return first_row() + member.tobuf(tarfile.PAX_FORMAT) + bytes(1024)


def chained(kind: bytes) -> bytes:
    """1,200 headers in a row, each of which belongs to the next."""
    content = {tarfile.GNUTYPE_LONGNAME: b"a\0", tarfile.XHDTYPE: b"9 path=x\n"}[kind]
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = kind, len(content)
    return (header.tobuf(tarfile.GNU_FORMAT) + content.ljust(512, b"\0")) * 1_200 + bytes(1024)


def beside_a_good_shard(data: Callable[[], bytes]) -> Callable[[], Mapping[bytes, bytes]]:
    good = {**row("g1", "cat", 1), **row("g2", "dog", 2)}
    return lambda: {b"bad.tar": data(), b"good.tar": tar_of(good)}


def case(title: str, data: Callable[[], bytes], outcome: Outcome, name: str = "bad.tar") -> Case:
    return Case(GROUP, title, beside_a_good_shard(data), name, outcome)


CASES: tuple[Case, ...] = (
    case("truncated within a member", lambda: tar_of(row("1"))[:600], LeftOut(f"is …: {LOST}")),
    case("truncated between members", lambda: tar_of({**row("1"), **row("2")})[:3072], LeftOut(f"is …: {LOST}")),
    case("without its end mark", lambda: tar_of(row("1")).rstrip(b"\0"), LeftOut(f"is …: {LOST}")),
    case("a wrong checksum", bad_checksum, LeftOut(f"is …: {LOST}")),
    case("compressed with gzip under a plain name", lambda: b"\x1f\x8b\x08" + bytes(600), LeftOut(f"is …: {LOST}")),
    case("no bytes", lambda: b"", LeftOut(f"is …: {LOST}")),
    case("HTML named .tar", lambda: b"<html>" * 200, LeftOut(f"is …: {LOST}")),
    case("a member that claims 8 GB", giant, LeftOut(f"is …: {LOST}")),
    case("a member of a size below 0", negative, LeftOut(f"is damaged: '2.png' ends before it begins: {LOST}")),
    case("a member of a size below 0 in a pax header", negative_by_pax, LeftOut(f"is …: {LOST}")),
    case("1,200 long names in a row", lambda: chained(tarfile.GNUTYPE_LONGNAME), LeftOut(f"is …: {LOST}")),
    case("1,200 pax headers in a row", lambda: chained(tarfile.XHDTYPE), LeftOut(f"is …: {LOST}")),
    case("a sparse member", sparse, Used("passed over, as folders and links are"), ""),
    case("a symbolic link to /etc/passwd", lambda: linked(tarfile.SYMTYPE, "/etc/passwd"),
         LeftOut("has a label and no image", good=3), "bad.tar#2"),
    case("a hard link to another member", lambda: linked(tarfile.LNKTYPE, "1.png"),
         LeftOut("has a label and no image", good=3), "bad.tar#2"),
    case("a member that climbs out (../../x.png)", lambda: tar_of(row("../../x", seed=3)),
         Used("a name for people alone: nothing is unpacked"), "bad.tar#../../x"),
    case("a member with an absolute path", lambda: tar_of(row("/etc/x", seed=3)),
         Used("a name for people alone: nothing is unpacked"), "bad.tar#/etc/x"),
    case("an image without a label", lambda: tar_of({"1.png": encoded(picture(seed=3))}),
         LeftOut("has no label"), "bad.tar#1"),
    case("a label without an image", lambda: tar_of({"1.cls": b"cat"}),
         LeftOut("has a label and no image"), "bad.tar#1"),
    case("two images in a row", lambda: tar_of({**row("1"), "1.jpg": encoded(picture(), "JPEG")}),
         LeftOut("has two images"), "bad.tar#1"),
    case("a label that is not UTF-8", lambda: tar_of(row("1", b"\xff\xfe")),
         LeftOut("has a .cls that is not UTF-8 text"), "bad.tar#1"),
    case("JSON that is none", lambda: tar_of({"1.png": encoded(picture(seed=3)), "1.json": b"{"}),
         LeftOut("has a .json that is not JSON"), "bad.tar#1"),
    case("JSON nested 100,000 deep",
         lambda: tar_of({"1.png": encoded(picture(seed=3)), "1.json": b"[" * 100_000}),
         LeftOut("has a .json that is not JSON"), "bad.tar#1"),
    case("class names of all sorts", lambda: tar_of(
            {key: data for at, name in enumerate(HOSTILE_CLASS_NAMES) if name.strip() == name and name != "1"
             for key, data in row(f"{at:03d}", name, seed=at).items()}),
         Used("as they are; no key or path is made from them"), "bad.tar#000"),
)  # fmt: skip
