"""Where a job's stages are done, and how much there is to do, as far as a settled config and its plan tell.

Owns these counts, and the choice of devices as the pipelines make it. Pure: it is told the hardware. What it all takes
is augment.planning.forecast's. Imports neither torch nor Ray.
"""

from dataclasses import dataclass

from augment.config import Config
from augment.gan.hardware import Hardware, cpus_a_worker, gpus_for
from augment.planning.budget import Held
from augment.planning.forecast import Machine, Work
from augment.planning.interval import Interval
from augment.types import AugmentPlan, ClassCounts

__all__ = ["Site", "held_by", "site_of", "work_of"]

CANDIDATES_A_SAMPLE = (1.0, 1.15, 2.0)
"""Where gates judge: of generators that were trained for a few minutes 85% passed and more, of good ones 95%."""

_UNJUDGED = ("duplicate", "none")  # recipes whose samples pass no gate
_MOST_SCORED = (
    2_000  # real images a class whose distances are measured, as augment.quality.calibration has it
)


@dataclass(frozen=True)
class Site:
    """Where a job runs: the machine as the forecast sees it, and what one worker has of it."""

    machine: Machine
    cpus_per_worker: float
    trains: bool
    has_gates: bool
    on_cluster: bool = False  # Ray runs already, and is joined


def held_by(config: Config, hardware: Hardware) -> Held:
    """What a job on `hardware` is charged for: all its CPUs, and the most GPUs that any stage uses at once."""
    generators, on_gpus = _generators(config, hardware)
    return Held(cpus=hardware.cpus, gpus=max(gpus_for(config.train, hardware), generators if on_gpus else 0))


def site_of(
    config: Config, plan: AugmentPlan, hardware: Hardware, *, cpus_per_node: float, on_cluster: bool = False
) -> Site:
    """Where a settled config's job runs on `hardware`."""
    on_gpus = gpus_for(config.train, hardware) > 0
    generators, generates_on_gpus = _generators(config, hardware)
    return Site(
        machine=Machine(
            held=held_by(config, hardware),
            train_workers=gpus_for(config.train, hardware) or config.train.worker_range[1],
            trains_on_gpus=on_gpus,
            generators=generators,
            generates_on_gpus=generates_on_gpus,
            starts_ray=not on_cluster,
        ),
        cpus_per_worker=cpus_a_worker(
            config.train, cpus=hardware.cpus, cpus_per_node=cpus_per_node, on_gpu=on_gpus
        ),
        trains=plan.trains,
        has_gates=_has_gates(config, plan),
        on_cluster=on_cluster,
    )


def work_of(config: Config, plan: AugmentPlan, counts: ClassCounts) -> Work:
    """How much a settled config's job has to do from its very beginning."""
    train, gates = config.train, config.gates
    steps = train.budget_steps if any(each.recipe == "gan" for each in plan.classes if each.synthetic) else 0
    has_gates = _has_gates(config, plan)
    low, middle, high = CANDIDATES_A_SAMPLE
    judged = [target for target in plan.classes if target.synthetic and target.recipe not in _UNJUDGED]
    made = [min(config.report.samples, target.synthetic) for target in plan.classes]
    return Work(
        images=counts.total,
        image_bytes=plan.image.size**2 * plan.image.channels,
        steps=steps,
        looks=steps // train.log_every,
        snapshots=steps // train.snapshot_every + 2,
        most_training_s=train.max_time_s,
        gates_steps=gates.folds * gates.steps if has_gates else 0,
        gates_looked_at=gates.folds * counts.total if has_gates else 0,
        gates_scored=sum(min(_MOST_SCORED, target.real) for target in judged) if has_gates else 0,
        rows=plan.rows,
        shard_rows=plan.shard_rows,
        candidates_a_row=Interval(low=low, middle=middle, high=min(high, max(middle, gates.max_attempts)))
        if has_gates
        else Interval.exactly(1),
        closing_images=counts.total + sum(made) if config.report.fidelity else 0,
    )


def _has_gates(config: Config, plan: AugmentPlan) -> bool:
    """As pipelines.job has it: a single class has nothing to be told apart from."""
    several = sum(target.real > 0 for target in plan.classes) > 1
    judged = any(target.synthetic and target.recipe not in _UNJUDGED for target in plan.classes)
    return config.gates.enabled and several and judged


def _generators(config: Config, hardware: Hardware) -> tuple[int, bool]:
    """How many run at once, at most, and whether on GPUs."""
    wanted = config.generate.actors
    on_gpus = config.generate.device != "cpu" and hardware.gpus >= (wanted or 1)
    there = hardware.gpus if on_gpus else int(hardware.cpus)
    return max(1, min(wanted or there, there)), on_gpus
