"""The gates on real images that nothing was fitted on, and on three useless generators."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import binom

from augment.errors import ConfigError, InputError, IntegrityError
from augment.quality.gates import GATES, GateKeeper
from augment.types import sha256_hex
from tests.quality.gate_cases import COUNTS, copies, heldout_images, keeper_of, noise, real_images

LABEL, DISTANCE = GATES.index("label"), GATES.index("in-distribution-features")
FAR_PIXELS = GATES.index("in-distribution-pixels")
COPY_GATES = [GATES.index("near-copy-pixels"), GATES.index("near-copy-features")]
DISCRIMINATOR = GATES.index("discriminator")


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def keeper(_one_thread):
    return keeper_of(*real_images())


# ---- who passes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("class_index", range(len(COUNTS)))
def test_held_out_real_images_are_refused_at_about_the_nominal_rate_or_less(keeper, class_index):
    """A limit from m scores is itself uncertain: its own mass below has a standard deviation √(q (1 - q) / m)."""
    pixels, true_class = heldout_images(300)
    own = true_class == class_index
    verdicts = keeper.judge(pixels[own], true_class[own])
    config = keeper.info.config
    m = COUNTS[class_index]
    limits = keeper.parts.limits
    refused = (verdicts.scores_BG < limits.low_KG[class_index]) | (
        verdicts.scores_BG > limits.high_KG[class_index]
    )
    copy, far = config.copy_quantile / 2, config.distance_quantile / 2
    nominal = [copy, copy, config.label_quantile, far, far]
    for gate, q in enumerate(nominal):
        most = q * (m + config.prior_images) / m
        most += 3 * np.sqrt(most * (1 - most) / m)
        assert refused[:, gate].sum() <= binom(300, most).ppf(0.999), GATES[gate]


def test_gates_refuse_some_real_images_where_they_are_asked_to_refuse_many():
    keeper = keeper_of(*real_images(), copy_quantile=0.4, label_quantile=0.3, distance_quantile=0.4)
    pixels, class_index = heldout_images(200)
    verdicts = keeper.judge(pixels, class_index)
    limits = keeper.parts.limits
    refused = (verdicts.scores_BG < limits.low_KG[class_index]) | (
        verdicts.scores_BG > limits.high_KG[class_index]
    )
    large = class_index < 2
    # No ensemble comes into pixels: the rate is the nominal one on both sides.
    for gate in (0, FAR_PIXELS):
        assert 0.12 < refused[large, gate].mean() < 0.28
    assert (refused[large].mean(0)[[LABEL, DISTANCE]] > 0.02).all()
    assert (refused[large].mean(0)[[LABEL, DISTANCE]] < 0.38).all()


# ---- who does not -------------------------------------------------------------------------------------


def test_noise_is_refused_by_the_label_or_the_distance(keeper):
    class_index = np.repeat(np.arange(4), 50)
    verdicts = keeper.judge(noise(200), class_index)
    assert not verdicts.accepted_B.any()
    assert set(np.unique(verdicts.refused_by_B).tolist()) <= {LABEL, DISTANCE, FAR_PIXELS}
    for gate in (DISTANCE, FAR_PIXELS):
        assert (verdicts.scores_BG[:, gate] > keeper.parts.limits.high_KG[class_index, gate]).all()


def test_noise_is_refused_by_its_distance_even_where_its_label_is_not_asked(keeper):
    low_KG = keeper.parts.limits.low_KG.copy()
    low_KG[:, LABEL] = -np.inf
    blind = GateKeeper(replace(keeper.parts, limits=replace(keeper.parts.limits, low_KG=low_KG)))
    assert (blind.judge(noise(200), np.repeat(np.arange(4), 50)).refused_by_B == DISTANCE).all()


@pytest.mark.parametrize("how", ["exact", "noisy", "shifted", "shifted and noisy"])
def test_a_memorising_copier_is_refused_as_such(keeper, how):
    pixels, class_index = real_images()
    verdicts = keeper.judge(copies(pixels, how), class_index)
    assert np.isin(verdicts.refused_by_B, COPY_GATES).all()
    np.testing.assert_array_equal(verdicts.nearest_position_B, np.arange(len(pixels)))
    assert sum(verdicts.refusals().values()) == len(pixels)


def test_one_classs_images_under_anothers_label_are_refused_by_the_label(keeper):
    pixels, class_index = heldout_images(60)
    for shift in (1, 2, 3):
        verdicts = keeper.judge(pixels, (class_index + shift) % 4)
        assert (verdicts.refused_by_B == LABEL).mean() > 0.99
        assert not verdicts.accepted_B.any()


# ---- what a verdict depends on ------------------------------------------------------------------------


def test_a_verdict_depends_on_the_candidate_alone_to_the_last_bit(keeper):
    real, class_index = heldout_images(45)
    pixels = np.concatenate([real, noise(30)])
    class_index = np.concatenate([class_index, np.arange(30) % 4])
    whole = keeper.judge(pixels, class_index)
    order = np.random.default_rng(0).permutation(len(pixels))
    moved = keeper.judge(pixels[order], class_index[order])
    parts = [keeper.judge(pixels[i : i + 7], class_index[i : i + 7]) for i in range(0, len(pixels), 7)]
    alone = keeper.judge(pixels[-1:], class_index[-1:])
    for name in ("refused_by_B", "scores_BG", "nearest_position_B"):
        expected = getattr(whole, name)
        np.testing.assert_array_equal(getattr(moved, name), expected[order])
        np.testing.assert_array_equal(np.concatenate([getattr(part, name) for part in parts]), expected)
        np.testing.assert_array_equal(getattr(alone, name), expected[-1:])


def test_no_candidate_gives_no_verdict(keeper):
    verdicts = keeper.judge(np.empty((0, 16, 16, 1), np.uint8), np.empty(0, np.int64))
    assert verdicts.scores_BG.shape == (0, len(GATES))
    assert sum(verdicts.refusals().values()) == len(verdicts.accepted_B) == 0
    assert keeper.repeats(0).refuse(np.empty((0, 16, 16, 1), np.uint8), verdicts.features_EBF).shape == (0,)


def test_candidates_of_another_kind_or_class_are_refused(keeper):
    pixels, class_index = heldout_images(2)
    with pytest.raises(InputError, match=r"uint8 images \[B, 16, 16, 1\], not uint8 \[8, 8, 16, 1\]"):
        keeper.judge(pixels[:, ::2], class_index)
    with pytest.raises(InputError, match="8 candidates have"):
        keeper.judge(pixels, class_index[:3])
    with pytest.raises(InputError, match=r"classes \[4\]"):
        keeper.judge(pixels, class_index + 1)


# ---- repeats among the generated ----------------------------------------------------------------------


def repeats(keeper, pixels, class_index, *, at_a_time=1000):
    """Which of these accepted candidates are refused, given so many at a time."""
    features = keeper.judge(pixels, np.full(len(pixels), class_index)).features_EBF
    group, found = keeper.repeats(class_index), []
    for first in range(0, len(pixels), at_a_time):
        rows = slice(first, first + at_a_time)
        found.append(group.refuse(pixels[rows], features[:, rows]))
    return np.concatenate(found)


def test_repeated_samples_are_refused_and_others_are_not(keeper):
    pixels, class_index = heldout_images(40)
    own = pixels[class_index == 1]
    changed = copies(own[:10], "shifted and noisy")
    found = repeats(keeper, np.concatenate([own, changed, own[:5]]), 1)
    assert not found[:40].any()
    assert found[40:].all()


def test_a_collapsed_generator_gives_one_sample(keeper):
    pixels, _ = heldout_images(1)
    found = repeats(keeper, copies(np.repeat(pixels[:1], 300, axis=0), "noisy"), 0)
    assert not found[0]
    assert found[1:].all()


def test_repeats_do_not_depend_on_how_many_are_given_at_a_time():
    strict = keeper_of(*real_images(), duplicate_quantile=0.4, steps=1)
    pixels, class_index = heldout_images(150)
    own = pixels[class_index == 0]
    whole = repeats(strict, own, 0)
    assert 10 < whole.sum() < 140
    for at_a_time in (1, 7, 64, 65):
        np.testing.assert_array_equal(repeats(strict, own, 0, at_a_time=at_a_time), whole)


def test_repeats_of_a_class_that_is_not_judged_are_not_known(keeper):
    with pytest.raises(InputError, match=r"classes \[4\]"):
        keeper.repeats(4)


# ---- the discriminator --------------------------------------------------------------------------------


def test_a_discriminators_scores_are_judged_by_each_classs_own_real_ones(keeper):
    _, class_index = real_images()
    real_scores = np.random.default_rng(0).normal(size=len(class_index)) + 100.0 * class_index
    with_it = keeper.with_discriminator(real_scores, class_index)
    assert with_it.uses_discriminator
    assert not keeper.uses_discriminator
    pixels, true_class = heldout_images(30)
    plain = keeper.judge(pixels, true_class)
    good = with_it.judge(pixels, true_class, discriminator_B=100.0 * true_class)
    np.testing.assert_array_equal(good.accepted_B, plain.accepted_B)
    bad = with_it.judge(pixels, true_class, discriminator_B=100.0 * true_class - 50)
    assert not bad.accepted_B[true_class < 2].any()
    assert bad.refusals()["discriminator"] >= plain.accepted_B[true_class < 2].sum()
    unknown = with_it.judge(pixels, true_class, discriminator_B=np.full(len(pixels), np.nan))
    assert not unknown.accepted_B.any()
    recorded = keeper.judge(pixels, true_class, discriminator_B=np.full(len(pixels), 7.0))
    assert (recorded.scores_BG[:, DISCRIMINATOR] == 7).all()
    np.testing.assert_array_equal(recorded.accepted_B, plain.accepted_B)


def test_a_constant_added_to_all_scores_of_a_class_changes_no_verdict(keeper):
    """The relativistic loss leaves it open: it looks at differences within a class alone."""
    _, class_index = real_images()
    pixels, true_class = heldout_images(30)
    random = np.random.default_rng(0)
    real, candidate = random.normal(size=len(class_index)), random.normal(-1, 1, len(true_class))
    offset_K = np.array([64.0, -32, 4, -128])
    plain = keeper.with_discriminator(real, class_index)
    moved = keeper.with_discriminator(real + offset_K[class_index], class_index)
    np.testing.assert_allclose(
        moved.parts.limits.low_KG[:, DISCRIMINATOR],
        plain.parts.limits.low_KG[:, DISCRIMINATOR] + offset_K,
        rtol=1e-5,
    )
    expected = plain.judge(pixels, true_class, discriminator_B=candidate)
    found = moved.judge(pixels, true_class, discriminator_B=candidate + offset_K[true_class])
    np.testing.assert_array_equal(found.refused_by_B, expected.refused_by_B)
    assert 0 < expected.refusals()["discriminator"] < len(true_class)


def test_scores_that_are_missing_or_do_not_fit_are_refused(keeper):
    _, class_index = real_images()
    scores = np.zeros(len(class_index))
    with_it = keeper.with_discriminator(scores, class_index)
    pixels, true_class = heldout_images(1)
    with pytest.raises(InputError, match="pass discriminator_B"):
        with_it.judge(pixels, true_class)
    with pytest.raises(InputError, match=r"4 candidates have \[3\] discriminator scores"):
        with_it.judge(pixels, true_class, discriminator_B=np.zeros(3))
    with pytest.raises(InputError, match=r"classes \[3\] has a discriminator score"):
        keeper.with_discriminator(scores[class_index < 3], class_index[class_index < 3])
    for wrong in (scores[1:], np.full(len(scores), np.nan)):
        with pytest.raises(InputError, match="finite scores"):
            keeper.with_discriminator(wrong, class_index)
    off = keeper_of(*real_images(), discriminator_quantile=0.0, steps=1)
    with pytest.raises(ConfigError, match="discriminator_quantile=0"):
        off.with_discriminator(scores, class_index)


# ---- the file -----------------------------------------------------------------------------------------


def test_a_keeper_comes_back_from_its_file_to_the_last_bit(keeper):
    _, class_index = real_images()
    scored = keeper.with_discriminator(np.arange(len(class_index)) / 7, class_index)
    data = scored.to_bytes()
    back = GateKeeper.from_bytes(data, sha256=sha256_hex(data))
    assert back.info == scored.info
    assert back.judged_classes == (0, 1, 2, 3)
    assert back.uses_discriminator
    assert back.to_bytes() == data
    pixels, true_class = heldout_images(20)
    expected = scored.judge(pixels, true_class, discriminator_B=np.ones(80))
    found = back.judge(pixels, true_class, discriminator_B=np.ones(80))
    np.testing.assert_array_equal(found.scores_BG, expected.scores_BG)
    np.testing.assert_array_equal(found.refused_by_B, expected.refused_by_B)
    np.testing.assert_array_equal(found.features_EBF, expected.features_EBF)
    again = back.repeats(0)
    assert not again.refuse(pixels[:1], found.features_EBF[:, :1]).any()
    assert again.refuse(pixels[:1], found.features_EBF[:, :1]).all()


def test_another_digest_is_refused_before_anything_is_parsed(keeper):
    data = keeper.to_bytes()
    with pytest.raises(IntegrityError, match="refusing to open"):
        GateKeeper.from_bytes(data[:-1] + b"x", sha256=sha256_hex(data))


@pytest.mark.parametrize("data", [b"", b"not a file", struct.pack("<Q", 2) + b"{}"])
def test_a_file_of_something_else_is_refused(data):
    with pytest.raises(IntegrityError, match="not a file of quality gates"):
        GateKeeper.from_bytes(data, sha256=sha256_hex(data))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header: header["keeper"].update(class_count=9), "do not fit 9 classes"),
        (lambda header: header["member_sha256s"].append("0" * 64), "do not fit their header"),
        (lambda header: header.update(gates=["label"]), r"has the gates \['label'\]"),
        (lambda header: header.update(format_version=2), "not a file of quality gates"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(keeper, change, message):
    data = keeper.to_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    ours = json.loads(header["__metadata__"]["augment.gates"])
    change(ours)
    header["__metadata__"]["augment.gates"] = json.dumps(ours)
    text = json.dumps(header).encode()
    forged = struct.pack("<Q", len(text)) + text + data[8 + length :]
    with pytest.raises(IntegrityError, match=message):
        GateKeeper.from_bytes(forged, sha256=sha256_hex(forged))
