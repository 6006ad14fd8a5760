"""A committed sample explained: where it comes from, and the same sample made again from the stored model.

Owns the account and the comparison. Runs here, without Ray: the CPU makes the very forward pass that the shard
was made with, so that a sample of a CPU comes out bit for bit; a GPU's may differ by a gray level.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from augment.data.config import SourceConfig
from augment.data.sources import open_source
from augment.errors import InputError, IntegrityError
from augment.objects import ObjectStore, open_store
from augment.store.decoding import decode_sample
from augment.store.models import find_generator
from augment.store.provenance import FoundSample, find_sample
from augment.store.reading import read_shard, split_version
from augment.store.shards import marks_of
from augment.types import RecipeName, Record, Revocation, RowMarks, SampleBlock, ShardPiece, ShardSpec

__all__ = ["Explanation", "Provenance", "Remake", "explain", "find_source_images", "png_of"]

Pixels = npt.NDArray[np.uint8]  # [H, W, C]


class Remake(Record):
    """How the sample made again compares with the one stored."""

    outcome: Literal["equal", "different", "not made"]
    differing_values: int = 0  # of the H·W·C gray levels
    largest_difference: int = 0  # in gray levels, of 255
    why: str = ""  # it could not be made or compared


class Provenance(Record):
    """Everything that made a sample, and where it lies."""

    uri: str
    sample_id: str
    run_id: str
    plan_id: str
    versions: tuple[int, ...]
    revoked: tuple[Revocation, ...]
    model: str | None  # its key in the dataset; None where it is not there any more
    recipe: RecipeName
    attempt: int  # candidates for it that the gates refused before
    source_images: tuple[str, ...]  # the real images that it was made from; none of the GAN's
    generator_sha256: str | None
    seed: int
    label: int
    label_name: str
    sample_index: int
    shard: str
    row: int
    source_fingerprint: str | None
    image_format: str
    augmentation: dict[str, Any] | None
    libraries: dict[str, str]


@dataclass(frozen=True)
class Explanation:
    """A sample's origin, the comparison, and its stored pixels (None where its shard was collected)."""

    provenance: Provenance
    remake: Remake
    stored_HWC: Pixels | None


def explain(uri: str, sample_id: str, version: int | None = None) -> Explanation:
    """Find a sample by its id, make it again on this CPU and compare.

    Raises ConfigError if there is no such sample or version, InputError if its row is gone, IntegrityError if a
    record, the shard or the model is damaged.
    """
    uri, version = split_version(uri, version)
    store = open_store(uri)
    found = find_sample(store, sample_id, version)
    stored = _stored(store, found)
    marks = stored.marks if stored is not None else None
    sha256 = found.run.generator_sha256
    model = find_generator(store, sha256) if sha256 is not None else None
    if stored is None or marks is None:
        remake = Remake(outcome="not made", why="its shard was deleted after it had been revoked")
    elif marks.recipe != "gan":
        remake = Remake(
            outcome="not made", why=f"the recipe {marks.recipe} makes it from real images of the source"
        )
    elif model is None:
        remake = Remake(outcome="not made", why="its model lies in this dataset no more")
    else:
        made_HWC = _made_again(store.get(model.key), found, marks)
        remake = _compared(made_HWC, stored.pixels_HWC)
    provenance = _provenance(store, found, marks, model.key if model else None)
    return Explanation(provenance, remake, stored.pixels_HWC if stored is not None else None)


def find_source_images(config: SourceConfig, names: Sequence[str]) -> dict[str, str]:
    """Where the source holds the real images that rows name, by name: `cat/1.png of s3://bucket/cats`.

    Rows tell no place, so this needs the source's config. Raises InputError where the source does not have one of
    them: it is another source, or it has changed since.
    """
    found = open_source(config).find_published(names)
    if missing := [name for name in names if name not in found]:
        raise InputError(
            f"{config.where} holds no image {missing[0]!r}: the sample was made from another source, or this one has "
            "changed since; give the config that the run was made with"
        )
    return {name: f"{image.name} of {image.uri}" for name, image in found.items()}


def _provenance(
    store: ObjectStore, found: FoundSample, marks: RowMarks | None, model_key: str | None
) -> Provenance:
    run = found.run
    planned = marks or RowMarks(found.target.recipe, attempt=0)
    return Provenance(
        uri=store.uri,
        sample_id=found.sample_id,
        run_id=run.run_id,
        plan_id=run.plan.plan_id,
        versions=found.versions,
        revoked=found.revoked,
        model=model_key,
        recipe=planned.recipe,
        attempt=planned.attempt,
        source_images=planned.source_images,
        generator_sha256=run.generator_sha256,
        seed=run.plan.seed,
        label=found.target.label,
        label_name=found.target.name,
        sample_index=found.sample_index,
        shard=found.shard.key,
        row=found.row,
        source_fingerprint=run.source_fingerprint,
        image_format=run.image_format,
        augmentation=run.augmentation,
        libraries=run.versions,
    )


@dataclass(frozen=True)
class _Stored:
    """A sample as its shard holds it."""

    pixels_HWC: Pixels
    marks: RowMarks


def _stored(store: ObjectStore, found: FoundSample) -> _Stored | None:
    """The committed sample; None where a collector has deleted what was revoked."""
    if found.revoked and not _is_there(store, found.shard.key):
        return None
    table = pq.read_table(pa.BufferReader(read_shard(store, found.shard)))
    if found.row >= table.num_rows or table["sample_id"][found.row].as_py() != found.sample_id:
        raise IntegrityError(f"{store.uri_of(found.shard.key)} does not hold the rows that its plan gives")
    encoded = table["image"][found.row].as_py()["bytes"]
    (marks,) = marks_of(table.slice(found.row, 1))
    return _Stored(decode_sample(encoded, found.run.plan.image, found.sample_id), marks)


def _is_there(store: ObjectStore, key: str) -> bool:
    return any(listed.key == key for listed in store.list(key))


def _made_again(model: bytes, found: FoundSample, marks: RowMarks) -> Pixels:
    """The sample's pixels, by the generator that made it."""
    import torch

    from augment.gan.generator import frozen_generator
    from pipelines.pixels import augmented

    plan, sha256 = found.run.plan, found.run.generator_sha256
    assert sha256 is not None  # noqa: S101  # or its model would not have been found
    cpu = torch.device("cpu")
    indices = (np.array([number]) for number in (found.class_index, found.sample_index, marks.attempt))
    with frozen_generator(model, sha256=sha256, device=cpu, batch_size=plan.batch_size) as generator:
        pixels_BHWC = generator(plan.seed, *indices)
    piece = ShardPiece(class_index=found.class_index, first=found.sample_index, count=1)
    alone = ShardSpec(index=found.shard.index, first_row=0, pieces=(piece,))
    return augmented(SampleBlock(alone, pixels_BHWC, (marks,)), found.run)[0]


def _compared(made_HWC: Pixels, stored_HWC: Pixels) -> Remake:
    difference_HWC = np.abs(made_HWC.astype(np.int16) - stored_HWC.astype(np.int16))
    if not difference_HWC.any():
        return Remake(outcome="equal")
    return Remake(
        outcome="different",
        differing_values=int(np.count_nonzero(difference_HWC)),
        largest_difference=int(difference_HWC.max()),
    )


def png_of(pixels_HWC: Pixels) -> bytes:
    """A picture of one sample, lossless."""
    from PIL import Image

    sink = io.BytesIO()
    Image.fromarray(pixels_HWC[..., 0] if pixels_HWC.shape[-1] == 1 else pixels_HWC).save(sink, "PNG")
    return sink.getvalue()
