"""CSV and JSONL manifests: what a line means, what it may name, and what is bad."""

from __future__ import annotations

import json
import re
import sys
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.data.census import take_census
from augment.data.config import ImageConfig, SourceConfig
from augment.data.sources import Source, open_source
from augment.errors import AugmentError, InputError
from augment.objects.memory import MemoryStore
from tests.data.factory import encoded, picture
from tests.data.layouts import put_all


def source_of(text: str | bytes, name: str = "rows.csv", root: str | None = None, **config: object) -> Source:
    data = text.encode() if isinstance(text, str) else text
    uri = put_all(root or f"memory://{uuid.uuid4().hex}", {f"lists/{name}": data, "lists/a.png": b"A"})
    return open_source(SourceConfig.model_validate({"uri": f"{uri}/lists/{name}", **config}))


def read_all(source: Source) -> list[tuple[str, bytes, str]]:
    return [(item.name, item.data, item.fault) for chunk in source.chunks() for item in source.read(chunk)]


def bad_of(source: Source) -> list[tuple[str, str]]:
    return [(bad.name, bad.reason) for bad in source.listing().bad]


def test_a_relative_path_lies_beside_the_manifest_and_a_uri_anywhere(tmp_path: Path) -> None:
    other = put_all(f"memory://{uuid.uuid4().hex}", {"deep/b.png": b"B"})
    (tmp_path / "c d.png").write_bytes(b"C")
    lines = f"path,label\na.png,x\n./a.png,x\n{other}/deep/b.png,y\n"
    assert [data for _, data, _ in read_all(source_of(lines))] == [b"A", b"A", b"B"]
    here = source_of(
        f"uri,label\na.png,x\n{tmp_path}/c d.png,y\nfile://{tmp_path}/c%20d.png,y\n{other}/deep/b.png,y\n",
        root=str(tmp_path),
    )
    assert [data for _, data, _ in read_all(here)] == [b"A", b"C", b"C", b"B"]
    assert here.names()[:2] == ["a.png", f"{tmp_path}/c d.png"]


def test_labels_that_are_all_integers_are_integers_and_others_are_names() -> None:
    numbers = source_of("path,label\na.png,10\na.png,-2\na.png,9\n").listing()
    assert [(info.label, info.name) for info in numbers.classes] == [(-2, "-2"), (9, "9"), (10, "10")]
    mixed = source_of("path,label\na.png,10\na.png,b\na.png,007\n").listing()
    assert [(info.label, info.name) for info in mixed.classes] == [(0, "007"), (1, "10"), (2, "b")]
    lines = "\n".join(json.dumps({"uri": "a.png", "label": label}) for label in (3, 1, 3))
    assert source_of(lines, "rows.jsonl").listing().labels_B.tolist() == [1, 0, 1]


def test_an_image_that_is_not_there_is_bad_by_name_and_spares_the_others() -> None:
    root = put_all(f"memory://{uuid.uuid4().hex}", {"lists/b.png": encoded(picture())})
    source = source_of("path,label\nb.png,x\ngone.png,x\n", root=root)
    assert take_census(source, image=ImageConfig(size=16)).counts.total == 2
    census = take_census(source, image=ImageConfig(size=16), deep=True)
    assert census.counts.total == 1
    assert [(bad.name, bad.reason) for bad in census.bad] == [("gone.png", "does not exist")]


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("../x.png", "no plain path"),
        ("a//b.png", "no plain path"),
        ("s3://user:hunter2@bucket/x.png", "holds credentials"),
        ("https://example.org/x.png", "scheme https:// is not supported"),
        ("/etc/hostname", "names no local file"),
        ("file:///etc/hostname", "names no local file"),
        ("~/x.png", "names no local file"),
        ("x/s3://bucket/x.png", "no plain path"),
        ("://x.png", "no plain path"),
    ],
)
def test_a_place_that_is_not_allowed_is_bad_and_no_secret_is_repeated(place: str, reason: str) -> None:
    source = source_of(f"path,label\na.png,x\n{place},x\n")
    ((name, why),) = bad_of(source)
    assert name == "rows.csv:3"
    assert reason in why
    assert "hunter2" not in why
    assert len(source.listing().labels_B) == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a.png", "has 1 fields where the header has 2"),
        ("a.png,x,y", "has 3 fields where the header has 2"),
        (",x", "has no path"),
        ("a.png,", "has no label"),
        ('a.png,"x\0y"', "holds a NUL byte"),
    ],
)
def test_a_csv_line_that_cant_be_used_is_bad_by_its_number(line: str, reason: str) -> None:
    if "\0" in line and not _csv_takes_nul():
        pytest.skip("this Python's csv refuses NUL bytes itself")
    assert bad_of(source_of(f"path,label\na.png,x\n\n{line}\n")) == [("rows.csv:4", reason)]


def _csv_takes_nul() -> bool:
    return sys.version_info >= (3, 11)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "is not JSON"),
        ("[1]", "is no JSON object"),
        ('{"label": "x"}', "has no uri"),
        ('{"uri": 3, "label": "x"}', "has no uri"),
        ('{"uri": "a.png"}', "has no label"),
        ('{"uri": "a.png", "label": [1]}', "has a 'label' that is neither a whole number nor text"),
        ("[" * 100_000, "is not JSON"),
        ('"' + "x" * 1_100_000 + '"', "is longer than 1,000,000 bytes"),
    ],
    ids=range(8),
)
def test_a_jsonl_line_that_cant_be_used_is_bad_by_its_number(line: str, reason: str) -> None:
    good = '{"uri": "a.png", "label": "x"}'
    source = source_of(f"{good}\n{line}\n{good}\n", "rows.jsonl")
    assert bad_of(source) == [("rows.jsonl:2", reason)]
    assert len(source.listing().labels_B) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'path,label\na.png,"x\n', r"rows\.csv:2: no CSV from here on .*mend the line"),
        (b"path,label\na.png,caf\xe9\n", r"rows\.csv is not UTF-8 text"),
        (b"", r"rows\.csv is empty"),
        (
            b"image_url,label\na.png,x\n",
            "has no column 'uri', 'path' or 'file_name'; its columns are image_url, label",
        ),
        (b"path,kind\na.png,x\n", r"has no column 'label'; .*set source\.label_column"),
        (b"path,label,label\na.png,x,x\n", "has two columns 'label'"),
        (b"path,label\n", "holds no labelled image"),
    ],
)
def test_a_file_that_is_no_such_csv_is_an_input_error_that_says_where(text: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        source_of(text).counts()


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_a_name() -> None:
    source = source_of("\ufeffpath,label\r\na.png,x\r\n".encode())
    assert [info.name for info in source.listing().classes] == ["x"]
    source = source_of(b'\xef\xbb\xbf{"path": "a.png", "label": "x"}\r\n', "rows.jsonl")
    assert source.listing().bad == ()


def test_any_file_may_be_a_manifest_if_the_config_says_so() -> None:
    with pytest.raises(InputError, match="its name tells no format"):
        source_of("path,label\na.png,x\n", "rows.txt")
    assert source_of("path,label\na.png,x\n", "rows.txt", format="csv").counts().counts.total == 1


@pytest.mark.parametrize(
    "header",
    [
        "filename,class",
        "image_id,label",
        "image,labels",
        "file,category",
        "filepath,target",
        "image_path,class",
    ],
)
def test_usual_columns_are_taken_where_the_first_line_names_an_image_that_is_there(header: str) -> None:
    source = source_of(f"{header}\na.png,x\na.png,y\n")
    assert [info.name for info in source.listing().classes] == ["x", "y"]
    assert source.names() == ["a.png", "a.png"]
    lines = [json.dumps(dict(zip(header.split(","), ("a.png", label), strict=True))) for label in "xy"]
    assert source_of("\n".join(lines), "rows.jsonl").listing().labels_B.tolist() == [0, 1]


def test_a_sure_column_is_taken_before_a_usual_one_and_nothing_is_asked_of_it() -> None:
    assert source_of("filename,path,class,label\na.png,gone.png,x,y\n").names() == ["gone.png"]
    assert source_of("image_id,filename,label\n17,a.png,y\n").names() == ["a.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id,breed\n000bec18,boxer\n",
            "has no column 'uri', 'path' or 'file_name'; its columns are id, breed; rename one, or set source.image_column",
        ),
        ("image_id,label\n100001,3\n", "and 'image_id' holds '100001', which is no image by its suffix; its columns"),
        ("image_id,label\nb.png,3\n", "and 'image_id' holds 'b.png', which does not lie there; its columns"),
        ("filename,class\n../a.png,x\n", "'filename' holds '../a.png', which does not lie there"),
        ("filename,class\ns3://u:hunter2@b/a.png,x\n", "holds 's3://***@b/a.png', which does not lie there"),
        ("filename,breed\na.png,x\n", "has no column 'label'; its columns are filename, breed; set source.label_column"),
        (
            "path,class,category\na.png,x,y\n",
            "several that may be it, 'class' and 'category'; its columns are path, class, category; set",
        ),
    ],
)  # fmt: skip
def test_what_is_not_sure_is_not_guessed_and_the_columns_and_fields_are_named(
    text: str, message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as raised:
        source_of(text).counts()
    assert "hunter2" not in str(raised.value)


def test_columns_that_a_config_names_are_the_only_ones() -> None:
    with pytest.raises(InputError, match="has no column 'kind'"):
        source_of("path,class\na.png,x\n", label_column="kind").counts()
    with pytest.raises(
        InputError, match="has no column 'uri', 'path' or 'file_name'; its columns are filename"
    ):
        source_of("filename,class\na.png,x\n", image_column="place").counts()
    assert source_of("filename,class\ngone.png,x\n", image_column="filename").names() == ["gone.png"]


def test_the_columns_may_have_other_names() -> None:
    source = source_of("file_name,kind\na.png,x\n", image_column="file_name", label_column="kind")
    assert read_all(source) == [("a.png", b"A", "")]


def test_jsonl_lines_of_which_only_some_tell_a_split_are_an_error() -> None:
    lines = '{"uri": "a.png", "label": 1}\n{"uri": "a.png", "label": 1, "split": "test"}\n'
    with pytest.raises(InputError, match=r"rows with no split \(null\)"):
        source_of(lines, "rows.jsonl").counts()


@settings(max_examples=60)
@given(st.binary(max_size=60), st.sampled_from(["rows.csv", "rows.jsonl"]))
def test_whatever_stands_in_a_manifest_only_our_errors_come_out(data: bytes, name: str) -> None:
    with suppress(AugmentError):
        read_all(source_of(b"path,label\n" * name.endswith("csv") + data, name))


def test_of_an_image_above_the_limit_no_more_is_read_than_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    root = put_all(
        f"memory://{uuid.uuid4().hex}", {"lists/big.png": bytes(1_000_000), "lists/fits.png": bytes(1_000)}
    )
    source = source_of("path,label\nbig.png,x\nfits.png,x\n", root=root, max_image_mb=0.001)
    read = list[int]()
    get_range = MemoryStore.get_range

    def measured(store: MemoryStore, key: str, start: int, stop: int) -> bytes:
        data = get_range(store, key, start, stop)
        read.append(len(data))
        return data

    chunks = source.chunks()
    monkeypatch.setattr(MemoryStore, "get_range", measured)
    items = [item for chunk in chunks for item in source.read(chunk)]
    assert [(item.name, len(item.data), item.fault) for item in items] == [
        ("big.png", 0, "is larger than source.max_image_mb=0.001"),
        ("fits.png", 1_000, ""),
    ]
    assert sorted(read) == [1_000, 1_001]


@pytest.mark.parametrize(
    "place",
    [
        "x" * 300 + ".png",
        "x/" * 600 + "1.png",
        "s3://Bad Bucket!/1.png",
        "s3://x/1.png",
        "s3://bucket/" + "k" * 1_025,
    ],
    ids=["long name", "long path", "bad bucket", "short bucket", "long key"],
)
def test_a_name_that_no_store_could_hold_costs_its_own_line_alone(place: str, tmp_path: Path) -> None:
    source = source_of(f"path,label\na.png,x\n{place},x\n", root=str(tmp_path))
    assert read_all(source) == [("a.png", b"A", "")]
    ((name, _),) = bad_of(source)
    assert name == "rows.csv:3"


PLACES = st.lists(
    st.sampled_from(
        [
            "a.png",
            "..",
            ".",
            "",
            "~",
            "s3://",
            "file://",
            "memory://q",
            "https://h",
            "x" * 300,
            "/",
            "@",
            "é",
            " ",
            "%",
        ]
    )
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    min_size=1,
    max_size=4,
).map("/".join)


@settings(max_examples=100)
@given(places=st.lists(PLACES, min_size=1, max_size=4))
def test_whatever_place_a_line_names_the_others_are_read(places: list[str]) -> None:
    lines = [json.dumps({"uri": place, "label": "x"}) for place in [*places, "a.png"]]
    with tempfile.TemporaryDirectory() as root:
        source = source_of("\n".join(lines), "rows.jsonl", root=root)
        remote = [place for place in source.names() if place.lower().startswith("s3://")]
        if not remote:  # no server is asked
            assert read_all(source)[-1] == ("a.png", b"A", "")


def test_an_image_written_anew_under_a_manifest_is_not_noticed_as_the_page_for_users_says() -> None:
    root = put_all(f"memory://{uuid.uuid4().hex}", {"lists/b.png": b"B"})
    before = source_of("path,label\nb.png,x\n", root=root).counts()
    put_all(root, {"lists/b.png": b"C"})
    again = open_source(SourceConfig(uri=f"{root}/lists/rows.csv")).counts()
    assert (again.fingerprint, again.etags) == (before.fingerprint, before.etags)


def test_the_file_name_of_a_hugging_face_list_is_a_place_where_no_other_column_is_one() -> None:
    assert source_of("file_name,label\na.png,x\n").names() == ["a.png"]
    assert source_of("file_name,path,label\nold.png,a.png,x\n").names() == ["a.png"]
    assert source_of("file_name,image,label\nold.png,a.png,x\n").names() == ["a.png"]
