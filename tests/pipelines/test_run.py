"""The whole job on real Ray, and against a real S3 server."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augment import open_dataset
from augment.config import Config, load_config
from augment.errors import ConfigError, DivergenceError, InputError
from augment.objects import open_store
from augment.store.decoding import decode_sample
from augment.store.models import ModelFolder
from augment.store.pixel_cache import PIXEL_CACHES
from augment.store.verification import verify
from pipelines.presets import begun_in, chosen_in
from pipelines.progress import Progress
from pipelines.run import generate, run, train
from tests.pipelines.conftest import COUNTS, SMALL_JOB, Finished, keys
from tests.pipelines.imports import imported_by

pytestmark = pytest.mark.usefixtures("ray_and_s3")

PLANNED = {"bars": 0, "dots": 15, "rings": 18}


def test_the_whole_job_commits_exactly_the_planned_samples(finished: Finished) -> None:
    result = finished.result

    assert result.rows == PLANNED
    dataset = open_dataset(result.uri)
    assert dataset.counts() == PLANNED
    assert len(dataset.files) == 4  # 33 samples in shards of 10
    report = verify(result.uri, deep=True)
    assert report.ok, report.problems
    assert report.rows == 33


def test_a_run_leaves_a_picture_curves_grids_and_two_snapshots(finished: Finished) -> None:
    assert finished.result.contact_sheet is not None
    with Image.open(finished.result.contact_sheet) as picture:
        assert min(picture.size) > 100
    names = keys(open_store(finished.result.uri), "_models/small/")
    assert sum(name.endswith("snapshot.json") for name in names) == 2
    assert [name for name in names if "/grids/" in name] == [
        "_models/small/grids/0000000000.png",
        "_models/small/grids/0000000002.png",
        "_models/small/grids/0000000004.png",
    ]
    assert any("/tensorboard/events.out.tfevents" in name for name in names)


def test_a_finished_model_tells_how_its_training_went(finished: Finished) -> None:
    folder = ModelFolder(open_store(finished.result.uri), "small")
    record, judge = folder.finished(), folder.judge()

    assert record is not None
    assert (record.steps, record.ended) == (4, "steps")
    assert record.best_step in (2, 4)
    assert [one.name for one in record.evaluation] == ["bars", "dots"]  # of rings there are too few to say
    assert all(one.frechet is not None for one in record.evaluation)
    assert judge is not None
    assert f"judge-{judge.sha256}.safetensors" in judge.key


def test_ray_reads_the_committed_rows(finished: Finished) -> None:
    rows = open_dataset(finished.result.uri).to_ray()

    assert rows.count() == 33
    assert {"image", "label", "sample_id"} <= set(rows.schema().names)


def test_running_again_makes_nothing_new(finished: Finished, quiet: Progress) -> None:
    before = keys(open_store(finished.result.uri))

    again = run(load_config(finished.config_file), quiet)

    assert (again.run_id, again.version) == (finished.result.run_id, finished.result.version)
    assert keys(open_store(finished.result.uri)) == before


def test_a_finished_run_is_found_again_without_torch_and_ray(finished: Finished) -> None:
    """Its report and its picture are found too, and made anew."""
    heavy = {"torch", "ray", "torchvision", "scipy", "albumentations", "cv2"}
    assert not imported_by("run", "-c", finished.config_file, "--progress", "none") & heavy


def test_the_same_job_on_s3_in_halves_gives_the_same_ids_and_pixels(
    finished: Finished, quiet: Progress, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    source = open_store(f"s3://jobs/{tmp_path.name}/train")
    for name, data in pictures.items():
        source.put(name, data)
    on_s3 = tmp_path / "s3.yaml"
    job = SMALL_JOB.format(source=source.uri, output=f"s3://jobs/{tmp_path.name}/augmented")
    on_s3.write_text(job.replace("workers: 1", "workers: 2"))

    train(load_config(on_s3), quiet)
    remote = generate(load_config(on_s3), quiet)

    assert remote.run_id == finished.result.run_id
    assert pixels_by_id(remote.uri) == pixels_by_id(finished.result.uri)
    assert len(pixels_by_id(remote.uri)) == 33
    assert verify(remote.uri, deep=True).ok


def test_generate_without_a_model_says_what_to_run(config: Config, quiet: Progress) -> None:
    with pytest.raises(ConfigError, match="augment train"):
        generate(config, quiet)


def test_another_config_under_the_same_name_is_refused_with_what_differs(
    finished: Finished, quiet: Progress
) -> None:
    with pytest.raises(ConfigError, match=r"train\.gamma: 0\.16 there, 0\.7 here"):
        train(load_config(finished.config_file, ["train.gamma=0.7"]), quiet)


def test_what_the_preset_chose_is_stored_and_kept(finished: Finished, quiet: Progress) -> None:
    folder = ModelFolder(open_store(finished.result.uri), "small")
    chosen = {field.name: field.value for field in chosen_in(folder)}
    begun = begun_in(folder)

    assert begun is not None
    assert (chosen["train.gamma"], chosen["model.backbone"]) == (begun.train.gamma, begun.model.backbone)
    assert begun.train.precision == "fp32"  # the user's
    assert not {"train.steps", "model.width", "train.precision"} & set(chosen)
    assert "`train.gamma`" in open_store(finished.result.uri).get("README.md").decode()
    model, _ = train(load_config(finished.config_file, ["ray.num_cpus=1"]), quiet)  # fewer than it began with
    assert model == folder.finished()


def test_another_run_into_the_same_dataset_is_refused_unless_told(
    finished: Finished, quiet: Progress, tmp_path: Path
) -> None:
    shutil.copytree(finished.result.uri, tmp_path / "copy")
    other = [f"output.uri={tmp_path / 'copy'}", "output.image_format=webp"]

    with pytest.raises(ConfigError, match=r"output\.on_existing"):
        run(load_config(finished.config_file, other), quiet)
    appended = run(load_config(finished.config_file, [*other, "output.on_existing=append"]), quiet)

    assert appended.version == 2
    assert open_dataset(appended.uri).rows == 66
    assert open_dataset(appended.uri, version=1).rows == 33
    samples = open_dataset(appended.uri).to_pandas()
    assert not samples.duplicated(["generator_id", "seed", "label", "sample_index"]).any()
    again = run(load_config(finished.config_file, [*other, "output.on_existing=append"]), quiet)
    assert (again.version, again.run_id) == (2, appended.run_id)


def test_bad_images_are_left_out_counted_and_made_up_for(
    config: Config, quiet: Progress, source_folder: Path
) -> None:
    (source_folder / "dots/000.png").write_bytes(b"")
    truncated = source_folder / "dots/001.png"
    truncated.write_bytes(truncated.read_bytes()[:60])

    result = run(config.model_copy(update={"recipe": "duplicate"}), quiet)

    assert result.bad_images == 2
    assert result.rows["dots"] == COUNTS["bars"] - (COUNTS["dots"] - 2)


def test_on_bad_fail_names_the_file(config_file: Path, quiet: Progress, source_folder: Path) -> None:
    (source_folder / "dots/001.png").write_bytes(b"GIF89a, or so it says")

    with pytest.raises(InputError, match=r"dots/001\.png"):
        run(load_config(config_file, ["source.on_bad=fail"]), quiet)


def test_a_full_class_list_needs_no_training(config_file: Path, quiet: Progress) -> None:
    result = run(load_config(config_file, ["balance.strategy={bars: 24}"]), quiet)

    assert result.version is None
    made = [key for key in keys(open_store(result.uri)) if not key.startswith(PIXEL_CACHES)]
    assert made == ["_models/small/source.json"]  # what decoding found; no training


def test_a_class_that_is_full_by_its_labels_alone_is_made_up_for(
    config_file: Path, quiet: Progress, source_folder: Path
) -> None:
    (source_folder / "dots/000.png").write_bytes(b"")
    truncated = source_folder / "dots/001.png"
    truncated.write_bytes(truncated.read_bytes()[:60])
    for name in ("bars", "rings"):  # as many a class by label
        for index in range(COUNTS["dots"], COUNTS["bars"]):
            (source_folder / name / f"{index:03d}.png").unlink(missing_ok=True)
    for index in range(COUNTS["rings"], COUNTS["dots"]):
        shutil.copy(source_folder / "rings/000.png", source_folder / f"rings/{index:03d}.png")

    result = run(load_config(config_file), quiet)

    assert (result.version, result.rows, result.bad_images) == (1, {"bars": 0, "dots": 2, "rings": 0}, 2)


def test_one_distribution_cannot_fill_up_several_classes(config_file: Path, quiet: Progress) -> None:
    with pytest.raises(ConfigError, match=r"model\.conditional"):
        run(load_config(config_file, ["model.conditional=false"]), quiet)


def test_a_non_finite_loss_in_a_worker_stops_the_job_by_its_own_error(
    config_file: Path, quiet: Progress
) -> None:
    with pytest.raises(DivergenceError, match="step 0"):
        run(load_config(config_file, ["train.gamma=1e38", "train.max_failures=0"]), quiet)


def test_gpus_that_are_not_there_are_named(config_file: Path, quiet: Progress) -> None:
    with pytest.raises(ConfigError, match=r"train\.device=gpu needs 2 GPU"):
        run(load_config(config_file, ["train.device=gpu", "train.workers=2"]), quiet)


def test_an_augmentation_is_applied_to_committed_images_and_recorded(
    finished: Finished, quiet: Progress, tmp_path: Path
) -> None:
    import albumentations

    shutil.copytree(finished.result.uri, tmp_path / "copy")
    albumentations.save(albumentations.InvertImg(p=1.0), tmp_path / "invert.yaml", data_format="yaml")

    inverted = run(
        load_config(
            finished.config_file,
            [
                f"output.uri={tmp_path / 'copy'}",
                f"output.augmentation={tmp_path / 'invert.yaml'}",
                "output.on_existing=replace",
            ],
        ),
        quiet,
    )

    assert inverted.version == 2
    before = {key[1:]: pixels for key, pixels in pixels_by_place(inverted.uri, version=1).items()}
    after = {key[1:]: pixels for key, pixels in pixels_by_place(inverted.uri, version=2).items()}
    assert before.keys() == after.keys()
    assert all(np.array_equal(255 - before[key], after[key]) for key in before)
    assert "InvertImg" in str(open_dataset(inverted.uri).runs[0].plan.augmentation)


def pixels_by_id(uri: str) -> dict[str, bytes]:
    """Decoded pixels of every committed sample."""
    return {key[0]: pixels.tobytes() for key, pixels in pixels_by_place(uri).items()}


def pixels_by_place(uri: str, version: int | None = None) -> dict[tuple[str, int, int], np.ndarray]:
    """Decoded pixels by (sample id, label, index in the class)."""
    dataset = open_dataset(uri, version)
    shape = dataset.runs[0].plan.plan.image
    return {
        (row["sample_id"], row["label"], row["sample_index"]): decode_sample(
            row["image"]["bytes"], shape, row["sample_id"]
        )
        for table in dataset.tables()
        for row in table.to_pylist()
    }
