"""Ray Data over the chunks of a source: each worked on once, in parallel, with progress.

Owns how chunks become tasks and how the driver counts what is done. What is done with a chunk is its
caller's.
"""

import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import ray

from augment.data.listing import Chunk, Source
from pipelines.board import new_board, watching
from pipelines.cluster import ray_errors
from pipelines.progress import Progress

__all__ = ["chunk_in", "on_chunks", "tasks_for"]

_TASKS_A_CPU = 8  # so that all end together; a task that has little to do costs as much as its images
_MOST_CHUNKS_A_TASK = 16  # what is done again where a node is lost


def on_chunks(
    work: Callable[..., pa.Table],
    arguments: Sequence[Any],
    source: Source,
    progress: Progress,
    *,
    stage: str,
    doing: str,
) -> list[ray.ObjectRef]:
    """Tables of `work(batch, *arguments, board)` for every chunk of `source`, in any order; `batch` holds
    one chunk.

    `work` posts to the board how many images it is done with. `stage` and `doing` are what a person sees:
    the step, and what failed.
    """
    chunks, board, seen = source.chunks(), new_board(), 0
    with progress.stage(stage, total=len(source.listing().labels_B), unit="images") as shown:

        def count(images: int) -> None:
            nonlocal seen
            seen += images
            shown.advance_to(seen)

        rows = ray.data.from_items(
            [{"number": number, "chunk": pickle.dumps(chunk)} for number, chunk in enumerate(chunks)],
            override_num_blocks=tasks_for(len(chunks), ray.cluster_resources().get("CPU", 1.0)),
        ).map_batches(work, batch_size=1, fn_args=(*arguments, board))
        with ray_errors(doing), watching(board, count):
            refs: list[ray.ObjectRef] = rows.materialize().to_arrow_refs()
    return refs


def chunk_in(batch: Mapping[str, Any]) -> Chunk:
    """The chunk of a batch that `on_chunks` made; its number is `batch["number"][0]`."""
    chunk: Chunk = pickle.loads(batch["chunk"][0])  # noqa: S301  # our own driver wrote it
    return chunk


def tasks_for(chunks: int, cpus: float) -> int:
    """How many tasks share so many chunks: enough for CPUs to end together, and none too long to repeat."""
    wanted = max(int(cpus * _TASKS_A_CPU), -(-chunks // _MOST_CHUNKS_A_TASK))
    return max(1, min(chunks, wanted))
