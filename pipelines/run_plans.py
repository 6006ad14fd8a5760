"""What a config's run is made of, and what its gates made of it. Pure, but for what it logs; knows no Ray.

Owns which recipes and settings go into a run's plan, and how a shortfall is told.
"""

import importlib.metadata

from augment.config import Config
from augment.errors import ConfigError, GateError
from augment.pixel_pipelines import load_pipeline
from augment.recipes.making import classic_spec
from augment.store.commit import make_run_plan
from augment.store.models import GatesRecord, ModelRecord
from augment.store.records import MOST_SHARDS
from augment.types import AugmentPlan, ClassLedger, Manifest, RecipeSpecs, RunPlan
from pipelines.gates_identity import pin_of
from pipelines.progress import log

__all__ = [
    "job_of",
    "refuse_empty",
    "refuse_unmakeable",
    "tell_ledger",
    "try_pipelines",
    "uses_real_images",
]

MOST_SHARD_BYTES = 2_000_000_000  # of pixels: a shard is held in memory by a worker or two
_SHOWN = 10


def refuse_unmakeable(config: Config, plan: AugmentPlan) -> None:
    """ConfigError where a plan's shards are too large for a worker, or too many for a manifest, or its model would know no
    classes.
    """
    shard_bytes = plan.shard_rows * plan.image.size**2 * plan.image.channels
    if min(shard_bytes, shard_bytes * plan.rows // plan.shard_rows) > MOST_SHARD_BYTES:
        fitting = MOST_SHARD_BYTES // (shard_bytes // plan.shard_rows)
        raise ConfigError(
            f"output.shard_rows={plan.shard_rows} makes shards of {shard_bytes / 1e9:.1f} GB of pixels, and a "
            f"worker holds a shard in memory; set it to {fitting} or less"
        )
    if plan.num_shards > MOST_SHARDS:
        raise ConfigError(
            f"output.shard_rows={plan.shard_rows} makes {plan.num_shards:,} shards of {plan.rows:,} samples, and a manifest "
            f"lists at most {MOST_SHARDS:,}; set it to {-(-plan.rows // MOST_SHARDS)} or more"
        )
    if not config.model.conditional and len(plan.classes) > 1 and plan.trains:
        raise ConfigError(
            f"model.conditional=false learns one distribution, and {config.source.where} has "
            f"{len(plan.classes)} classes; set model.conditional=true or point source.uri at one class"
        )


def try_pipelines(config: Config, plan: AugmentPlan) -> None:
    """Build the albumentations pipelines that a run will need; ConfigError where one can't be built."""
    shape = config.image.shape
    if isinstance(config.output.augmentation, dict):
        load_pipeline(config.output.augmentation, shape, field="output.augmentation")
    instead = config.gates.on_shortfall if config.gates.enabled else "partial"
    if any(target.synthetic and "classic" in (target.recipe, instead) for target in plan.classes):
        load_pipeline(classic_spec(config.classic), shape, field="classic.pipeline")


def uses_real_images(run: RunPlan) -> bool:
    """Whether samples of a run are made, or may have to be made, of real images."""
    return any(
        recipe not in ("gan", "none")
        for target in run.plan.classes
        if target.synthetic
        for recipe in run.recipes_of(target)
    )


def job_of(
    config: Config,
    plan: AugmentPlan,
    model: ModelRecord | None,
    gates: GatesRecord | None,
    *,
    source_fingerprint: str,
    source_sha256: str,
) -> RunPlan:
    """The run that a config asks for, as its first attempt; see `augment.store.commit.make_run_plan`."""
    augmentation = config.output.augmentation
    assert not isinstance(augmentation, str)  # noqa: S101  # load_config read the file
    used = {target.recipe for target in plan.classes if target.synthetic}
    if gates is not None and config.gates.on_shortfall != "partial":
        used.add(config.gates.on_shortfall)
    specs = RecipeSpecs(
        classic=classic_spec(config.classic) if "classic" in used else None,
        smote=config.smote.model_dump(mode="json") if "smote" in used else None,
    )
    generated = "gan" in used and model is not None
    return make_run_plan(
        plan,
        generator_sha256=model.sha256 if generated and model is not None else None,
        image_format=config.output.image_format,
        augmentation=augmentation if generated else None,
        versions=_versions(augmented=specs.classic is not None or (generated and augmentation is not None)),
        recipes=specs,
        gates=pin_of(config, gates, model) if gates is not None else None,
        source_fingerprint=source_fingerprint,
        source_sha256=source_sha256 if used - {"gan"} else None,
    )


def refuse_empty(run: RunPlan, manifest: Manifest) -> None:
    """GateError, with what refused, where the gates let nothing pass at all: no version is made of nothing."""
    if run.plan.rows and not sum(shard.rows for shard in manifest.shards):
        lines = [_line(run, one) for one in manifest.ledger if one.missing][:_SHOWN]
        raise GateError(
            f"the quality gates refused every candidate of run {run.run_id}: no version was made\n"
            + "\n".join(lines)
            + "\ntrain longer or on more images, set gates.on_shortfall to a recipe that fills the gap, or another "
            "recipe for these classes"
        )


def tell_ledger(run: RunPlan, manifest: Manifest) -> None:
    """Log what the gates let pass, and warn of each class that is short of samples."""
    if not manifest.ledger:
        return
    drawn = sum(one.drawn for one in manifest.ledger)
    accepted = sum(one.accepted for one in manifest.ledger)
    if drawn:
        log.info(
            "gates: %s of %s candidates passed (%.1f%%)",
            f"{accepted:,}", f"{drawn:,}", 100 * accepted / drawn,
        )  # fmt: skip
    if ungated := sum(one.ungated for one in manifest.ledger):
        log.info("gates: %s samples are of recipes that no gate judges", f"{ungated:,}")
    short = [one for one in manifest.ledger if one.missing or one.fallback]
    for one in short[:_SHOWN]:
        log.warning("gates: %s", _line(run, one))
    if len(short) > _SHOWN:
        log.warning("gates: and %d more classes; the manifest's ledger lists them", len(short) - _SHOWN)


def _line(run: RunPlan, one: ClassLedger) -> str:
    name = next(target.name for target in run.plan.classes if target.label == one.label)
    planned = one.accepted + one.ungated + one.fallback + one.missing
    refused = ", ".join(
        f"{gate} {count:,}" for gate, count in sorted(one.refused.items(), key=lambda item: -item[1])
    )
    instead = f", {one.fallback:,} made by {run.gates.on_shortfall}" if one.fallback and run.gates else ""
    short = f", {one.missing:,} missing" if one.missing else ""
    return f"class {name!r}: {one.accepted:,} of {planned:,} samples passed in {one.drawn:,} draws{instead}{short} (refused by {refused})"


def _versions(*, augmented: bool) -> dict[str, str]:
    """The libraries that decide a sample's pixels or a shard's bytes."""
    names = ["ray-augment", "torch", "numpy", "pillow", "pyarrow"] + (["albumentations"] if augmented else [])
    return {name: importlib.metadata.version(name) for name in names}
