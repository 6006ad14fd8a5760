"""Ray tasks over the chunks of a source: each worked on once, in parallel, with progress.

Owns how chunks become tasks and how the driver counts what is done. What is done with a chunk is its caller's. Plain
tasks, not Ray Data: nothing streams on from here, and Ray Data's first pipeline of a job takes some seconds of a small
machine, for actors and planning, which are most of what a few thousand images take.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import ray

from augment.data.listing import Chunk, Source
from pipelines.cluster import ray_errors
from pipelines.progress import Progress

__all__ = ["on_chunks", "tasks_for"]

_TASKS_A_CPU = 8  # so that all end together; a task that has little to do costs as much as its images
_MOST_CHUNKS_A_TASK = 16  # what is done again where a node is lost
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

    `work` gives `tables` of them, the first one small: it is looked at for errors here. Of each there is a list in the
    source's order, an entry a task, which holds the rows of several chunks. `stage` and `doing` are what a person sees:
    the step, and what failed.
    """
    chunks, shared = source.chunks(), ray.put((work, tuple(arguments)))
    task = _on_some.options(name=work.__name__, num_returns=tables, max_retries=_MOST_TRIES)
    made: list[list[ray.ObjectRef]] = []
    images: dict[ray.ObjectRef, int] = {}
    with (
        progress.stage(stage, total=len(source.listing().labels_B), unit="images") as shown,
        ray_errors(doing),
    ):
        try:
            for some in _shared_out(chunks, tasks_for(len(chunks), ray.cluster_resources().get("CPU", 1.0))):
                refs = task.remote(some, shared)
                made.append([refs] if tables == 1 else list(refs))
                images[made[-1][0]] = sum(chunk.count for _, chunk in some)
            seen = 0
            for first in _as_they_come(images):
                ray.get(first)
                seen += images[first]
                shown.advance_to(seen)
        except BaseException:
            for first in images:
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


def _as_they_come(refs: Sequence[ray.ObjectRef] | dict[ray.ObjectRef, int]) -> Iterator[ray.ObjectRef]:
    waiting = list(refs)
    while waiting:
        ray.wait(waiting, num_returns=1, fetch_local=False)
        ready, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=0, fetch_local=False)
        yield from ready


@ray.remote(num_cpus=1)
def _on_some(
    some: list[tuple[int, Chunk]], shared: tuple[Callable[..., tuple[pa.Table, ...]], tuple[Any, ...]]
) -> Any:
    """The chunks one after the other; their tables, each kind in one."""
    work, arguments = shared
    made = [work(number, chunk, *arguments) for number, chunk in some]
    tables = tuple(pa.concat_tables(kind) for kind in zip(*made, strict=True))
    return tables[0] if len(tables) == 1 else tables
