"""Noise, a memorising copier, one class's images under another's label: the gates refuse each, and lift says no.

Each is asked twice: without gates its arm is trained and does not win; with gates there is nothing to train on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from augment.lift.arms import ARMS
from augment.lift.config import LiftConfig
from augment.lift.images import LabelledImages, LiftData
from augment.lift.supply import Supplied, Supply, supplied
from augment.lift.trial import run_trial
from augment.lift.verdict import ArmTrials, Asked, Verdict, verdict
from augment.quality.gates import GATES, GateKeeper
from tests.quality.common import striped_images
from tests.quality.gate_cases import keeper_of, noise

COUNTS = (48, 24, 24, 12)
NAMES = ("a", "b", "c", "d")
GAPS = np.array(COUNTS).max() - np.array(COUNTS)
CONFIG = LiftConfig(steps=24, batch_size=16, precision="fp32", seeds=2)
ASKED = ("real", "duplicates", "gan", "gan-gated")


@dataclass(frozen=True)
class Useless:
    """A generator's samples, class after class, and the gates that may refuse them first."""

    samples: LabelledImages
    refused_by: set[str]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def labelled(counts: tuple[int, ...], seed: int) -> LabelledImages:
    return LabelledImages(*striped_images(counts, size=16, seed=seed))


TRAINING = labelled(COUNTS, 0)


@pytest.fixture(scope="module")
def keeper(_one_thread: None) -> GateKeeper:
    return keeper_of(TRAINING.pixels_NHWC, TRAINING.class_index_N, discriminator_quantile=0.0)


def copied() -> LabelledImages:
    """The training images of each class, one after another and again."""
    rows = [np.resize(np.flatnonzero(TRAINING.class_index_N == index), gap) for index, gap in enumerate(GAPS)]
    positions = np.concatenate(rows)
    return LabelledImages(TRAINING.pixels_NHWC[positions], TRAINING.class_index_N[positions])


def useless(name: str) -> Useless:
    classes = np.repeat(np.arange(4), GAPS)
    if name == "noise":
        return Useless(LabelledImages(noise(len(classes)), classes), {"label", "in-distribution-features"})
    if name == "copier":
        return Useless(copied(), {"near-copy-pixels", "near-copy-features"})
    other = labelled((40,) * 4, 77)
    pixels = [
        other.pixels_NHWC[other.class_index_N == (index + 1) % 4][:gap] for index, gap in enumerate(GAPS)
    ]
    return Useless(LabelledImages(np.concatenate(pixels), classes), {"label"})


def answered(generator: Useless, known: Supplied) -> Verdict:
    """The verdict over the arms that there is something to train on for."""
    data = LiftData(
        NAMES, TRAINING, labelled((25,) * 4, 1), labelled((25,) * 4, 2),
        {"gan": generator.samples, "duplicate": copied()},
    )  # fmt: skip
    trials = []
    for arm in known.arms:
        runs = [run_trial(arm, data, CONFIG, seed) for seed in range(CONFIG.seeds)]
        validation_SNK, test_SNK = (
            np.stack([getattr(one, part) for one in runs]) for part in ("validation_NK", "test_NK")
        )
        trials.append(ArmTrials(arm, validation_SNK, test_SNK, 0.0))
    asked = Asked(
        NAMES, data.counts_K, data.validation.class_index_N, data.test.class_index_N, (0, 1), CONFIG,
        known.narrowed, known.untried,
    )  # fmt: skip
    return verdict(asked, trials)


@pytest.mark.parametrize("name", ["noise", "copier", "another class's images"])
def test_a_useless_generator_passes_no_gate_and_lift_says_dont_augment(keeper: GateKeeper, name: str) -> None:
    generator = useless(name)
    verdicts = keeper.judge(generator.samples.pixels_NHWC, generator.samples.class_index_N)
    refused = Counter(GATES[gate] for gate in verdicts.refused_by_B.tolist() if gate >= 0)
    assert set(refused) <= generator.refused_by
    assert sum(refused.values()) == len(generator.samples.class_index_N)

    there = {"gan": Supply(GAPS), "duplicate": Supply(GAPS), "gan-gated": Supply(np.zeros(4, np.int64))}
    known = supplied([ARMS[one] for one in ASKED], np.array(COUNTS), NAMES, there)
    assert [one.arm for one in known.untried] == ["gan-gated"]
    found = answered(generator, known).recommendation
    assert (found.augment, found.chosen) == (False, "gan")
    assert {one.recipe for one in found.classes} == {"none"}
    if name == "copier":  # what copies do, duplicates do without a generator: to the last bit
        assert found.on_test is not None
        assert found.on_test.estimate <= 0


def test_where_gates_leave_nothing_and_no_other_arm_is_generated_the_answer_says_so() -> None:
    there = {"gan-gated": Supply(np.zeros(4, np.int64), {3: "refused by label 360"})}
    known = supplied([ARMS["real"], ARMS["gan-gated"]], np.array(COUNTS), NAMES, there)
    found = answered(useless("noise"), known).recommendation
    assert not found.augment
    assert found.reason.startswith("no arm with generated samples was tried: gan-gated: ")
    assert "'d' has 0 of 36 samples (refused by label 360)" in found.reason
