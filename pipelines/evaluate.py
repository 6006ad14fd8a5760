"""Quality class by class while training runs: samples of the averaged generator, as the judge sees them.

Owns which classes are measured, by how many samples, and the words for what came of it. The judge is a
classifier of the user's own real images (augment.quality), so distances are in the features that tell these
classes apart. What a measurement means for the run is augment.gan.supervision's. Knows no Ray and no store.

n = samples a class, B = samples, N = real images, K = measured classes, D = latent.
"""

import numpy as np
import numpy.typing as npt
import torch

from augment.gan.batches import RealImages
from augment.gan.networks.interface import Condition
from augment.gan.spec import TrainingSpec
from augment.gan.state import HALF, TrainState, resolve_precision
from augment.gan.supervision import ClassScore, Evaluation
from augment.quality.classifier import Classifier
from augment.quality.per_class import class_references, score_classes
from augment.seeds import normals, stream_id

__all__ = ["Evaluator", "describe", "measured_classes", "samples_a_class", "why_not_measured"]

FEWEST_REAL = 8  # images of a class: of fewer, a distance says more of them than of the generator
MOST_REAL = 500  # of a class, whose features the reference is made from
FEWEST_SAMPLES = 10  # of a class
SAMPLES_SHARE = 0.2  # at most this many images are generated for one that training shows between measurements
_TILE = 100  # samples a forward pass


def measured_classes(spec: TrainingSpec) -> tuple[int, ...]:
    """Indices of the classes that are measured; of more than `evaluate_classes`, the rarest half and an even
    choice of the others.
    """
    able = [index for index, count in enumerate(spec.counts) if count >= FEWEST_REAL]
    most = spec.train.evaluate_classes
    if len(able) <= most:
        return tuple(able)
    by_count = sorted(able, key=lambda index: (spec.counts[index], index))
    rarest, others = by_count[: most - most // 2], by_count[most - most // 2 :]
    chosen = [others[position * len(others) // (most // 2)] for position in range(most // 2)]
    return tuple(sorted(rarest + chosen))


def why_not_measured(spec: TrainingSpec) -> str | None:
    """Why this training's quality is not measured; None where it is."""
    if not spec.train.resolved_evaluate_every:
        return "train.evaluate_every=0"
    if not spec.model.conditional:
        return "model.conditional=false makes images of no class"
    if sum(count > 0 for count in spec.counts) < 2:
        return "a single class leaves nothing to tell apart"
    if not measured_classes(spec):
        return f"no class has {FEWEST_REAL} real images"
    return None


def samples_a_class(spec: TrainingSpec) -> int:
    """`evaluate_samples`, or fewer where generating them would cost too much beside a short training."""
    shown = spec.train.resolved_evaluate_every * spec.train.batch_size
    affordable = int(SAMPLES_SHARE * shown / len(measured_classes(spec)))
    return min(spec.train.evaluate_samples, max(FEWEST_SAMPLES, affordable))


class Evaluator:
    """Measures the same latents of the same classes each time, so that two measurements can be compared."""

    def __init__(
        self, spec: TrainingSpec, images: RealImages, judge: Classifier, *, device: torch.device
    ) -> None:
        self._spec, self._judge, self._device = spec, judge, device
        self._half = HALF[resolve_precision(spec.train.precision, device)]
        classes_K = measured_classes(spec)
        samples = samples_a_class(spec)
        chosen_N = _real_images(images, classes_K)
        # As many real ones as samples: recall depends on both numbers.
        self._references = class_references(
            judge.features(images.pixels_NHWC[chosen_N]), images.class_index_N[chosen_N], classes_K,
            most_kept=samples,
        )  # fmt: skip
        self._class_B = np.repeat(np.asarray(classes_K, dtype=np.int64), samples)
        self._z_BD = np.concatenate([_latents(spec, index, samples) for index in classes_K])

    def __call__(self, state: TrainState) -> Evaluation:
        """Quality of the averaged generator as it now is."""
        look = self._judge.look(self._samples(state))
        scores = score_classes(self._references, look.features_NF, look.probability_NK, self._class_B)
        names = [self._spec.classes[score.class_index].name for score in scores]
        return Evaluation(
            step=state.step,
            classes=tuple(
                ClassScore(
                    name=name,
                    frechet=score.frechet,
                    recall=score.recall,
                    label_accuracy=score.label_accuracy,
                )
                for name, score in zip(names, scores, strict=True)
            ),
        )

    @torch.inference_mode()
    def _samples(self, state: TrainState) -> npt.NDArray[np.uint8]:
        """uint8 [B, H, W, C], in the precision that training computes in: cheap, and precise enough to judge."""
        blocks = []
        for first in range(0, len(self._z_BD), _TILE):
            tile = slice(first, first + _TILE)
            z_BD, class_B = (
                torch.from_numpy(rows[tile]).to(self._device) for rows in (self._z_BD, self._class_B)
            )
            with torch.autocast(self._device.type, self._half, enabled=self._half is not None):
                x_BCHW = state.ema(z_BD, Condition(class_B)).image_BCHW
            pixels_BCHW = ((x_BCHW.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
            blocks.append(pixels_BCHW.permute(0, 2, 3, 1).cpu().numpy())
        return np.concatenate(blocks)


def describe(evaluation: Evaluation, *, best: bool) -> str:
    """A line for the log: "step 1,200: intra-class Fréchet mean 3.1, worst 7.9 (Sandal), best so far"."""
    measured = [one for one in evaluation.classes if one.frechet is not None]
    if not measured:
        return f"step {evaluation.step:,}: no class could be measured"
    worst = max(measured, key=lambda one: one.frechet or 0.0)
    return (
        f"step {evaluation.step:,}: intra-class Fréchet mean {evaluation.mean:.3g}, worst {evaluation.worst:.3g} "
        f"({worst.name}){', best so far' if best else ''}"
    )


def _real_images(images: RealImages, classes_K: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Positions of at most MOST_REAL images of each class, evenly spaced in their order."""
    chosen = []
    for index in classes_K:
        own_N = np.flatnonzero(images.class_index_N == index)
        kept = min(len(own_N), MOST_REAL)
        chosen.append(own_N[np.arange(kept) * len(own_N) // kept])
    return np.concatenate(chosen)


def _latents(spec: TrainingSpec, class_index: int, samples: int) -> npt.NDArray[np.float32]:
    stream = stream_id("train.evaluation", spec.classes[class_index].label)
    return normals(spec.seed, stream, 0, samples, spec.model.latent_dim)
