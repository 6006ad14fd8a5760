"""Which class has which recipe, and what is said of names that are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import ConfigError, InputError
from augment.recipes.choosing import choose_recipes, refuse_impossible
from augment.types import ClassInfo, ClassTarget
from tests.recipes.common import CLASSES

NAMES = ("gan", "classic", "duplicate", "smote", "none")


@pytest.mark.parametrize("recipe", NAMES)
def test_one_word_is_the_recipe_of_all_classes(recipe: str) -> None:
    assert choose_recipes(recipe, CLASSES) == (recipe,) * 3


@given(st.dictionaries(st.sampled_from([info.name for info in CLASSES]), st.sampled_from(NAMES)))
def test_a_map_is_followed_and_other_classes_have_gan(choice: dict[str, str]) -> None:
    recipes = choose_recipes(choice, CLASSES)
    assert recipes == tuple(choice.get(info.name, "gan") for info in CLASSES)


def test_auto_follows_the_recommendation_in_the_order_of_the_classes() -> None:
    recommended = {"coat": "none", "bag": "classic", "boot": "gan"}
    assert choose_recipes("auto", CLASSES, recommended) == ("classic", "gan", "none")


@pytest.mark.parametrize(
    ("choice", "recommended", "message"),
    [
        ({"boots": "classic"}, None, r"recipe: the source has no class 'boots'; did you mean 'boot'\?"),
        ({"Bag": "classic"}, None, r"no class 'Bag'; did you mean 'bag'\?"),
        ({"xyzzy": "smote"}, None, r"no class 'xyzzy'; the classes are 'bag', 'boot', 'coat'$"),
        ("auto", None, r"recipe: auto follows a recommendation, and there is none; run `augment lift` first"),
        ("auto", {"bag": "gan"}, r"says nothing of 'boot', 'coat'; run `augment lift` again"),
        (
            "auto",
            {"bag": "gan", "boot": "gan", "coat": "gan", "hat": "gan"},
            r"recommendation for other classes: the source has no class 'hat'",
        ),
    ],
)
def test_a_name_that_is_no_class_is_a_config_error(
    choice: str | dict[str, str], recommended: dict[str, str] | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        choose_recipes(choice, CLASSES, recommended)


def test_all_unknown_names_are_listed_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        choose_recipes({"boots": "gan", "bags": "none", "coat": "none"}, CLASSES)
    assert len(str(caught.value).splitlines()) == 2


def test_a_long_list_of_classes_is_cut() -> None:
    classes = [ClassInfo(label=label, name=f"class-{label}") for label in range(50)]
    with pytest.raises(ConfigError) as caught:
        choose_recipes({"xyzzy": "none"}, classes)
    assert str(caught.value).endswith("'class-19', …")


# ---- what can't be made -------------------------------------------------------------------------------


def target(name: str, real: int, synthetic: int) -> ClassTarget:
    return ClassTarget(label=0, name=name, real=real, target=real + synthetic)


def test_classes_with_too_few_images_for_their_recipe_are_all_named() -> None:
    targets = [target("one", 1, 5), target("two", 2, 5), target("zero", 0, 5), target("full", 1, 0)]
    with pytest.raises(InputError) as caught:
        refuse_impossible(targets, ["smote", "smote", "duplicate", "smote"])
    first, second = str(caught.value).splitlines()
    assert first.startswith("recipe: smote needs 2 real image(s)")
    assert "'one' has 1; set it to classic or duplicate" in first
    assert "'zero' has 0; set it to none" in second


@pytest.mark.parametrize("recipe", ["gan", "classic", "duplicate"])
def test_one_image_is_enough_for_the_others(recipe: str) -> None:
    refuse_impossible([target("one", 1, 5)], [recipe])
    refuse_impossible([target("zero", 0, 5)], ["none"])
