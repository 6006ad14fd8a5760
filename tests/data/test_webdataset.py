"""WebDataset shards: which members make a row, what is bad, and how little is read."""

from __future__ import annotations

import io
import tarfile
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.data.config import SourceConfig
from augment.data.sources import Source, open_source
from augment.data.tar_index import BrokenTarError, members_of
from augment.errors import AugmentError, InputError
from augment.objects import MemoryStore, open_store
from tests.data.layouts import put_all, tar_bytes
from tests.fuzzing import with_checksums

TWO = [("a.png", b"first"), ("a.cls", b"1"), ("b.jpg", b"second"), ("b.cls", b"0\n")]


def source_of(shards: dict[str, bytes], **config: object) -> Source:
    uri = put_all(f"memory://{uuid.uuid4().hex}", shards)
    return open_source(SourceConfig.model_validate({"uri": uri, **config}))


def read_all(source: Source) -> list[tuple[str, bytes]]:
    return [(item.name, item.data) for chunk in source.chunks() for item in source.read(chunk)]


def bad_of(members: list[tuple[str, bytes]], **config: object) -> list[tuple[str, str]]:
    good = [("zz.png", b"x"), ("zz.cls", b"7")]
    listing = source_of({"s.tar": tar_bytes(members + good)}, **config).listing()
    return [(bad.name, bad.reason) for bad in listing.bad]


def test_neighbouring_members_of_one_name_are_a_row() -> None:
    source = source_of({"s.tar": tar_bytes(TWO)})
    assert source.config.format == "webdataset"
    assert [(info.label, info.name) for info in source.listing().classes] == [(0, "0"), (1, "1")]
    assert source.listing().labels_B.tolist() == [1, 0]
    assert read_all(source) == [("s.tar#a", b"first"), ("s.tar#b", b"second")]
    assert source.names() == ["s.tar#a", "s.tar#b"]


def test_labels_are_names_or_a_field_of_the_json_and_other_members_are_passed_over() -> None:
    members = [
        ("d/1.txt", b"a caption"), ("d/1.webp", b"w"), ("d/1.json", b'{"kind": "caf\xc3\xa9", "n": 3}'),
        ("d/2.seg.png", b"mask"), ("d/2.cls", "café ".encode()), ("d/2.jpeg", b"j"),
        ("__meta__/x.json", b"not json"),
    ]  # fmt: skip
    source = source_of({"s.tar": tar_bytes(members)}, label_column="kind")
    assert [info.name for info in source.listing().classes] == ["café"]
    assert read_all(source) == [("s.tar#d/1", b"w"), ("s.tar#d/2", b"j")]


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([("a.png", b"x")], "has no label"),
        ([("a.png", b"x"), ("a.cls", b" ")], "has no label"),
        ([("a.cls", b"1")], "has a label and no image"),
        ([("a.png", b"x"), ("a.jpg", b"y"), ("a.cls", b"1")], "has two images"),
        ([("a.png", b"x"), ("a.png", b"y"), ("a.cls", b"1")], "has two members .png"),
        ([("a.png", b""), ("a.cls", b"1")], "is empty (0 bytes)"),
        ([("a.png", b"x"), ("a.json", b"{")], "has a .json that is not JSON"),
        ([("a.png", b"x"), ("a.json", b"[1]")], "has a .json that is no JSON object"),
        ([("a.png", b"x"), ("a.cls", b"\xff")], "has a .cls that is not UTF-8 text"),
        (
            [("a.png", b"x"), ("a.json", b'{"label": true}')],
            "has a 'label' that is neither a whole number nor text",
        ),
        (
            [("a.png", b"x"), ("a.json", b'{"label": 1.5}')],
            "has a 'label' that is neither a whole number nor text",
        ),
        ([("a.png", b"x"), ("a.json", b'{"label": null}')], "has no label"),
    ],
)
def test_a_row_that_is_not_whole_is_bad_by_name(members: list[tuple[str, bytes]], reason: str) -> None:
    assert bad_of(members) == [("s.tar#a", reason)]


def damaged(how: str) -> bytes:
    whole = tar_bytes(TWO)
    return {
        "inside a member": whole[:700],
        "between members": whole[:1024],
        "inside a header": whole[: 1024 + 100],
        "without an end mark": whole[: 4 * 1024],
        "a header's checksum": whole[:1024] + b"X" + whole[1025:],
        "not a tar": b"<html>" * 500,
        "empty": b"",
        "compressed": b"\x1f\x8b" + bytes(2000),
    }[how]


@pytest.mark.parametrize(
    "how",
    [
        "inside a member", "between members", "inside a header", "without an end mark", "a header's checksum",
        "not a tar", "empty", "compressed",
    ],
)  # fmt: skip
def test_a_broken_shard_is_named_and_its_rows_are_lost_alone(how: str) -> None:
    source = source_of({"bad.tar": damaged(how), "good.tar": tar_bytes(TWO)})
    (bad,) = source.listing().bad
    assert bad.name == "bad.tar"
    assert bad.reason.endswith("none of its rows can be read")
    assert [name for name, _ in read_all(source)] == ["good.tar#a", "good.tar#b"]


def test_folders_links_and_long_names_in_a_tar_do_no_harm() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind in (("d", tarfile.DIRTYPE), ("a.png", tarfile.SYMTYPE), ("b.png", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        for name, data in ((f"{'é' * 200}/../x.png", b"x"), (f"{'é' * 200}/../x.cls", b"1")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    source = source_of({"s.tar": buffer.getvalue()})
    assert read_all(source) == [(f"s.tar#{'é' * 200}/../x", b"x")]
    assert source.listing().bad == ()


def test_neighbours_are_read_by_one_range_and_images_are_not_read_to_be_listed() -> None:
    big = bytes(3_000_000)
    members = [member for row in range(3) for member in ((f"{row}.png", big), (f"{row}.cls", b"1"))]
    source = source_of({"s.tar": tar_bytes(members)})
    asked: list[tuple[int, int]] = []
    true_range = MemoryStore.get_range

    def noted(store: MemoryStore, key: str, start: int, stop: int) -> bytes:
        asked.append((start, stop))
        return true_range(store, key, start, stop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryStore, "get_range", noted)
        (chunk,) = source.chunks()
        assert sum(stop - start for start, stop in asked) < len(big)
        asked.clear()
        assert [item.data for item in source.read(chunk)] == [big] * 3
        assert len(asked) == 1


def test_a_shard_that_went_away_since_the_listing_is_named() -> None:
    source = source_of({"s.tar": tar_bytes(TWO)})
    chunks = source.chunks()
    open_store(str(source.config.uri)).delete("s.tar")
    with pytest.raises(InputError, match=r"s\.tar does not exist"):
        list(source.read(chunks[0]))


def test_a_place_without_a_tar_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no \.tar file lies at"):
        open_source(SourceConfig(uri=str(tmp_path), format="webdataset")).counts()


HEADER_BYTES = st.tuples(st.integers(0, 7), st.integers(0, 511), st.integers(0, 255)).map(
    lambda at: (at[0] * 512 + at[1], at[2])  # the first blocks are headers, and half of what they hold
)


@settings(max_examples=100)
@given(
    changes=st.lists(HEADER_BYTES, max_size=6),
    size=st.none() | st.integers(-(2**63), 2**63),
    cut=st.just(0) | st.integers(0, 6 * 1024),
)
def test_whatever_is_done_to_a_tar_only_our_errors_come_out(
    changes: list[tuple[int, int]], size: int | None, cut: int
) -> None:
    data = bytearray(tar_bytes(TWO))
    for position, byte in changes:
        data[position] = byte
    if size is not None:  # the first member's, in base 256
        data[124:136] = (b"\xff" if size < 0 else b"\x80") + (size % 256**11).to_bytes(11, "big")
    damaged = with_checksums(bytes(data))
    uri = put_all(f"memory://{uuid.uuid4().hex}", {"s.tar": damaged[: len(data) - cut]})
    try:
        source = open_source(SourceConfig(uri=uri, format="webdataset"))
        assert len(read_all(source)) == len(source.listing().labels_B)
    except AugmentError:
        pass


def test_members_are_the_ones_that_tarfile_finds() -> None:
    uri = put_all(f"memory://{uuid.uuid4().hex}", {"s.tar": tar_bytes(TWO), "x.tar": b""})
    found = list(members_of(open_store(uri), "s.tar", len(tar_bytes(TWO))))
    assert [(member.name, member.size) for member in found] == [(name, len(data)) for name, data in TWO]
    data = tar_bytes(TWO)
    assert [data[member.offset :][: member.size] for member in found] == [data for _, data in TWO]
    with pytest.raises(BrokenTarError):
        list(members_of(open_store(uri), "x.tar", 0))
