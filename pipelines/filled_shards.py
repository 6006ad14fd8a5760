"""How a filled shard travels from the actor that filled it to the task that commits it: one Arrow row.

Owns the row's columns, both ways, and the row of a shard that could not be made. Imports no torch.
"""

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from augment.sampling.filled import Filled, Rejected
from augment.store.failures import ShardFailure
from augment.types import ImageShape, RowMarks, SampleBlock, ShardLedger, ShardSpec

__all__ = ["FILLED_SCHEMA", "failure_to_table", "filled_of", "filled_to_table", "no_row"]

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
