"""Ray tasks: the trials of `augment lift`, side by side, one CPU each.

Owns how trials are spread and gathered. What a trial is, and what is made of many, is augment.lift's.
"""

from collections.abc import Iterator, Mapping, Sequence

import ray

from augment.lift.arms import Arm, Source
from augment.lift.config import LiftConfig
from augment.lift.images import LabelledImages, LiftData
from augment.lift.trial import Trial, run_trial
from pipelines.cluster import ray_errors
from pipelines.progress import Progress

__all__ = ["run_trials"]

_WAIT_S = 1.0


def run_trials(
    pairs: Sequence[tuple[Arm, int]],
    data: LiftData,
    config: LiftConfig,
    progress: Progress,
    pools: Mapping[Source, ray.ObjectRef] | None = None,
) -> Iterator[Trial]:
    """A trial for each (arm, seed) of `pairs`, each as soon as it is done; nothing of it is held after that.

    The images lie in the object store once: the real ones, and `pools` (of LabelledImages, beside those in `data`), of
    which a trial reads its arm's alone. A trial is the same wherever it runs. Raises what `run_trial` does; PartialError
    where a node was lost.
    """
    with progress.stage("lift", total=len(pairs), unit="trials") as stage, ray_errors("lift"):
        shared, settings = ray.put(data), config.model_dump_json()
        waiting = {
            _trial.remote(arm.to_json(), shared, _pool_of(arm, pools or {}), settings, seed): (arm, seed)
            for arm, seed in pairs
        }
        try:
            while waiting:
                ended, _ = ray.wait(list(waiting), num_returns=1, timeout=_WAIT_S)
                for task in ended:
                    arm, seed = waiting.pop(task)
                    trial = ray.get(task)
                    stage.advance_to(len(pairs) - len(waiting), f"{arm.name}, seed {seed}")
                    yield trial
        finally:  # what is left is given up where the reader stops
            for task in waiting:
                ray.cancel(task)


def _pool_of(arm: Arm, pools: Mapping[Source, ray.ObjectRef]) -> ray.ObjectRef | None:
    return pools.get(arm.source) if arm.source is not None else None


@ray.remote(num_cpus=1)
def _trial(
    arm_json: bytes, data: LiftData, pool: LabelledImages | None, config_json: str, seed: int
) -> Trial:
    """One trial; arrays of `data` and `pool` are read where they lie, without a copy."""
    arm = Arm.model_validate_json(arm_json)
    if pool is not None and arm.source is not None:
        data = data.with_pools({arm.source: pool})
    return run_trial(arm, data, LiftConfig.model_validate_json(config_json), seed)
