"""One command's job: its plan, what a finished step spares it, and what is made.

Owns the steps of a job, each resumable: a finished model is not trained again, a committed run is not generated again,
and where neither is needed Ray is not started: it is not even imported, nor is torch, which takes longer than all that a
finished job has to look up. So what decodes, trains and generates is imported where it is called. Their order is pipelines.run's; what is known of the source is
job_source's, what is settled of the model job_model's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from augment.config import Config
from augment.errors import AugmentError
from augment.gan.hardware import Hardware
from augment.objects import open_store
from augment.sampling.judged import gated_classes
from augment.store.commit import begin_run, check_existing, publish
from augment.store.existing import rows_by_label
from augment.store.identity import run_for
from augment.store.models import GatesRecord, ModelFolder, ModelRecord, SourceRecord
from augment.store.reading import open_dataset
from augment.store.records import latest_snapshot, stored_manifest
from augment.types import AugmentPlan, ClassCounts, ClassLedger, Manifest, RunPlan
from pipelines.describing import describe_newest
from pipelines.gates_identity import known_gates
from pipelines.job_model import held_to_finished, pin, settled_config
from pipelines.job_source import JobSource, OverwrittenError
from pipelines.look import (
    SAMPLES_A_SIDE,
    load_real_samples,
    make_contact_sheet,
    save_real_samples,
    shown_classes,
)
from pipelines.planning import existing_for, generating_s, plan_for, why_nothing
from pipelines.progress import Progress, log
from pipelines.run_plans import (
    job_of,
    refuse_empty,
    refuse_unmakeable,
    tell_ledger,
    try_pipelines,
    uses_real_images,
)
from pipelines.spending import Spending
from pipelines.stopping import insist

if TYPE_CHECKING:
    from pipelines.cluster import Cluster
    from pipelines.ingest import DecodedImages
    from pipelines.sampler_inputs import SamplerInputs

__all__ = ["Job", "RunResult"]


@dataclass(frozen=True)
class RunResult:
    """What a run made, or found made. `version` is None where every class was full already."""

    run_id: str | None
    uri: str
    version: int | None
    rows: dict[str, int]  # synthetic samples a class
    bad_images: int
    seconds: dict[str, float]
    contact_sheet: str | None
    report: str | None = None
    ledger: tuple[ClassLedger, ...] = ()  # what the gates let pass, of a run that has gates
    why_nothing: str = ""  # where nothing was to be made

    @property
    def missing(self) -> int:
        """Samples that were planned, and for which no candidate passed the gates."""
        return sum(one.missing for one in self.ledger)


class Job:
    """One command's view of a config: what is opened once, and the cluster, started when first needed."""

    def __init__(self, config: Config, progress: Progress, stack: ExitStack) -> None:
        self.config, self.progress, self._stack = config, progress, stack
        self.store = open_store(config.output.uri)
        self.folder = ModelFolder(self.store, config.name)
        self.source = JobSource(config, self.folder, progress, self.cluster)
        self._cluster: Cluster | None = None
        self._spending = Spending(config, self.store)

    @classmethod
    @contextmanager
    def opened(cls, config: Config, progress: Progress) -> Iterator[Job]:
        """The job while its cluster, if it starts one, is up."""
        with ExitStack() as stack:
            yield cls(config, progress, stack)

    @property
    def _tops_up(self) -> bool:
        return self.config.output.on_existing == "top-up"

    def cluster(self) -> Cluster:
        """Ray, started once."""
        if self._cluster is None:
            from pipelines.cluster import ray_cluster

            self._spending.look_up()
            with self.progress.stage("cluster"):
                self._cluster = self._stack.enter_context(ray_cluster(self.config.ray))
            insist()
            self._spending.begin(_hardware(self._cluster))
            self._stack.enter_context(self._spending.told())
        return self._cluster

    # ---- what is planned ------------------------------------------------------------------------------

    def plan(self, counts: ClassCounts) -> AugmentPlan:
        """The plan; raises where the balance asks for what the classes can't give."""
        plan = plan_for(self.config, counts, existing_for(self.config))
        refuse_unmakeable(self.config, plan)
        return plan

    def decoded_counts(self) -> ClassCounts:
        """Usable images a class as decoding finds them, even where all the labels say that nothing is lacking."""
        if self.source.known() is not None:
            return self.source.counts()
        _, record = self.source.decoded()
        if self.folder.finished() is None:  # else `trained` compares the source with the model's first
            self.folder.put_source(record)
        return record.counts

    def refuse_early(self, plan: AugmentPlan) -> None:
        """Stop before hours of work that could not be committed."""
        try_pipelines(self.config, plan)
        model = self.folder.finished() if plan.trains else None
        known = self.source.known()
        generator = model.sha256 if model and plan.rows else None
        check_existing(
            self.store, self._known_run_id(model, known), self.config.output.on_existing, plan, generator
        )

    def _known_run_id(self, model: ModelRecord | None, known: SourceRecord | None) -> str | None:
        """The run's id, where everything that decides it was made before."""
        if known is None:
            return None
        plan = self.plan(known.counts)
        if model is None and plan.trains:
            return None
        gates = None
        if self._has_gates(plan):
            gates = known_gates(self.config, self.folder, plan, known.decoded_sha256, model)
            if gates is None:
                return None
        return self._run_plan(model, known, gates).run_id

    def nothing_to_do(self) -> RunResult:
        """The result where every class is full; a version that was published is described."""
        why = why_nothing(self.config)
        log.info("%s: nothing to generate", why)
        if self._tops_up and latest_snapshot(self.store) is not None:
            describe_newest(self.store.uri)  # whoever published may have been killed before this
        self._spending.done()
        return replace(self._result(None, None, {}, None), why_nothing=why)

    # ---- what samples are made with -------------------------------------------------------------------

    def trained(self) -> ModelRecord:
        """The finished model: found, or made."""
        model = self.folder.finished()
        if model is not None and (self.source.known() is not None or self._tops_up):
            self.settle_finished()
            log.info("train: model %s is finished already", self.config.name)
            return model
        self.source.check_writable()
        self.config = settled_config(self.config, self.folder, self.source.counts, self.cluster)
        images, record = self.source.decoded()
        plan, spec = self.plan(record.counts), pin(self.config, self.folder, record)  # before it is replaced
        self._keep_to_look_at(images, plan)
        self.folder.put_source(record)
        if model is not None:
            log.info(
                "train: model %s is finished already: the source's pixels are the same", self.config.name
            )
            return model
        from pipelines.train import fit

        self._spending.refuse("training")
        afterwards_s = generating_s(plan, self.config, _hardware(self.cluster()))
        return fit(
            self.config, self.folder, images, spec,
            cluster=self.cluster(), progress=self.progress, ends_at=self._spending.training_ends_at(afterwards_s),
        )  # fmt: skip

    def settle_finished(self) -> None:
        """Hold the config to the finished model of its name; a top-up alone may have another source by now."""
        self.config = held_to_finished(self.config, self.folder, self.source, self.cluster)

    def prepared(self) -> None:
        """What a job without a model needs: a decoded source, and real images to look at."""
        if self.source.known() is None:
            self._believe_decoded()

    def _believe_decoded(self) -> None:
        images, record = self.source.decoded()
        plan = self.plan(record.counts)
        self._keep_to_look_at(images, plan)
        self.source.believe_decoded()

    def _keep_to_look_at(self, images: DecodedImages, plan: AugmentPlan) -> None:
        """Real images for the picture and the report, of the classes that these show."""
        from pipelines.ingest import sample_images

        save_real_samples(self.folder, sample_images(images, shown_classes(plan), SAMPLES_A_SIDE))

    def _has_gates(self, plan: AugmentPlan) -> bool:
        """Whether samples are judged: a single class has nothing to be told apart from."""
        several = sum(target.real > 0 for target in plan.classes) > 1
        return self.config.gates.enabled and several and bool(gated_classes(plan))

    def _gates(self, model: ModelRecord | None, source: SourceRecord) -> GatesRecord | None:
        """The run's gates, found or calibrated now; None where nothing is judged."""
        plan = self.plan(source.counts)
        if not self._has_gates(plan):
            if self.config.gates.enabled and gated_classes(plan):
                log.warning("gates: one class has nothing to be told apart from: its samples are not judged")
            return None
        known = known_gates(self.config, self.folder, plan, source.decoded_sha256, model)
        if known is not None:
            return known
        from pipelines.gatekeeping import calibrated_gates

        return calibrated_gates(
            self.config, self.folder, plan, self.source.images_of(source), source.decoded_sha256, model,
            cluster=self.cluster, progress=self.progress,
        )  # fmt: skip

    # ---- what is made ---------------------------------------------------------------------------------

    def generated(self, model: ModelRecord | None) -> RunResult:
        """Shards, manifest, version, card and picture; `model` is None where no class needs one.

        Without a model, or in a top-up, images that were overwritten under the same names are taken as they are now.
        Else OverwrittenError: the model was trained on others.
        """
        try:
            return self._generated(model)
        except OverwrittenError:
            if model is not None and not self._tops_up:
                raise
        log.warning(
            "images of %s were overwritten under the same names: going on with what they are now",
            self.config.source.where,
        )
        self._believe_decoded()
        return self._generated(model)

    def _generated(self, model: ModelRecord | None) -> RunResult:
        source = self.source.record()
        if not self.plan(source.counts).rows:
            return self.nothing_to_do()  # as decoded; by its labels alone the source seemed to lack some
        self._spending.refuse("generating")
        gates = self._gates(model, source)
        run = self._run_plan(model, source, gates)
        self.progress.run_id = run.run_id
        policy = self.config.output.on_existing
        check_existing(self.store, run.run_id, policy, generator_sha256=run.generator_sha256)
        if uses_real_images(run) and stored_manifest(self.store, run.run_id) is None:
            self.source.images_of(source)()  # now, so that no run is begun by images that are there no more
        manifest = begin_run(self.store, run).manifest
        if manifest is not None:
            log.info("generate: run %s is committed already", run.run_id)
        else:
            manifest = self._made(run, model, gates)
        refuse_empty(run, manifest)
        snapshot = publish(self.store, manifest, policy)
        tell_ledger(run, manifest)
        self._spending.done()
        return self._shown(run, manifest, snapshot.version, source, gates)

    def _made(self, run: RunPlan, model: ModelRecord | None, gates: GatesRecord | None) -> Manifest:
        """The shards that are missing, and the manifest of all."""
        from pipelines.generate import generate_run

        with self._spending.blamed():
            return generate_run(
                self.store, run, lambda: self._inputs(run, model, gates), self.config.generate,
                self.config.output.on_existing, self.cluster, self.progress,
            )  # fmt: skip

    def _shown(
        self, run: RunPlan, manifest: Manifest, version: int, source: SourceRecord, gates: GatesRecord | None
    ) -> RunResult:
        """The result of a published run, with its card, picture and report."""
        with self.progress.stage("look"):
            dataset = open_dataset(self.config.output.uri, version)
            describe_newest(self.store.uri)
            picture = make_contact_sheet(dataset, run, load_real_samples(self.folder))
            key = f"_runs/{run.run_id}/contact_sheet.png"
            self.store.put(key, picture)
        report = self._reported(run.run_id, version, source, gates)
        labelled = rows_by_label(run, manifest)
        rows = {target.name: labelled[target.label] for target in run.plan.classes}
        result = self._result(run.run_id, version, rows, self.store.uri_of(key))
        return replace(result, report=report, ledger=manifest.ledger)

    def _reported(
        self, run_id: str, version: int, source: SourceRecord, gates: GatesRecord | None
    ) -> str | None:
        """The URI of the report; what hinders it is told, for the samples are committed."""
        from pipelines.after_run import report_run

        try:
            return report_run(
                self.config, self.folder, version, run_id, self.source.images_of(source), gates,
                cluster=self.cluster, progress=self.progress,
            )  # fmt: skip
        except AugmentError as error:
            log.warning("report: not made: %s; version %d is committed all the same", error, version)
            return None

    def _inputs(self, run: RunPlan, model: ModelRecord | None, gates: GatesRecord | None) -> SamplerInputs:
        from pipelines.sampler_inputs import SamplerInputs

        return SamplerInputs(
            run=run,
            store_uri=self.store.uri,
            ends_at=self._spending.ends_at,
            generator_key=model.key if model and run.generator_sha256 else None,
            gates_key=gates.key if gates else None,
            critic_key=model.critic_key if model and run.gates and run.gates.critic_sha256 else None,
            images=self.source.images_of(self.source.record())() if uses_real_images(run) else None,
            keep_rejected=self.config.gates.keep_rejected,
        )

    def _run_plan(
        self, model: ModelRecord | None, source: SourceRecord, gates: GatesRecord | None
    ) -> RunPlan:
        job = job_of(
            self.config, self.plan(source.counts), model, gates,
            source_fingerprint=self.source.census().fingerprint, source_sha256=source.decoded_sha256,
        )  # fmt: skip
        return run_for(self.store, job, self.config.output.on_existing)

    def _result(
        self, run_id: str | None, version: int | None, rows: dict[str, int], contact_sheet: str | None
    ) -> RunResult:
        return RunResult(
            run_id=run_id,
            uri=self.store.uri,
            version=version,
            rows=rows,
            bad_images=self.source.bad_images,
            seconds=self.progress.seconds,
            contact_sheet=contact_sheet,
        )


def _hardware(cluster: Cluster) -> Hardware:
    return Hardware(cpus=cluster.cpus, gpus=int(cluster.gpus))
