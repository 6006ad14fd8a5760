"""A config's plan and its expected cost. Imports neither torch nor Ray: `augment plan` answers at once."""

import os

from augment.config import Config
from augment.planning.cost import CostEstimate, TrainingLoad, estimate
from augment.planning.plan import make_plan
from augment.types import AugmentPlan, ClassCounts

__all__ = ["cost_of", "plan_for"]

# Pixels a second and core, measured on two cores with the demo's networks (28×28, width 48); networks grow
# with the resolution about as the pixels do. Wider ones and residual ones are slower.
TRAIN_PIXELS_PER_CORE_S = 170_000.0
GENERATE_PIXELS_PER_CORE_S = 1_500_000.0


def plan_for(config: Config, counts: ClassCounts) -> AugmentPlan:
    """The plan for these counts. Raises what the balance's policy raises."""
    return make_plan(
        counts,
        config.balance,
        image=config.image.shape,
        seed=config.seed,
        shard_rows=config.output.shard_rows,
        batch_size=config.generate.batch_size,
    )


def cost_of(plan: AugmentPlan, config: Config) -> CostEstimate:
    """What the run is expected to cost on this machine's CPUs (training on GPUs is not guessed at)."""
    cores = config.ray.num_cpus or os.cpu_count() or 1
    pixels = plan.image.size**2
    training = TrainingLoad(
        steps=config.train.steps,
        batch_size=config.train.batch_size,
        images_per_s=cores * TRAIN_PIXELS_PER_CORE_S / pixels,
    )
    return estimate(
        plan,
        config.output.image_format,
        images_per_s=GENERATE_PIXELS_PER_CORE_S / pixels,
        devices=min(config.generate.actors or cores, cores, max(1, plan.num_shards)),
        training=None if config.train.device == "gpu" else training,
    )
