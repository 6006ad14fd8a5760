"""SMOTE: imbalanced-learn's samples from imbalanced-learn's choices, and scikit-learn's neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from imblearn.over_sampling import SMOTE
from scipy.stats import chisquare, kstest
from sklearn.neighbors import NearestNeighbors

from augment.errors import InputError
from augment.recipes import smote
from augment.recipes.contract import RealImages
from augment.recipes.smote import Smote, interpolated, nearest_neighbours
from tests.recipes.common import CLASSES, made, real_images


def test_a_sample_lies_a_share_of_the_way_to_the_neighbour() -> None:
    base, neighbour = (
        np.full((3, 1, 1, 1), 40, np.uint8),
        np.array([240, 0, 41], np.uint8).reshape(3, 1, 1, 1),
    )
    mixed = interpolated(base, neighbour, np.array([0.25, 0.5, 0.999]))
    assert mixed.ravel().tolist() == [90, 20, 41]


@pytest.mark.parametrize("k", [1, 3, 5])
def test_imbalanced_learns_choices_give_imbalanced_learns_samples(k: int) -> None:
    images = real_images((40, 14, 9))
    points_NF = images.pixels_NHWC.reshape(63, -1).astype(np.float64)
    theirs_NF, labels_N = SMOTE(
        sampling_strategy={1: 40}, k_neighbors=k, random_state=11
    ).fit_resample(points_NF, images.class_index_N)  # fmt: skip
    assert (labels_N[63:] == 1).all()

    draws = np.random.RandomState(11)  # the draws of BaseSMOTE._make_samples, in its order
    pair_B, share_B = draws.randint(low=0, high=14 * k, size=26), draws.uniform(size=26)
    base_B, which_B = np.divmod(pair_B, k)
    neighbour_B = Smote(images, 0, k).neighbours(1)[base_B, which_B]
    ours_BHWC = interpolated(images.of_class(1, base_B), images.of_class(1, neighbour_B), share_B)
    np.testing.assert_array_equal(ours_BHWC.reshape(26, -1), np.rint(theirs_NF[63:]))


def test_a_recipes_sample_lies_between_the_two_images_that_it_names() -> None:
    images = real_images(channels=3)
    samples = made(Smote(images, 4, k_neighbors=3), 2, range(60))
    base_BHWC, other_BHWC = (images.of_class(2, source_B) for source_B in samples.source_index_B2.T)
    assert (samples.pixels_BHWC >= np.minimum(base_BHWC, other_BHWC)).all()
    assert (samples.pixels_BHWC <= np.maximum(base_BHWC, other_BHWC)).all()
    neighbours_Mk = Smote(images, 4, k_neighbors=3).neighbours(2)
    assert all(other in neighbours_Mk[base] for base, other in samples.source_index_B2)


def test_all_pairs_are_as_likely_and_all_places_between_them() -> None:
    # Images of one pixel, 0 and 255: of two, each is the other's neighbour, and a sample's pixel is its place.
    images = RealImages(np.array([0, 255], np.uint8).reshape(2, 1, 1, 1), np.zeros(2, np.int64), CLASSES)
    samples = made(Smote(images, 0), 0, range(4000))
    base_B = samples.source_index_B2[:, 0]
    assert chisquare(np.bincount(base_B)).pvalue > 0.01
    place_B = samples.pixels_BHWC.ravel() / 255
    assert kstest(np.where(base_B == 0, place_B, 1 - place_B), "uniform").pvalue > 0.01


# ---- neighbours ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("points", [np.uint8, np.float32])
def test_neighbours_are_scikit_learns(points: type) -> None:
    rng = np.random.default_rng(2)
    points_MF = (
        rng.integers(0, 256, (80, 30), np.uint8)
        if points is np.uint8
        else rng.normal(size=(80, 30)).astype(points)
    )
    theirs = NearestNeighbors(n_neighbors=7, algorithm="brute").fit(points_MF.astype(np.float64))
    np.testing.assert_array_equal(nearest_neighbours(points_MF, 7), theirs.kneighbors(return_distance=False))


@given(
    points_MF=hnp.arrays(
        np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=st.integers(0, 3)
    ),
    k=st.integers(1, 14),
    block_values=st.integers(1, 40),
)
def test_ties_go_to_the_lower_index_and_blocks_change_nothing(
    points_MF: np.ndarray, k: int, block_values: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smote, "_BLOCK_VALUES", block_values)
        found = nearest_neighbours(points_MF, k).tolist()
    wide_MF = points_MF.astype(int)
    for point, neighbours in enumerate(found):
        others = [other for other in range(len(wide_MF)) if other != point]
        others.sort(key=lambda other, point=point: (((wide_MF[other] - wide_MF[point]) ** 2).sum(), other))
        assert neighbours == others[:k]


def test_a_copy_of_an_image_is_its_neighbour() -> None:
    points_MF = np.array([[9, 9], [0, 0], [9, 9]], np.uint8)
    assert nearest_neighbours(points_MF, 1).tolist() == [[2], [0], [0]]


def test_neighbours_in_feature_space_are_those_of_the_features_and_pixels_are_mixed() -> None:
    images = real_images((6, 3, 3))
    features_NF = np.zeros((12, 2))
    rows_M = images.rows_of(0)
    features_NF[rows_M, 0] = [0, 10, 20, 1, 11, 21]  # pairs: 0-3, 1-4, 2-5
    recipe = Smote(images, 0, k_neighbors=1, features_NF=features_NF)
    assert recipe.neighbours(0).ravel().tolist() == [3, 4, 5, 0, 1, 2]
    samples = made(recipe, 0, range(20))
    for sample, (base, other) in zip(samples.pixels_BHWC, samples.source_index_B2, strict=True):
        low, high = np.sort(images.pixels_NHWC[rows_M[[base, other]]], axis=0)
        assert ((sample >= low) & (sample <= high)).all()


def test_a_class_of_fewer_than_k_plus_one_images_has_all_others_as_neighbours() -> None:
    images = real_images((3, 2, 9))
    recipe = Smote(images, 0, k_neighbors=5)
    assert [sorted(row) for row in recipe.neighbours(0).tolist()] == [[1, 2], [0, 2], [0, 1]]
    assert recipe.neighbours(1).tolist() == [[1], [0]]
    assert recipe.neighbours(2).shape == (9, 5)


def test_a_single_image_has_nothing_to_go_to() -> None:
    with pytest.raises(
        InputError, match=r"class 'bag' has a single real image.* set its recipe to classic or duplicate"
    ):
        made(Smote(real_images((1, 3, 3)), 0), 0, [0])


@pytest.mark.parametrize(
    ("k", "features", "message"),
    [
        (0, None, "k_neighbors=0"),
        (5, np.zeros((3, 2)), r"25 images have features \[3, 2\]"),
        (5, np.zeros(25), r"25 images have features \[25\]"),
        (5, np.full((25, 2), np.nan), "finite"),
    ],
)
def test_features_that_are_not_the_images_are_our_own_error(
    k: int, features: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Smote(real_images(), 0, k, features)
