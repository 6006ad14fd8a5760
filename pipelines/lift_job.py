"""`augment lift`, step by step: held-out images, samples, trials, narrower arms, the answer. Killed anywhere, it goes on.

Owns the order of the steps and what a finished one spares the next call: a source whose arms are all tried is not
sampled again, a trial that was run for any question is found again.

S = seeds, N = images, K = classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import ray

from augment.config import Config
from augment.errors import ConfigError
from augment.lift.arms import Arm, Source, arms_named
from augment.lift.comparison import HeldOut
from augment.lift.config import LiftConfig
from augment.lift.following import Advice, Basis, put_advice
from augment.lift.images import LabelledImages, LiftData
from augment.lift.narrowing import narrower_arms
from augment.lift.supply import Supplied, Supply, supplied
from augment.lift.usage import question_of, usage_warning
from augment.lift.verdict import ArmTrials, Asked, LiftResult, Verdict, verdict
from augment.planning.config import BudgetConfig
from augment.store.models import GatesRecord, ModelRecord, SourceRecord
from augment.types import RunPlan
from pipelines.after_run import show_advice
from pipelines.gatekeeping import calibrated_gates
from pipelines.job import Job
from pipelines.lift import run_trials
from pipelines.lift_data import HeldOutImages, find_held_out, held_out_images, labelled
from pipelines.lift_pools import make_pool, pool_plan, pool_run
from pipelines.lift_store import LiftStore, trial_digest
from pipelines.planning import making_in
from pipelines.progress import Progress, log
from pipelines.run_plans import uses_real_images
from pipelines.sampler_inputs import SamplerInputs

__all__ = ["LiftOutcome", "lift"]

_FEWEST_SEEDS = 2  # of one nothing is known of chance


@dataclass(frozen=True)
class LiftOutcome:
    """The answer, where it is stored, and what it took."""

    result: LiftResult
    uri: str
    seconds: dict[str, float]


def lift(
    config: Config, progress: Progress, *, arms: Sequence[str] = (), seeds: int | None = None
) -> LiftOutcome:
    """Train every arm with every seed, report, and store the recommendation that `recipe: auto` follows.

    `arms` and `seeds` take the place of `lift.arms` and `lift.seeds`. Raises ConfigError where there is no finished
    model, no held-out image, or an arm lacks what it needs.
    """
    chosen = _arms(config, arms)
    training = config.lift.training.model_copy(update={} if seeds is None else {"seeds": seeds})
    if training.seeds < _FEWEST_SEEDS:
        raise ConfigError(
            f"lift.seeds={training.seeds}: arms are compared over at least {_FEWEST_SEEDS} trainings of each; 5 is usual"
        )
    # Of the model that is asked about; and what making the dataset may cost is not spent on asking.
    config = config.model_copy(update={"recipe": "gan", "budget": BudgetConfig()})
    with Job.opened(config, progress) as job:
        model = job.folder.finished()
        if model is None:
            raise ConfigError(
                f"no finished model `{config.name}` under {job.folder.uri}; run `augment train` with this config first"
            )
        sources = find_held_out(config)
        job.settle_finished()
        record = job.source.record()
        job.cluster()
        real = labelled(job.source.images_of(record)())
        held_out = held_out_images(config, sources, real, record.counts.classes, progress)
        return _Lift(job, model, record, chosen, training, real, held_out).outcome()


def _arms(config: Config, named: Sequence[str]) -> tuple[Arm, ...]:
    """The arms that were asked for; of the config's default, those that this config can have."""
    arms = arms_named(tuple(named) or config.lift.arms)
    explicit = bool(named) or "arms" in config.lift.model_fields_set
    lacking = {arm.name: reason for arm in arms if (reason := _lacks(config, arm))}
    if lacking and explicit:
        raise ConfigError("\n".join(f"arm {name} {reason}" for name, reason in lacking.items()))
    for name, reason in lacking.items():
        log.info("lift: left out: arm %s %s", name, reason)
    kept = tuple(arm for arm in arms if arm.name not in lacking)
    if not any(arm.is_control for arm in kept):
        raise ConfigError("no control among the arms: nothing can be said of what samples add; add `real`")
    return kept


def _lacks(config: Config, arm: Arm) -> str | None:
    """What an arm needs that this config has not."""
    if arm.needs_teachers:
        return "learns soft labels, which this verb does not make; leave it out"
    if arm.source == "classic" and config.classic.preset is None and config.classic.pipeline is None:
        return "needs to know which changes keep a label; set classic.preset or classic.pipeline"
    if arm.source == "gan-gated" and not config.gates.enabled:
        return "has gated samples; set gates.enabled=true"
    return None


class _Lift:
    """One question: what decides it is known, and nothing is made yet."""

    def __init__(
        self,
        job: Job,
        model: ModelRecord,
        record: SourceRecord,
        arms: tuple[Arm, ...],
        training: LiftConfig,
        real: LabelledImages,
        held_out: HeldOutImages,
    ) -> None:
        self._job, self._model, self._record = job, model, record
        self._arms, self._training, self._held_out = arms, training, held_out
        self._store = LiftStore(job.store)
        self._names = tuple(info.name for info in record.counts.classes)
        self._data = LiftData(self._names, real, held_out.validation, held_out.test)
        self._pools: dict[Source, ray.ObjectRef] = {}  # of LabelledImages

    def outcome(self) -> LiftOutcome:
        """Samples, trials, the answer; each as far as it is missing."""
        known = self._supplied()
        trials = self._tried(known.arms)
        known, trials = self._with_narrower(known, trials)
        answer = self._verdict(known, trials)
        use = self._store.count_use(self._held_out.asked_sha256, self._question)
        warnings = [warning] if (warning := usage_warning(use)) else []
        for warning in warnings:
            log.warning("lift: %s", warning)
        result = LiftResult(
            question=self._question,
            basis=self._basis(),
            verdict=answer,
            test_sha256=self._held_out.asked_sha256,
            test_uses=use.uses,
            left_out=self._held_out.left_out,
            warnings=tuple(warnings),
        )
        uri = self._store.put_result(result)
        trained = next(one.arm for one in answer.arms if one.arm.name == answer.recommendation.train)
        put_advice(
            self._job.store,
            Advice(
                question=result.question,
                basis=result.basis,
                arm=trained,
                recommendation=answer.recommendation,
            ),
        )
        show_advice(self._job.store, self._job.progress)
        return LiftOutcome(result, uri, self._job.progress.seconds)

    # ---- what is asked --------------------------------------------------------------------------------

    @cached_property
    def _runs(self) -> dict[Source, RunPlan]:
        """By source, the run whose samples the arms of it mix in."""
        config, sources = self._job.config, dict.fromkeys(arm.source for arm in self._arms if arm.source)
        runs: dict[Source, RunPlan] = {}
        for source in sources:
            plan = pool_plan(config, self._record.counts, source)
            gates = self._gates if plan.rows and self._has_gates(source) else None
            fingerprint = self._job.source.census().fingerprint
            runs[source] = pool_run(config, plan, self._record, self._model, gates, fingerprint)
        return runs

    def _has_gates(self, source: Source) -> bool:
        """Whether gates have a part in it: they judge, or (and judge not) SMOTE measures nearness in their features."""
        return source == "gan-gated" or (source == "smote" and self._job.config.smote.space == "features")

    @cached_property
    def _gates(self) -> GatesRecord:
        plan = pool_plan(self._job.config, self._record.counts, "gan-gated")
        return calibrated_gates(
            self._job.config, self._job.folder, plan, self._job.source.images_of(self._record),
            self._record.decoded_sha256, self._model, cluster=self._job.cluster, progress=self._job.progress,
        )  # fmt: skip

    @cached_property
    def _question(self) -> str:
        """Of arms, settings, seeds, images and samples."""
        images = (part.sha256 for part in (self._data.training, self._data.validation, self._data.test))
        runs = (run.run_id for run in self._runs.values())
        arms = sorted(arm.digest for arm in self._arms)
        return question_of(self._training.model_dump_json(), *arms, *images, *sorted(runs))

    def _basis(self) -> Basis:
        config, gated = self._job.config, any(arm.source == "gan-gated" for arm in self._arms)
        return Basis(
            name=config.name,
            classes=self._record.counts.classes,
            counts=self._record.counts.counts,
            labelled=self._job.source.census().counts.counts,
            data_sha256=self._record.decoded_sha256,
            model_sha256=self._model.sha256,
            gates=config.gates.limits if gated else None,
            making=making_in(config),
        )

    # ---- samples --------------------------------------------------------------------------------------

    def _supplied(self) -> Supplied:
        """The arms as the sources' samples can fill them."""
        supplies: dict[Source, Supply] = {}
        for source, run in self._runs.items():
            record = self._store.pool(run.run_id)
            if record is None:
                self._pool(source)
                record = self._store.pool(run.run_id)
                assert record is not None  # noqa: S101  # it was put just now, and nothing deletes it
            supplies[source] = Supply(np.array(record.samples_K, np.int64), record.why)
        found = supplied(self._arms, self._data.counts_K, self._names, supplies)
        for name, reason in found.narrowed.items():
            log.warning("lift: arm %s is not filled in every class: %s", name, reason)
        for one in found.untried:
            log.warning("lift: arm %s is not tried: %s", one.arm, one.reason)
        return found

    def _pool(self, source: Source) -> ray.ObjectRef:
        """The samples of a source in the object store, made when they are first needed."""
        if source not in self._pools:
            run, job = self._runs[source], self._job
            gates = self._gates if run.gates else None
            generated = run.generator_sha256 is not None
            inputs = SamplerInputs(
                run=run,
                store_uri=job.store.uri,
                generator_key=self._model.key if generated else None,
                gates_key=gates.key if gates else None,
                critic_key=self._model.critic_key if run.gates and run.gates.critic_sha256 else None,
                images=job.source.images_of(self._record)() if uses_real_images(run) else None,
                keep_rejected=0,
            )
            made = make_pool(source, job.config, inputs, job.cluster(), job.progress)
            self._store.put_pool(made.record)
            self._pools[source] = made.images
        return self._pools[source]

    # ---- trials ---------------------------------------------------------------------------------------

    def _tried(self, arms: Sequence[Arm]) -> tuple[ArmTrials, ...]:
        """Every arm with every seed: trials found again, or run now, one seed of all arms after another."""
        digests = {
            (arm, seed): trial_digest(
                arm, seed, self._training, self._data, self._runs[arm.source].run_id if arm.source else ""
            )
            for seed in range(self._training.seeds)
            for arm in arms
        }
        keys = self._store.finished()
        missing = [pair for pair, digest in digests.items() if digest not in keys]
        log.info("lift: %d of %d trials are there already", len(digests) - len(missing), len(digests))
        if missing:
            pools = {arm.source: self._pool(arm.source) for arm, _ in missing if arm.source}
            for trial in run_trials(missing, self._data, self._training, self._job.progress, pools):
                digest = digests[trial.record.arm, trial.record.seed]
                keys[digest] = self._store.put_trial(self._question, digest, trial)
        return tuple(
            self._of_arm(arm, [keys[digests[arm, seed]] for seed in range(self._training.seeds)])
            for arm in arms
        )

    def _of_arm(self, arm: Arm, keys: Sequence[str]) -> ArmTrials:
        """One arm's trials as they are stored, in the order of their seeds."""
        found = [self._store.trial(key) for key in keys]
        return ArmTrials(
            arm=arm,
            validation_SNK=np.stack([trial.validation_NK for trial in found]),
            test_SNK=np.stack([trial.test_NK for trial in found]),
            seconds=float(np.mean([trial.record.seconds for trial in found])),
        )

    def _with_narrower(
        self, known: Supplied, trials: tuple[ArmTrials, ...]
    ) -> tuple[Supplied, tuple[ArmTrials, ...]]:
        """The arms and their trials, and those of arms that leave out what the best ones lose in."""
        predicted = {one.arm.name: one.validation_SNK.argmax(2) for one in trials}
        validation = HeldOut(predicted, self._data.validation.class_index_N)
        more = narrower_arms(known.arms, validation, self._names, self._data.counts_K)
        for one in more:
            log.info("lift: one more arm, %s: %s", one.arm.name, one.reason)
        sources = {one.arm.source for one in more}
        self._pools = {source: pool for source, pool in self._pools.items() if source in sources}
        if not more:
            return known, trials
        arms, reasons = [one.arm for one in more], {one.arm.name: one.reason for one in more}
        wider = replace(known, arms=(*known.arms, *arms), narrowed={**known.narrowed, **reasons})
        return wider, (*trials, *self._tried(arms))

    def _verdict(self, known: Supplied, trials: Sequence[ArmTrials]) -> Verdict:
        asked = Asked(
            class_names=self._names,
            counts_K=self._data.counts_K,
            validation_N=self._data.validation.class_index_N,
            test_N=self._data.test.class_index_N,
            seeds=tuple(range(self._training.seeds)),
            config=self._training,
            narrowed=known.narrowed,
            untried=known.untried,
        )
        return verdict(asked, trials)
