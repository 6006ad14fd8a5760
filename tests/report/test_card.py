"""The dataset card: front matter that Hugging Face takes, and an honest text."""

from __future__ import annotations

import dataclasses
import json
import re
import uuid
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from augment.gan.presets import ChosenField
from augment.objects import open_store
from augment.report import card
from augment.report.card import dataset_card
from augment.report.describing import describe
from augment.store.reading import open_dataset
from augment.types import ClassTarget, RecipeName
from tests.store.helpers import commit, tiny_run
from tests.store.readers.hostile import HOSTILE_NAMES


def committed(classes: tuple[ClassTarget, ...] | None = None, runs: int = 1) -> str:
    store = open_store(f"memory://{uuid.uuid4().hex}")
    for seed in range(runs):
        run = tiny_run(seed=seed) if classes is None else tiny_run(seed=seed, classes=classes)
        commit(store, run, "append")
    return dataset_card(open_dataset(store.uri))


def front_matter(text: str) -> dict[str, object]:
    _, front, _ = text.split("---\n", 2)
    loaded: dict[str, object] = yaml.safe_load(front)
    return loaded


def test_the_front_matter_lists_exactly_the_committed_files() -> None:
    store = open_store(f"memory://{uuid.uuid4().hex}")
    commit(store, tiny_run())
    dataset = open_dataset(store.uri)
    front = front_matter(dataset_card(dataset))
    expected = [shard.key for shard in dataset.shards]
    assert front["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": expected}]}
    ]
    assert front["tags"] == ["synthetic", "class-imbalance", "data-augmentation", "gan"]
    assert front["annotations_creators"] == ["machine-generated"]
    assert front["source_datasets"] == ["extended"]
    assert front["size_categories"] == ["n<1K"]


def test_a_dataset_is_tagged_by_the_recipes_that_made_its_rows() -> None:
    recipes: tuple[RecipeName, ...] = ("smote", "duplicate", "gan")
    classes = tuple(
        ClassTarget(label=label, name=recipe, real=3, target=3 if recipe == "gan" else 5, recipe=recipe)
        for label, recipe in enumerate(recipes)
    )
    tags = front_matter(committed(classes))["tags"]
    assert tags == ["synthetic", "class-imbalance", "data-augmentation", "smote", "oversampling"]


@pytest.mark.parametrize(
    ("rows", "category"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**6, "1M<n<10M"), (10**13, "n>1T")],
)
def test_sizes_fall_into_hugging_faces_categories(rows: int, category: str) -> None:
    assert card._size_category(rows) == category


def test_the_text_says_what_is_synthetic_and_from_what() -> None:
    text = committed()
    run = tiny_run(seed=0)
    assert "| 1 | dog \\| wild | 2 | 7 | 9 |" in text
    assert "| 0 | cat | 9 | 0 | 9 |" in text
    assert run.run_id in text
    assert run.generator_sha256 in text
    assert "trainedAlgorithmicMedia" in text
    assert "drawn from conditional GANs that were fitted to it" in text


def test_what_the_preset_chose_is_listed_where_it_chose() -> None:
    store = open_store(f"memory://{uuid.uuid4().hex}")
    commit(store, tiny_run())
    dataset = open_dataset(store.uri)
    chosen = [ChosenField(name="train.diffaugment", value=("translation",), why="on 2 CPUs of this machine")]
    assert "| `train.diffaugment` | \\[translation\\] |" in dataset_card(dataset, chosen)
    assert "2 CPUs" not in dataset_card(dataset, chosen)
    assert "## Training" not in dataset_card(dataset)


def test_a_class_name_cannot_break_the_page() -> None:
    name = "<script>\n---\n| x | [a](http://b)"
    text = committed((ClassTarget(label=0, name=name, real=1, target=3),))
    assert "<script>" not in text.split("\n---\n")[1]  # in the front matter it is a quoted string
    assert text.count("\n---\n") == 1
    assert front_matter(text)["pretty_name"]


def test_the_same_version_gives_the_same_card_without_a_trace_of_the_machine(tmp_path: Path) -> None:
    cards = []
    for folder in ("one", "two"):
        store = open_store(str(tmp_path / folder))
        commit(store, tiny_run())
        cards.append(dataset_card(open_dataset(store.uri)))
    assert cards[0] == cards[1]
    assert str(tmp_path) not in cards[0]


# ---- the card as Hugging Face's own library reads it ------------------------------------------------------


def test_hugging_faces_own_library_takes_the_card() -> None:
    from huggingface_hub import DatasetCard

    classes = tuple(
        ClassTarget(label=label, name=name, real=1, target=2) for label, name in enumerate(HOSTILE_NAMES)
    )
    card_ = DatasetCard(committed(classes))
    data = card_.data.to_dict()
    assert data["annotations_creators"] == ["machine-generated"]
    assert data["source_datasets"] == ["extended"]
    assert data["size_categories"] == ["n<1K"]
    assert "synthetic" in data["tags"]
    assert data["configs"][0]["data_files"][0]["split"] == "train"
    (label,) = [one for one in data["dataset_info"]["features"] if one["name"] == "label"]
    assert list(label["dtype"]["class_label"]["names"].values()) == list(HOSTILE_NAMES)


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=3, unique=True
    ).filter(lambda names: "\0last" not in names)
)
def test_hugging_faces_own_library_finds_every_class_name(names: list[str]) -> None:
    from huggingface_hub import DatasetCard

    classes = tuple(ClassTarget(label=label, name=name, real=1, target=1) for label, name in enumerate(names))
    store = open_store(f"memory://{uuid.uuid4().hex}")
    commit(
        store, tiny_run(classes=(*classes, ClassTarget(label=len(names), name="\0last", real=0, target=1)))
    )
    features = DatasetCard(dataset_card(open_dataset(store.uri))).data.to_dict()["dataset_info"]["features"]
    found = list(features[1]["dtype"]["class_label"]["names"].values())
    assert found == [*names, "\0last"]


def test_a_later_run_that_knows_more_classes_is_loaded_with_the_earlier_one(tmp_path: Path) -> None:
    import datasets

    store = open_store(str(tmp_path / "set"))
    few = (ClassTarget(label=0, name="cat", real=1, target=3),)
    commit(store, tiny_run(classes=few))
    commit(
        store, tiny_run(seed=8, classes=(*few, ClassTarget(label=1, name="dog", real=1, target=3))), "append"
    )
    store.put("README.md", dataset_card(open_dataset(store.uri)).encode())
    loaded = datasets.load_dataset(store.uri, split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.features["label"].names == ["cat", "dog"]
    assert sorted(loaded["label"]) == [0, 0, 0, 0, 1, 1]
    assert isinstance(loaded.features["image"], datasets.Image)


def test_labels_with_gaps_are_plain_numbers() -> None:
    front = front_matter(committed((ClassTarget(label=7, name="cat", real=1, target=3),)))
    assert {"name": "label", "dtype": "int64"} in front["dataset_info"]["features"]  # type: ignore[index]


def test_very_many_files_are_listed_one_by_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(f"memory://{uuid.uuid4().hex}")
    commit(store, tiny_run())
    dataset = open_dataset(store.uri)
    some = dataset.shards[0]
    many = [dataclasses.replace(some, key=some.key.replace("000000-", f"{n:06d}-")) for n in range(3000)]
    monkeypatch.setattr(type(dataset), "shards", many)
    assert card.data_files(dataset) == [shard.key for shard in many]


@pytest.mark.parametrize("shards", [11, pytest.param(1100, marks=pytest.mark.slow)])
def test_what_lies_beside_the_committed_shards_is_not_loaded(tmp_path: Path, shards: int) -> None:
    """A second worker's other bytes of a shard, and shards with rows that were revoked: not of this version."""
    import datasets

    store = open_store(str(tmp_path / "set"))
    run = tiny_run(classes=(ClassTarget(label=0, name="cat", real=1, target=shards + 1),), shard_rows=1)
    commit(store, run)
    dataset = open_dataset(store.uri)
    assert len(dataset.shards) == shards
    key = dataset.shards[0].key
    store.put(re.sub(r"-[0-9a-f]{64}", "-" + "f" * 64, key), store.get(key))
    describe(dataset)
    loaded = datasets.load_dataset(store.uri, split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.num_rows == dataset.rows == shards
    includes = json.loads(store.get("croissant.json"))["distribution"][-1]["includes"]
    assert includes == [shard.key for shard in dataset.shards]
