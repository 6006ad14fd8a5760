import numpy as np
import pytest

from augment.recipes.config import SmoteConfig
from augment.recipes.making import preset_spec
from augment.sampling.candidates import Candidates
from augment.types import RecipeSpecs
from tests.sampling.common import (
    Asked,
    TalkingGenerator,
    asked_of,
    candidates_of,
    plan_of,
    real_of,
    run_of,
)

ALL = (("gan", 5), ("classic", 5), ("duplicate", 5), ("smote", 5), ("none", 0))
SPECS = RecipeSpecs(classic=preset_spec("textures"), smote=SmoteConfig(k_neighbors=2).model_dump(mode="json"))
SOURCES = {"gan": 0, "classic": 1, "duplicate": 1, "smote": 2}  # real images that a sample is made from


@pytest.fixture(scope="module")
def plan():
    return plan_of(*ALL, size=16)


@pytest.fixture(scope="module")
def real(plan):
    return real_of(plan)


def opened(plan, real):
    return Candidates(run_of(plan, recipes=SPECS), TalkingGenerator(size=16), real)


def asked(rng, count):
    """Class index, sample index and attempt of candidates of all recipes, in no order."""
    class_index_S = rng.integers(0, 4, count)
    return class_index_S, 10 * class_index_S + rng.integers(0, 5, count), rng.integers(0, 4, count)


def test_each_class_is_made_by_its_own_recipe(plan, real):
    class_index_S, sample_index_S, attempt_S = asked(np.random.default_rng(0), 40)
    drawn = opened(plan, real).draw(class_index_S, sample_index_S, attempt_S)
    for row, class_index in enumerate(class_index_S.tolist()):
        recipe = plan.classes[class_index].recipe
        assert len(drawn.source_images_S[row]) == SOURCES[recipe]
        if recipe == "gan":
            assert asked_of(drawn.pixels_SHWC[row]) == Asked(
                class_index, int(sample_index_S[row]), int(attempt_S[row])
            )


def test_the_images_that_are_named_are_those_that_a_sample_was_made_from(plan, real):
    pixels_of = dict(zip(real.names_N, real.images.pixels_NHWC, strict=True))
    indices = np.arange(5)
    doubles = opened(plan, real).draw(np.full(5, 2), 20 + indices, np.zeros(5, np.int64))
    for pixels, (name,) in zip(doubles.pixels_SHWC, doubles.source_images_S, strict=True):
        assert name.startswith("class 2/")
        np.testing.assert_array_equal(pixels, pixels_of[name])
    between = opened(plan, real).draw(np.full(5, 3), 30 + indices, np.zeros(5, np.int64))
    for pixels, names in zip(between.pixels_SHWC, between.source_images_S, strict=True):
        assert all(name.startswith("class 3/") for name in names)
        one, other = (pixels_of[name].astype(int) for name in names)
        low, high = np.minimum(one, other), np.maximum(one, other)  # SMOTE stays between the two
        assert ((low <= pixels) & (pixels <= high)).all()


def test_a_candidate_is_the_same_in_any_company(plan, real):
    rng = np.random.default_rng(1)
    columns = asked(rng, 60)
    whole = opened(plan, real).draw(*columns)
    candidates = opened(plan, real)  # one for all parts: what it drew before must not matter
    order = rng.permutation(60)
    for rows in (order[:1], order[:0], order[1:9], order[9:45], order[45:], order):
        part = candidates.draw(*(column[rows] for column in columns))
        np.testing.assert_array_equal(part.pixels_SHWC, whole.pixels_SHWC[rows])
        assert part.source_images_S == tuple(whole.source_images_S[row] for row in rows.tolist())


@pytest.mark.parametrize("class_index", [0, 1, 2, 3], ids=[recipe for recipe, _ in ALL[:4]])
def test_another_attempt_is_another_candidate(plan, real, class_index):
    sample = np.full(4, 10 * class_index + 2)
    drawn = opened(plan, real).draw(np.full(4, class_index), sample, np.arange(4))
    assert len({pixels.tobytes() for pixels in drawn.pixels_SHWC}) == 4


def test_a_recipe_that_is_given_makes_samples_of_every_class(plan, real):
    class_index_S, sample_index_S, attempt_S = asked(np.random.default_rng(2), 20)
    drawn = opened(plan, real).draw(class_index_S, sample_index_S, attempt_S, "duplicate")
    for class_index, sources in zip(class_index_S.tolist(), drawn.source_images_S, strict=True):
        (name,) = sources
        assert name.startswith(f"class {class_index}/")


def test_neighbours_in_features_are_other_pairs_than_neighbours_in_pixels():
    plan = plan_of(("smote", 40), size=16, real=30)
    indices = (np.zeros(40, np.int64), np.arange(40), np.zeros(40, np.int64))
    pairs = {}
    for space, features in (("pixels", None), ("features", 3)):
        smote = SmoteConfig(k_neighbors=1, space=space).model_dump(mode="json")
        run = run_of(plan, recipes=RecipeSpecs(smote=smote))
        pairs[space] = candidates_of(run, real=real_of(plan, features)).draw(*indices).source_images_S
    firsts = [{pair[0] for pair in chosen} for chosen in pairs.values()]
    assert firsts[0] == firsts[1]
    assert pairs["pixels"] != pairs["features"]


def test_what_a_recipe_needs_and_does_not_have_is_said(plan, real):
    run = run_of(plan, recipes=SPECS)
    one = (np.array([3]), np.array([30]), np.array([0]))
    with pytest.raises(ValueError, match="no real images were given"):
        Candidates(run, None, None).draw(*one)
    generated = (np.array([0]), np.array([0]), np.array([0]))
    with pytest.raises(ValueError, match="no generator was given"):
        Candidates(run, None, real).draw(*generated)
    smote = SmoteConfig(space="features").model_dump(mode="json")
    with pytest.raises(ValueError, match=r"smote\.space=features"):
        Candidates(run_of(plan, recipes=RecipeSpecs(smote=smote)), None, real).draw(*one)


def test_a_generator_of_another_plan_is_refused_when_candidates_are_opened(plan, real):
    class Stranger(TalkingGenerator):
        def check(self, plan):
            raise LookupError(plan.plan_id)

    with pytest.raises(LookupError, match=plan.plan_id):
        Candidates(run_of(plan), Stranger(), real)
