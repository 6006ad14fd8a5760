"""Repeats against the rule, worked out pair by pair from distances that scipy gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from augment.quality.config import GatesConfig
from augment.quality.gate_records import KeeperInfo
from augment.quality.pixel_views import middle_views, shifted_views
from augment.quality.repeats import Repeats
from augment.types import ImageShape

SIZE, MEMBERS, FEATURES = 12, 2, 5
DISTANCE_PIXELS, DISTANCE_FEATURES = 150.0, 0.6


def info(**flips):
    flips = {"horizontal_flip": False, "vertical_flip": False} | flips
    image = ImageShape(size=SIZE, channels=1)
    return KeeperInfo(config=GatesConfig(), image=image, class_count=1, seed=0, **flips)


def nothing_kept(*, pixels=DISTANCE_PIXELS, features=DISTANCE_FEATURES, **flips):
    real, real_features = crowd(20, seed=9)
    return Repeats(
        info(**flips), middle_views(real), real_features, most_pixels=pixels, most_features=features
    )


def crowd(count, seed):
    """Images and features of which some are near to others."""
    random = np.random.default_rng(seed)
    base = random.integers(0, 256, (12, SIZE, SIZE, 1))
    pixels = base[random.integers(0, 12, count)] + random.normal(
        0, random.choice([2, 30]), (count, SIZE, SIZE, 1)
    )
    features = random.normal(size=(MEMBERS, 30, FEATURES))[:, random.integers(0, 30, count)]
    features += random.normal(0, 0.2, features.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8), features.astype(np.float32)


def by_the_rule(pixels, features, *, most_pixels=DISTANCE_PIXELS, most_features=DISTANCE_FEATURES):
    views, middles = shifted_views(pixels), middle_views(pixels)
    kept, repeats = [], []
    for row in range(len(pixels)):
        near = False
        for other in kept:
            in_features = np.mean([cdist(each[[row]], each[[other]])[0, 0] for each in features])
            near |= cdist(views[row], middles[[other]]).min() < most_pixels or in_features < most_features
        repeats.append(near)
        if not near:
            kept.append(row)
    return np.array(repeats, bool)


@given(seed=st.integers(0, 10**6), count=st.integers(0, 90))
@settings(max_examples=15, deadline=None)
def test_what_is_near_an_earlier_kept_one_repeats_it_and_nothing_else_does(seed, count):
    pixels, features = crowd(count, seed)
    np.testing.assert_array_equal(nothing_kept().refuse(pixels, features), by_the_rule(pixels, features))


@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 150), max_size=6))
@settings(max_examples=25, deadline=None)
def test_it_does_not_matter_in_how_many_rounds_candidates_are_given(seed, cuts):
    pixels, features = crowd(150, seed)
    whole = nothing_kept().refuse(pixels, features)
    group, found = nothing_kept(), []
    for rows in np.split(np.arange(150), sorted(cuts)):
        found.append(group.refuse(pixels[rows], features[:, rows]))
    np.testing.assert_array_equal(np.concatenate(found), whole)
    assert 0 < whole.sum() < 150


def test_either_measure_is_enough():
    pixels, features = crowd(60, seed=5)
    for off in ({"pixels": -np.inf}, {"features": -np.inf}):
        limits = {f"most_{name}": value for name, value in off.items()}
        found = nothing_kept(**off).refuse(pixels, features)
        np.testing.assert_array_equal(found, by_the_rule(pixels, features, **limits))
        assert 0 < found.sum() < 60


@pytest.mark.parametrize("flips", [{}, {"horizontal_flip": True}, {"vertical_flip": True}])
def test_a_mirrored_image_repeats_where_mirroring_is_allowed(flips):
    pixels = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 1)).astype(np.uint8)
    features = np.random.default_rng(0).normal(10, 100, (MEMBERS, 10, FEATURES)).astype(np.float32)
    mirrored = pixels[:, ::-1] if "vertical_flip" in flips else pixels[:, :, ::-1]
    found = nothing_kept(**flips).refuse(np.concatenate([pixels, mirrored]), features)
    assert not found[:5].any()
    assert (found[5:] == bool(flips)).all()
