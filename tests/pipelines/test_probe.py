"""pipelines.probe: what is measured is this source, this model and this store, and nothing is left behind."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.config import load_config
from augment.data.census import take_census
from augment.data.sources import open_source
from augment.errors import ConfigError, InputError
from augment.gan.hardware import Hardware
from augment.types import ImageShape
from pipelines.cli.planning import plan
from pipelines.planning import plan_for
from pipelines.presets import settled
from pipelines.probe_reading import read_trial
from pipelines.probe_records import FEWEST_A_CLASS, ProbeOrder, SampleImages, dealt_out, spread_order
from pipelines.probe_trials import generate_trial, train_trial
from tests.pipelines.test_cli import augment

QUICK_S = 0.01  # as few slices as there are
GATES = ["gates.enabled=true", "gates.steps=2", "gates.batch_size=8"]


def order_of(config_file: Path, *overrides: str) -> ProbeOrder:
    config = load_config(config_file, overrides)
    counts = take_census(open_source(config.source), image=config.image).counts
    preset = settled(config, counts, Hardware(cpus=2))
    planned = plan_for(config, counts)
    return ProbeOrder(preset.config, planned, QUICK_S, has_gates=config.gates.enabled)


@pytest.fixture
def images() -> SampleImages:
    return SampleImages(np.random.default_rng(0).integers(0, 256, (30, 16, 16, 1), dtype=np.uint8))


@given(st.integers(1, 3_000))
def test_an_order_that_is_spread_has_everything_once_and_its_first_part_from_everywhere(count: int) -> None:
    order = spread_order(count)

    assert sorted(order) == list(range(count))
    if count >= 8:
        assert {8 * number // count for number in order[:16]} >= set(range(0, 8, 2))


@given(st.integers(1, 40), st.integers(1, 12), st.none() | st.integers(1, 60))
def test_dealt_out_images_give_every_class_enough(there: int, classes: int, most: int | None) -> None:
    pixels = np.random.default_rng(there).integers(0, 256, (there, 4, 4, 3), dtype=np.uint8)

    pixels_NHWC, class_index_N = dealt_out(SampleImages(pixels), classes, most=most)

    assert np.bincount(class_index_N, minlength=classes).min() >= FEWEST_A_CLASS
    assert np.bincount(class_index_N).max() - np.bincount(class_index_N).min() <= 1
    first = min(there, len(pixels_NHWC))
    assert (pixels_NHWC[:first] == pixels[:first]).all()
    assert len(np.unique(pixels_NHWC.reshape(len(pixels_NHWC), -1), axis=0)) > len(pixels_NHWC) / 2


def test_reading_decodes_this_sources_images_and_weighs_bytes_by_the_plan(config_file: Path) -> None:
    order = order_of(config_file)
    trial, images = read_trial(order, 0.0)

    assert trial.images == len(images.pixels_NHWC) == 39  # all there are, each once
    assert images.pixels_NHWC.shape[1:] == (16, 16, 1)
    assert 50 < trial.encoded_bytes.a_unit.middle < 2 * 16 * 16
    assert trial.decode_s.a_unit.middle > 0
    # Ten rows a shard; the head class gets no sample and counts for nothing.
    assert trial.put_bytes == int(trial.encoded_bytes.a_unit.middle * 10)


def test_scratch_objects_are_deleted_whatever_happens(
    config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = order_of(config_file)
    read_trial(order, 0.0)
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []

    from augment.objects.local import LocalStore

    put = LocalStore.put_if_absent
    tries: list[str] = []

    def fails_in_the_third(self: LocalStore, key: str, data: bytes) -> bool:
        tries.append(key)
        if len(tries) == 3:
            raise ConfigError("the disk is gone")
        return put(self, key, data)

    monkeypatch.setattr(LocalStore, "put_if_absent", fails_in_the_third)
    with pytest.raises(ConfigError, match="the disk is gone"):
        read_trial(order, 0.0)
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []
    assert all(key.startswith("_probe/") for key in tries)


def test_a_source_without_a_readable_image_is_named(config_file: Path, source_folder: Path) -> None:
    order = order_of(config_file)
    for path in source_folder.rglob("*.png"):
        path.write_bytes(b"no image")

    with pytest.raises(InputError, match="no image that was looked at can be read"):
        read_trial(order, 0.0)


def test_training_is_measured_with_all_that_it_stops_for(config_file: Path, images: SampleImages) -> None:
    order = order_of(config_file, *GATES, "train.workers=1")
    trial = train_trial(order, images, 0.0)

    assert set(trial.step_s.units) == {order.config.train.penalty_every}
    assert (trial.evaluations, trial.judge_steps) == (2, 1)  # four steps, measured every second one
    assert trial.evaluation_s is not None
    assert trial.judge_step_s is not None
    assert trial.gates_step_s is not None
    assert trial.peak_bytes > trial.driver_bytes > 10**8


def test_what_a_run_does_not_do_is_not_measured(config_file: Path, images: SampleImages) -> None:
    order = order_of(config_file, "train.evaluate_every=0", "train.workers=1")
    trained, made = train_trial(order, images, 0.0), generate_trial(order, images, 0.0)

    assert (trained.evaluation_s, trained.judge_step_s, trained.gates_step_s) == (None, None, None)
    assert (trained.evaluations, trained.judge_steps) == (0, 0)
    assert made.judged_s is None


def test_a_workers_share_of_the_batch_is_measured(config_file: Path, images: SampleImages) -> None:
    order = replace(order_of(config_file, "train.evaluate_every=0"), world_size=8)

    assert train_trial(order, images, 0.0).step_s.a_unit.middle > 0  # one image of a batch of eight
    with pytest.raises(ConfigError, match="leaves some of 9 workers without an image"):
        train_trial(replace(order, world_size=9), images, 0.0)


@pytest.mark.parametrize(
    "settings",
    [
        GATES,
        [*GATES, "recipe={dots: smote, rings: classic}", "classic.preset=textures"],
        ["recipe={dots: duplicate, rings: smote}"],
    ],
)
def test_generating_is_measured_with_this_configs_recipes_and_gates(
    config_file: Path, images: SampleImages, settings: list[str]
) -> None:
    order = order_of(config_file, *settings)
    trial = generate_trial(order, images, 0.0)

    assert trial.candidate_s.a_unit.middle > 0
    assert trial.encode_s.a_unit.middle > 0
    assert (trial.judged_s is not None) == order.has_gates
    assert 0 < trial.row_bytes < 5_000


def test_gates_of_a_probe_have_as_many_references_as_the_classes_have_images(
    config_file: Path, images: SampleImages
) -> None:
    import torch

    from pipelines.probe_trials import _keeper

    order = order_of(config_file, *GATES)
    keeper = _keeper(order, *dealt_out(images, 3), torch.device("cpu"))

    counts = np.bincount(keeper.parts.references.class_index_R, minlength=3)
    assert counts.tolist() == [0, 9, 6]  # the head class is not judged
    assert order.plan.image == ImageShape(size=16, channels=1)


@pytest.fixture
def probed(config_file: Path) -> dict[str, object]:
    done = augment("plan", "-c", config_file, "--probe", "3s", "--price", "cpu=0.05", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.timeout(200)
def test_a_probed_plan_foretells_time_bytes_memory_and_price_each_with_bounds(probed: dict) -> None:
    forecast = probed["forecast"]

    assert "estimate" not in probed
    assert {"read", "train", "generate"} == probed["probe"].keys()
    assert [stage["name"] for stage in forecast["stages"]] == [
        "start of Ray", "decode", "judge", "train", "generate",
    ]  # fmt: skip
    for name in ("wall_s", "cpu_hours", "usd", "total_bytes"):
        assert 0 < forecast[name]["low"] <= forecast[name]["middle"] <= forecast[name]["high"], name
    assert (forecast["rows"], forecast["shards"]) == (33, 4)
    assert forecast["memory"]["training_worker"]["middle"] > 10**8
    assert forecast["notes"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"probe": "soon"}, "--probe=soon"),
        ({"probe": "1s"}, "too short"),
        ({"price": ["tpu=1"]}, r"cost\.prices\.tpu"),
        ({"price": ["gpu=cheap"]}, r"cost\.prices\.gpu"),
    ],
)
def test_a_wrong_probe_or_price_is_named(config_file: Path, options: dict, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        plan(config_file, **options)


def test_without_a_probe_figures_are_called_guesses(
    config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan(config_file)
    printed = capsys.readouterr().out
    plan(config_file, as_json=True)
    document = json.loads(capsys.readouterr().out)

    assert "Guessing" in printed
    assert "--probe 30s measures this model here" in " ".join(printed.split())
    assert document["estimate"]["basis"] == "guessed"
