"""A config's plan and its expected cost. Imports neither torch nor Ray: `augment plan` answers at once."""

from collections.abc import Sequence

from augment.config import Config
from augment.data.census import Census
from augment.gan.hardware import Hardware, training_images_per_s
from augment.lift.following import Advice, Making, Now, making_of, stored_advice
from augment.objects import open_store
from augment.planning.cost import CostEstimate, TrainingLoad, estimate
from augment.planning.plan import make_plan
from augment.recipes.choosing import choose_recipes, refuse_impossible
from augment.store.existing import existing_rows
from augment.store.models import ModelFolder
from augment.types import AugmentPlan, ClassCounts, ExistingRows
from pipelines.known_source import as_decoded

__all__ = ["census_for", "cost_of", "existing_for", "generating_s", "making_in", "plan_for", "why_nothing"]

# Pixels a second and core, measured on two cores with the demo's networks (28×28, width 48); networks grow
# with the resolution about as the pixels do. Wider ones and residual ones are slower.
GENERATE_PIXELS_PER_CORE_S = 1_500_000.0


def existing_for(config: Config) -> tuple[ExistingRows, ...]:
    """What the output holds already where the config tops it up; else nothing counts, and nothing is opened."""
    if config.output.on_existing != "top-up":
        return ()
    return existing_rows(open_store(config.output.uri))


def census_for(config: Config, census: Census) -> Census:
    """The census that a plan of this config counts by: where it tops up what a run made, without the images that the
    run could not use. Labels alone count them, and the plan would ask for other numbers than the run.

    Elsewhere, and of a source that was not decoded since it changed, the census as it is: no output is opened.
    """
    if config.output.on_existing != "top-up" or census.deep:
        return census
    return as_decoded(config, ModelFolder(open_store(config.output.uri), config.name), census)


def plan_for(config: Config, counts: ClassCounts, existing: Sequence[ExistingRows] = ()) -> AugmentPlan:
    """The plan for these counts; with `recipe: auto`, classes and shares are as `augment lift` recommended.

    Raises what the balance's policy and the choice of recipes raise; ConfigError where there is nothing to follow,
    or it was recommended for another job.
    """
    advice = _followed(config, counts)
    recipes = choose_recipes(config.recipe, counts.classes, advice.recipes() if advice else None)
    filled_to = {"strategy": advice.totals(counts)} if advice else {}
    plan = make_plan(
        counts,
        config.balance.model_copy(update=filled_to),
        image=config.image.shape,
        seed=config.seed,
        shard_rows=config.output.shard_rows,
        batch_size=config.generate.batch_size,
        existing=existing,
        recipes=recipes,
    )
    refuse_impossible(plan.classes, recipes)
    instead = config.gates.on_shortfall
    if config.gates.enabled and instead != "partial":
        judged = [target for target in plan.classes if target.recipe not in ("duplicate", "none")]
        refuse_impossible(judged, [instead] * len(judged), field="gates.on_shortfall")
    return plan


def why_nothing(config: Config) -> str:
    """Why a plan of this config has no sample to make, in a user's words."""
    if config.recipe != "auto":
        return "every class is full already"
    advice = stored_advice(open_store(config.output.uri))
    if advice.recommendation.makes_samples:
        return "every class is as full as was recommended already"
    return f"the recommendation is not to augment, but to train by {advice.recommendation.train}: {advice.recommendation.reason}"


def _followed(config: Config, counts: ClassCounts) -> Advice | None:
    """The recommendation that `recipe: auto` follows, refused where it is about another job; None without `auto`."""
    if config.recipe != "auto":
        return None
    store = open_store(config.output.uri)
    folder, advice = ModelFolder(store, config.name), stored_advice(store)
    model, source = folder.finished(), folder.source()
    advice.refuse_other(
        Now(
            name=config.name,
            counts=counts,
            data_sha256=source.decoded_sha256 if source else None,
            model_sha256=model.sha256 if model else None,
            gates=config.gates.limits if config.gates.enabled else None,
            making=making_in(config),
            on_shortfall=config.gates.on_shortfall,
            balance=config.balance,
        )
    )
    return advice


def making_in(config: Config) -> Making:
    """What of a config decides how its samples are made."""
    return making_of(
        config.seed, config.output.augmentation, config.gates.max_attempts, config.classic, config.smote
    )


def generating_s(plan: AugmentPlan, config: Config, hardware: Hardware) -> float:
    """Seconds that generating the samples of a plan is expected to take on `hardware`: a guess, good to a factor of two."""
    cost = cost_of(plan, config, hardware)
    return cost.generate_s + cost.encode_core_s / max(1.0, hardware.cpus)


def cost_of(plan: AugmentPlan, config: Config, hardware: Hardware) -> CostEstimate:
    """What the run of a settled `config` is expected to cost on `hardware`; samples are made on its CPUs."""
    cores = max(1, int(hardware.cpus))
    training = (
        None
        if not plan.trains
        else TrainingLoad(
            steps=config.train.budget_steps,
            batch_size=config.train.batch_size,
            images_per_s=training_images_per_s(config.model, config.train, plan.image, hardware),
        )
    )
    return estimate(
        plan,
        config.output.image_format,
        images_per_s=GENERATE_PIXELS_PER_CORE_S / plan.image.size**2,
        devices=min(config.generate.actors or cores, cores, max(1, plan.num_shards)),
        training=training,
    )
