"""What flows between the rooms: frozen records, and nothing that acts.

    SourceConfig → ClassCounts → AugmentPlan → ShardSpec → SampleBlock → ShardReceipt → Manifest → Snapshot

Owns the records that more than one room reads, and their canonical JSON. Knows no room. Identity comes
from (plan, class, index), never from a block's order, a rank or a clock.
"""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

__all__ = [
    "AugmentPlan",
    "BadImage",
    "ClassCounts",
    "ClassInfo",
    "ClassLedger",
    "ClassTarget",
    "ConfigModel",
    "ExistingRows",
    "GatesPin",
    "ImageShape",
    "Manifest",
    "ModelRef",
    "RecipeName",
    "RecipeSpecs",
    "Record",
    "Revocation",
    "RowMarks",
    "RunPlan",
    "SampleBlock",
    "ShardLedger",
    "ShardPiece",
    "ShardReceipt",
    "ShardSpec",
    "ShortfallPolicy",
    "Snapshot",
    "SnapshotRun",
    "canonical_json",
    "sha256_hex",
]


def canonical_json(value: Any) -> bytes:
    """One byte string per value: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def sha256_hex(data: bytes) -> str:
    """SHA-256 of `data`, 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


class ConfigModel(BaseModel):
    """Base of every config class: strict, frozen, each field documented."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class Record(BaseModel):
    """Base of every stored or exchanged record: frozen, no unknown field, canonical JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def to_json(self) -> bytes:
        """Canonical JSON of this record."""
        return canonical_json(self.model_dump(mode="json"))


# ---- what goes in -------------------------------------------------------------------------------------


class ClassInfo(Record):
    """A class as the source names it; its position in a tuple of classes is its class index."""

    label: int  # the integer written to the output's `label` column
    name: str


class ClassCounts(Record):
    """Images a class; `classes` and `counts` run in step, ordered by label."""

    classes: tuple[ClassInfo, ...]
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """All images."""
        return sum(self.counts)

    @property
    def imbalance_ratio(self) -> float:
        """Largest class ÷ smallest class that has images (1.0 is balanced)."""
        present = [count for count in self.counts if count]
        return max(present) / min(present) if present else 1.0


class BadImage(Record):
    """An image that could not be used, or is not: which one, and why, in a user's words."""

    name: str
    reason: str
    duplicate_of: str | None = None  # of a good image that source.duplicates leaves out: the other one


class ImageShape(Record):
    """A square image as the networks see it: `size` pixels a side, 1 or 3 channels."""

    size: int = Field(ge=1)
    channels: Literal[1, 3]


# ---- the plan -----------------------------------------------------------------------------------------


RecipeName = Literal["gan", "classic", "duplicate", "smote", "none"]
"""`gan`: from noise, by the trained generator; `classic`: real images of the class, changed by an albumentations
pipeline; `duplicate`: real images again; `smote`: between a real image and a neighbour; `none`: no samples."""

ShortfallPolicy = Literal["partial", "classic", "duplicate", "smote"]
"""What becomes of samples for which the gates passed no candidate: `partial` leaves them out, named and counted;
else the recipe that makes them instead."""


class ClassTarget(Record):
    """One class of a plan: `synthetic` samples are made so that `real + existing + synthetic == target`.

    They have the indices `first … first + synthetic - 1` within the class: a sample's noise depends on its
    index, so that a top-up must not begin at 0 again.
    """

    label: int
    name: str
    real: int = Field(ge=0)
    target: int
    existing: int = Field(default=0, ge=0)  # synthetic rows that the dataset holds already (of a top-up)
    first: int = Field(default=0, ge=0)
    recipe: RecipeName = "gan"  # how they are made
    note: str = ""  # why the target is not what the strategy alone would ask ("capped at …", …)

    @property
    def synthetic(self) -> int:
        """Samples to generate."""
        return self.target - self.real - self.existing

    @model_validator(mode="after")
    def _no_class_shrinks(self) -> Self:
        if self.synthetic < 0:
            raise ValueError(f"target {self.target} is below what there is, {self.real + self.existing}")
        return self


class ExistingRows(Record):
    """What a dataset holds of one class, and where a top-up of it goes on.

    `next_index` is one past the highest sample index that any version ever held, so that no noise comes again
    even where rows were revoked or replaced.
    """

    label: int
    name: str
    rows: int  # synthetic, in the newest version
    next_index: int


class ShardPiece(Record):
    """`count` samples of one class: indices `first … first + count - 1` within that class."""

    class_index: int
    first: int
    count: int


class ShardSpec(Record):
    """What one shard holds. `first_row` is its first sample's position in the whole plan."""

    index: int
    first_row: int
    pieces: tuple[ShardPiece, ...]

    @property
    def rows(self) -> int:
        """Samples in the shard."""
        return sum(piece.count for piece in self.pieces)


class AugmentPlan(Record):
    """How many samples of which class, in which shards; pure data, and `plan_id` is its hash.

    Samples are laid out class after class; shard i holds positions [i·shard_rows, (i+1)·shard_rows).
    Shards are computed when asked for, so a plan for a billion samples is a few kilobytes.
    """

    seed: int
    image: ImageShape
    classes: tuple[ClassTarget, ...]
    shard_rows: int = Field(ge=1)
    batch_size: int = Field(ge=1)  # samples of a forward pass; rounding depends on it, so pixels do

    @cached_property
    def plan_id(self) -> str:
        """16 hex digits; equal inputs give equal ids."""
        return sha256_hex(self.to_json())[:16]

    @cached_property
    def rows(self) -> int:
        """Samples to generate, over all classes."""
        return sum(target.synthetic for target in self.classes)

    @property
    def trains(self) -> bool:
        """Whether a class is to be filled up by a generator, which must be trained."""
        return any(target.synthetic and target.recipe == "gan" for target in self.classes)

    @property
    def num_shards(self) -> int:
        """Shards, the last of which may be short."""
        return -(-self.rows // self.shard_rows)

    def shard(self, index: int) -> ShardSpec:
        """The spec of shard `index`, 0 ≤ index < num_shards."""
        if not 0 <= index < self.num_shards:
            raise IndexError(f"shard {index} is outside 0..{self.num_shards - 1}")
        start, stop = index * self.shard_rows, min((index + 1) * self.shard_rows, self.rows)
        pieces = []
        # From the last class that begins at or before `start`: a plan may have many classes and shards.
        for class_index in range(bisect_right(self._class_begins, start) - 1, len(self.classes)):
            begin = self._class_begins[class_index]
            if begin >= stop:
                break
            low, high = max(start, begin), min(stop, begin + self.classes[class_index].synthetic)
            if low < high:
                first = self.classes[class_index].first + low - begin
                pieces.append(ShardPiece(class_index=class_index, first=first, count=high - low))
        return ShardSpec(index=index, first_row=start, pieces=tuple(pieces))

    def rows_of(self, index: int) -> int:
        """Samples in shard `index`, 0 ≤ index < num_shards: `shard(index).rows` without what they are."""
        if not 0 <= index < self.num_shards:
            raise IndexError(f"shard {index} is outside 0..{self.num_shards - 1}")
        return min(self.shard_rows, self.rows - index * self.shard_rows)

    def shards(self) -> Iterator[ShardSpec]:
        """Every shard's spec, in order, one at a time."""
        return (self.shard(index) for index in range(self.num_shards))

    def locate(self, class_index: int, sample_index: int) -> tuple[int, int]:
        """Which shard holds sample `sample_index` of a class, and in which of its rows."""
        offset = sample_index - self.classes[class_index].first
        return divmod(self._class_begins[class_index] + offset, self.shard_rows)

    @cached_property
    def _class_begins(self) -> tuple[int, ...]:
        begins, position = [], 0
        for target in self.classes:
            begins.append(position)
            position += target.synthetic
        return tuple(begins)


# ---- what comes out -----------------------------------------------------------------------------------


class ModelRef(Record):
    """A frozen generator: where it lies, and the digest that is checked before it is opened."""

    uri: str
    sha256: str


class RecipeSpecs(Record):
    """The settings of a run's recipes that have any, as far as its classes use them."""

    classic: dict[str, Any] | None = None  # an albumentations pipeline in its own dict form
    smote: dict[str, Any] | None = None


class GatesPin(Record):
    """The quality gates of a run: which candidate is accepted, and how long others are drawn."""

    sha256: str  # of the gates' file, which holds every limit
    critic_sha256: str | None = None  # of the trained discriminator's, where it judges too
    max_attempts: int = Field(
        ge=1
    )  # candidates drawn for the samples of one class in a shard ÷ these samples
    on_shortfall: ShortfallPolicy


class RunPlan(Record):
    """Everything that decides a run's bytes; stored once as plan.json and never changed.

    No clock, host or URI is in it, so the same job on another store is the same run.
    """

    run_id: str
    plan: AugmentPlan
    generator_sha256: str | None  # None where no class has the recipe `gan`
    image_format: Literal["png", "webp"]
    augmentation: dict[str, Any] | None = None  # of generated samples: an albumentations pipeline's dict form
    recipes: RecipeSpecs = RecipeSpecs()
    gates: GatesPin | None = None
    source_fingerprint: str | None = None  # of the source's listing; it names no place and no time
    source_sha256: str | None = None  # of the decoded real images, where samples are made from them
    attempt: int = Field(default=0, ge=0)  # how many runs of the same job were aborted before it
    schema_version: int = 2  # 1 had neither recipes nor gates
    versions: dict[str, str]  # of the libraries that decide pixels or bytes

    def recipes_of(self, target: ClassTarget) -> tuple[RecipeName, ...]:
        """How samples of a class may have been made: its recipe, and the one that fills a shortfall."""
        if self.gates is None or self.gates.on_shortfall == "partial":
            return (target.recipe,)
        return tuple(dict.fromkeys((target.recipe, self.gates.on_shortfall)))


class RowMarks(NamedTuple):
    """What a plan cannot know of a row: it was found out when the sample was made."""

    recipe: RecipeName
    attempt: int  # candidates for this sample that were refused before this one
    source_images: tuple[
        str, ...
    ] = ()  # published names of the real images it was made from; none of the GAN's


@dataclass(frozen=True, slots=True)
class SampleBlock:
    """A shard's samples in memory: uint8 pixels [B, H, W, C], what they are, and each one's marks.

    `spec` names the samples that are here, in order: the shard's own, less those that no candidate passed for.
    """

    spec: ShardSpec
    pixels_BHWC: npt.NDArray[np.uint8]
    marks: tuple[RowMarks, ...]


class ClassLedger(Record):
    """What the gates let pass of one class, in a shard or in a whole run.

    `accepted + ungated + fallback + missing` are the samples planned; `accepted` and `refused` together are `drawn`.
    """

    label: int
    accepted: int = 0  # candidates that passed
    ungated: int = 0  # of a recipe that no gate judges: they are no candidates
    fallback: int = 0  # made by the recipe of `on_shortfall` instead
    missing: int = 0  # not made
    drawn: int = 0  # candidates
    refused: dict[str, int] = Field(default_factory=dict)  # by the gate that refused first


class ShardLedger(Record):
    """Of one shard's gates: what passed by class, and which samples it lacks."""

    index: int
    classes: tuple[ClassLedger, ...]
    missing: tuple[ShardPiece, ...] = ()


@dataclass(frozen=True, slots=True)
class ShardReceipt:
    """What the driver learns of a shard that lies in the store. No Record: one takes a third of its memory, and a driver
    holds one a shard.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    index: int
    key: str
    rows: int
    size_bytes: int
    sha256: str


class Manifest(Record):
    """A run's commit point: exactly these shards, or the run was aborted.

    Where classes of the run were revoked, another manifest of it lists the shards without their rows.
    """

    run_id: str
    status: Literal["committed", "aborted"]
    plan_sha256: str
    without: tuple[int, ...] = ()  # labels of the revoked classes, ascending
    shards: tuple[ShardReceipt, ...] = ()
    ledger: tuple[ClassLedger, ...] = ()  # of a run with gates: what passed, by class
    missing: tuple[ShardPiece, ...] = ()  # samples that were planned, and for which no candidate passed


class SnapshotRun(Record):
    """A committed run as a snapshot names it; `without` says which of its manifests."""

    run_id: str
    manifest_sha256: str
    rows: int
    without: tuple[int, ...] = ()


class Revocation(Record):
    """Rows that no later version may hold: a run's, or those of all runs of one generator.

    `labels` narrows it to classes of the run; without any, the whole run is meant.
    """

    version: int  # the one that revoked them
    run_id: str | None = None
    generator_sha256: str | None = None
    labels: tuple[int, ...] = ()
    why: str

    def concerns(self, run_id: str | None, generator_sha256: str | None) -> bool:
        """Whether rows of this run are revoked."""
        if self.generator_sha256 is not None:
            return generator_sha256 == self.generator_sha256
        return run_id == self.run_id


class Snapshot(Record):
    """A dataset version: the runs it holds, what is revoked for good, and the digest of the version before it."""

    version: int
    parent_sha256: str | None
    runs: tuple[SnapshotRun, ...]
    revoked: tuple[Revocation, ...] = ()  # by this version and those before it

    @property
    def rows(self) -> int:
        """Rows over all runs."""
        return sum(run.rows for run in self.runs)
