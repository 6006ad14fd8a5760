"""The trials of a probe that compute: training and generating, each in a process like the one that will do it.

Owns what stands in for what does not exist yet: networks before their first step, labels that are dealt out, gates of
classifiers that are hardly fitted. All take the time that the real ones take. Knows no store; Ray is imported, since
the memory of a process that has it is measured, and not used.

N = images, H, W, C = rows, columns, channels, R = real images kept for reference, K = classes.
"""

import importlib
import itertools
import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from augment.data.images import encode_images
from augment.gan.batches import RealImages
from augment.gan.checkpoint import capture
from augment.gan.generator import export_generator, frozen_generator
from augment.gan.spec import TrainingSpec
from augment.gan.state import new_state, resolve_precision
from augment.gan.treadmill import Treadmill, treadmill
from augment.planning.forecast import GenerateTrial, TrainTrial
from augment.planning.slices import Slices, repeated
from augment.quality.calibration import calibrate
from augment.quality.classifier import Classifier, fit_classifier
from augment.quality.gates import GateKeeper
from augment.recipes.contract import RealImages as RecipeImages
from augment.recipes.making import classic_spec
from augment.sampling.candidates import Candidates, Real
from augment.sampling.gated import fill_shard
from augment.sampling.judged import GATES_OF_RECIPE
from augment.store.commit import make_run_plan
from augment.store.shards import build_shard, planned_marks
from augment.types import ClassInfo, GatesPin, RecipeSpecs, RunPlan, SampleBlock, sha256_hex
from pipelines.evaluate import Evaluator, why_not_measured
from pipelines.judge import BATCH_SIZE, judge_steps
from pipelines.pixels import augmented
from pipelines.probe_records import (
    ProbeOrder,
    SampleImages,
    dealt_out,
    held_bytes,
    peak_bytes,
    spread_order,
)

__all__ = ["generate_trial", "train_trial"]

_MOST_TRAINING_IMAGES = 20_000  # dealt out; more change no step's time
_MOST_GATE_IMAGES = 2_000  # the gates of a probe are calibrated by
_MOST_REFERENCES = 200_000  # of the gates: their memory
_FIT_STEPS = 20  # of a classifier in one slice: making its network is part of it, and must be little
_SLICE_PIXELS = 256 * 32**2  # of the samples of a slice; a whole shard takes too long
_SLICE_ROWS = (32, 256)  # at least and at most
_SHARD_ROWS = 2_000  # of the shard that tells what a row takes beside its image
_MOST_SLICES = 4_096  # different ones
_NO_DIGEST = "0" * 64
# Shares of a trial's time.
_STEPS, _EVALUATIONS, _JUDGE, _GATES, _LOOKS = 0.5, 0.1, 0.15, 0.15, 0.05
_CANDIDATES, _JUDGED, _ENCODING = 0.5, 0.2, 0.2


def train_trial(order: ProbeOrder, images: SampleImages, submitted_s: float) -> TrainTrial:
    """Steps of the training, and of the classifiers that judge it and its samples.

    Raises what a training raises: ConfigError of a batch that leaves a worker without an image, say.
    """
    start_s = time.time() - submitted_s
    importlib.import_module("pipelines.run")
    driver_bytes = (
        held_bytes() - images.pixels_NHWC.nbytes
    )  # what a driver has imported, and nothing done yet
    torch.set_num_threads(order.threads)
    device = torch.device("cuda" if order.on_gpu else "cpu")
    true = _spec(order, tuple(target.real for target in order.plan.classes))
    pixels_NHWC, class_index_N = dealt_out(images, len(order.plan.classes), most=_MOST_TRAINING_IMAGES)
    real = RealImages(pixels_NHWC, class_index_N)
    spec = _spec(order, tuple(np.bincount(class_index_N, minlength=len(order.plan.classes)).tolist()))
    measured = why_not_measured(true) is None
    classifiers = _Classifiers(order, real, spec, device, order.seconds)
    with treadmill(spec, real, world_size=order.world_size, device=device) as mill:
        step_s = repeated(mill.steps, _STEPS * order.seconds)
        look_s = repeated(mill.look, _LOOKS / 2 * order.seconds)
        snapshot_s = repeated(mill.snapshot, _LOOKS / 2 * order.seconds)
        evaluation_s = _evaluations(spec, real, mill, classifiers, device) if measured else None
        capture(mill.state).files()  # a worker holds one while it is uploaded
    peak = peak_bytes()  # before the classifiers, which are fitted in processes of their own
    every = true.train.resolved_evaluate_every
    return TrainTrial(
        images=len(pixels_NHWC),
        held_images=len(pixels_NHWC) + len(images.pixels_NHWC),
        step_s=step_s,
        look_s=look_s,
        snapshot_s=snapshot_s,
        evaluation_s=evaluation_s,
        evaluations=math.ceil(true.train.budget_steps / every) if measured else 0,
        judge_step_s=classifiers.judge_steps() if measured else None,
        judge_steps=judge_steps(true) if measured else 0,
        gates_step_s=classifiers.gates_steps() if order.has_gates else None,
        gates_look_s=classifiers.looks() if order.has_gates else None,
        start_s=start_s,
        peak_bytes=peak,
        driver_bytes=driver_bytes,
    )


def generate_trial(order: ProbeOrder, images: SampleImages, submitted_s: float) -> GenerateTrial:
    """Candidates drawn and judged, and images encoded into shards, as one actor and one task do it."""
    start_s = time.time() - submitted_s
    torch.set_num_threads(1)  # as an actor's
    device = torch.device("cuda" if order.on_gpu else "cpu")
    pixels_NHWC, class_index_N = dealt_out(images, len(order.plan.classes), most=_MOST_GATE_IMAGES)
    keeper = _keeper(order, pixels_NHWC, class_index_N, device) if order.has_gates else None
    with ExitStack() as stack:
        filling = _Filling(order, pixels_NHWC, class_index_N, keeper, device, stack)
        candidate_s = repeated(filling.fill, _CANDIDATES * order.seconds)
        judged_s = repeated(filling.judge, _JUDGED * order.seconds) if keeper is not None else None
    encoding = _Encoding(order, pixels_NHWC)
    encode_s = repeated(encoding.encode, _ENCODING * order.seconds)
    return GenerateTrial(
        candidate_s=candidate_s,
        judged_s=judged_s,
        encode_s=encode_s,
        row_bytes=encoding.row_bytes(order),
        shard_rows=encoding.rows,
        start_s=start_s,
        peak_bytes=peak_bytes(),
    )


def _spec(order: ProbeOrder, counts: tuple[int, ...]) -> TrainingSpec:
    config = order.config
    return TrainingSpec(
        model=config.model,
        train=config.train,
        image=config.image.shape,
        classes=tuple(ClassInfo(label=target.label, name=target.name) for target in order.plan.classes),
        counts=counts,
        seed=config.seed,
        data_sha256=_NO_DIGEST,
    )


class _Classifiers:
    """The judge of a training and those of the gates, fitted for a few steps at a time."""

    def __init__(
        self, order: ProbeOrder, real: RealImages, spec: TrainingSpec, device: torch.device, seconds: float
    ) -> None:
        self._order, self._real, self._spec, self._device = order, real, spec, device
        self.seconds = seconds

    def judge(self) -> Classifier:
        """The full network, as a training's judge has it."""
        precision = resolve_precision(self._spec.train.precision, self._device)
        return self._fitted(light=False, batch_size=BATCH_SIZE, bf16=precision == "bf16")

    def gates_member(self) -> Classifier:
        """The light one."""
        return self._fitted(light=True, batch_size=self._order.config.gates.batch_size, bf16=False)

    def judge_steps(self) -> Slices:
        """Steps of the judge."""
        return repeated(lambda: self._steps(self.judge), _JUDGE * self.seconds)

    def gates_steps(self) -> Slices:
        """Steps of a classifier of the gates."""
        return repeated(lambda: self._steps(self.gates_member), 0.8 * _GATES * self.seconds)

    def looks(self) -> Slices:
        """Images that one of them looks at."""
        member, some_NHWC = self.gates_member(), self._real.pixels_NHWC[:512]

        def look() -> float:
            member.look(some_NHWC)
            return len(some_NHWC)

        return repeated(look, 0.2 * _GATES * self.seconds)

    def _steps(self, fit: Callable[[], Classifier]) -> float:
        fit()
        return _FIT_STEPS

    def _fitted(self, *, light: bool, batch_size: int, bf16: bool) -> Classifier:
        train = self._spec.train
        return fit_classifier(
            self._real.pixels_NHWC,
            self._real.class_index_N,
            len(self._spec.classes),
            seed=self._spec.seed,
            steps=_FIT_STEPS,
            batch_size=batch_size,
            horizontal_flip=train.horizontal_flip,
            vertical_flip=train.vertical_flip,
            network_size="light" if light else "full",
            precision="bf16" if bf16 else "fp32",
            device=self._device,
        )


def _evaluations(
    spec: TrainingSpec, real: RealImages, mill: Treadmill, classifiers: _Classifiers, device: torch.device
) -> Slices:
    evaluator = Evaluator(spec, real, classifiers.judge(), device=device)

    def evaluate() -> float:
        evaluator(mill.state)
        return 1

    return repeated(evaluate, _EVALUATIONS * classifiers.seconds)


def _keeper(
    order: ProbeOrder,
    pixels_NHWC: npt.NDArray[np.uint8],
    class_index_N: npt.NDArray[np.int64],
    device: torch.device,
) -> GateKeeper:
    """Gates whose classifiers are hardly fitted, with as many references as the real ones will have."""
    config, classes = order.config, order.plan.classes
    limits = config.gates.limits.model_copy(update={"steps": 1, "discriminator_quantile": 0.0})
    keeper = calibrate(
        pixels_NHWC,
        class_index_N,
        len(classes),
        limits,
        config.seed,
        judged_classes=[
            index for index, one in enumerate(classes) if one.synthetic and GATES_OF_RECIPE[one.recipe]
        ],
        horizontal_flip=config.train.horizontal_flip,
        vertical_flip=config.train.vertical_flip,
        device=device,
    )
    return _grown(keeper, [target.real for target in classes])


def _grown(keeper: GateKeeper, counts_K: list[int]) -> GateKeeper:
    """The same gates with each class's references repeated until there are as many as it has real images."""
    references = keeper.parts.references
    judged = np.unique(references.class_index_R).tolist()
    shrink = min(1.0, _MOST_REFERENCES / max(1, sum(counts_K[index] for index in judged)))
    taken = []
    for index in judged:
        rows = references.rows(index)
        wanted = max(1, round(shrink * counts_K[index]))
        taken.append(rows.start + np.arange(wanted) % (rows.stop - rows.start))
    rows_R = np.concatenate(taken)
    grown = replace(
        references,
        class_index_R=references.class_index_R[rows_R],
        position_R=references.position_R[rows_R],
        features_ERF=references.features_ERF[:, rows_R],
        middle_RD=references.middle_RD[rows_R],
    )
    return GateKeeper(replace(keeper.parts, references=grown))


class _Filling:
    """The plan's own samples, in small shards from all over it, one candidate each."""

    def __init__(
        self,
        order: ProbeOrder,
        pixels_NHWC: npt.NDArray[np.uint8],
        class_index_N: npt.NDArray[np.int64],
        keeper: GateKeeper | None,
        device: torch.device,
        stack: ExitStack,
    ) -> None:
        self._run = _run(order, _slice_rows(order), gated=keeper is not None)
        self._keeper = keeper
        self._shards = itertools.cycle(spread_order(self._run.plan.num_shards)[:_MOST_SLICES])
        self._pixels_NHWC, self._class_index_N = pixels_NHWC, class_index_N
        if keeper is not None:
            own_N = np.isin(class_index_N, keeper.judged_classes)
            self._pixels_NHWC, self._class_index_N = pixels_NHWC[own_N], class_index_N[own_N]
        generator = None
        if any(target.synthetic and target.recipe == "gan" for target in order.plan.classes):
            data = export_generator(new_state(_spec(order, (1,) * len(order.plan.classes)), device))
            opening = frozen_generator(
                data, sha256=sha256_hex(data), device=device, batch_size=order.plan.batch_size
            )
            generator = stack.enter_context(opening)
        self._candidates = Candidates(
            self._run, generator, self._real(order, pixels_NHWC, class_index_N, keeper)
        )

    def _real(
        self,
        order: ProbeOrder,
        pixels_NHWC: npt.NDArray[np.uint8],
        class_index_N: npt.NDArray[np.int64],
        keeper: GateKeeper | None,
    ) -> Real:
        classes = tuple(ClassInfo(label=target.label, name=target.name) for target in order.plan.classes)
        features_NF = None
        if keeper is not None and order.config.smote.space == "features":
            features_NF = keeper.parts.ensemble.look(pixels_NHWC).features_ENF[0]
        names = [f"image {number}" for number in range(len(pixels_NHWC))]
        return Real(RecipeImages(pixels_NHWC, class_index_N, classes), names, features_NF)

    def fill(self) -> float:
        """One small shard: how many candidates were drawn."""
        spec = self._run.plan.shard(next(self._shards))
        fill_shard(self._run, spec, self._candidates, self._keeper)
        return spec.rows

    def judge(self) -> float:
        """As many real images judged as a slice has candidates; they are as much work."""
        assert self._keeper is not None  # noqa: S101  # asked only where there are gates
        rows = np.arange(min(self._run.plan.shard_rows, len(self._pixels_NHWC)))
        self._keeper.judge(self._pixels_NHWC[rows], self._class_index_N[rows])
        return len(rows)


class _Encoding:
    """Shards of real images: how a generator's will look is not known, and noise takes longer."""

    def __init__(self, order: ProbeOrder, pixels_NHWC: npt.NDArray[np.uint8]) -> None:
        self._run = _run(order, _slice_rows(order), gated=False)
        self._spec = self._run.plan.shard(0)
        self.rows = self._spec.rows
        pixels_BHWC = pixels_NHWC[np.arange(self.rows) % len(pixels_NHWC)]
        self._block = SampleBlock(self._spec, pixels_BHWC, planned_marks(self._run.plan, self._spec))

    def encode(self) -> float:
        """One small shard's bytes: how many images."""
        images = encode_images(augmented(self._block, self._run), self._run.image_format)
        build_shard(self._run, self._spec, images)
        return self.rows

    def row_bytes(self, order: ProbeOrder) -> float:
        """What a row takes in a shard's file beside its image: its columns, and its part of the footer."""
        run = _run(order, min(_SHARD_ROWS, order.plan.shard_rows), gated=False)
        spec = run.plan.shard(0)
        few = encode_images(self._block.pixels_BHWC[: _SLICE_ROWS[0]], run.image_format)
        images = [few[row % len(few)] for row in range(spec.rows)]
        return (len(build_shard(run, spec, images)) - sum(map(len, images))) / spec.rows


def _slice_rows(order: ProbeOrder) -> int:
    """Samples of a slice: few where images are large; a GPU's pass is not cut."""
    least, most = _SLICE_ROWS
    rows = min(most, max(least, _SLICE_PIXELS // order.plan.image.size**2))
    if order.on_gpu:
        rows = max(rows, order.plan.batch_size)
    return min(rows, order.plan.shard_rows)


def _run(order: ProbeOrder, shard_rows: int, *, gated: bool) -> RunPlan:
    """The run that the plan asks for, cut into smaller shards; with gates, one candidate is drawn for each sample."""
    config, used = order.config, {target.recipe for target in order.plan.classes if target.synthetic}
    augmentation = config.output.augmentation
    assert not isinstance(augmentation, str)  # noqa: S101  # load_config read the file
    pin = GatesPin(sha256=_NO_DIGEST, max_attempts=1, on_shortfall="partial")
    return make_run_plan(
        order.plan.model_copy(update={"shard_rows": shard_rows}),
        generator_sha256=_NO_DIGEST,
        image_format=config.output.image_format,
        augmentation=augmentation,
        versions={},
        recipes=RecipeSpecs(
            classic=classic_spec(config.classic) if "classic" in used else None,
            smote=config.smote.model_dump(mode="json") if "smote" in used else None,
        ),
        gates=pin if gated else None,
    )
