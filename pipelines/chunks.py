"""Ray tasks over the chunks of a source: each worked on once, in parallel, with progress.

Owns how chunks become tasks, how the driver counts what is done, and when it gives up. What is done with a
chunk is its caller's. Plain tasks, not Ray Data: nothing streams on from here, and Ray Data's first pipeline of
a job takes some seconds of a small machine, for actors and planning, which are most of what a few thousand
images take.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa
import ray
from ray.exceptions import RayError, WorkerCrashedError

from augment.data.listing import Chunk, Source
from augment.errors import AugmentError, PartialError
from pipelines.cluster import ray_errors, stall_timeout_s
from pipelines.progress import Progress

__all__ = ["on_chunks", "tasks_for"]

_TASKS_A_CPU = 8  # so that all end together; a task that has little to do costs as much as its images
_MOST_CHUNKS_A_TASK = 4  # what is done again where a node is lost; and each gives news once
_MOST_TRIES = 10  # of a task whose worker is lost: so often it is hardly the machine, but an image


def on_chunks(
    work: Callable[..., tuple[pa.Table, ...]],
    arguments: Sequence[Any],
    source: Source,
    progress: Progress,
    *,
    tables: int,
    stage: str,
    doing: str,
) -> list[list[ray.ObjectRef]]:
    """References to the tables that `work(number, chunk, *arguments)` makes of every chunk of `source`.

    `work` gives `tables` of them, the first one small: it is looked at for errors here. Of each there is a list
    in the source's order, an entry a task, which holds the rows of several chunks. `stage` and `doing` are what
    a person sees: the step, and what failed.

    Raises what `work` raises; PartialError where nothing moves (`ray.stall_timeout_s`); AugmentError, naming
    images, where workers die of them.
    """
    chunks = source.chunks()
    tasks = tasks_for(len(chunks), ray.cluster_resources().get("CPU", 1.0))
    task = _on_some.options(name=work.__name__, num_returns=tables, max_retries=_MOST_TRIES)
    made: list[list[ray.ObjectRef]] = []
    begun: dict[ray.ObjectRef, list[Chunk]] = {}
    images = len(source.listing().labels_B)
    with progress.stage(stage, total=images, unit="images") as shown, ray_errors(doing):
        shared, seen = ray.put((work, tuple(arguments))), 0
        try:
            for some in _shared_out(chunks, tasks):
                refs = task.remote(some, shared)
                made.append([refs] if tables == 1 else list(refs))
                begun[made[-1][0]] = [chunk for _, chunk in some]
            for first in _as_they_come(list(begun), doing):
                _look_at(first, begun[first], source, doing)
                seen += sum(chunk.count for chunk in begun[first])
                shown.advance_to(seen)
        except BaseException:
            for first in begun:
                with suppress(RayError):  # whoever has lost the cluster has nothing to cancel
                    ray.cancel(first)
            raise
    return [list(refs) for refs in zip(*made, strict=True)] or [[] for _ in range(tables)]


def tasks_for(chunks: int, cpus: float) -> int:
    """How many tasks share so many chunks: enough for CPUs to end together, and none too long to repeat."""
    wanted = max(int(cpus * _TASKS_A_CPU), -(-chunks // _MOST_CHUNKS_A_TASK))
    return max(1, min(chunks, wanted))


def _shared_out(chunks: Sequence[Chunk], tasks: int) -> Iterator[list[tuple[int, Chunk]]]:
    """The chunks with their numbers, neighbours together, in so many parts that differ by one at most."""
    numbered = list(enumerate(chunks))
    for task in range(tasks if chunks else 0):
        yield numbered[task * len(chunks) // tasks : (task + 1) * len(chunks) // tasks]


def _as_they_come(waiting: list[ray.ObjectRef], doing: str) -> Iterator[ray.ObjectRef]:
    patience_s = stall_timeout_s()
    while waiting:
        if not ray.wait(waiting, num_returns=1, timeout=patience_s, fetch_local=False)[0]:
            raise PartialError(
                f"{doing} stopped: no task ended for {patience_s:g} s (ray.stall_timeout_s), and {len(waiting)} are "
                "left; is the cluster busy with other work, or does the source not answer? Run the same command again"
            )
        ready, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=0, fetch_local=False)
        yield from ready


def _look_at(first: ray.ObjectRef, chunks: Sequence[Chunk], source: Source, doing: str) -> None:
    """Raise what a task raised, and name its images where nobody lived to raise anything."""
    try:
        ray.get(first)
    except WorkerCrashedError as error:
        begin, end = chunks[0].first_index, chunks[-1].first_index + chunks[-1].count - 1
        names = source.names_of([begin, end])
        raise AugmentError(
            f"{doing} stopped: {_MOST_TRIES + 1} workers died of the {end - begin + 1:,} images from {names[begin]} to "
            f"{names[end]}; one of them may be what its decoder can't bear: take it out of the source"
        ) from error


@ray.remote(num_cpus=1)
def _on_some(
    some: list[tuple[int, Chunk]], shared: tuple[Callable[..., tuple[pa.Table, ...]], tuple[Any, ...]]
) -> Any:
    """The chunks one after the other; their tables, each kind in one."""
    work, arguments = shared
    made = [work(number, chunk, *arguments) for number, chunk in some]
    tables = tuple(pa.concat_tables(kind) for kind in zip(*made, strict=True))
    return tables[0] if len(tables) == 1 else tables
