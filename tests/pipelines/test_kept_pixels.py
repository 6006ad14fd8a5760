"""Decoded pixels between runs: the same samples either way, never those of other images, and never a run that fails for it."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from augment.config import Config
from augment.errors import InputError
from augment.objects import open_store
from augment.store.models import ModelFolder, SourceRecord
from augment.store.pixel_cache import PIXEL_CACHES
from augment.types import canonical_json
from pipelines.cluster import Cluster
from pipelines.ingest import DecodedImages, ingest
from pipelines.job_source import JobSource
from pipelines.kept_pixels import cache_key
from pipelines.progress import Progress, log
from tests.data.test_deep_look import SPLITS
from tests.pipelines.conftest import keys, write_folder
from tests.pipelines.test_real_images import listed

pytestmark = pytest.mark.usefixtures("ray_and_s3")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A source with a bad file, copies and a held-out split, and room for an output beside it."""
    write_folder(SPLITS | {"train/bee/cut.png": SPLITS["train/bee/other.png"][:150]}, tmp_path / "images")
    return tmp_path


@pytest.fixture
def decoded_again(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sources that were decoded, by URI, as they are."""
    found: list[str] = []

    def noted(source: Any, *arguments: Any) -> DecodedImages:
        found.append(source.config.where)
        return ingest(source, *arguments)

    monkeypatch.setattr("pipelines.ingest.ingest", noted)
    return found


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, quiet: Progress) -> Iterator[pytest.LogCaptureFixture]:
    """What is logged, `quiet` being the progress of all jobs here."""
    log.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO, logger=log.name):
        yield caplog
    log.removeHandler(caplog.handler)


def source_of(place: Path, progress: Progress, name: str = "one", **parts: Any) -> JobSource:
    source = {"uri": str(place / "images")} | parts.pop("source", {})
    values = {
        "name": name,
        "source": source,
        "image": {"size": 16},
        "output": {"uri": str(place / "out")},
    } | parts
    config = Config.model_validate_json(canonical_json(values))
    folder = ModelFolder(open_store(config.output.uri), config.name)
    return JobSource(config, folder, progress, lambda: Cluster(cpus=2, cpus_per_node=2, gpus=0, scratch=None))


def everything(found: tuple[DecodedImages, SourceRecord]) -> dict[str, Any]:
    """All that a job knows of its decoded source, as values that can be compared."""
    images, record = found
    pixels, class_index, names = ray.get([images.pixels, images.class_index, images.names])
    return {
        "pixels": (pixels.tobytes(), pixels.shape, pixels.dtype),
        "classes": (class_index.tolist(), class_index.dtype),
        "names": names,
        "known": (images.counts, images.bad, images.sha256, images.duplicates),
        "record": record,
    }


def warnings_in(said: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in said.records if record.levelno >= logging.WARNING]


# ---- the same either way --------------------------------------------------------------------------------


def test_another_job_on_the_same_images_gets_the_same_and_decodes_nothing(
    place: Path, quiet: Progress, decoded_again: list[str], said: pytest.LogCaptureFixture
) -> None:
    first = everything(source_of(place, quiet).decoded())
    told = warnings_in(said)
    assert any(line.startswith("LEAKAGE: 2 training images") for line in told)
    assert any(line.startswith("skipped train/bee/cut.png: is truncated") for line in told)
    said.clear()

    second = everything(source_of(place, quiet, name="other").decoded())
    assert second == first
    assert len(decoded_again) == 1
    assert warnings_in(said) == told  # whatever was found is said again
    assert f"6 images as they were decoded before, from {place}/out/_cache/pixels/" in said.text


@pytest.mark.parametrize("policy", ["drop", "off"])
def test_what_a_policy_left_out_is_left_out_again(
    place: Path, quiet: Progress, decoded_again: list[str], policy: str
) -> None:
    policies = dict.fromkeys(("across_splits", "across_labels", "exact"), policy)
    first, second = (
        everything(source_of(place, quiet, source={"duplicates": policies}).decoded()) for _ in range(2)
    )
    assert second == first
    assert len(decoded_again) == 1


def test_a_cache_on_s3_is_read_as_well(
    place: Path, quiet: Progress, decoded_again: list[str], s3_output: str
) -> None:
    first, second = (
        everything(source_of(place, quiet, output={"uri": s3_output}).decoded()) for _ in range(2)
    )
    assert second == first
    assert len(decoded_again) == 1


@pytest.fixture
def s3_output() -> str:
    """An empty prefix that Ray's workers may write to."""
    return f"s3://jobs/kept-{os.urandom(8).hex()}"


def test_a_file_that_is_no_image_and_came_later_is_named_beside_what_was_found(
    place: Path, quiet: Progress, decoded_again: list[str]
) -> None:
    images, _ = source_of(place, quiet).decoded()
    (place / "images" / "train" / "bee" / "notes.txt").write_text("not an image")
    again, _ = source_of(place, quiet).decoded()
    assert len(decoded_again) == 1
    assert {bad.name for bad in again.bad} - {bad.name for bad in images.bad} == {"train/bee/notes.txt"}


def test_bad_images_are_refused_from_the_cache_too(place: Path, quiet: Progress) -> None:
    source_of(place, quiet).decoded()
    with pytest.raises(InputError, match=r"1 image of .* cannot be used: train/bee/cut\.png is truncated"):
        source_of(place, quiet, source={"on_bad": "fail"}).decoded()


# ---- never those of other images ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts",
    [
        {"image": {"size": 20}},
        {"image": {"size": 16, "channels": 1}},
        {"image": {"size": 16, "fit": "pad"}},
        {"image": {"size": 16, "background": 9}},
        {"source": {"duplicates": {"exact": "drop"}}},
        {"source": {"labels": {"bee": None}}},
        {"source": {"max_image_megapixels": 0.0003}},
    ],
    ids=lambda parts: json.dumps(parts),
)
def test_whatever_decides_the_pixels_has_a_cache_of_its_own(
    place: Path, quiet: Progress, parts: dict[str, Any]
) -> None:
    assert cache_of(place, quiet) == cache_of(place, quiet, name="other", source={"on_bad": "fail"})
    assert cache_of(place, quiet) != cache_of(place, quiet, **parts)


def cache_of(place: Path, progress: Progress, **parts: Any) -> str:
    """Where a job would look for its decoded images."""
    cache = source_of(place, progress, **parts)._cache()
    assert cache is not None
    return cache.uri


def test_an_image_that_was_overwritten_is_decoded(
    place: Path, quiet: Progress, decoded_again: list[str]
) -> None:
    before, _ = source_of(place, quiet).decoded()
    path = place / "images" / "train" / "ape" / "2.png"
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(1, 1_700_000_000_000_000_000))
    after, _ = source_of(place, quiet).decoded()
    assert len(decoded_again) == 2
    assert after.sha256 == before.sha256  # its pixels are what they were, which decoding alone can tell


def test_other_libraries_that_decode_have_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache_key("f", ["a"], {"a": "1"})
    others = [
        cache_key("g", ["a"], {"a": "1"}),
        cache_key("f", ["b"], {"a": "1"}),
        cache_key("f", ["a"], {"a": "2"}),
    ]
    monkeypatch.setattr("augment.data.images.pillow_version", "0.0")
    assert len({before, *others, cache_key("f", ["a"], {"a": "1"})}) == 5


def test_images_that_a_list_names_are_not_kept(
    pictures: dict[str, bytes], tmp_path: Path, quiet: Progress, said: pytest.LogCaptureFixture
) -> None:
    source = {"uri": listed(pictures, tmp_path)}
    source_of(tmp_path, quiet, source=source, image={"size": 16, "channels": 1}).decoded()
    assert keys(open_store(str(tmp_path / "out")), PIXEL_CACHES) == []
    assert "images that a CSV or JSONL names are not kept" in said.text


def test_what_was_written_to_meanwhile_is_not_kept(
    place: Path, quiet: Progress, said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written_to(*arguments: Any) -> DecodedImages:
        images = ingest(*arguments)
        os.utime(place / "images" / "train" / "ape" / "2.png", ns=(1, 1))
        return images

    monkeypatch.setattr("pipelines.ingest.ingest", written_to)
    source_of(place, quiet).decoded()
    assert keys(open_store(str(place / "out")), PIXEL_CACHES) == []
    assert "the source was written to meanwhile" in said.text


def test_how_much_is_kept_does_not_decide_what_a_model_is_of(place: Path, quiet: Progress) -> None:
    fingerprints = {
        source_of(place, quiet, source={"cache_gb": gigabytes}).fingerprint() for gigabytes in (0.0, 1.0, 2.0)
    }
    assert len(fingerprints) == 1


# ---- never a run that fails for it ----------------------------------------------------------------------


def test_a_damaged_cache_is_said_to_be_decoded_again_and_written_anew(
    place: Path, quiet: Progress, decoded_again: list[str], said: pytest.LogCaptureFixture
) -> None:
    first = everything(source_of(place, quiet).decoded())
    store = open_store(str(place / "out"))
    for number, name in enumerate((".u8", "index.json"), start=2):
        key = next(key for key in keys(store, PIXEL_CACHES) if key.endswith(name))
        store.put(key, b"rust")
        said.clear()
        assert everything(source_of(place, quiet).decoded()) == first
        assert len(decoded_again) == number
        assert (
            f"{store.uri_of(key)} is damaged: its bytes have another digest; the images are decoded"
            in said.text
        )
    assert everything(source_of(place, quiet).decoded()) == first
    assert len(decoded_again) == number


def test_pixels_above_the_limit_are_not_kept_and_zero_keeps_and_reads_none(
    place: Path, quiet: Progress, decoded_again: list[str], said: pytest.LogCaptureFixture
) -> None:
    store = open_store(str(place / "out"))
    bytes_there = 6 * 16 * 16 * 3
    source_of(place, quiet, source={"cache_gb": (bytes_there - 1) / 1e9}).decoded()
    assert keys(store, PIXEL_CACHES) == []
    assert "are above source.cache_gb=4.607e-06: the next run decodes them again" in said.text
    source_of(place, quiet, source={"cache_gb": bytes_there / 1e9}).decoded()
    assert keys(store, PIXEL_CACHES) != []
    source_of(place, quiet, source={"cache_gb": 0.0}).decoded()
    assert len(decoded_again) == 3


def test_a_store_that_takes_no_cache_hinders_nothing(
    place: Path, quiet: Progress, said: pytest.LogCaptureFixture
) -> None:
    (place / "out").mkdir()
    (place / "out" / "_cache").write_text("in the way")
    images, _ = source_of(place, quiet).decoded()
    assert images.counts.total == 6
    assert "the pixels are not kept, and the next run decodes them again" in said.text
    assert "a file is in the way" in said.text
