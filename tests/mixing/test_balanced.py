"""The mixing reader on real files: whose rows come, how often, with which labels, in every form."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import augment
from augment.data.census import take_census
from augment.data.config import DuplicatesConfig, ImageConfig, SourceConfig
from augment.data.sources import open_source
from augment.errors import ConfigError, InputError, IntegrityError
from augment.mixing.balanced import Balanced, MixedClass
from augment.mixing.tasks import RealTask, SyntheticTask
from augment.objects import open_store
from augment.store.reading import open_dataset
from augment.types import ClassTarget
from tests.data.factory import class_folders, encoded, picture, write_files
from tests.mixing.factory import LEAKED, REAL, leaking, source_of, with_bad_images
from tests.servers import SeaweedServer
from tests.store.helpers import commit, pixels_of, tiny_run

SYNTHETIC = {"cat": 0, "dog | wild": 7, "test": 4}


@dataclass(frozen=True)
class Sides:
    """A folder of real images, and a dataset committed for it."""

    source: str
    synthetic: str

    def mix(self, ratio: Any = None, **options: Any) -> Balanced:
        return augment.open_balanced(self.source, self.synthetic, ratio, **options)


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Sides:
    root = tmp_path_factory.mktemp("mix")
    source = write_files(root / "real", class_folders(REAL))
    store = open_store(str(root / "set"))
    commit(store, tiny_run())
    return Sides(source, store.uri)


def expected_pixels(sides: Sides) -> Counter[tuple[bytes, int, bool]]:
    """Every row of either kind, from the pictures that were encoded."""
    labels = {name: label for label, name in enumerate(REAL)}
    rows: Counter[tuple[bytes, int, bool]] = Counter()
    for position, (name, count) in enumerate(REAL.items()):
        for index in range(count):
            pixels_HWC = np.asarray(picture(seed=1000 * position + index))
            rows[pixels_HWC.transpose(2, 0, 1).tobytes(), labels[name], False] += 1
    run = tiny_run()
    for spec in run.plan.shards():
        classes = [piece.class_index for piece in spec.pieces for _ in range(piece.count)]
        for index, pixels_HWC in zip(classes, pixels_of(run, spec), strict=True):
            rows[pixels_HWC.transpose(2, 0, 1).tobytes(), index, True] += 1
    return rows


def found_pixels(rows: Iterator[Any]) -> Counter[tuple[bytes, int, bool]]:
    return Counter((row.image_CHW.tobytes(), row.label, row.is_synthetic) for row in rows)


# ---- which rows -----------------------------------------------------------------------------------------


def test_all_rows_of_both_kinds_come_with_their_pixels_and_labels(sides: Sides) -> None:
    mix = sides.mix()
    assert mix.classes == tuple(
        MixedClass(label, name, REAL[name], SYNTHETIC[name]) for label, name in enumerate(REAL)
    )
    assert mix.rows == 27
    assert found_pixels(mix.read()) == expected_pixels(sides)


@pytest.mark.parametrize(
    ("ratio", "synthetic"), [(0, [0, 0, 0]), (1, [0, 2, 4]), (0.5, [0, 1, 2]), ({"test": 0.4}, [0, 0, 2])]
)
def test_a_ratio_chooses_so_many_a_class(sides: Sides, ratio: Any, synthetic: list[int]) -> None:
    mix = sides.mix(ratio)
    assert [one.synthetic for one in mix.classes] == synthetic
    counted = Counter((row.label, row.is_synthetic) for row in mix.read())
    assert [counted[label, True] for label in range(3)] == synthetic
    assert [counted[label, False] for label in range(3)] == list(REAL.values())


def test_a_higher_ratio_holds_the_rows_of_a_lower_one(sides: Sides) -> None:
    names = [
        {row.name for row in sides.mix(ratio).read() if row.is_synthetic} for ratio in (0, 0.5, 1, 2, None)
    ]
    assert [len(some) for some in names] == [0, 3, 6, 8, 11]
    assert all(few < many for few, many in pairwise(names))
    assert names[1] != {row.name for row in sides.mix(0.5, seed=1).read() if row.is_synthetic}


def test_several_runs_and_a_pinned_version_are_read(tmp_path: Path, sides: Sides) -> None:
    store = open_store(str(tmp_path / "set"))
    for seed in (1, 2):
        commit(store, tiny_run(seed=seed), "append")
    both = augment.open_balanced(sides.source, store.uri)
    assert [one.synthetic for one in both.classes] == [0, 14, 8]
    assert Counter(row.is_synthetic for row in both.read()) == {True: 22, False: 16}
    first = augment.open_balanced(sides.source, f"{store.uri}@1")
    assert [one.synthetic for one in first.classes] == [0, 7, 4]


def test_labels_are_the_sources_where_the_numbers_differ(tmp_path: Path, sides: Sides) -> None:
    names = list(REAL)
    classes = tuple(
        ClassTarget(label=40 - index, name=name, real=1, target=3) for index, name in enumerate(names)
    )
    store = open_store(str(tmp_path / "set"))
    commit(store, tiny_run(classes=tuple(reversed(classes))))
    mix = augment.open_balanced(sides.source, store.uri)
    label_of = {row.name: row.label for row in mix.read() if row.is_synthetic}
    frame = open_dataset(store.uri).to_pandas(["sample_id", "label_name"])
    assert {one.sample_id: names.index(one.label_name) for one in frame.itertuples()} == label_of


def test_held_out_rows_do_not_take_part(tmp_path: Path, sides: Sides) -> None:
    files = {f"train/{key}": data for key, data in class_folders(REAL).items()}
    files |= {f"test/{key}": data for key, data in class_folders({"cat": 4, "dog | wild": 4}).items()}
    mix = augment.open_balanced(write_files(tmp_path, files), sides.synthetic, 0)
    assert [one.real for one in mix.classes] == list(REAL.values())
    assert {row.name.split("/")[0] for row in mix.read()} == {"train"}


def test_what_source_duplicates_drops_does_not_take_part(
    tmp_path: Path, sides: Sides, caplog: pytest.LogCaptureFixture
) -> None:
    """The rows are those that the deep census counts."""
    config = SourceConfig(uri=leaking(tmp_path), duplicates=DuplicatesConfig(across_splits="drop"))
    mix = augment.open_balanced(config, sides.synthetic, 1)
    names = [row.name for row in mix.read() if not row.is_synthetic]
    assert not set(names) & set(LEAKED)
    census = take_census(open_source(config), image=ImageConfig(size=16), deep=True)
    assert tuple(one.real for one in mix.classes) == census.counts.counts == (7, 1, 5)
    assert [one.synthetic for one in mix.classes] == [0, 1, 4]  # at the ratio of what is left
    assert mix.rows == 18
    assert "left out train/cat/000.png: is the same as test/cat/000.png" in caplog.text


def test_a_duplicate_that_is_refused_stops_the_mix_by_name(tmp_path: Path, sides: Sides) -> None:
    config = SourceConfig(uri=leaking(tmp_path), duplicates=DuplicatesConfig(across_splits="refuse"))
    with pytest.raises(InputError, match=r"3 training images are in a held-out split.*train/cat/000\.png"):
        augment.open_balanced(config, sides.synthetic)


def test_duplicates_that_are_kept_take_part_and_a_deep_look_warns(
    tmp_path: Path, sides: Sides, caplog: pytest.LogCaptureFixture
) -> None:
    source = leaking(tmp_path)
    assert set(LEAKED) <= {row.name for row in augment.open_balanced(source, sides.synthetic, 0).read()}
    assert "LEAKAGE" not in caplog.text  # nothing was opened
    assert augment.open_balanced(source, sides.synthetic, 0, deep=True).rows == 16
    assert (
        "LEAKAGE: 3 training images are in a held-out split too, the first of them train/cat/000"
        in caplog.text
    )


# ---- how images come ------------------------------------------------------------------------------------


def test_both_kinds_are_decoded_as_the_image_config_says(sides: Sides) -> None:
    mix = sides.mix(image=ImageConfig(size=20, channels=1))
    assert {row.image_CHW.shape for row in mix.read()} == {(1, 20, 20)}
    assert {row.image_CHW.dtype for row in mix.read()} == {np.dtype(np.uint8)}
    assert sides.mix().shape.size == 16


def test_a_bad_image_is_left_out_or_refused_by_name(
    tmp_path: Path, sides: Sides, caplog: pytest.LogCaptureFixture
) -> None:
    files = class_folders(REAL) | {"cat/broken.png": encoded(picture())[:60]}
    source = write_files(tmp_path, files)
    rows = list(augment.open_balanced(source, sides.synthetic).read())
    assert len(rows) == 27
    assert "left out cat/broken.png: is truncated" in caplog.text
    with pytest.raises(InputError, match=r"cat/broken\.png is truncated.*on_bad=skip"):
        list(augment.open_balanced(SourceConfig(uri=source, on_bad="fail"), sides.synthetic).read())


def test_a_deep_look_leaves_bad_images_out_beforehand(
    tmp_path: Path, sides: Sides, caplog: pytest.LogCaptureFixture
) -> None:
    source = with_bad_images(tmp_path)
    mix = augment.open_balanced(source, sides.synthetic, 0, deep=True)
    assert mix.rows == sum(one.real for one in mix.classes) == 46
    assert caplog.text.count("left out") == 16
    assert len({row.name for row in mix.read()}) == 46
    assert caplog.text.count("left out") == 16
    with pytest.raises(InputError, match=r"is truncated.*on_bad=skip"):
        augment.open_balanced(SourceConfig(uri=source, on_bad="fail"), sides.synthetic, deep=True)


@pytest.mark.parametrize("layout", ["folder", "tar", "parquet", "csv"])
def test_every_format_is_read_row_by_row_with_its_labels(tmp_path: Path, sides: Sides, layout: str) -> None:
    """Any rows of a chunk, in any order: of files, of a tar's members, of a row group, of a manifest's lines."""
    source = source_of(layout, tmp_path)
    mix = augment.open_balanced(source, sides.synthetic, 0, buffer_rows=3)
    labels = {name: label for label, name in enumerate(REAL)}
    expected = {
        np.asarray(picture(seed=1000 * position + index)).transpose(2, 0, 1).tobytes(): labels[name]
        for position, (name, count) in enumerate(REAL.items())
        for index in range(count)
    }
    rows = [row for part in range(3) for row in mix.read(1, part, 3)]
    assert {row.image_CHW.tobytes(): row.label for row in rows} == expected
    assert len(rows) == len(expected)


def test_what_an_open_task_holds_is_what_of_the_file_it_reads(tmp_path: Path, sides: Sides) -> None:
    """A row group or a shard is held while it is read; images that are files are not."""
    mix = augment.open_balanced(source_of("parquet", tmp_path), sides.synthetic)
    held = [task.held_bytes(task.rows) for task in mix.tasks if isinstance(task, RealTask)]
    assert sum(held) == pytest.approx((tmp_path / "rows.parquet").stat().st_size, abs=len(held))
    shards = [task for task in mix.tasks if isinstance(task, SyntheticTask)]
    assert [task.held_bytes(task.rows) for task in shards] == [task.shard.size_bytes for task in shards]
    assert all(task.held_bytes(task.rows) == 0 for task in sides.mix(0).tasks)


def test_a_damaged_shard_is_an_error(tmp_path: Path, sides: Sides) -> None:
    store = open_store(str(tmp_path / "set"))
    commit(store, tiny_run())
    key = open_dataset(store.uri).shards[0].key
    store.put(key, store.get(key)[:-1] + b"X")
    with pytest.raises(IntegrityError, match=key):
        list(augment.open_balanced(sides.source, store.uri).read())


# ---- what is refused ------------------------------------------------------------------------------------


def test_classes_that_differ_are_named(tmp_path: Path, sides: Sides) -> None:
    source = write_files(tmp_path, class_folders({"cat": 2, "dog": 2, "test": 2}))
    with pytest.raises(ConfigError, match=r"'dog' only in .*'dog \| wild' only in .*source\.labels"):
        augment.open_balanced(source, sides.synthetic)
    mapped = SourceConfig(uri=source, labels={"dog": "dog | wild"})
    assert augment.open_balanced(mapped, sides.synthetic).class_names == dict(enumerate(REAL))


def test_a_part_that_is_not_there_is_refused(sides: Sides) -> None:
    with pytest.raises(ConfigError, match="part 2 is not one of 0 … 1"):
        sides.mix().read(part=2, parts=2)
    with pytest.raises(ConfigError, match="rank 3"):
        sides.mix().to_torch(rank=3, world_size=2)
    with pytest.raises(ConfigError, match="both rank and world_size"):
        sides.mix().to_torch(rank=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"buffer_rows": -1}, "buffer_rows=-1 is not a whole number of at least 1"),
        ({"buffer_rows": 0}, "buffer_rows=0"),
        ({"buffer_rows": 2.5}, "buffer_rows=2.5"),
        ({"seed": -1}, "seed=-1 is not a whole number of at least 0"),
        ({"seed": "1"}, "seed='1'"),
        ({"ratio": "1"}, "ratio='1' of class 'cat' is not a number of at least 0"),
        ({"ratio": {"cat": "1"}}, "ratio='1' of class 'cat'"),
        ({"ratio": True}, "ratio=True"),
        ({"ratio": [1]}, r"ratio=\[1\]"),
    ],
)
def test_an_argument_that_cannot_be_meant_is_named(
    sides: Sides, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        sides.mix(**options)


def test_a_place_in_an_epoch_that_cannot_be_is_named(sides: Sides) -> None:
    mix = sides.mix()
    for where in ({"skip": -1}, {"epoch": -1}, {"parts": 0}, {"part": -1, "parts": 2}, {"skip": 1.5}):
        with pytest.raises(ConfigError, match=rf"{next(iter(where))}=.* is not a whole number"):
            mix.read(**where)  # type: ignore[arg-type]
    for where in ({"epoch": -1}, {"epoch": 0, "batches_done": -1}, {"epoch": 0, "batch_size": 0}):
        with pytest.raises(ConfigError, match=rf"{list(where)[-1]}=.* is not a whole number"):
            mix.to_torch().set_epoch(**where)
    with pytest.raises(ConfigError, match="shards=0"):
        mix.to_hf(shards=0)


# ---- the order ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [1, 2, 5, 40])
def test_parts_share_an_epoch_out(sides: Sides, parts: int) -> None:
    mix = sides.mix(buffer_rows=4)
    rows = [row for part in range(parts) for row in mix.read(3, part, parts)]
    assert found_pixels(iter(rows)) == expected_pixels(sides)


def test_an_epoch_is_the_same_again_also_after_pickling_and_goes_on_where_it_stopped(sides: Sides) -> None:
    mix = sides.mix(buffer_rows=5)
    names = [row.name for row in mix.read(1)]
    again = pickle.loads(pickle.dumps(mix))
    assert [row.name for row in again.read(1)] == names
    assert [row.name for row in again.read(1, skip=10)] == names[10:]
    assert [row.name for row in again.read(2)] != names


# ---- torch, Hugging Face, Ray -----------------------------------------------------------------------------


def test_torch_ranks_and_workers_share_an_epoch_out(sides: Sides) -> None:
    import torch

    seen: Counter[tuple[bytes, int, bool]] = Counter()
    for rank in range(2):
        images = sides.mix().to_torch(rank=rank, world_size=2, with_origin=True)
        images.set_epoch(4)
        workers: dict[str, Any] = {"num_workers": 2, "multiprocessing_context": "spawn"} if rank else {}
        loader = torch.utils.data.DataLoader(images, batch_size=4, **workers)
        for image_BCHW, label_B, is_synthetic_B in loader:
            assert image_BCHW.dtype == torch.uint8
            assert image_BCHW.shape[1:] == (3, 16, 16)
            for image_CHW, label, origin in zip(image_BCHW, label_B, is_synthetic_B, strict=True):
                seen[image_CHW.numpy().tobytes(), int(label), bool(origin)] += 1
    assert seen == expected_pixels(sides)


def test_torch_takes_a_transform_and_evens_ranks_out(sides: Sides) -> None:
    images = sides.mix().to_torch(
        rank=1, world_size=2, even=True, transform=lambda image: image.float() / 255
    )
    assert images.rows == 13  # of 27
    rows = list(images)
    assert len(rows) == 13
    assert all(float(image.max()) <= 1 for image, _ in rows)
    assert all(len(row) == 2 for row in rows)


@pytest.mark.parametrize(("rows_a_batch", "drop_last"), [(4, False), (4, True), (9, False), (30, True)])
def test_torch_says_how_many_batches_an_epoch_has(sides: Sides, rows_a_batch: int, drop_last: bool) -> None:
    """Without a `len`, which a loader would believe, and be wrong with workers."""
    import torch

    images = sides.mix().to_torch(rank=1, world_size=2)  # 14 of 27 rows
    assert images.rows == 14
    loader = torch.utils.data.DataLoader(images, batch_size=rows_a_batch, drop_last=drop_last)
    assert len(list(loader)) == images.steps_per_epoch(rows_a_batch, drop_last=drop_last)
    assert not hasattr(images, "__len__")
    with pytest.raises(ConfigError, match="batch_size=0"):
        images.steps_per_epoch(0)


def test_torch_goes_on_within_an_epoch(sides: Sides) -> None:
    import torch

    images = sides.mix(buffer_rows=3).to_torch()
    images.set_epoch(2)
    whole = [label.tolist() for _, label in torch.utils.data.DataLoader(images, batch_size=4)]
    images.set_epoch(2, batches_done=3, batch_size=4)
    rest = [label.tolist() for _, label in torch.utils.data.DataLoader(images, batch_size=4)]
    assert rest == whole[3:]


@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_stay_even_where_images_are_bad(tmp_path: Path, sides: Sides, world_size: int) -> None:
    mix = augment.open_balanced(with_bad_images(tmp_path), sides.synthetic, 0, buffer_rows=4)
    ranks = [mix.to_torch(rank=rank, world_size=world_size, even=True) for rank in range(world_size)]
    assert [len(list(images)) for images in ranks] == [62 // world_size] * world_size
    seen = {image.numpy().tobytes() for images in ranks for image, _ in images}
    assert len(seen) >= 46 - 62 % world_size  # every good one, but for those left out


def test_a_reader_without_any_good_image_says_so(tmp_path: Path, sides: Sides) -> None:
    files = {key: data[:50] for key, data in class_folders(REAL).items()}
    mix = augment.open_balanced(write_files(tmp_path, files), sides.synthetic, 0)
    with pytest.raises(InputError, match=r"none of 16 images of .* can be used.*deep=True"):
        list(mix.to_torch())
    with pytest.raises(InputError, match="no image of"):
        augment.open_balanced(str(tmp_path), sides.synthetic, 0, deep=True)


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more than there are CPUs
@pytest.mark.parametrize("drop_last", [False, True])
def test_an_epoch_goes_on_batch_by_batch_with_workers_and_bad_images(
    tmp_path: Path, sides: Sides, drop_last: bool
) -> None:
    """From any batch on, the rest of the epoch is what it would have been, in the same order."""
    import torch

    mix = augment.open_balanced(with_bad_images(tmp_path), sides.synthetic, 0, buffer_rows=4)
    images = mix.to_torch()
    loader = torch.utils.data.DataLoader(
        images, batch_size=7, drop_last=drop_last, num_workers=3, multiprocessing_context="spawn",
        persistent_workers=True,
    )  # fmt: skip

    def batches(done: int) -> list[list[bytes]]:
        images.set_epoch(0, batches_done=done, batch_size=7, drop_last=drop_last)
        return [[image_CHW.numpy().tobytes() for image_CHW in image_BCHW] for image_BCHW, _ in loader]

    whole = batches(0)
    assert len(whole) == images.steps_per_epoch(7, workers=3, drop_last=drop_last)
    assert sum(map(len, whole)) == (56 if drop_last else 62)  # of 20, 21 and 21 rows
    for done in range(1, len(whole)):
        assert batches(done) == whole[done:]


def test_hugging_face_reads_the_mix_sharded(sides: Sides) -> None:
    from datasets.distributed import split_dataset_by_node

    mixed = sides.mix().to_hf(shards=4, with_origin=True)
    assert mixed.num_shards == 4
    assert mixed.features["label"].names == list(REAL)
    seen: Counter[tuple[bytes, int, bool]] = Counter()
    for rank in range(2):
        for one in split_dataset_by_node(mixed, rank, 2):
            pixels_CHW = np.asarray(one["image"]).transpose(2, 0, 1)
            seen[pixels_CHW.tobytes(), one["label"], one["is_synthetic"]] += 1
    assert seen == expected_pixels(sides)


@pytest.mark.parametrize("shards", [8, 3, 1])
def test_hugging_face_gives_every_rank_as_many_rows(tmp_path: Path, sides: Sides, shards: int) -> None:
    """62 rows, 16 of them bad, by 3 ranks: as many each, whatever number of shards was asked for."""
    from datasets.distributed import split_dataset_by_node

    mix = augment.open_balanced(with_bad_images(tmp_path), sides.synthetic, 0, buffer_rows=4)
    mixed = mix.to_hf(shards=shards, even=True, world_size=3)
    assert mixed.num_shards == {8: 9, 3: 3, 1: 3}[shards]
    ranks = [
        [np.asarray(one["image"]).tobytes() for one in split_dataset_by_node(mixed, rank, 3)]
        for rank in range(3)
    ]
    assert [len(rows) for rows in ranks] == [{8: 18, 3: 20, 1: 20}[shards]] * 3
    left_out = 62 - sum(map(len, ranks))
    assert len({row for rows in ranks for row in rows}) >= 46 - left_out  # every good one but those


@pytest.mark.parametrize("shuffled", [False, True])
def test_hugging_face_ranks_stay_even_whatever_shards_they_are_dealt(sides: Sides, shuffled: bool) -> None:
    """27 rows by 2 ranks of 3 shards each, in epochs whose shards `datasets` deals out anew."""
    from datasets.distributed import split_dataset_by_node

    mixed = sides.mix().to_hf(shards=6, even=True, world_size=2)
    assert [len(list(mixed.shard(6, number))) for number in range(6)] == [4] * 6
    if shuffled:
        mixed = mixed.shuffle(seed=1, buffer_size=3)
    for epoch in range(4):
        mixed.set_epoch(epoch)
        assert [len(list(split_dataset_by_node(mixed, rank, 2))) for rank in range(2)] == [12, 12]


def test_hugging_face_ranks_are_torch_distributeds_unless_they_are_given(sides: Sides) -> None:
    import torch

    assert sides.mix().to_hf(even=True).num_shards == 8
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        assert sides.mix().to_hf(shards=5, even=True).num_shards == 5
        assert len(list(sides.mix().to_hf(shards=5, even=True))) == 27  # one rank: nothing is left out
    finally:
        torch.distributed.destroy_process_group()
    with pytest.raises(ConfigError, match="world_size=3 has no effect without even=True"):
        sides.mix().to_hf(world_size=3)


def test_ray_data_reads_the_mix(ray_and_s3: SeaweedServer, sides: Sides) -> None:
    found: Counter[tuple[bytes, int, bool]] = Counter()
    for one in sides.mix().to_ray(blocks=3, with_origin=True).iter_rows():
        found[np.asarray(one["image"]).tobytes(), int(one["label"]), bool(one["is_synthetic"])] += 1
    assert found == expected_pixels(sides)


def test_both_sides_may_lie_on_s3(s3_uri: str) -> None:
    store = open_store(f"{s3_uri}/real")
    for key, data in class_folders(REAL).items():
        store.put(key, data)
    commit(open_store(f"{s3_uri}/set"), tiny_run())
    mix = augment.open_balanced(f"{s3_uri}/real", f"{s3_uri}/set", 1)
    assert Counter(row.is_synthetic for row in mix.read()) == {False: 16, True: 6}
    assert b"lab-" not in pickle.dumps(mix)  # no access key travels
