"""The stored recommendation: found again, and refused for every job but the one that it is about."""

from __future__ import annotations

import uuid

import numpy as np
import pytest

from augment.errors import ConfigError, IntegrityError
from augment.lift.arms import ARMS
from augment.lift.following import Advice, Basis, Now, put_advice, stored_advice
from augment.lift.recommendation import HeldOut, recommend
from augment.objects import ObjectStore, open_store
from augment.quality.config import GatesConfig
from augment.types import ClassCounts, ClassInfo
from tests.lift.common import COUNTS, NAMES, predictions

CLASSES = tuple(ClassInfo(label=k, name=name) for k, name in enumerate(NAMES))
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
            gates=GatesConfig(),
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
    ],
)  # fmt: skip
def test_any_other_job_is_refused_with_what_differs(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"recipe: auto follows a recommendation, and .*{message}"):
        advice().refuse_other(now(**changes))


def test_samples_that_no_gate_judged_are_not_made_with_gates() -> None:
    with pytest.raises(ConfigError, match=r"gan has samples that no gate judged; set gates\.enabled=false"):
        advice("gan").refuse_other(now())
    advice("gan").refuse_other(now(gates=None))


def test_where_nothing_is_to_be_made_gates_do_not_matter() -> None:
    advice(helps=False).refuse_other(now(gates=None))
