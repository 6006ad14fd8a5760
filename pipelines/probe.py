"""A probe: the trials of reading, training and generating, one after another, each where its work will be done.

Owns where a trial runs: in a process of its own on this machine, with the threads that a worker of Ray has; on a cluster
as one Ray task with a worker's CPUs or GPU. What a trial does is pipelines.probe_reading's and pipelines.probe_trials'.
Imports neither torch nor Ray before they are needed.
"""

import importlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from augment.config import Config
from augment.errors import AugmentError
from augment.planning.forecast import GenerateTrial, ReadTrial, TrainTrial
from augment.types import AugmentPlan
from pipelines.probe_records import ProbeOrder
from pipelines.progress import Progress
from pipelines.site import Site

__all__ = ["Probed", "probe"]

_SHARES = {"read": 0.15, "train": 0.5, "generate": 0.35}  # of the probe's time
_TRIALS = {  # the function of each, imported where it runs
    "read": "pipelines.probe_reading:read_trial",
    "train": "pipelines.probe_trials:train_trial",
    "generate": "pipelines.probe_trials:generate_trial",
}
_MOST_START_S = 60.0  # of a process: a cluster may have had to add a node first

Run = Callable[..., Any]


@dataclass(frozen=True)
class Probed:
    """What the trials came to; `train` is None where the plan needs no generator."""

    read: ReadTrial
    train: TrainTrial | None
    generate: GenerateTrial

    def trials(self) -> dict[str, Any]:
        """What was measured, as plain JSON values."""
        named = {"read": self.read, "train": self.train, "generate": self.generate}
        return {name: trial.model_dump(mode="json") for name, trial in named.items() if trial is not None}


def probe(config: Config, plan: AugmentPlan, site: Site, seconds: float, progress: Progress) -> Probed:
    """Measure a settled config on `site` for about `seconds`, and the start of three processes.

    What is put into the store is deleted again. Raises what reading, training and generating raise.
    """
    order = ProbeOrder(config, plan, seconds, has_gates=site.has_gates)
    names = list(_TRIALS) if site.trains or site.has_gates else ["read", "generate"]
    with progress.stage("probe", total=len(names), unit="trials") as stage, _place(config, site) as run:
        read, images = run("read", replace(order, seconds=_SHARES["read"] * seconds))
        stage.advance_to(1)
        train = None
        if "train" in names:
            train = run("train", _for_training(order, site, _SHARES["train"] * seconds), images)
            stage.advance_to(2)
        generating = replace(
            order, seconds=_SHARES["generate"] * seconds, on_gpu=site.machine.generates_on_gpus
        )
        generate = run("generate", generating, images)
        stage.advance_to(len(names))
    return Probed(read, train, generate)


def _for_training(order: ProbeOrder, site: Site, seconds: float) -> ProbeOrder:
    return replace(
        order,
        seconds=seconds,
        on_gpu=site.machine.trains_on_gpus,
        threads=max(1, int(site.cpus_per_worker)),
        world_size=site.machine.train_workers,
    )


@contextmanager
def _place(config: Config, site: Site) -> Iterator[Run]:
    """How a trial is run, while its place is there."""
    with ExitStack() as stack:
        if site.on_cluster:
            from pipelines.cluster import ray_cluster

            stack.enter_context(ray_cluster(config.ray))
            yield _in_task(site)
        else:
            yield _in_process


def _in_process(name: str, order: ProbeOrder, *inputs: Any) -> Any:
    """A trial in a new process, whose libraries find the number of threads that Ray would tell them."""
    context = multiprocessing.get_context("spawn")
    with _environment(OMP_NUM_THREADS=str(order.threads)), ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(_trial, name, order, inputs, time.time()).result()
        except BrokenProcessPool as error:
            raise AugmentError(
                f"the probe's process for {name} died: it was killed, most likely for want of memory; try a smaller "
                "model.width, train.batch_size or output.shard_rows"
            ) from error


def _in_task(site: Site) -> Run:
    """A trial as a Ray task with what a worker reserves."""
    import ray

    from pipelines.cluster import ray_errors

    def run(name: str, order: ProbeOrder, *inputs: Any) -> Any:
        cpus = site.cpus_per_worker if name == "train" else 1
        task = ray.remote(max_calls=1, num_cpus=cpus, num_gpus=int(order.on_gpu))(_trial)
        with ray_errors(f"probing ({name})"):
            return ray.get(task.remote(name, order, inputs, time.time()))

    return run


def _trial(name: str, order: ProbeOrder, inputs: tuple[Any, ...], submitted_s: float) -> Any:
    """In the process: import, as its start, and run."""
    importlib.import_module("pipelines.cluster")  # how Ray's workers are told to use OpenMP
    module, _, function = _TRIALS[name].partition(":")
    run = getattr(importlib.import_module(module), function)
    return run(order, *inputs, max(submitted_s, time.time() - _MOST_START_S))


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Variables for the processes that are started inside; one that the user has set stays."""
    new = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]
