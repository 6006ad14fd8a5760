"""Class folders: what is an item of which class, and what is bad, on a local disk, in memory and on S3."""

from __future__ import annotations

import os
import pickle
import tracemalloc
import uuid
from pathlib import Path

import numpy as np
import pytest

from augment.data.config import SourceConfig, SplitConfig
from augment.data.sources import Source, open_source
from augment.errors import ConfigError, InputError
from augment.objects import ObjectNotFoundError, open_store
from augment.types import BadImage, ClassInfo
from tests.data.factory import class_folders, encoded, picture, write_files

FILES = class_folders({"zebra": 2, "ape": 3})


def source_at(uri: str, **config: object) -> Source:
    return open_source(SourceConfig.model_validate({"uri": uri, "format": "folder", **config}))


def fill(uri: str, files: dict[str, bytes]) -> str:
    store = open_store(uri)
    for key, data in files.items():
        store.put(key, data)
    return uri


def test_classes_are_the_first_level_folders_in_sorted_order(tmp_path: Path) -> None:
    listing = source_at(write_files(tmp_path, FILES)).listing()
    assert listing.classes == (ClassInfo(label=0, name="ape"), ClassInfo(label=1, name="zebra"))
    assert listing.labels_B.tolist() == [0, 0, 0, 1, 1]
    assert listing.labels_B.dtype == np.int32
    assert listing.bad == ()


def test_items_are_read_in_the_order_of_their_keys_with_their_own_bytes(tmp_path: Path) -> None:
    source = source_at(write_files(tmp_path, FILES))
    items = [item for chunk in source.chunks() for item in source.read(chunk)]
    assert [item.item_index for item in items] == [0, 1, 2, 3, 4]
    assert [item.name for item in items] == sorted(FILES) == list(source.names())
    assert all(item.data == FILES[item.name] for item in items)


def test_deeper_folders_belong_to_their_first_level_class(tmp_path: Path) -> None:
    source = source_at(write_files(tmp_path, {"ape/a/b/1.png": b"x", "ape/2.PNG": b"x"}))
    assert source.listing().labels_B.tolist() == [0, 0]


def test_hidden_files_and_folders_do_not_exist(tmp_path: Path) -> None:
    hidden = {".git/1.png": b"x", "ape/.DS_Store": b"x", "ape/.cache/1.png": b"x", ".hidden.png": b"x"}
    listing = source_at(write_files(tmp_path, {**FILES, **hidden})).listing()
    assert [info.name for info in listing.classes] == ["ape", "zebra"]
    assert listing.bad == ()


@pytest.mark.parametrize("base", ["", "train/"])
def test_a_class_folder_that_begins_with_a_dot_is_told_with_its_images(tmp_path: Path, base: str) -> None:
    files = {f"{base}{name}": data for name, data in FILES.items()}
    odd = {f"{base}..dots/{index}.png": b"x" for index in range(24)}
    others = {
        f"{base}..dots/deep/.kept/1.png": b"x",
        f"{base}..dots/._1.png": b"x",
        f"{base}..dots/a.txt": b"x",
    }
    empty = {f"{base}ape/!.png": b""}
    source = source_at(write_files(tmp_path, {**files, **odd, **others, **empty}))
    reason = "is a hidden folder: 25 image files left out with it; rename it to use them"
    assert source.listing().bad == source.counts().bad
    assert source.listing().bad[0] == BadImage(name=f"{base}..dots", reason=reason)
    assert [bad.name for bad in source.listing().bad] == [f"{base}..dots", f"{base}ape/!.png"]
    assert [info.name for info in source.listing().classes] == ["ape", "zebra"]


def test_images_in_folders_of_tools_are_passed_over_in_silence(tmp_path: Path) -> None:
    tools = (".ipynb_checkpoints", "@eaDir", "__MACOSX", ".Trash-1000", ".git/deep")
    odd = {f"{base}{tool}/1.png": b"x" for tool in tools for base in ("", "ape/")}
    listing = source_at(write_files(tmp_path, {**FILES, **odd})).listing()
    assert listing.bad == ()
    assert listing.labels_B.tolist() == [0, 0, 0, 1, 1]


def test_a_source_of_hidden_folders_alone_says_what_hides_its_images(tmp_path: Path) -> None:
    uri = write_files(tmp_path, {".cats/1.png": b"x"})
    with pytest.raises(InputError, match=r"found \.cats, which is a hidden folder: 1 image file left out"):
        source_at(uri).counts()


def test_what_cannot_be_an_item_is_bad_by_name_and_is_not_read(tmp_path: Path) -> None:
    odd = {
        "ape/notes.txt": b"x",
        "ape/empty.png": b"",
        "ape/README": b"x",
        "stray.png": b"x",
        "zebra/big.png": bytes(2_000),
    }
    listing = source_at(write_files(tmp_path, {**FILES, **odd}), max_image_mb=0.0019).listing()
    assert set(listing.bad) == {
        BadImage(name="ape/README", reason="is no image by its name (no suffix)"),
        BadImage(name="ape/empty.png", reason="is empty (0 bytes)"),
        BadImage(name="ape/notes.txt", reason="is no image by its suffix '.txt'"),
        BadImage(name="stray.png", reason="lies in no class folder"),
        BadImage(name="zebra/big.png", reason="has 0.002 MB, above source.max_image_mb=0.0019"),
    }
    assert len(listing.labels_B) == len(FILES)


def test_a_missing_folder_is_an_input_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"nothing lies at {tmp_path}/nowhere"):
        source_at(f"{tmp_path}/nowhere").listing()


def test_a_folder_without_class_folders_says_what_was_expected(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.png": b"x"})
    with pytest.raises(InputError, match=r"no class folders.*<class>/<image>\.png.*found a\.png"):
        source_at(str(tmp_path)).listing()


def test_a_class_folder_without_an_image_is_an_input_error_that_names_it(tmp_path: Path) -> None:
    write_files(tmp_path, FILES)
    (tmp_path / "bear").mkdir()
    with pytest.raises(InputError, match=f"class folder {tmp_path}/bear holds no usable image"):
        source_at(str(tmp_path)).listing()


def test_a_class_folder_with_bad_files_only_says_why(tmp_path: Path) -> None:
    write_files(tmp_path, {**FILES, "bear/1.png": b""})
    with pytest.raises(InputError, match=r"bear holds no usable image: bear/1\.png is empty"):
        source_at(str(tmp_path)).listing()


def test_chunks_hold_at_most_512_files_and_leave_no_gap() -> None:
    uri = fill(f"memory://{uuid.uuid4().hex}", {f"ape/{index:04d}.png": b"x" for index in range(1_200)})
    chunks = source_at(uri).chunks()
    assert [chunk.count for chunk in chunks] == [512, 512, 176]
    assert [chunk.first_index for chunk in chunks] == [0, 512, 1_024]


def test_chunks_of_large_files_hold_at_most_64_megabytes() -> None:
    uri = fill(f"memory://{uuid.uuid4().hex}", {f"ape/{index}.png": bytes(30_000_000) for index in range(5)})
    assert [chunk.count for chunk in source_at(uri).chunks()] == [2, 2, 1]


def test_the_fingerprint_follows_names_sizes_and_classes_and_not_the_place(tmp_path: Path) -> None:
    here = source_at(write_files(tmp_path / "here", FILES)).listing().fingerprint
    there = source_at(fill(f"memory://{uuid.uuid4().hex}/deep/prefix", FILES)).listing().fingerprint
    assert here == there
    renamed = {key.replace("ape", "gorilla"): data for key, data in FILES.items()}
    grown = {**FILES, "ape/000.png": encoded(picture(size=(32, 32)))}
    fewer = dict(list(FILES.items())[1:])
    others = [
        source_at(write_files(tmp_path / str(index), files)).listing().fingerprint
        for index, files in enumerate((renamed, grown, fewer))
    ]
    assert len({here, *others}) == 4


def test_a_source_and_its_chunks_pickle_small_and_read_elsewhere(tmp_path: Path) -> None:
    source = source_at(write_files(tmp_path, FILES))
    chunk = source.chunks()[0]
    assert len(pickle.dumps(source)) < 2_000
    elsewhere, task = pickle.loads(pickle.dumps((source, chunk)))
    assert list(elsewhere.read(task)) == list(source.read(chunk))


def test_a_file_that_went_away_since_the_listing_is_named(tmp_path: Path) -> None:
    source = source_at(write_files(tmp_path, FILES))
    chunks = source.chunks()
    (tmp_path / "ape/001.png").unlink()
    with pytest.raises(ObjectNotFoundError, match=r"ape/001\.png"):
        list(source.read(chunks[0]))


def test_a_folder_on_s3_gives_the_same_listing_and_bytes_as_a_local_one(tmp_path: Path, s3_uri: str) -> None:
    remote, local = source_at(fill(s3_uri, FILES)), source_at(write_files(tmp_path, FILES))
    assert remote.listing().fingerprint == local.listing().fingerprint
    assert remote.listing().classes == local.listing().classes
    (chunk,) = remote.chunks()
    assert list(remote.read(chunk)) == list(local.read(chunk))


def test_a_file_whose_name_is_no_text_is_named_and_left_out(tmp_path: Path) -> None:
    write_files(tmp_path, class_folders({"a": 2, "b": 1}))
    nameless = os.fsdecode(os.fsencode(tmp_path / "a") + b"/\xff.png")
    Path(nameless).write_bytes((tmp_path / "a").joinpath(os.listdir(tmp_path / "a")[0]).read_bytes())

    listing = source_at(str(tmp_path)).listing()

    assert len(listing.labels_B) == 3
    assert [(bad.name, bad.reason) for bad in listing.bad] == [
        ("'a/\\udcff.png'", "has a name that is not UTF-8; rename it")
    ]


SPLIT = {"train/cat/1.png": b"1", "train/dog/2.png": b"2", "test/cat/3.png": b"3", "val/dog/4.png": b"4"}


def test_folders_named_as_splits_with_class_folders_below_are_splits(tmp_path: Path) -> None:
    source = source_at(write_files(tmp_path, {**SPLIT, "test/README.md": b"x", ".git/x": b"x"}))
    assert [info.name for info in source.listing().classes] == ["cat", "dog"]
    assert source.names() == ["train/cat/1.png", "train/dog/2.png"]
    assert {split: held.names() for split, held in source.held_out().items()} == {
        "test": ["test/cat/3.png"],
        "validation": ["val/dog/4.png"],
    }


def test_folders_named_as_splits_without_class_folders_are_classes(tmp_path: Path) -> None:
    source = source_at(write_files(tmp_path, {"train/1.png": b"1", "test/2.png": b"2"}))
    assert [info.name for info in source.listing().classes] == ["test", "train"]


@pytest.mark.parametrize(
    "paths",
    [
        ("test/1.png", "rest/2.png"),
        ("train/a/1.png", "bus/2.png"),
        ("test tube/a/1.png", "bus/2.png"),
        ("bus/training/1.png", "car/2.png"),
    ],
)
def test_a_class_may_be_named_as_a_split_among_others(tmp_path: Path, paths: tuple[str, ...]) -> None:
    source = source_at(write_files(tmp_path, dict.fromkeys(paths, b"1")))
    assert [info.name for info in source.listing().classes] == sorted(path.split("/")[0] for path in paths)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (
            ("train/cat/1.png", "test/cat/2.png", "extra/cat/9.png"),
            "folders 'test', 'train' with class folders below look like splits, and 'extra' beside them",
        ),
        (("test/cat/2.png", "extra/9.png"), "folder 'test' with class folders below"),
        (("train2017/cat/1.png", "val2017/cat/1.png"), "'train2017' beside them is no split that is known"),
        (
            ("train_images/cat/1.png", "eval/2.png", "test_images/cat/1.png"),
            "'test_images', 'train_images' with",
        ),
        (
            ("bottle/train/good/1.png", "bottle/test/broken/1.png", "cable/test/good/1.png"),
            "/test', 'bottle/train' look like splits within a class",
        ),
        (("cat/test/1.png", "cat/2.png", "dog/3.png"), "folder 'cat/test' look like splits within a class"),
        (
            ("cat/train_1/1.png", "dog/val_1/3.png"),
            "folders 'cat/train_1', 'dog/val_1' look like splits within",
        ),
    ],
)
def test_folders_that_seem_to_be_splits_are_never_made_classes_to_learn_from(
    tmp_path: Path, paths: tuple[str, ...], message: str
) -> None:
    uri = write_files(tmp_path, dict.fromkeys(paths, b"1"))
    with pytest.raises(InputError, match=f"{message}.*source.split.by=none"):
        source_at(uri).counts()
    assert source_at(uri, split=SplitConfig(by="none")).counts().counts.total == len(paths)


def test_a_third_folder_is_a_split_once_it_is_named(tmp_path: Path) -> None:
    uri = write_files(tmp_path, SPLIT | {"extra/cat/9.png": b"9"})
    source = source_at(uri, split=SplitConfig(use=("train", "extra")))
    assert source.names() == ["extra/cat/9.png", "train/cat/1.png", "train/dog/2.png"]
    assert set(source.held_out()) == {"test", "validation"}


def test_images_beside_class_folders_of_a_split_are_an_error_not_a_guess(tmp_path: Path) -> None:
    uri = write_files(tmp_path, {**SPLIT, "test/stray.png": b"x"})
    with pytest.raises(InputError, match=r"folder 'test' is named as a split, and holds images beside class"):
        source_at(uri).counts()
    everything = source_at(uri, split=SplitConfig(by="none")).listing()
    assert [info.name for info in everything.classes] == ["test", "train", "val"]


def test_a_class_folder_of_a_split_without_an_image_is_an_input_error(tmp_path: Path) -> None:
    uri = write_files(tmp_path, {**SPLIT, "test/eel/1.png": b""})
    with pytest.raises(InputError, match=r"/\*/eel holds no usable image: test/eel/1\.png is empty"):
        source_at(uri).counts()
    (tmp_path / "test/eel/1.png").unlink()
    with pytest.raises(InputError, match=r"/\*/eel holds no usable image;"):
        source_at(uri).counts()


def test_class_folders_have_no_column_of_splits(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"source\.split\.by=column: class folders"):
        source_at(write_files(tmp_path, SPLIT), split=SplitConfig(by="column")).counts()


def test_counting_files_takes_no_memory_a_file() -> None:
    uri = fill(f"memory://{uuid.uuid4().hex}", {f"ape/{index:06d}.png": b"x" for index in range(10_000)})
    open_store(uri).put("bee/1.png", b"x")
    next(open_store(uri).list())  # the store sorts its keys at the first listing
    tracemalloc.start()
    try:
        assert source_at(uri).counts().counts.counts == (10_000, 1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000  # 100 bytes a file would be more


@pytest.mark.parametrize("worth_s", [0.0, 1e9], ids=["by threads", "one by one"])
def test_files_come_in_order_however_they_are_read(
    tmp_path: Path, worth_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("augment.data.folder._WORTH_THREADS_S", worth_s)
    files = class_folders({"ape": 30, "zebra": 1})
    source = source_at(write_files(tmp_path, files))
    items = [item for chunk in source.chunks() for item in source.read(chunk)]
    assert {item.name: item.data for item in items} == files
    assert [item.name for item in items] == sorted(files)
