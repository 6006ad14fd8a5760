"""The dataset card: a README.md that Hugging Face, and people, can read.

Owns its text. `load_dataset(root)` reads the front matter, which lists exactly the committed files: without
it, `datasets` would guess splits from folder names and pick up whatever lies there. Nothing of this machine,
and no clock, goes into it, so the same version gives the same card.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

from augment.gan.presets import ChosenField
from augment.store.reading import CommittedRun, Dataset
from augment.store.shards import shard_prefix

__all__ = ["MAX_LISTED_FILES", "dataset_card"]

MAX_LISTED_FILES = 1000
"""Above this, `data_files` names the runs' folders by a glob instead of each file."""

_GLOB_NOTE = """
The front matter names folders, not files. Only the files that the manifests list belong to this version;
`augment.open_dataset` reads exactly those.
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


def dataset_card(dataset: Dataset, chosen: Sequence[ChosenField] = ()) -> str:
    """README.md for the dataset's root: YAML front matter, then a short account of what lies there.

    `chosen` are the settings that the preset chose for the newest run's generator.
    """
    front = yaml.safe_dump(_front_matter(dataset), sort_keys=False, allow_unicode=True, width=200)
    return f"---\n{front}---\n\n{_text(dataset, _settings(chosen))}"


def _front_matter(dataset: Dataset) -> dict[str, Any]:
    return {
        "pretty_name": "Synthetic images for rare classes",
        "annotations_creators": ["machine-generated"],
        "source_datasets": ["extended"],
        "task_categories": ["image-classification"],
        "size_categories": [_size_category(dataset.rows)],
        "tags": ["synthetic", "class-imbalance", "data-augmentation", "gan"],
        "configs": [
            {"config_name": "default", "data_files": [{"split": "train", "path": _data_files(dataset)}]}
        ],
    }


def _data_files(dataset: Dataset) -> list[str]:
    """Paths below the root."""
    if len(dataset.shards) <= MAX_LISTED_FILES:
        return [shard.key for shard in dataset.shards]
    return [f"{shard_prefix(run.plan.run_id)}*.parquet" for run in dataset.runs]


def _size_category(rows: int) -> str:
    return next((name for limit, name in _SIZE_CATEGORIES if rows < limit), "n>1T")


def _text(dataset: Dataset, settings: str) -> str:
    classes = "\n".join(
        f"| {row.label} | {_cell(row.name)} | {row.real} | {row.synthetic} | {row.real + row.synthetic} |"
        for row in dataset.balance()
    )
    runs = "\n".join(_run_row(run) for run in dataset.runs)
    listed = len(dataset.shards) <= MAX_LISTED_FILES
    glob_note = "" if listed else _GLOB_NOTE
    return f"""# Synthetic images for rare classes

**Every image here is synthetic**: drawn from a conditional GAN that was fitted to a labelled image data set,
to fill up its rare classes (IPTC digital source type `trainedAlgorithmicMedia`). The real images are not
included. This is version {dataset.version}, with {dataset.rows} images.

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

Each row names its class (`label`, `label_name`), its identity (`sample_id`, `sample_index`, `seed`) and its
generator (`generator_id`). `_runs/` holds each run's full plan and manifest, with a SHA-256 for every file.
{glob_note}{settings}
## Loading

```python
root = "..."  # this folder

import augment
dataset = augment.open_dataset(root, version={dataset.version})
dataset.to_torch()   # also to_pandas(), to_ray(), and files for any Parquet reader

import datasets
datasets.load_dataset(root)
```
"""


def _settings(chosen: Sequence[ChosenField]) -> str:
    if not chosen:
        return ""
    rows = "\n".join(f"| `{field.name}` | {_cell(field.text)} |" for field in chosen)
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
    return f"| `{run.plan.run_id}` | {plan.rows} | `{run.plan.generator_sha256}` | {plan.seed} | {kind} |"


def _cell(name: str) -> str:
    """A class name as literal text in a Markdown table."""
    return re.sub(r"([\\`*_{}\[\]<>|&#!~])", r"\\\1", re.sub(r"\s+", " ", name))
