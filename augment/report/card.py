"""The dataset card: a README.md that Hugging Face, and people, can read.

Owns its text. `load_dataset(root)` reads the front matter, which lists exactly the committed files: without
it, `datasets` would guess splits from folder names and pick up whatever lies there. Nothing of this machine,
and no clock, goes into it, so the same version gives the same card.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import yaml

from augment.gan.presets import ChosenField
from augment.report.markdown import literal
from augment.report.origins import made_by, recipe_tags, source_types
from augment.store.layouts.contract import Layout
from augment.store.layouts.folder import class_folder
from augment.store.reading import CommittedRun, Dataset
from augment.store.shards import shard_schema

__all__ = ["data_files", "dataset_card", "export_card"]

_RECORDS_NOTE = """
Each row names its class (`label`, `label_name`), its identity (`sample_id`, `sample_index`, `seed`) and its
generator (`generator_id`). `_runs/` holds each run's full plan and manifest, with a SHA-256 for every file.
"""

_LOADING = """
## Loading

```python
root = "..."  # this folder

import augment
dataset = augment.open_dataset(root, version={version})
dataset.to_torch()   # also to_pandas(), to_ray(), and files for any Parquet reader

import datasets
datasets.load_dataset(root)
```
"""

_COPY = """
## Loading

This is a static copy, in the layout `{layout}`. `export.json` says of which version, and is there once the copy
is whole; `croissant.json` has a SHA-256 for every file, up to 10,000 of them.

```python
root = "..."  # this folder

{loading}```
"""

_SIZE_CATEGORIES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
    (10_000_000_000, "1B<n<10B"),
    (100_000_000_000, "10B<n<100B"),
    (1_000_000_000_000, "100B<n<1T"),
)


class _FrontMatter(yaml.SafeDumper):
    """Writes a text with line breaks or control characters as one quoted line: names may hold `---`."""


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_FrontMatter.add_representer(str, _text_node)


def dataset_card(dataset: Dataset, chosen: Sequence[ChosenField] = (), section: str = "") -> str:
    """README.md for the dataset's root: YAML front matter, then a short account of what lies there.

    `chosen` are the settings that the preset chose for the newest run's generator, `section` what the report has
    for the card (`augment.report.html.card_section`).
    """
    front = _front_matter(dataset, data_files(dataset)) | _features(dataset)
    text = _text(dataset) + _RECORDS_NOTE + (f"\n{section}" if section else "") + _settings(chosen)
    return _page(front, text + _LOADING.format(version=dataset.version))


def export_card(dataset: Dataset, layout: Layout) -> str:
    """README.md for the root of a static copy in `layout`."""
    front = _front_matter(dataset, [layout.data_files])
    if layout.records == "parquet":
        front |= _features(dataset)
    elif layout.records == "images":
        front["configs"][0] |= _folder_features(dataset)
    return _page(front, _text(dataset) + _COPY.format(layout=layout.name, loading=layout.loading))


def data_files(dataset: Dataset) -> list[str]:
    """The committed files below the root, each by its name, however many they are.

    A glob would be shorter, and wrong: beside a run's committed shards may lie others, of a second worker, or
    with rows that were revoked.
    """
    return [shard.key for shard in dataset.shards]


def _page(front: dict[str, Any], text: str) -> str:
    header = yaml.dump(front, Dumper=_FrontMatter, sort_keys=False, allow_unicode=True, width=math.inf)
    return f"---\n{header}---\n\n{text}"


def _front_matter(dataset: Dataset, files: list[str]) -> dict[str, Any]:
    return {
        "pretty_name": "Synthetic images for rare classes",
        "annotations_creators": ["machine-generated"],
        "source_datasets": ["extended"],
        "task_categories": ["image-classification"],
        "size_categories": [_size_category(dataset.rows)],
        "tags": ["synthetic", "class-imbalance", "data-augmentation", *recipe_tags(dataset)],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": files}]}],
    }


def _features(dataset: Dataset) -> dict[str, Any]:
    """`datasets` features of every shard together: a later run may know more classes than an earlier one."""
    if not dataset.runs:
        return {}
    kinds: dict[str, Any] = {field.name: str(field.type) for field in shard_schema(dataset.runs[-1].plan)}
    kinds |= {"image": "image"}
    names = dataset.class_names
    if list(names) == list(range(len(names))) and len(set(names.values())) == len(names):
        kinds["label"] = {"class_label": {"names": {str(label): name for label, name in names.items()}}}
    features = [
        {"name": name, "sequence": "string"} if name == "source_images" else {"name": name, "dtype": kind}
        for name, kind in kinds.items()
    ]
    return {"dataset_info": {"features": features}}


def _folder_features(dataset: Dataset) -> dict[str, Any]:
    """What `datasets` is to make of class folders: left alone, it numbers those that hold images from 0."""
    names = dataset.class_names
    if list(names) != list(range(len(names))):
        return {}
    folders = {str(label): class_folder(label, name) for label, name in names.items()}
    label = {"class_label": {"names": folders}}
    return {"features": [{"name": "image", "dtype": "image"}, {"name": "label", "dtype": label}]}


def _size_category(rows: int) -> str:
    return next((name for limit, name in _SIZE_CATEGORIES if rows < limit), "n>1T")


def _text(dataset: Dataset) -> str:
    classes = "\n".join(
        f"| {row.label} | {literal(row.name)} | {row.real} | {row.synthetic} | {row.real + row.synthetic} |"
        for row in dataset.balance()
    )
    runs = "\n".join(_run_row(run) for run in dataset.runs)
    terms = ", ".join(f"`{term}`" for term in source_types(dataset)) or "none"
    return f"""# Synthetic images for rare classes

**Every image here was added** to fill up the rare classes of a labelled image data set: {made_by(dataset)}. (IPTC
digital source types: {terms}; the column `recipe` says which image is which.) This is version {dataset.version},
with {dataset.rows} images.

A generated image shows what the generator learned of its class from the real images listed below; where
these are few, expect little variety, and judge by a classifier tested on real images only.

## Classes

| label | class | real images in the source | synthetic images here | together |
|--:|:--|--:|--:|--:|
{classes}

## Runs

| run | images | generator (SHA-256) | seed | kind |
|:--|--:|:--|--:|:--|
{runs}
"""


def _settings(chosen: Sequence[ChosenField]) -> str:
    if not chosen:
        return ""
    rows = "\n".join(f"| `{field.name}` | {literal(field.text)} |" for field in chosen)
    return f"""
## Training

What the preset chose for the newest run's generator:

| field | value |
|:--|:--|
{rows}
"""


def _run_row(run: CommittedRun) -> str:
    plan = run.plan.plan
    kind = (
        f"{'grayscale' if plan.image.channels == 1 else 'RGB'}, {plan.image.size} px, {run.plan.image_format}"
    )
    rows = sum(shard.rows for shard in run.manifest.shards)
    generator = f"`{run.plan.generator_sha256}`" if run.plan.generator_sha256 else "none"
    return f"| `{run.plan.run_id}` | {rows} | {generator} | {plan.seed} | {kind} |"
