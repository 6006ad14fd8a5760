"""A config's plan and its expected cost. Imports neither torch nor Ray: `augment plan` answers at once."""

from collections.abc import Sequence

from augment.config import Config
from augment.gan.hardware import Hardware, training_images_per_s
from augment.objects import open_store
from augment.planning.cost import CostEstimate, TrainingLoad, estimate
from augment.planning.plan import make_plan
from augment.store.existing import existing_rows
from augment.types import AugmentPlan, ClassCounts, ExistingRows

__all__ = ["cost_of", "existing_for", "plan_for"]

# Pixels a second and core, measured on two cores with the demo's networks (28×28, width 48); networks grow
# with the resolution about as the pixels do. Wider ones and residual ones are slower.
GENERATE_PIXELS_PER_CORE_S = 1_500_000.0


def existing_for(config: Config) -> tuple[ExistingRows, ...]:
    """What the output holds already where the config tops it up; else nothing counts, and nothing is opened."""
    if config.output.on_existing != "top-up":
        return ()
    return existing_rows(open_store(config.output.uri))


def plan_for(config: Config, counts: ClassCounts, existing: Sequence[ExistingRows] = ()) -> AugmentPlan:
    """The plan for these counts. Raises what the balance's policy raises."""
    return make_plan(
        counts,
        config.balance,
        image=config.image.shape,
        seed=config.seed,
        shard_rows=config.output.shard_rows,
        batch_size=config.generate.batch_size,
        existing=existing,
    )


def cost_of(plan: AugmentPlan, config: Config, hardware: Hardware) -> CostEstimate:
    """What the run of a settled `config` is expected to cost on `hardware`; samples are made on its CPUs."""
    cores = max(1, int(hardware.cpus))
    training = TrainingLoad(
        steps=config.train.budget_steps,
        batch_size=config.train.batch_size,
        images_per_s=training_images_per_s(config.model, config.train, plan.image, hardware),
    )
    return estimate(
        plan,
        config.output.image_format,
        images_per_s=GENERATE_PIXELS_PER_CORE_S / plan.image.size**2,
        devices=min(config.generate.actors or cores, cores, max(1, plan.num_shards)),
        training=training,
    )
