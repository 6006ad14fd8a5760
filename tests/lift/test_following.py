"""The stored recommendation: found again, and refused for every job but the one that it is about."""

from __future__ import annotations

import uuid

import numpy as np
import pytest

from augment.errors import ConfigError, IntegrityError
from augment.lift.arms import ARMS
from augment.lift.comparison import HeldOut
from augment.lift.following import Advice, Basis, Now, making_of, put_advice, stored_advice
from augment.lift.recommendation import recommend
from augment.objects import ObjectStore, open_store
from augment.planning.config import BalanceConfig
from augment.quality.config import GatesConfig
from augment.recipes.config import ClassicConfig, SmoteConfig
from augment.types import ClassCounts, ClassInfo
from tests.lift.common import COUNTS, NAMES, predictions

CLASSES = tuple(ClassInfo(label=k, name=name) for k, name in enumerate(NAMES))
MAKING = making_of(3, {"flip": 1}, 10)
REAL, GAN = (0.95, 0.8, 0.4), (0.95, 0.85, 0.85)


def advice(arm: str = "gan-gated", *, helps: bool = True) -> Advice:
    labels_N = np.repeat(np.arange(3), 300)
    recalls = {"real": REAL, arm: GAN if helps else REAL}
    parts = [
        HeldOut(
            {
                name: predictions(labels_N, recall_K, first + k)
                for k, (name, recall_K) in enumerate(recalls.items())
            },
            labels_N,
        )
        for first in (0, 10)
    ]
    arms = [ARMS["real"], ARMS[arm]]
    found = recommend(arms, *parts, NAMES, np.array(COUNTS))
    assert found.augment == helps
    return Advice(
        question="q",
        basis=Basis(
            name="m", classes=CLASSES, counts=COUNTS, labelled=(41, 20, 8), data_sha256="d", model_sha256="a" * 64,
            gates=GatesConfig(), making=MAKING,
        ),
        arm=ARMS[found.train],
        recommendation=found,
    )  # fmt: skip


def now(**changes: object) -> Now:
    same = Now(
        name="m",
        counts=ClassCounts(classes=CLASSES, counts=COUNTS),
        data_sha256="d",
        model_sha256="a" * 64,
        gates=GatesConfig(),
        making=MAKING,
        on_shortfall="partial",
        balance=BalanceConfig(),
    )
    return same.model_copy(update=changes)


def counts(*numbers: int, names: tuple[str, ...] = NAMES) -> ClassCounts:
    return ClassCounts(
        classes=tuple(ClassInfo(label=k, name=name) for k, name in enumerate(names)), counts=numbers
    )


@pytest.fixture
def store() -> ObjectStore:
    return open_store(f"memory://{uuid.uuid4().hex}/x")


def test_it_is_stored_and_found_again_and_a_newer_one_takes_its_place(store: ObjectStore) -> None:
    put_advice(store, advice(helps=False))
    put_advice(store, advice())
    assert stored_advice(store) == advice()


def test_without_one_the_error_says_what_to_run(store: ObjectStore) -> None:
    with pytest.raises(ConfigError, match=r"there is none at memory.*`augment train` and `augment lift`"):
        stored_advice(store)


def test_a_damaged_one_is_named(store: ObjectStore) -> None:
    store.put("_lift/recommendation.json", b"{}")
    with pytest.raises(IntegrityError, match=r"_lift/recommendation\.json is not a valid recommendation"):
        stored_advice(store)


def test_it_tells_each_class_its_recipe_and_its_total() -> None:
    found = advice()
    assert found.recipes() == {"a": "none", "b": "gan", "c": "gan"}
    assert found.totals(counts(*COUNTS)) == {"a": 40, "b": 40, "c": 40}
    found = advice(helps=False)
    assert set(found.recipes().values()) == {"none"}
    assert found.totals(counts(*COUNTS)) == {"a": 40, "b": 20, "c": 8}


def test_the_job_that_it_was_made_for_may_follow_it_counted_by_labels_or_decoded() -> None:
    advice().refuse_other(now())
    advice().refuse_other(now(counts=counts(41, 20, 8)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_sha256": None}, "there is no finished model 'm' here: run `augment train`"),
        ({"model_sha256": "b" * 64, "name": "n"}, r"another model \('m', aaaaaaaaaaaa…, not 'n', bbbbbbbbbbbb…\)"),
        ({"data_sha256": "e"}, "other training images"),
        ({"data_sha256": None}, "other training images"),
        ({"counts": counts(40, 20, 9)}, "other training images than the source holds now"),
        ({"counts": counts(*COUNTS, names=("a", "b", "d"))}, "other training images"),
        ({"gates": None}, "other gates than these; set `gates` as they were"),
        ({"gates": GatesConfig(label_quantile=0.2)}, "other gates than these"),
        ({"making": making_of(4, {"flip": 1}, 10)}, "made with seed=3, not 4"),
        ({"making": making_of(3, {"flip": 0}, 10)}, r"made with another output\.augmentation"),
        ({"making": making_of(3, None, 10)}, r"made with another output\.augmentation"),
        ({"making": making_of(3, {"flip": 1}, 9)}, r"made with gates\.max_attempts=10, not 9"),
        ({"on_shortfall": "smote"}, r"no samples of gates\.on_shortfall=smote.*set it to partial"),
        ({"balance": BalanceConfig(max_per_class=31)}, r"32 samples of class 'c', and balance\.max_per_class=31"),
        ({"balance": BalanceConfig(max_total=51)}, r"52 samples, and balance\.max_total=51 allows fewer"),
        ({"balance": BalanceConfig(below_min_real="skip")}, r"'c', and balance\.min_real=20 with below_min_real=skip"),
    ],
)  # fmt: skip
def test_any_other_job_is_refused_with_what_differs(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"recipe: auto follows a recommendation, and .*{message}"):
        advice().refuse_other(now(**changes))


def test_samples_that_no_gate_judged_are_not_made_with_gates() -> None:
    with pytest.raises(ConfigError, match=r"gan has samples that no gate judged; set gates\.enabled=false"):
        advice("gan").refuse_other(now())
    ungated = {"gates": None, "making": making_of(3, {"flip": 1}, 2), "on_shortfall": "smote"}
    advice("gan").refuse_other(now(**ungated))


def test_limits_that_cut_nothing_do_no_harm() -> None:
    advice().refuse_other(now(balance=BalanceConfig(max_per_class=32, max_total=52)))


def test_one_that_does_not_say_how_its_samples_were_made_is_not_followed() -> None:
    older = advice().basis.model_copy(update={"making": None})
    with pytest.raises(ConfigError, match="does not say how its samples were made; run `augment lift` again"):
        advice().model_copy(update={"basis": older}).refuse_other(now())


def test_where_nothing_is_to_be_made_neither_gates_nor_the_making_matter() -> None:
    other = {"gates": None, "making": making_of(4, None, 1), "balance": BalanceConfig(max_total=1)}
    advice(helps=False).refuse_other(now(**other))


# ---- a control's own samples --------------------------------------------------------------------------


def of_control(name: str) -> Advice:
    """The recommendation of a control that has samples of its own."""
    labels_N = np.repeat(np.arange(3), 300)
    recalls = {"real": (0.5, 0.5, 0.4), name: (0.9, 0.8, 0.8)}
    predicted = {
        each: predictions(labels_N, recall_K, k) for k, (each, recall_K) in enumerate(recalls.items())
    }
    held_out = HeldOut(predicted, labels_N)
    found = recommend([ARMS[each] for each in recalls], held_out, held_out, NAMES, np.array(COUNTS))
    assert (found.augment, found.train) == (False, name)
    return advice(helps=False).model_copy(update={"arm": ARMS[name], "recommendation": found})


@pytest.mark.parametrize(
    ("control", "recipe"),
    [("duplicates", "duplicate"), ("oversampling", "duplicate"), ("classic", "classic"), ("smote", "smote")],
)
def test_a_recommended_controls_samples_are_followed_class_by_class(control: str, recipe: str) -> None:
    found = of_control(control)
    assert found.recipes() == {"a": "none", "b": recipe, "c": recipe}
    assert found.totals(counts(*COUNTS)) == {"a": 40, "b": 40, "c": 40}
    found.refuse_other(now(gates=None, making=making_of(3, None, 1), on_shortfall="smote"))


def test_repeats_are_judged_by_no_gate_so_gates_may_be_on() -> None:
    of_control("duplicates").refuse_other(now())
    of_control("oversampling").refuse_other(now())


@pytest.mark.parametrize(
    ("control", "changes", "message"),
    [
        ("classic", {}, r"classic has samples that no gate judged; set gates\.enabled=false"),
        ("smote", {}, r"smote has samples that no gate judged; set gates\.enabled=false"),
        ("duplicates", {"making": making_of(4, None, 1)}, "made with seed=3, not 4"),
        (
            "classic",
            {"gates": None, "making": making_of(3, None, 1, ClassicConfig(preset="textures"))},
            "made with another `classic`",
        ),
        (
            "smote",
            {"gates": None, "making": making_of(3, None, 1, smote=SmoteConfig(k_neighbors=2))},
            "made with another `smote`",
        ),
        (
            "smote",
            {"making": making_of(3, None, 1, smote=SmoteConfig(space="features"))},
            r"a run cannot make such; set smote\.space=pixels",
        ),
        ("duplicates", {"balance": BalanceConfig(max_total=51)}, r"balance\.max_total=51 allows fewer"),
        ("duplicates", {"model_sha256": "b" * 64}, "was made for another model"),
    ],
)
def test_a_control_is_not_followed_by_a_job_that_would_make_other_samples(
    control: str, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        of_control(control).refuse_other(now(**changes))


def test_a_control_recommended_before_its_settings_were_kept_is_not_followed() -> None:
    found = of_control("duplicates")
    older = MAKING.model_copy(update={"classic_sha256": None, "smote": None})
    basis = found.basis.model_copy(update={"making": older})
    with pytest.raises(ConfigError, match="does not say how its samples were made"):
        found.model_copy(update={"basis": basis}).refuse_other(now())
