"""What an actor of generation opens, and how a filled shard travels from it to the tasks that commit it.

Owns both forms: keys and references that are small to send, and one Arrow row a shard.
"""

import json
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray
import torch

from augment.gan.critic import frozen_critic
from augment.gan.generator import FrozenGenerator, frozen_generator
from augment.objects import open_store
from augment.quality.gates import GateKeeper
from augment.recipes.contract import RealImages
from augment.sampling.candidates import Candidates, Real
from augment.sampling.gated import Filled, Rejected, Scores
from augment.store.failures import ShardFailure
from augment.types import ClassInfo, ImageShape, RowMarks, RunPlan, SampleBlock, ShardLedger, ShardSpec
from pipelines.cluster import Device
from pipelines.ingest import DecodedImages

__all__ = [
    "FILLED_SCHEMA",
    "SamplerInputs",
    "failure_to_table",
    "filled_of",
    "filled_to_table",
    "no_row",
    "opened",
]


FILLED_SCHEMA = pa.schema(
    {
        "spec": pa.binary(),
        "pixels": pa.large_binary(),
        "marks": pa.large_string(),
        "ledger": pa.binary(),
        "rejected": pa.string(),
        "rejected_pixels": pa.binary(),
        "failure": pa.binary(),
    }
)
"""Of one row a shard: what it is filled with, or why it could not be."""


@dataclass(frozen=True)
class SamplerInputs:
    """Where everything lies that makes a run's samples; None for what this run does not need."""

    run: RunPlan
    store_uri: str
    generator_key: str | None
    gates_key: str | None
    critic_key: str | None
    images: DecodedImages | None
    keep_rejected: int
    ends_at: float | None = None  # seconds since 1970: from then on no shard is begun any more


def opened(
    inputs: SamplerInputs, device: Device, stack: ExitStack
) -> tuple[Candidates, GateKeeper | None, Scores | None]:
    """Candidates, gates and the discriminator, for as long as `stack` is open; every digest is checked."""
    run, store = inputs.run, open_store(inputs.store_uri)
    computes_on = torch.device("cuda" if device == "gpu" else "cpu")
    generator: FrozenGenerator | None = None
    if inputs.generator_key is not None and run.generator_sha256 is not None:
        opening = frozen_generator(
            store.get(inputs.generator_key),
            sha256=run.generator_sha256,
            device=computes_on,
            batch_size=run.plan.batch_size,
        )
        generator = stack.enter_context(opening)
    keeper: GateKeeper | None = None
    if inputs.gates_key is not None and run.gates is not None:
        data = store.get(inputs.gates_key)
        keeper = GateKeeper.from_bytes(data, sha256=run.gates.sha256, device=computes_on)
    scores: Scores | None = None
    if inputs.critic_key is not None and run.gates is not None and run.gates.critic_sha256 is not None:
        data = store.get(inputs.critic_key)
        scores = stack.enter_context(frozen_critic(data, sha256=run.gates.critic_sha256, device=computes_on))
    return Candidates(run, generator, _real(inputs, keeper)), keeper, scores


def _real(inputs: SamplerInputs, keeper: GateKeeper | None) -> Real | None:
    if inputs.images is None:
        return None
    found = inputs.images
    pixels_NHWC, class_index_N, names_N = ray.get([found.pixels, found.class_index, found.names])
    classes = tuple(ClassInfo(label=target.label, name=target.name) for target in inputs.run.plan.classes)
    features_NF = None
    if keeper is not None and (inputs.run.recipes.smote or {}).get("space") == "features":
        features_NF = keeper.parts.ensemble.look(pixels_NHWC).features_ENF[0]
    return Real(RealImages(pixels_NHWC, class_index_N, classes), names_N, features_NF)


def no_row() -> pa.Table:
    """In place of a shard that is not made: a table of the same columns, and no row."""
    return FILLED_SCHEMA.empty_table()


def failure_to_table(failure: ShardFailure) -> pa.Table:
    """One row, of a shard that could not be made."""
    nothing = {name: [None] for name in FILLED_SCHEMA.names}
    return pa.table(nothing | {"failure": [failure.to_json()]}, schema=FILLED_SCHEMA)


def filled_to_table(filled: Filled) -> pa.Table:
    """One row: pixels flat and without a copy, the rest as JSON."""
    block = filled.block
    rejected = [
        [each.class_index, each.sample_index, each.attempt, each.gate, repr(each.score)]
        for each in filled.rejected
    ]
    refused_pixels = b"".join(each.pixels_HWC.tobytes() for each in filled.rejected)
    return pa.table(
        {
            "spec": [block.spec.to_json()],
            "pixels": [np.ascontiguousarray(block.pixels_BHWC).reshape(-1).data],
            "marks": [json.dumps(block.marks)],
            "ledger": [filled.ledger.to_json() if filled.ledger else None],
            "rejected": [json.dumps(rejected)],
            "rejected_pixels": [refused_pixels],
            "failure": [None],
        },
        schema=FILLED_SCHEMA,
    )


def filled_of(batch: dict[str, npt.NDArray[Any]], image: ImageShape) -> Filled:
    """What `filled_to_table` made a row of."""
    spec = ShardSpec.model_validate_json(batch["spec"][0])
    shape = (-1, image.size, image.size, image.channels)
    pixels_BHWC = np.frombuffer(batch["pixels"][0], np.uint8).reshape(shape)
    marks = tuple(
        RowMarks(recipe, attempt, tuple(sources))
        for recipe, attempt, sources in json.loads(batch["marks"][0])
    )
    ledger = batch["ledger"][0]
    refused = np.frombuffer(batch["rejected_pixels"][0], np.uint8).reshape(shape)
    rejected = tuple(
        Rejected(class_index, sample_index, attempt, gate, float(score), pixels_HWC)
        for (class_index, sample_index, attempt, gate, score), pixels_HWC in zip(
            json.loads(batch["rejected"][0]), refused, strict=True
        )
    )
    return Filled(
        SampleBlock(spec, pixels_BHWC, marks),
        ShardLedger.model_validate_json(ledger) if ledger is not None else None,
        rejected,
    )
