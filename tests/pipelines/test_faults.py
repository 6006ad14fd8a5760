"""What Ray raises when a machine lacks something, in our words and with our exit codes."""

from __future__ import annotations

import errno
import os
import re

import pytest
from ray.exceptions import ActorDiedError, OutOfDiskError, OutOfMemoryError, RayTaskError
from ray.train import WorkerGroupError

from augment.errors import AugmentError, PartialError, RetryLaterError
from pipelines import faults
from pipelines.cluster import ray_errors
from pipelines.faults import causes, fault_of


class Lost(Exception):
    """As Ray Train tells of a worker that is gone."""

    def __init__(self, failure: Exception) -> None:
        super().__init__("a health check failed")
        self.health_check_failure = failure


Lost.__name__ = "WorkerHealthCheckFailedError"


def chained(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (
            OutOfDiskError("full"),
            RetryLaterError,
            r"the disk that Ray spills to \(/ray: 5 bytes\).*--temp-dir",
        ),
        (
            chained(
                RuntimeError("wrapped"), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/curves")
            ),
            RetryLaterError,
            "/data/curves: No space left on device on a node; free some space",
        ),
        (
            OutOfMemoryError("killed"),
            PartialError,
            r"running out of memory; lower generate\.batch_size, train\.batch_size",
        ),
        (
            WorkerGroupError("failed", {0: Lost(OutOfMemoryError("the node running low on memory"))}),
            PartialError,
            r"running out of memory.*model\.width",
        ),
    ],
)
def test_what_a_machine_lacked_is_named(
    error: Exception, kind: type[AugmentError], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "_spill", lambda: "/ray: 5 bytes")
    fault = fault_of(error, "generating")
    assert type(fault) is kind
    assert re.match(f"generating stopped: .*{says}", str(fault)), fault


def test_other_errors_are_none_of_these() -> None:
    assert fault_of(OSError(errno.EACCES, "denied"), "generating") is None
    assert fault_of(ActorDiedError(), "generating") is None


@pytest.mark.usefixtures("ray_and_s3")
def test_the_disk_that_ray_spills_to_is_named_with_what_is_free_there() -> None:
    assert "bytes are free there on this node" in faults._spill()


def test_causes_are_told_once_even_in_a_ring() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__context__ = two, one
    assert list(causes(one)) == [one, two]


@pytest.mark.parametrize(
    ("failures", "kind"),
    [
        ({0: Lost(ActorDiedError())}, PartialError),
        ({0: RuntimeError("connection closed by peer"), 1: Lost(ActorDiedError())}, PartialError),
        ({0: RuntimeError("our own mistake")}, AugmentError),
    ],
)
def test_a_worker_that_died_is_told_from_one_whose_code_failed(
    failures: dict[int, Exception], kind: type[AugmentError]
) -> None:
    with pytest.raises(AugmentError) as raised, ray_errors("training"):
        raise WorkerGroupError("failed", failures)
    assert type(raised.value) is kind


def test_an_error_of_ours_in_a_worker_is_told_before_anything_else() -> None:
    task = RayTaskError("f", "traceback", RetryLaterError("the store does not answer"))
    with pytest.raises(RetryLaterError, match=r"^the store does not answer$"), ray_errors("training"):
        raise task.as_instanceof_cause()
