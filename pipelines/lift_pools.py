"""Ray tasks: the samples that arms of `augment lift` mix in, made by the very code that makes a run's.

Owns which plan a source's samples have, and how they are gathered: every class is filled up to the largest one, by
one recipe, and the gated ones alone pass the gates that a run of this config has. Nothing is committed.

B = samples of a shard, M = samples of a pool, K = classes.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import ray
from ray.util import ActorPool

from augment.config import Config
from augment.errors import InputError
from augment.lift.arms import Source
from augment.lift.images import LabelledImages
from augment.planning.config import BalanceConfig
from augment.planning.plan import make_plan
from augment.quality.gates import GateKeeper
from augment.recipes.choosing import refuse_impossible
from augment.sampling.candidates import Candidates
from augment.sampling.gated import Scores, fill_shard
from augment.store.models import GatesRecord, ModelRecord, SourceRecord
from augment.types import AugmentPlan, ClassCounts, ClassLedger, ClassTarget, RecipeName, RunPlan
from pipelines.cluster import Cluster, Device, ray_errors
from pipelines.lift_store import PoolRecord
from pipelines.pixels import augmented
from pipelines.progress import Progress
from pipelines.run_plans import job_of
from pipelines.sampler_inputs import SamplerInputs, opened

__all__ = ["RECIPE_OF", "MadePool", "ShardFiller", "judged_as", "make_pool", "pool_plan", "pool_run"]

RECIPE_OF: Mapping[Source, RecipeName] = {
    "duplicate": "duplicate",
    "classic": "classic",
    "smote": "smote",
    "gan": "gan",
    "gan-gated": "gan",
}
"""Source of an arm's samples → recipe."""

_MISSING = -1  # in place of a class index: no candidate passed for the sample


@dataclass(frozen=True, slots=True)
class MadePool:
    """The samples in the object store (LabelledImages, class after class and within one by index), and what they came to."""

    images: ray.ObjectRef
    record: PoolRecord


def pool_plan(config: Config, counts: ClassCounts, source: Source) -> AugmentPlan:
    """Every class filled up to the largest one, whatever the config's balance; too small ones as it says.

    A class with too few images for the recipe is left as it is, and its note says so: an arm is narrowed by it. Raises
    InputError where one has too few to generate any, by `balance.below_min_real`.
    """
    recipes = [RECIPE_OF[source]] * len(counts.classes)
    balance = BalanceConfig(min_real=config.balance.min_real, below_min_real=config.balance.below_min_real)
    plan = make_plan(
        counts,
        balance,
        image=config.image.shape,
        seed=config.seed,
        shard_rows=config.output.shard_rows,
        batch_size=config.generate.batch_size,
        recipes=recipes,
    )
    return plan.model_copy(update={"classes": tuple(_as_possible(target) for target in plan.classes)})


def _as_possible(target: ClassTarget) -> ClassTarget:
    """The target, or none where its recipe cannot begin with so few images."""
    try:
        refuse_impossible([target], [target.recipe])
    except InputError:
        note = f"{target.recipe} cannot begin with {target.real} real image(s)"
        return target.model_copy(update={"target": target.real, "note": note})
    return target


def pool_run(
    config: Config,
    plan: AugmentPlan,
    record: SourceRecord,
    model: ModelRecord | None,
    gates: GatesRecord | None,
    source_fingerprint: str,
) -> RunPlan:
    """The run whose samples they are. A sample that no candidate passed for is missing, never made otherwise: what
    is measured would not be the generator's. Of a control `gates` judge nothing: they have the features that SMOTE
    measures nearness by, and are pinned for these alone."""
    pinned: dict[str, Any] = {"on_shortfall": "partial"}
    if not plan.trains:
        pinned |= {"max_attempts": 1, "discriminator_quantile": 0.0}
    return job_of(
        config.model_copy(update={"gates": config.gates.model_copy(update=pinned)}), plan, model, gates,
        source_fingerprint=source_fingerprint, source_sha256=record.decoded_sha256,
    )  # fmt: skip


def judged_as(run: RunPlan) -> RunPlan:
    """The pool's run as its samples are judged: those of a control by no gate, whatever its run pins."""
    return run if run.plan.trains else run.model_copy(update={"gates": None})


def make_pool(
    source: Source, config: Config, inputs: SamplerInputs, cluster: Cluster, progress: Progress
) -> MadePool:
    """Make the samples of a pool's run, side by side, shard by shard; a shard is let go as soon as it is taken."""
    run, shape = inputs.run, inputs.run.plan.image
    rows = run.plan.rows
    pixels_MHWC = np.empty((rows, shape.size, shape.size, shape.channels), np.uint8)
    class_index_M = np.full(rows, _MISSING, np.int64)
    ledgers: list[ClassLedger] = []
    done = 0
    with progress.stage(f"samples of {source}", total=rows, unit="samples") as stage:
        for shard in _filled(inputs, config, cluster) if rows else ():
            begin = run.plan.shard(shard.index).first_row
            taken = slice(begin, begin + len(shard.class_index_B))
            pixels_MHWC[taken], class_index_M[taken] = shard.pixels_BHWC, shard.class_index_B
            ledgers += shard.ledgers
            done += len(shard.class_index_B)
            stage.advance_to(done)
    made_M = class_index_M != _MISSING
    if not made_M.all():
        pixels_MHWC, class_index_M = pixels_MHWC[made_M], class_index_M[made_M]
    images = LabelledImages(pixels_MHWC, class_index_M)
    samples_K = images.counts(len(run.plan.classes))
    record = PoolRecord(
        run_id=run.run_id, source=source, samples_K=tuple(samples_K.tolist()), why=_why(run, ledgers)
    )
    with ray_errors("making samples"):
        return MadePool(ray.put(images), record)


@dataclass(frozen=True, slots=True)
class FilledShard:
    """One shard's samples as an arm takes them, and what the gates let pass."""

    index: int
    pixels_BHWC: npt.NDArray[np.uint8]
    class_index_B: npt.NDArray[np.int64]
    ledgers: tuple[ClassLedger, ...]


def _filled(inputs: SamplerInputs, config: Config, cluster: Cluster) -> Iterator[FilledShard]:
    """The shards of the run as they are filled, in any order: generation's first stage. As many are under way, or wait
    to be taken, as there are actors.
    """
    device = cluster.device_for(config.generate.device, processes=1, field="generate.device")
    shards = range(inputs.run.plan.num_shards)
    most = int(cluster.gpus if device == "gpu" else cluster.cpus)
    with ray_errors("making samples"):
        shared = ray.put(inputs)
        actor = ray.remote(ShardFiller).options(
            num_cpus=min(1, cluster.cpus_per_node), num_gpus=int(device == "gpu")
        )
        actors = [actor.remote(shared, device) for _ in range(max(1, min(most, len(shards))))]
        yield from ActorPool(actors).map_unordered(_fill, list(shards))


def _fill(actor: Any, index: int) -> ray.ObjectRef:
    return actor.fill.remote(index)


class ShardFiller:
    """An actor: fills shards of one run. What they need is opened for the first one, and stays open."""

    def __init__(self, inputs: SamplerInputs, device: Device) -> None:
        self._inputs, self._device, self._stack = inputs, device, ExitStack()
        self._run = judged_as(inputs.run)

    @cached_property
    def _opened(self) -> tuple[Candidates, GateKeeper | None, Scores | None]:
        """Not made with the actor: what fails in a constructor reaches nobody as it is."""
        return opened(self._inputs, self._device, self._stack)

    def fill(self, index: int) -> FilledShard:
        """One shard's samples, augmented as a run's are."""
        candidates, keeper, scores = self._opened
        spec, judges = self._run.plan.shard(index), self._run.gates is not None
        filled = fill_shard(self._run, spec, candidates, keeper if judges else None, scores)
        pieces = filled.block.spec.pieces
        index_B = np.repeat([piece.class_index for piece in pieces], [piece.count for piece in pieces])
        return FilledShard(
            index,
            augmented(filled.block, self._inputs.run),
            index_B.astype(np.int64),
            filled.ledger.classes if filled.ledger else (),
        )


def _why(run: RunPlan, ledgers: list[ClassLedger]) -> dict[int, str]:
    """By class index, why a class lacks samples: the gates that refused its candidates, or the plan's own note."""
    refused: dict[int, Counter[str]] = defaultdict(Counter)
    missing = Counter[int]()
    for one in ledgers:
        refused[one.label].update(one.refused)
        missing[one.label] += one.missing
    why: dict[int, str] = {}
    for index, target in enumerate(run.plan.classes):
        if missing[target.label]:
            gates = (f"{gate} {count:,}" for gate, count in refused[target.label].most_common())
            why[index] = "refused by " + ", ".join(gates)
        elif not target.synthetic and target.note:
            why[index] = target.note
    return why
