"""Runs of recipes and runs with gates on real Ray: what they commit, what they lack, and what comes of it later."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augment.config import Config, load_config
from augment.errors import ConfigError, GateError
from augment.objects import open_store
from augment.sampling.gated import REPEAT
from augment.store.collect import collect
from augment.store.reading import open_dataset
from augment.store.rejected import rejected_of
from augment.store.revoke import revoke_classes
from augment.store.verification import verify
from pipelines.explain import explain
from pipelines.progress import Progress
from pipelines.run import RunResult, generate, run, train
from tests.pipelines.conftest import SMALL_JOB, Finished, keys, png, wait_until, write_folder
from tests.pipelines.test_cli import augment
from tests.pipelines.test_kill import kill, start
from tests.pipelines.test_run import pixels_by_id

pytestmark = pytest.mark.usefixtures("ray_and_s3")

QUICK_GATES = ["gates.enabled=true", "gates.folds=2", "gates.steps=40", "gates.batch_size=16"]

# A GAN of four steps: nothing that it makes is near a real image, and what it makes of `rings` is nearly one picture.
ALL_REFUSED = [*QUICK_GATES, "gates.max_attempts=2"]
REPEATS_REFUSED = [
    *QUICK_GATES, "gates.max_attempts=3", "gates.label_quantile=0", "gates.distance_quantile=0",
]  # fmt: skip
PLANNED = {"bars": 0, "dots": 15, "rings": 18}


# ---- recipes ------------------------------------------------------------------------------------------

RECIPES = {"bars": "classic", "dots": "classic", "rings": "smote", "spots": "duplicate", "stripes": "none"}
OF_RECIPES = [
    *QUICK_GATES, "gates.distance_quantile=0", "gates.on_shortfall=duplicate",
    f"recipe={json.dumps(RECIPES)}", "classic.preset=textures",
]  # fmt: skip


def pixels_in(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture)


@pytest.fixture(scope="module")
def made_of_real(
    ray_and_s3: object, pictures: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    """A job of four recipes, run by one actor."""
    root = tmp_path_factory.mktemp("recipes")
    more = {
        f"spots/{index:03d}.png": png(255 - pixels_in(pictures[f"dots/{index:03d}.png"]))
        for index in range(4)
    }
    more |= {
        f"stripes/{index:03d}.png": png(pixels_in(pictures[f"bars/{index:03d}.png"]).T) for index in range(5)
    }
    write_folder(pictures | more, root / "train")
    path = root / "job.yaml"
    path.write_text(SMALL_JOB.format(source=root / "train", output=root / "out"))
    return Finished(path, run(load_config(path, [*OF_RECIPES, "generate.actors=1"]), Progress("none")))


def test_a_run_of_recipes_trains_nothing_and_commits_what_was_planned(made_of_real: Finished) -> None:
    result = made_of_real.result
    assert result.rows == {"bars": 0, "dots": 15, "rings": 18, "spots": 20, "stripes": 0}
    assert result.missing == 0
    report = verify(result.uri, deep=True)
    assert report.ok, report.problems
    assert report.rows == 53
    models = [Path(key).name for key in keys(open_store(result.uri), "_models/")]
    assert not [name for name in models if name.startswith(("generator", "snapshot", "critic", "training"))]
    plan = open_dataset(result.uri).runs[0].plan
    assert (plan.generator_sha256, plan.recipes.smote is None, plan.recipes.classic is None) == (
        None, False, False,
    )  # fmt: skip


def test_columns_say_how_each_row_was_made_and_of_which_images(made_of_real: Finished) -> None:
    rows = open_dataset(made_of_real.result.uri).to_pandas()
    assert rows["generator_id"].isna().all()
    kinds = {"classic": "algorithmicallyEnhanced", "smote": "compositeCapture"}
    for row in rows.itertuples():
        assert row.recipe in (RECIPES[row.label_name], "duplicate")
        assert row.recipe == "duplicate" or row.digital_source_type == kinds[row.recipe]
        assert len(row.source_images) == (2 if row.recipe == "smote" else 1)
        assert all(name.startswith(f"{row.label_name}/") for name in row.source_images)
        assert 0 <= row.attempt < 10
    assert {"classic", "smote", "duplicate"} == set(rows["recipe"])
    assert rows[rows["recipe"] == "duplicate"]["digital_source_type"].isna().all()


def test_duplicates_are_the_real_images_that_they_name(
    made_of_real: Finished, pictures: dict[str, bytes]
) -> None:
    rows = open_dataset(made_of_real.result.uri).to_pandas()
    for row in rows[rows["label_name"] == "spots"].itertuples():
        (name,) = row.source_images
        real = 255 - pixels_in(pictures[name.replace("spots", "dots")])
        assert np.array_equal(real, pixels_in(row.image["bytes"]))


@pytest.mark.slow
def test_three_actors_make_what_one_makes_byte_for_byte(
    made_of_real: Finished, quiet: Progress, tmp_path: Path
) -> None:
    changes = [*OF_RECIPES, "generate.actors=3", f"output.uri={tmp_path / 'three'}"]
    shutil.copytree(Path(made_of_real.result.uri) / "_models", tmp_path / "three/_models")
    other = generate(load_config(made_of_real.config_file, changes), quiet)
    assert other.run_id == made_of_real.result.run_id
    assert committed(other.uri) == committed(made_of_real.result.uri)
    assert len(pixels_by_id(other.uri)) == 53


def test_running_recipes_again_makes_nothing_new(made_of_real: Finished, quiet: Progress) -> None:
    before = keys(open_store(made_of_real.result.uri))
    again = run(load_config(made_of_real.config_file, OF_RECIPES), quiet)
    assert (again.version, again.run_id) == (1, made_of_real.result.run_id)
    assert keys(open_store(made_of_real.result.uri)) == before


def test_there_is_nothing_to_train_for_recipes(made_of_real: Finished, quiet: Progress) -> None:
    with pytest.raises(ConfigError, match="nothing to train"):
        train(load_config(made_of_real.config_file, OF_RECIPES), quiet)


def test_a_sample_of_a_recipe_is_explained_by_its_real_images(made_of_real: Finished) -> None:
    rows = open_dataset(made_of_real.result.uri).to_pandas(["sample_id", "recipe", "source_images"])
    row = rows[rows["recipe"] == "smote"].iloc[0]
    explained = explain(made_of_real.result.uri, row["sample_id"])
    assert explained.provenance.recipe == "smote"
    assert explained.provenance.source_images == tuple(row["source_images"])


# ---- a GAN with gates ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gated:
    """The finished model's samples behind gates: a dataset of its own, to be copied by tests that change it."""

    config_file: Path
    result: RunResult

    def config(self, output: str | Path, *changes: str) -> Config:
        return load_config(self.config_file, [*REPEATS_REFUSED, f"output.uri={output}", *changes])

    def copied_to(self, place: Path) -> str:
        return str(shutil.copytree(self.result.uri, place))


@pytest.fixture(scope="module")
def gated(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Gated:
    root = tmp_path_factory.mktemp("gated") / "out"
    shutil.copytree(Path(finished.result.uri) / "_models", root / "_models")
    config = load_config(finished.config_file, [*REPEATS_REFUSED, f"output.uri={root}"])
    return Gated(finished.config_file, run(config, Progress("none", quiet=True)))


def committed(uri: str) -> dict[str, bytes]:
    """Shards, ledgers, manifests and versions, byte for byte."""
    store = open_store(uri)
    prefixes = ("data/", "_ledgers/", "_rejected/", "_snapshots/", "_runs/")
    names = [key for prefix in prefixes for key in keys(store, prefix)]
    return {key: store.get(key) for key in names if not key.endswith((".png", ".html"))}


def test_what_no_candidate_passed_for_is_left_out_and_counted(gated: Gated) -> None:
    result = gated.result
    (committed_run,) = open_dataset(result.uri).runs
    manifest = committed_run.manifest

    assert result.version == 1
    assert 0 < result.rows["dots"] <= 15
    assert 0 < result.rows["rings"] < 10
    assert result.missing == 33 - sum(result.rows.values())
    assert [one.label for one in manifest.ledger] == [1, 2]
    for one in manifest.ledger:
        planned = PLANNED[["bars", "dots", "rings"][one.label]]
        assert one.accepted + one.fallback + one.missing == planned
        assert one.accepted + sum(one.refused.values()) == one.drawn <= 3 * planned
    rings = manifest.ledger[1]
    assert (rings.accepted, rings.fallback) == (result.rows["rings"], 0)
    assert rings.refused.get(REPEAT, 0) > 10
    assert sum(piece.count for piece in manifest.missing) == result.missing
    report = verify(result.uri, deep=True)
    assert report.ok, report.problems
    assert report.rows == sum(result.rows.values()) == open_dataset(result.uri).rows


def test_a_shortfall_is_exit_code_4_with_the_ledger_in_json(gated: Gated) -> None:
    settings = [*REPEATS_REFUSED, f"output.uri={gated.result.uri}"]
    overrides = [part for setting in settings for part in ("--set", setting)]
    told = augment("run", "-c", gated.config_file, *overrides, "--json", "--quiet")
    assert told.returncode == GateError.exit_code
    document = json.loads(told.stdout)
    assert document["version"] == 1
    assert sum(one["missing"] for one in document["ledger"]) == gated.result.missing
    assert f"{gated.result.missing} samples are missing" in told.stderr


def test_refused_candidates_are_kept_for_looking(gated: Gated) -> None:
    assert gated.result.run_id is not None
    found = list(rejected_of(open_store(gated.result.uri), gated.result.run_id))
    assert {row.gate for row in found} <= {"near-copy-pixels", "near-copy-features", REPEAT}
    assert any(row.label_name == "rings" and row.gate == REPEAT for row in found)
    for row in found:
        with Image.open(io.BytesIO(row.image)) as picture:
            assert picture.size == (16, 16)


def test_a_sample_that_was_drawn_again_is_made_again_bit_for_bit(gated: Gated) -> None:
    rows = open_dataset(gated.result.uri).to_pandas(["sample_id", "attempt"])
    late = rows[rows["attempt"] > 0]
    assert len(late)
    for row in late.itertuples():
        explained = explain(gated.result.uri, row.sample_id)
        assert explained.provenance.attempt == row.attempt
        assert explained.remake.outcome == "equal"


def test_a_resumed_run_accepts_the_same_samples(gated: Gated, quiet: Progress, tmp_path: Path) -> None:
    copy = gated.copied_to(tmp_path / "copy")
    shards = sorted(Path(copy, "data").rglob("*.parquet"))
    for gone in (
        *shards[::2],
        *Path(copy, "_runs").rglob("manifest.json"),
        *Path(copy, "_snapshots").iterdir(),
    ):
        gone.unlink()
    again = run(gated.config(copy), quiet)
    assert again.run_id == gated.result.run_id
    assert again.missing == gated.result.missing
    assert committed(copy) == committed(gated.result.uri)


def test_a_shortfall_is_filled_by_the_recipe_that_was_named(
    gated: Gated, quiet: Progress, tmp_path: Path
) -> None:
    shutil.copytree(Path(gated.result.uri) / "_models", tmp_path / "out/_models")
    config = gated.config(tmp_path / "out", "gates.on_shortfall=duplicate")
    result = run(config, quiet)
    assert (result.rows, result.missing) == (PLANNED, 0)
    for one, partial in zip(result.ledger, gated.result.ledger, strict=True):
        assert (one.accepted, one.fallback) == (partial.accepted, partial.missing)
    rows = open_dataset(result.uri).to_pandas()
    assert (rows["recipe"] == "duplicate").sum() == gated.result.missing
    instead = rows[rows["recipe"] == "duplicate"]
    assert instead["generator_id"].isna().all()
    assert (instead["source_images"].str.len() == 1).all()
    report = verify(result.uri, deep=True)
    assert report.ok, report.problems


def test_where_everything_is_refused_no_version_is_made(
    gated: Gated, quiet: Progress, tmp_path: Path
) -> None:
    shutil.copytree(Path(gated.result.uri) / "_models", tmp_path / "out/_models")
    config = load_config(gated.config_file, [*ALL_REFUSED, f"output.uri={tmp_path / 'out'}"])
    for _ in range(2):
        with pytest.raises(
            GateError, match=r"(?s)refused every candidate.*'rings': 0 of 18 samples"
        ) as error:
            run(config, quiet)
        assert error.value.exit_code == 4
    assert keys(open_store(str(tmp_path / "out")), "_snapshots/") == []


def test_a_top_up_makes_up_for_a_shortfall(gated: Gated, quiet: Progress, tmp_path: Path) -> None:
    copy = gated.copied_to(tmp_path / "copy")
    result = run(gated.config(copy, "output.on_existing=top-up", "gates.on_shortfall=duplicate"), quiet)
    assert (result.version, result.missing) == (2, 0)
    assert {name: result.rows[name] + gated.result.rows[name] for name in PLANNED} == PLANNED
    assert [row.real + row.synthetic for row in open_dataset(copy).balance()] == [24, 24, 24]
    indices = open_dataset(copy).to_pandas(["label_name", "sample_index"])
    assert not indices.duplicated().any()
    new = set(indices[indices["label_name"] == "rings"]["sample_index"]) - set(range(18))
    assert new == set(
        range(18, 18 + result.rows["rings"])
    )  # after all that were planned, not all that are there
    report = verify(copy, deep=True)
    assert report.ok, report.problems
    assert run(gated.config(copy, "output.on_existing=top-up"), quiet).version is None


def test_a_run_that_is_appended_goes_on_after_missing_samples_too(
    gated: Gated, quiet: Progress, tmp_path: Path
) -> None:
    copy = gated.copied_to(tmp_path / "copy")
    changes = ("output.on_existing=append", "output.image_format=webp")
    result = run(gated.config(copy, *changes), quiet)
    assert result.version == 2
    assert open_dataset(copy).rows == sum(result.rows.values()) + sum(gated.result.rows.values())
    first, second = (one.plan.plan for one in open_dataset(copy).runs)
    assert [(target.first, target.synthetic) for target in second.classes[1:]] == [(15, 15), (18, 18)]
    assert first.classes[1:] != second.classes[1:]
    report = verify(copy, deep=True)
    assert report.ok, report.problems
    again = run(gated.config(copy, *changes), quiet)
    assert (again.version, again.run_id, again.missing) == (2, result.run_id, result.missing)


@pytest.mark.parametrize(("name", "other"), [("rings", "dots"), ("dots", "rings")])
def test_a_class_with_missing_rows_or_beside_one_is_revoked(
    gated: Gated, tmp_path: Path, name: str, other: str
) -> None:
    copy = gated.copied_to(tmp_path / "copy")
    revoke_classes(open_store(copy), [name], "wrong scanner")
    dataset = open_dataset(copy)
    rows = gated.result.rows
    assert (dataset.version, dataset.counts()) == (2, {"bars": 0, name: 0, other: rows[other]})
    (manifest,) = (one.manifest for one in dataset.runs)
    label = {"dots": 1, "rings": 2}[other]
    assert [one.label for one in manifest.ledger] == [label]
    assert {piece.class_index for piece in manifest.missing} <= {label}
    assert sum(piece.count for piece in manifest.missing) == PLANNED[other] - rows[other]
    report = verify(copy, deep=True)
    assert report.ok, report.problems
    assert verify(f"{copy}@1", deep=True).ok


@pytest.mark.parametrize("layout", ["hive", "hf"])
def test_a_dataset_with_gaps_is_exported_row_for_row(gated: Gated, tmp_path: Path, layout: str) -> None:
    import pyarrow.parquet as pq

    told = augment("export", gated.result.uri, tmp_path / layout, "--layout", layout, "--json", "--quiet")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["rows"] == sum(gated.result.rows.values())
    copied = [
        name
        for file in sorted((tmp_path / layout).rglob("*.parquet"))
        for name in pq.ParquetFile(file).read(["sample_id"])["sample_id"].to_pylist()
    ]
    ids = open_dataset(gated.result.uri).to_pandas(["sample_id"])["sample_id"]
    assert sorted(copied) == sorted(ids)


def test_gc_takes_ledgers_and_refused_candidates_of_an_abandoned_run_and_leaves_the_others(
    gated: Gated, tmp_path: Path
) -> None:
    copy = gated.copied_to(tmp_path / "copy")
    store = open_store(copy)
    assert {found.reason for found in collect(store, grace_s=0, delete=True).garbage} == {"unused"}  # pixels
    assert collect(store, grace_s=0).garbage == ()
    for gone in (*Path(copy, "_runs").rglob("manifest.json"), *Path(copy, "_snapshots").iterdir()):
        gone.unlink()  # as if its driver had been killed for good
    report = collect(store, grace_s=0, delete=True)
    assert {found.reason for found in report.garbage} == {"abandoned"}
    assert not [key for prefix in ("data/", "_ledgers/", "_rejected/") for key in keys(store, prefix)]


@pytest.mark.timeout(900)
def test_a_gated_run_of_gan_and_recipes_killed_in_generation_finishes_as_if_it_had_not_been(
    gated: Gated, quiet: Progress, tmp_path: Path
) -> None:
    settings = [
        *REPEATS_REFUSED, "recipe={dots: smote}", "output.shard_rows=1", "gates.on_shortfall=duplicate",
    ]  # fmt: skip
    for name in ("undisturbed", "killed"):
        shutil.copytree(Path(gated.result.uri) / "_models", tmp_path / name / "_models")
    overrides = [*settings, f"output.uri={tmp_path / 'undisturbed'}"]
    undisturbed = generate(load_config(gated.config_file, overrides), quiet)
    store = open_store(str(tmp_path / "killed"))

    first = start("generate", gated.config_file, tmp_path / "killed", settings)
    wait_until(lambda: len(keys(store, "data/")) > 2, lambda: first.poll() is None)
    kill(first)
    assert keys(store, "_snapshots/") == []
    assert len(keys(store, "data/")) < 33
    resumed = generate(
        load_config(gated.config_file, [*settings, f"output.uri={tmp_path / 'killed'}"]), quiet
    )

    assert resumed.run_id == undisturbed.run_id
    assert committed(resumed.uri) == committed(undisturbed.uri)
    report = verify(resumed.uri, deep=True)
    assert report.ok, report.problems
    assert report.rows == 33
