"""What befell a machine of the cluster, in our words: a disk that is full, memory that ran out.

Owns how these are told apart in what Ray raises, and what each asks of the user. What our own code raised in a worker,
and all else, is pipelines.cluster's.
"""

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

import ray
from ray.exceptions import ObjectStoreFullError, OutOfDiskError, OutOfMemoryError, RayError

from augment.errors import AugmentError, PartialError, RetryLaterError

__all__ = ["causes", "fault_of"]

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_OOM_KILLED = "low on memory"  # how Ray says in an actor's death that its memory monitor was the cause
_LESS = "lower generate.batch_size, train.batch_size or model.width, or give the nodes more memory"


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and all that it was made of, each once, outermost first."""
    seen: set[int] = set()
    left: list[BaseException] = [error]
    while left:
        one = left.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = [getattr(one, "cause", None), one.__cause__, one.__context__]
        inner += [getattr(one, "health_check_failure", None)]  # of a Ray Train worker that is gone
        inner += list(getattr(one, "worker_failures", {}).values())  # ray.train.TrainingFailedError
        left[:0] = [cause for cause in inner if isinstance(cause, BaseException)]


def fault_of(error: BaseException, stage: str) -> AugmentError | None:
    """Ours for what a machine lacked; None where it was something else.

    RetryLaterError for a full disk, since nothing is half-written; PartialError for a worker that Ray ended to save
    its node's memory: what is stored is kept.
    """
    for one in causes(error):
        if isinstance(one, OutOfDiskError | ObjectStoreFullError):
            return RetryLaterError(
                f"{stage} stopped: a node's object store is full, and so is the disk that Ray spills to ({_spill()}); "
                "free some space there, or start Ray with a --temp-dir on a larger disk, and run again"
            )
        if isinstance(one, OSError) and one.errno in _NO_ROOM:
            return RetryLaterError(
                f"{stage} stopped: {one.filename or 'a disk'}: {one.strerror} on a node; free some space and run again"
            )
        if isinstance(one, OutOfMemoryError) or (isinstance(one, RayError) and _OOM_KILLED in str(one)):
            return PartialError(
                f"{stage} stopped: Ray ended a worker since its node was running out of memory; {_LESS}. What is stored "
                "is kept, the same command goes on from there"
            )
    return None


def _spill() -> str:
    """Where Ray spills to on this node, and what is free there; other nodes have the same path."""
    here = ray.get_runtime_context().get_node_id()
    (socket,) = (node["ObjectStoreSocketName"] for node in ray.nodes() if node["NodeID"] == here)
    session = Path(socket).parents[1]
    return f"{session}: {shutil.disk_usage(session).free:,} bytes are free there on this node"
