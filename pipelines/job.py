"""One command's view of a config: what is opened once, what is found done, and what is made.

Owns the steps of a job, each resumable, and what a finished step spares the next run: a finished model is not
trained again, a committed run is not generated again, and where neither is needed Ray is not started. Their order
is pipelines.run's.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from augment.config import Config
from augment.data.census import Census, refuse_bad, take_census
from augment.data.sources import open_source
from augment.errors import AugmentError, ConfigError, InputError
from augment.gan.hardware import Hardware
from augment.gan.spec import TrainingSpec
from augment.objects import open_store
from augment.store.commit import check_existing, publish
from augment.store.existing import rows_by_label
from augment.store.identity import run_for
from augment.store.models import GatesRecord, ModelFolder, ModelRecord, SourceRecord
from augment.store.reading import open_dataset
from augment.store.records import latest_snapshot
from augment.types import AugmentPlan, ClassCounts, ClassLedger, RunPlan, canonical_json, sha256_hex
from pipelines.after_run import report_run
from pipelines.cluster import Cluster, ray_cluster
from pipelines.describing import describe_newest
from pipelines.gatekeeping import calibrated_gates, gated_classes, known_gates
from pipelines.generate import generate_run
from pipelines.ingest import DecodedImages, ingest, sample_images
from pipelines.look import (
    SAMPLES_A_SIDE,
    load_real_samples,
    make_contact_sheet,
    save_real_samples,
    shown_classes,
)
from pipelines.planning import existing_for, plan_for, why_nothing
from pipelines.precision import native_precision
from pipelines.presets import as_begun, begun_in, put_choices, settled
from pipelines.progress import Progress, log
from pipelines.run_plans import (
    job_of,
    needs_model,
    refuse_empty,
    refuse_unmakeable,
    tell_ledger,
    try_pipelines,
    uses_real_images,
)
from pipelines.sampler_inputs import SamplerInputs
from pipelines.train import fit, pin_training, training_spec

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


@dataclass
class Job:
    """One command's view of a config: what is opened once, and the cluster, started when first needed."""

    config: Config
    progress: Progress
    _stack: ExitStack
    _cluster: Cluster | None = None
    _census: Census | None = None
    _decoded: tuple[DecodedImages, SourceRecord] | None = None

    def __post_init__(self) -> None:
        self.store = open_store(self.config.output.uri)
        self.folder = ModelFolder(self.store, self.config.name)
        self.source = open_source(self.config.source)

    @classmethod
    @contextmanager
    def opened(cls, config: Config, progress: Progress) -> Iterator["Job"]:
        """The job while its cluster, if it starts one, is up."""
        with ExitStack() as stack:
            yield cls(config, progress, stack)

    @property
    def _tops_up(self) -> bool:
        return self.config.output.on_existing == "top-up"

    def cluster(self) -> Cluster:
        """Ray, started once."""
        if self._cluster is None:
            with self.progress.stage("cluster"):
                self._cluster = self._stack.enter_context(ray_cluster(self.config.ray))
        return self._cluster

    def census(self) -> Census:
        """The classes, counted from labels alone, once."""
        if self._census is None:
            with self.progress.stage("census"):
                self._census = take_census(self.source, image=self.config.image)
        return self._census

    def counts(self) -> ClassCounts:
        """Usable images a class: as decoded where the source was decoded before, else as labelled."""
        known = self._known_source()
        if known is None:
            return self.census().counts
        refuse_bad(known.bad, self.config.source)
        return known.counts

    @property
    def is_decoded(self) -> bool:
        """Whether `counts` are of images that could be decoded, not of labels alone."""
        return self._known_source() is not None

    def decoded_counts(self) -> ClassCounts:
        """Usable images a class as decoding finds them, even where all the labels say that nothing is lacking."""
        if self.is_decoded:
            return self.counts()
        self._check_writable()
        self.cluster()
        _, record = self.decoded()
        if self.folder.finished() is None:  # else `trained` compares the source with the model's first
            self.folder.put_source(record)
        return record.counts

    def plan(self, counts: ClassCounts) -> AugmentPlan:
        """The plan; raises where the balance asks for what the classes can't give."""
        plan = plan_for(self.config, counts, existing_for(self.config))
        refuse_unmakeable(self.config, plan)
        return plan

    def refuse_early(self, plan: AugmentPlan) -> None:
        """Stop before hours of work that could not be committed."""
        try_pipelines(self.config, plan)
        model = self.folder.finished() if needs_model(plan) else None
        known = self._known_source()
        generator = model.sha256 if model and plan.rows else None
        check_existing(
            self.store, self._known_run_id(model, known), self.config.output.on_existing, plan, generator
        )

    def _known_run_id(self, model: ModelRecord | None, known: SourceRecord | None) -> str | None:
        """The run's id, where everything that decides it was made before."""
        if known is None:
            return None
        plan = self.plan(known.counts)
        if model is None and needs_model(plan):
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
        return replace(self._result(None, None, {}, None), why_nothing=why)

    def trained(self) -> ModelRecord:
        """The finished model: found, or made."""
        model, known = self.folder.finished(), self._known_source()
        if model is not None and (known is not None or self._tops_up):
            self.settle_finished()
            log.info("train: model %s is finished already", self.config.name)
            return model
        self._check_writable()
        self.settle()
        cluster = self.cluster()
        images, record = self.decoded()
        plan, spec = self.plan(record.counts), self.pin(record)  # before anything is replaced
        save_real_samples(self.folder, sample_images(images, shown_classes(plan), SAMPLES_A_SIDE))
        self.folder.put_source(record)
        if model is not None:
            log.info(
                "train: model %s is finished already: the source's pixels are the same", self.config.name
            )
            return model
        return fit(
            self.config, self.folder, images, spec,
            cluster=cluster, progress=self.progress,
        )  # fmt: skip

    def prepared(self) -> None:
        """What a job without a model needs: a decoded source, and real images to look at."""
        if not self.is_decoded:
            self._check_writable()
            self.cluster()
            images, record = self.decoded()
            plan = self.plan(record.counts)
            save_real_samples(self.folder, sample_images(images, shown_classes(plan), SAMPLES_A_SIDE))
            self.folder.put_source(record)

    def decoded(self) -> tuple[DecodedImages, SourceRecord]:
        """Every image of the source, and what decoding found, once; nothing is stored yet."""
        if self._decoded is None:
            self._decoded = self._decode()
        return self._decoded

    def _decode(self) -> tuple[DecodedImages, SourceRecord]:
        images = ingest(self.source, self.config.source, self.config.image, self.progress)
        for image in images.bad[:20]:
            log.warning("skipped %s: %s", image.name, image.reason)
        record = SourceRecord(
            fingerprint=self._fingerprint(),
            counts=images.counts,
            bad=images.bad,
            decoded_sha256=images.sha256,
            etags=self.census().etags,
        )
        return images, record

    def settle(self) -> None:
        """From here on the config has nothing left open: as its model was begun, else chosen and logged."""
        begun = begun_in(self.folder)
        if begun is None:
            self.config = self._chosen()
        else:
            self.config = as_begun(self.config, begun)
            log.info("preset: what the config leaves open is as in %s/training.json", self.folder.uri)

    def _chosen(self) -> Config:
        """For this data and cluster; stored beside the model."""
        counts, cluster, (least, most) = self.counts(), self.cluster(), self.config.train.worker_range
        cpus = min(cluster.cpus, most * cluster.cpus_per_node)  # a worker lives on one node
        hardware = Hardware(cpus=cpus, gpus=int(cluster.gpus))
        device = cluster.device_for(self.config.train.device, processes=least, field="train.device")
        new = settled(
            self.config, counts, hardware, native_precision=lambda: native_precision(cluster, device)
        )
        for field in new.chosen:
            log.info("preset: %s: %s (%s)", field.name, field.text, field.why)
        for warning in new.warnings:
            log.warning("preset: %s", warning)
        put_choices(self.folder, new, hardware)
        return new.config

    def settle_finished(self) -> None:
        """Hold the config to the finished model of its name; a top-up alone may have another source by now."""
        self.settle()
        begun = begun_in(self.folder)
        if not self._tops_up or begun is None:
            self.pin(self.source_record())
            return
        self._check_classes(begun)
        known = self._known_source() or self._counted_again()
        if known.decoded_sha256 != begun.data_sha256:
            log.warning(
                "train: the source has changed since model %s was trained; the model is used as it is (set `name` "
                "to something new for another one)",
                self.config.name,
            )
        trained_on = {"counts": begun.counts, "data_sha256": begun.data_sha256}
        spec = training_spec(self.config, known, self.folder).model_copy(update=trained_on)
        pin_training(self.folder, spec)

    def _check_classes(self, begun: TrainingSpec) -> None:
        """A model makes samples of the classes that it was trained on; labels and names must be these."""
        here, there = self.census().counts.classes, begun.classes
        if here != there:
            ours, theirs = ({(info.label, info.name) for info in classes} for classes in (here, there))
            raise ConfigError(
                f"the source's classes are not those that model `{self.config.name}` was trained on: new are "
                f"{sorted(ours - theirs) or 'none'}, gone are {sorted(theirs - ours) or 'none'}; set `name` to "
                "something new to train a model of them (train.start_from may begin with this one)"
            )

    def _counted_again(self) -> SourceRecord:
        """What the changed source holds, learned by decoding it; the model stays that of the source before."""
        self._check_writable()
        self.cluster()
        _, record = self.decoded()
        self.folder.put_source(record)
        return record

    def pin(self, source: SourceRecord) -> TrainingSpec:
        """The training of this model's name; ConfigError where the name was begun with something else."""
        spec = training_spec(self.config, source, self.folder)
        pin_training(self.folder, spec)
        return spec

    def _check_writable(self) -> None:
        """Find out now, not after an hour, that nothing can be stored."""
        key = f"{self.folder.root}/writable"
        self.store.put(key, b"")
        self.store.delete(key)

    def source_record(self) -> SourceRecord:
        """What decoding found; the source must not have changed since."""
        known, record = self._known_source(), self.folder.source()
        if known is None and record is not None and record.fingerprint == self._fingerprint():
            raise InputError(
                f"files of {self._written_anew(record)[0]} were written anew since model `{self.config.name}` was "
                "trained, with the same names and sizes; run `augment train` again: it decodes them, and keeps the "
                "model if their pixels are the same"
            )
        if known is None:
            raise InputError(
                f"{self.config.source.where} has changed since model `{self.config.name}` was trained; "
                "set `name` to something new and train again"
            )
        return known

    def generated(self, model: ModelRecord | None) -> RunResult:
        """Shards, manifest, version, card and picture; `model` is None where no class needs one."""
        source = self.source_record()
        if not self.plan(source.counts).rows:
            return self.nothing_to_do()  # as decoded; by its labels alone the source seemed to lack some
        gates = self._gates(model, source)
        plan = self._run_plan(model, source, gates)
        policy = self.config.output.on_existing
        check_existing(self.store, plan.run_id, policy, generator_sha256=plan.generator_sha256)
        manifest = generate_run(
            self.store, plan, lambda: self._inputs(plan, model, gates), self.config.generate, policy,
            self.cluster, self.progress,
        )  # fmt: skip
        refuse_empty(plan, manifest)
        snapshot = publish(self.store, manifest, policy)
        tell_ledger(plan, manifest)
        with self.progress.stage("look"):
            dataset = open_dataset(self.config.output.uri, snapshot.version)
            describe_newest(self.store.uri)
            picture = make_contact_sheet(dataset, plan, load_real_samples(self.folder))
            key = f"_runs/{plan.run_id}/contact_sheet.png"
            self.store.put(key, picture)
        report = self._reported(plan.run_id, snapshot.version, source, gates)
        labelled = rows_by_label(plan, manifest)
        rows = {target.name: labelled[target.label] for target in plan.plan.classes}
        return replace(
            self._result(plan.run_id, snapshot.version, rows, self.store.uri_of(key)),
            report=report,
            ledger=manifest.ledger,
        )

    def _reported(
        self, run_id: str, version: int, source: SourceRecord, gates: GatesRecord | None
    ) -> str | None:
        """The URI of the report; what hinders it is told, for the samples are committed."""
        try:
            return report_run(
                self.config, self.folder, version, run_id, self.images_of(source), gates,
                cluster=self.cluster, progress=self.progress,
            )  # fmt: skip
        except AugmentError as error:
            log.warning("report: not made: %s; version %d is committed all the same", error, version)
            return None

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
        return calibrated_gates(
            self.config, self.folder, plan, self.images_of(source), source.decoded_sha256, model,
            cluster=self.cluster, progress=self.progress,
        )  # fmt: skip

    def images_of(self, source: SourceRecord) -> Callable[[], DecodedImages]:
        """The source's images, decoded when asked for; InputError where their pixels are not what they were."""

        def images() -> DecodedImages:
            self.cluster()
            decoded, record = self.decoded()
            if record.decoded_sha256 != source.decoded_sha256:
                raise InputError(
                    f"the images of {self.config.source.where} are not those that this run was planned for; run the "
                    "same command again"
                )
            return decoded

        return images

    def _inputs(self, run: RunPlan, model: ModelRecord | None, gates: GatesRecord | None) -> SamplerInputs:
        return SamplerInputs(
            run=run,
            store_uri=self.store.uri,
            generator_key=model.key if model and run.generator_sha256 else None,
            gates_key=gates.key if gates else None,
            critic_key=model.critic_key if model and run.gates and run.gates.critic_sha256 else None,
            images=self.images_of(self.source_record())() if uses_real_images(run) else None,
            keep_rejected=self.config.gates.keep_rejected,
        )

    def _run_plan(
        self, model: ModelRecord | None, source: SourceRecord, gates: GatesRecord | None
    ) -> RunPlan:
        job = job_of(
            self.config, self.plan(source.counts), model, gates,
            source_fingerprint=self.census().fingerprint, source_sha256=source.decoded_sha256,
        )  # fmt: skip
        return run_for(self.store, job, self.config.output.on_existing)

    def _fingerprint(self) -> str:
        """Of the source's listing and of everything that decides what decoding gives."""
        source = self.config.source.model_dump(mode="json", exclude={"uri", "on_bad"})
        image = self.config.image.model_dump(mode="json")
        return sha256_hex(canonical_json([self.census().fingerprint, source, image]))

    def _known_source(self) -> SourceRecord | None:
        """What decoding found, as long as names, sizes, labels and etags are those of then."""
        record = self.folder.source()
        if record is None or record.fingerprint != self._fingerprint():
            return None
        return None if self._written_anew(record) else record

    def _written_anew(self, record: SourceRecord) -> list[str]:
        """URIs where a file was written since, though names and sizes are the same; decoding tells if it matters."""
        now = self.census().etags
        return [uri for uri, etag in record.etags.items() if now.get(uri, etag) != etag]

    def _result(
        self, run_id: str | None, version: int | None, rows: dict[str, int], contact_sheet: str | None
    ) -> RunResult:
        known = self._known_source() or (self._decoded[1] if self._decoded else None)
        return RunResult(
            run_id=run_id,
            uri=self.store.uri,
            version=version,
            rows=rows,
            bad_images=len(known.bad if known else self.census().bad),
            seconds=self.progress.seconds,
            contact_sheet=contact_sheet,
        )
