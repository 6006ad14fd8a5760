"""Ray tasks: the trials of `augment lift`, side by side, one CPU each.

Owns how trials are spread and gathered. What a trial is, and what is made of many, is augment.lift's.
"""

from collections.abc import Callable, Iterator, Sequence

import ray

from augment.lift.arms import Arm
from augment.lift.config import LiftConfig
from augment.lift.images import LiftData
from augment.lift.trial import Trial, run_trial
from pipelines.cluster import ray_errors
from pipelines.progress import Progress

__all__ = ["in_order_of_ending", "run_trials"]

_WAIT_S = 1.0


def run_trials(
    pairs: Sequence[tuple[Arm, int]],
    data: LiftData,
    config: LiftConfig,
    progress: Progress,
    keep: Callable[[Trial], None] = lambda trial: None,
) -> tuple[Trial, ...]:
    """A trial for each (arm, seed) of `pairs`, in their order; `keep` is called with each as soon as it is done.

    The images lie in the object store once. A trial is the same wherever it runs. Raises what `run_trial` does;
    PartialError where a node was lost.
    """
    done: dict[int, Trial] = {}
    with progress.stage("lift", total=len(pairs), unit="trials") as stage, ray_errors("lift"):
        shared = ray.put(data)
        waiting = {
            _trial.remote(arm.to_json(), shared, config.model_dump_json(), seed): position
            for position, (arm, seed) in enumerate(pairs)
        }
        for task in in_order_of_ending(list(waiting)):
            position = waiting[task]
            done[position] = ray.get(task)
            keep(done[position])
            arm, seed = pairs[position]
            stage.advance_to(len(done), f"{arm.name}, seed {seed}")
    return tuple(done[position] for position in range(len(pairs)))


def in_order_of_ending(tasks: list[ray.ObjectRef]) -> Iterator[ray.ObjectRef]:
    """The tasks in the order they end in. What is left is given up where the reader stops."""
    try:
        while tasks:
            ended, tasks = ray.wait(tasks, num_returns=1, timeout=_WAIT_S)
            yield from ended
    finally:
        for task in tasks:
            ray.cancel(task)


@ray.remote(num_cpus=1)
def _trial(arm_json: bytes, data: LiftData, config_json: str, seed: int) -> Trial:
    """One trial; arrays of `data` are read where they lie, without a copy."""
    return run_trial(
        Arm.model_validate_json(arm_json), data, LiftConfig.model_validate_json(config_json), seed
    )
