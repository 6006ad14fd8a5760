"""Quality class by class, on patterns that a tiny judge tells apart. No Ray."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from augment.gan.batches import RealImages
from augment.gan.networks.interface import Condition, GeneratorOutput
from augment.gan.spec import TrainingSpec
from augment.gan.state import TrainState, new_state
from augment.gan.supervision import ClassScore, Evaluation
from augment.quality.classifier import Classifier, fit_classifier
from augment.types import ClassInfo
from pipelines.evaluate import Evaluator, describe, measured_classes, samples_a_class, why_not_measured
from tests.gan.common import tiny_spec

COUNTS = (60, 30, 12)
CPU = torch.device("cpu")


def spec_of(counts: tuple[int, ...] = COUNTS, *, model: dict | None = None, **train) -> TrainingSpec:
    base = tiny_spec(model=model, **({"steps": 4_000, "log_every": 20} | train))
    classes = tuple(ClassInfo(label=10 * index, name=f"class {index}") for index in range(len(counts)))
    return base.model_copy(update={"classes": classes, "counts": counts})


def stripes(class_index: int, rows: int, seed: int) -> np.ndarray:
    """Gray stripes, 16×16, whose width is the class's, shifted and noisy: uint8 [n, 16, 16, 1]."""
    rng = np.random.default_rng([seed, class_index])
    phase_n = rng.integers(0, 16, rows)
    column = np.arange(16)[None, :] + phase_n[:, None]
    wave_nW = (column // (2 ** (class_index + 1))) % 2 * 180
    noise = rng.integers(0, 60, (rows, 16, 16))
    return (wave_nW[:, None, :] + noise).astype(np.uint8)[..., None]


@pytest.fixture(scope="module")
def images() -> RealImages:
    pixels = np.concatenate([stripes(index, count, 0) for index, count in enumerate(COUNTS)])
    return RealImages(pixels, np.repeat(np.arange(3), COUNTS).astype(np.int64))


@pytest.fixture(scope="module")
def judge(images: RealImages) -> Classifier:
    return fit_classifier(images.pixels_NHWC, images.class_index_N, 3, seed=0, steps=60, batch_size=32)


class Painter(nn.Module):
    """In the generator's place: paints the class that `of` gives for the class asked for."""

    def __init__(self, of: dict[int, int], seed: int = 1) -> None:
        super().__init__()
        self.of, self.seed = of, seed
        self.asked: list[tuple[Tensor, Tensor]] = []

    def forward(self, z_BD: Tensor, condition: Condition) -> GeneratorOutput:
        self.asked.append((z_BD, condition.class_B))
        images = np.empty((len(z_BD), 16, 16, 1), np.uint8)
        for index in condition.class_B.unique().tolist():
            own = (condition.class_B == index).numpy()
            images[own] = stripes(self.of[index], int(own.sum()), self.seed)
        x_BCHW = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
        return GeneratorOutput(x_BCHW, None, z_BD)


def state_with(ema: nn.Module, spec: TrainingSpec) -> TrainState:
    state = new_state(spec, CPU)
    state.ema, state.step = ema, 40
    return state


def test_images_like_the_real_ones_score_well_and_the_class_that_is_wrong_is_the_worst(images, judge):
    spec = spec_of()
    evaluator = Evaluator(spec, images, judge, device=CPU)
    good = evaluator(state_with(Painter({0: 0, 1: 1, 2: 2}), spec))
    mixed_up = evaluator(state_with(Painter({0: 0, 1: 1, 2: 0}), spec))

    assert (good.step, [one.name for one in good.classes]) == (40, ["class 0", "class 1", "class 2"])
    assert all(one.label_accuracy > 0.9 and one.recall > 0.3 for one in good.classes)
    assert mixed_up.classes[2].label_accuracy < 0.1
    assert mixed_up.classes[2].frechet == mixed_up.worst > 10 * good.worst
    assert mixed_up.classes[0] == good.classes[0]


def test_each_measurement_asks_for_the_same_latents_of_the_same_classes(images, judge):
    spec, painter = spec_of(), Painter({0: 0, 1: 1, 2: 2})
    first = Evaluator(spec, images, judge, device=CPU)(state_with(painter, spec))
    half = len(painter.asked)
    again = Evaluator(spec, images, judge, device=CPU)(state_with(painter, spec))

    assert first == again
    asked = zip(painter.asked[:half], painter.asked[half:], strict=True)
    assert all(torch.equal(one, other) for pair in asked for one, other in zip(*pair, strict=True))
    assert sum(len(z_BD) for z_BD, _ in painter.asked[:half]) == 3 * samples_a_class(spec)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_real_generator_is_measured_in_either_precision(images, judge, precision):
    spec = spec_of(precision=precision)
    evaluation = Evaluator(spec, images, judge, device=CPU)(new_state(spec, CPU))

    assert np.isfinite(evaluation.score)


def test_of_many_classes_the_rarest_half_and_an_even_choice_of_the_others_are_measured():
    counts = tuple(range(100, 20, -1))
    chosen = measured_classes(spec_of(counts, evaluate_classes=8))

    assert chosen == (18, 37, 56, 75, 76, 77, 78, 79)
    assert measured_classes(spec_of(counts, evaluate_classes=80)) == tuple(range(80))
    assert measured_classes(spec_of(counts, evaluate_classes=1)) == (79,)


def test_classes_of_hardly_any_images_are_left_out():
    assert measured_classes(spec_of((60, 7, 8, 0))) == (0, 2)


def test_a_short_training_is_measured_by_fewer_samples():
    assert samples_a_class(spec_of(evaluate_every=100_000)) == 100
    assert samples_a_class(spec_of(evaluate_every=100)) == int(0.2 * 100 * 8) // 3 == 53
    assert samples_a_class(spec_of(evaluate_every=20)) == 10


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (spec_of(evaluate_every=0), "evaluate_every=0"),
        (spec_of(model={"conditional": False}), "conditional=false"),
        (spec_of((60, 0)), "single class"),
        (spec_of((5, 4)), "no class has 8"),
        (spec_of(), None),
    ],
)
def test_why_nothing_is_measured_is_said(spec, reason):
    found = why_not_measured(spec)
    assert (found is None) if reason is None else reason in (found or "")


def test_a_measurement_in_a_line():
    scores = (ClassScore(name="Boot", frechet=1.0), ClassScore(name="Sandal", frechet=7.94))
    evaluation = Evaluation(step=1200, classes=(*scores, ClassScore(name="Bag", frechet=None)))

    line = describe(evaluation, best=True)
    assert line == "step 1,200: intra-class Fréchet mean 4.47, worst 7.94 (Sandal), best so far"
    assert describe(evaluation, best=False).endswith("(Sandal)")
    assert "no class" in describe(evaluation.model_copy(update={"classes": ()}), best=True)
