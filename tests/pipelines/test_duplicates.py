"""Duplicates on a cluster: what workers hash is compared once, and what is dropped is not learned from."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from augment.data.census import take_census
from augment.data.config import ImageConfig, SourceConfig
from augment.data.sources import open_source
from augment.errors import InputError
from pipelines.ingest import DecodedImages, ingest
from pipelines.progress import Progress, log
from tests.data.test_deep_look import SPLITS
from tests.pipelines.conftest import write_folder

IMAGE = ImageConfig(size=16)

pytestmark = pytest.mark.usefixtures("ray_and_s3")


def ingested(root: Path, quiet: Progress, **duplicates: Any) -> tuple[SourceConfig, DecodedImages]:
    write_folder(SPLITS, root)
    config = SourceConfig.model_validate({"uri": str(root), "duplicates": duplicates})
    return config, ingest(open_source(config), config, IMAGE, quiet)


@pytest.mark.parametrize("policy", ["keep", "drop"])
def test_a_cluster_counts_and_names_what_a_deep_census_does(
    tmp_path: Path, quiet: Progress, policy: str
) -> None:
    policies = dict.fromkeys(("across_splits", "across_labels", "exact"), policy)
    config, images = ingested(tmp_path, quiet, **policies)
    census = take_census(open_source(config), image=IMAGE, deep=True)
    assert (images.counts, images.bad) == (census.counts, census.bad)
    pixels, class_index = ray.get([images.pixels, images.class_index])
    assert len(pixels) == len(class_index) == census.counts.total
    assert np.bincount(class_index).tolist() == list(census.counts.counts)


def test_what_is_dropped_leaves_the_other_pixels_in_their_order(tmp_path: Path, quiet: Progress) -> None:
    _, kept = ingested(tmp_path / "a", quiet)
    _, dropped = ingested(tmp_path / "b", quiet, exact="drop")
    everything, rest = ray.get([kept.pixels, dropped.pixels])
    again = 2  # ape/again.bmp, the third of the training images
    np.testing.assert_array_equal(rest, np.delete(everything, again, axis=0))


def test_leakage_is_logged_loudly_with_both_files(
    tmp_path: Path, quiet: Progress, caplog: pytest.LogCaptureFixture
) -> None:
    log.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.WARNING, logger=log.name):
            ingested(tmp_path, quiet)
    finally:
        log.removeHandler(caplog.handler)
    said = [record.getMessage() for record in caplog.records]
    assert "LEAKAGE: 2 training images are in a held-out split too (source.duplicates.across_splits)" in said
    assert "  train/ape/1.png (ape) and test/bee/9.tif (test, bee)" in said


def test_a_refusing_policy_stops_before_any_training(tmp_path: Path, quiet: Progress) -> None:
    with pytest.raises(InputError, match=r"2 training images are in a held-out split too: train/ape/1\.png"):
        ingested(tmp_path, quiet, across_splits="refuse")
