"""A shard filled by real gates on a generator that is sometimes right: the same however and wherever it is filled."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import numpy as np
import pytest
import torch

from augment.quality.calibration import calibrate
from augment.quality.config import GatesConfig
from augment.quality.gates import GATES
from augment.recipes.config import SmoteConfig
from augment.recipes.contract import RealImages
from augment.recipes.making import preset_spec
from augment.sampling import gated
from augment.sampling.candidates import Real
from augment.sampling.gated import REPEAT, fill_shard
from augment.types import ClassInfo, RecipeSpecs, sha256_hex
from tests.quality.common import striped_images
from tests.sampling.common import TalkingGenerator, candidates_of, plan_of, run_of

PIXEL_COPY, FEATURE_COPY = GATES[:2]
SPECS = RecipeSpecs(classic=preset_spec("textures"), smote=SmoteConfig().model_dump(mode="json"))
REAL = (40, 24, 12)


class Painter:
    """Stands for a generator that has learned: stripes like the real ones, noise, copies and repeats among them."""

    def __init__(self, real_pixels, real_class):
        self.real = [real_pixels[real_class == class_index] for class_index in range(len(REAL))]

    def check(self, plan):
        """Any plan is right."""

    def __call__(self, seed, class_index_B, sample_index_B, attempt_B):
        rows = zip(class_index_B.tolist(), sample_index_B.tolist(), attempt_B.tolist(), strict=True)
        return np.stack([self._painted(*row) for row in rows])

    def _painted(self, class_index, sample_index, attempt):
        rng = np.random.default_rng([class_index, sample_index, attempt])
        kind = rng.random()
        if kind < 0.2:
            return rng.integers(0, 256, (16, 16, 1)).astype(np.uint8)
        if kind < 0.4:
            return self.real[class_index][sample_index % REAL[class_index]]
        seed = 1_000 if kind < 0.6 else int(rng.integers(2_000, 9_000))
        return striped_images((1,) * len(REAL), size=16, seed=seed)[0][
            striped_images((1,) * len(REAL), size=16, seed=seed)[1].argsort()[class_index]
        ]


@pytest.fixture(scope="module")
def real():
    pixels, class_index = striped_images(REAL, size=16, seed=0)
    classes = tuple(ClassInfo(label=5 + index, name=f"class {index}") for index in range(len(REAL)))
    return Real(RealImages(pixels, class_index, classes), [f"{row}.png" for row in range(len(pixels))])


@pytest.fixture(scope="module")
def keeper(real):
    config = GatesConfig(folds=2, steps=40, batch_size=32)
    return calibrate(real.images.pixels_NHWC, real.images.class_index_N, len(REAL), config, seed=0)


@pytest.fixture(scope="module")
def striped_run():
    plan = plan_of(("gan", 14), ("gan", 9), ("smote", 5), size=16, real=12, shard_rows=10)
    return run_of(plan, max_attempts=4, on_shortfall="duplicate", recipes=SPECS)


def filled_by_real_gates(run, shards, real, keeper):
    candidates = candidates_of(run, Painter(real.images.pixels_NHWC, real.images.class_index_N), real)
    return {index: fill_shard(run, run.plan.shard(index), candidates, keeper) for index in shards}


def same(one, other):
    assert one.block.spec == other.block.spec
    assert one.block.marks == other.block.marks
    np.testing.assert_array_equal(one.block.pixels_BHWC, other.block.pixels_BHWC)
    assert one.ledger == other.ledger


@pytest.fixture(scope="module")
def in_order(striped_run, real, keeper):
    return filled_by_real_gates(striped_run, range(3), real, keeper)


def test_real_gates_let_some_pass_and_refuse_others(in_order):
    summed = Counter()
    for filling in in_order.values():
        for one in filling.ledger.classes:
            assert one.accepted + sum(one.refused.values()) == one.drawn
            summed.update(accepted=one.accepted, refused=sum(one.refused.values()), **one.refused)
    assert summed["accepted"] >= 14
    assert summed["refused"] >= 5
    assert summed[PIXEL_COPY] + summed[FEATURE_COPY] >= 2
    assert summed[REPEAT] >= 1


def test_a_shard_is_the_same_alone_after_others_and_in_any_order(striped_run, real, keeper, in_order):
    alone = filled_by_real_gates(striped_run, [2], real, keeper)
    backwards = filled_by_real_gates(striped_run, [2, 1, 0], real, keeper)
    same(alone[2], in_order[2])
    for index, filling in in_order.items():
        same(backwards[index], filling)


@pytest.mark.parametrize("ahead", [(1, 1), (100, 9)], ids=["one attempt a round", "many"])
def test_a_shard_is_the_same_in_other_batches(striped_run, real, keeper, in_order, ahead):
    with patch.object(gated, "_ROUND", ahead[0]), patch.object(gated, "_MOST_AHEAD", ahead[1]):
        for index, filling in filled_by_real_gates(striped_run, range(3), real, keeper).items():
            same(filling, in_order[index])


def test_a_shard_is_the_same_in_threads_and_with_more_of_torchs(striped_run, real, keeper, in_order):
    data = keeper.to_bytes()

    def fill(index):
        own = type(keeper).from_bytes(data, sha256=sha256_hex(data))
        return filled_by_real_gates(striped_run, [index], real, own)[index]

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with ThreadPoolExecutor(3) as pool:
            for index, filling in enumerate(pool.map(fill, range(3))):
                same(filling, in_order[index])
    finally:
        torch.set_num_threads(threads)


def test_pictures_near_real_ones_are_refused_as_copies_of_a_generator_alone(real, keeper):
    """The same samples between real images: a recipe's may pass, a generator's may not."""
    plan = plan_of(("gan", 0), ("gan", 0), ("smote", 12), size=16, real=12)
    run = run_of(plan, max_attempts=1, recipes=SPECS)
    made = fill_shard(run, plan.shard(0), candidates_of(run, real=real), keeper, keep_rejected=20)
    refused = set(made.ledger.classes[0].refused)
    assert not refused & {PIXEL_COPY, FEATURE_COPY, REPEAT}
    assert made.ledger.classes[0].accepted >= 6

    class Copier(TalkingGenerator):
        def __call__(self, seed, class_index_B, sample_index_B, attempt_B):
            return made.block.pixels_BHWC[np.arange(len(class_index_B)) % len(made.block.pixels_BHWC)]

    as_generated = run_of(plan_of(("gan", 0), ("gan", 0), ("gan", 12), size=16, real=12), max_attempts=1)
    filling = fill_shard(
        as_generated, as_generated.plan.shard(0), candidates_of(as_generated, Copier(), real), keeper
    )
    copies = sum(filling.ledger.classes[0].refused.get(gate, 0) for gate in (PIXEL_COPY, FEATURE_COPY))
    assert copies > 0
