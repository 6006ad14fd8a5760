"""augment.planning.policy: imbalanced-learn's vocabulary, and limits that are said aloud."""

import random
import typing
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from imblearn.utils import check_sampling_strategy

from augment.errors import ConfigError, InputError
from augment.planning.config import BalanceConfig
from augment.planning.policy import STRATEGIES, targets, topped_up
from augment.types import ClassCounts, ClassInfo, ClassTarget, ExistingRows

NAMES = ["auto", "minority", "not minority", "not majority", "all"]
sizes = st.lists(st.integers(1, 80), min_size=2, max_size=7)
strategy_names = st.sampled_from(NAMES)


def counts_of(*counts: int) -> ClassCounts:
    classes = tuple(ClassInfo(label=label, name=f"c{label}") for label in range(len(counts)))
    return ClassCounts(classes=classes, counts=counts)


def balance(**fields: Any) -> BalanceConfig:
    return BalanceConfig(**{"min_real": 1, **fields})


def synthetic(found: tuple[ClassTarget, ...]) -> list[int]:
    return [target.synthetic for target in found]


@given(sizes, strategy_names)
def test_every_strategy_asks_for_what_imbalanced_learn_asks_for(counts: list[int], name: str) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    expected = check_sampling_strategy(name, labels, "over-sampling")
    found = targets(counts_of(*counts), balance(strategy=name))
    assert synthetic(found) == [expected.get(label, 0) for label in range(len(counts))]
    assert [target.note for target in found] == [""] * len(counts)


@given(sizes, st.data())
def test_a_map_holds_final_totals_as_in_imbalanced_learn(counts: list[int], data: st.DataObject) -> None:
    chosen = data.draw(st.sets(st.sampled_from(range(len(counts))), min_size=1))
    totals = {label: counts[label] + data.draw(st.integers(0, 50)) for label in sorted(chosen)}
    expected = check_sampling_strategy(totals, np.repeat(np.arange(len(counts)), counts), "over-sampling")
    found = targets(
        counts_of(*counts), balance(strategy={f"c{label}": total for label, total in totals.items()})
    )
    assert synthetic(found) == [expected.get(label, 0) for label in range(len(counts))]


def test_the_strategies_are_those_that_the_config_names() -> None:
    annotation = BalanceConfig.model_fields["strategy"].annotation
    (literal, _) = typing.get_args(annotation)
    assert set(STRATEGIES) == set(typing.get_args(literal))


limits = st.fixed_dictionaries(
    {
        "strategy": strategy_names,
        "ratio": st.floats(0.01, 1),
        "max_per_class": st.none() | st.integers(1, 100),
        "max_total": st.none() | st.integers(1, 200),
        "min_real": st.integers(1, 30),
        "below_min_real": st.sampled_from(["skip", "generate"]),
    }
)
any_sizes = st.lists(st.integers(0, 80), min_size=1, max_size=7).filter(any)


@given(any_sizes, limits)
def test_no_class_shrinks_and_no_limit_is_passed(counts: list[int], fields: dict[str, Any]) -> None:
    config = BalanceConfig(**fields)
    found = targets(counts_of(*counts), config)
    assert [target.real for target in found] == counts
    assert [target.label for target in found] == list(range(len(counts)))
    for target in found:
        assert target.real <= target.target <= max(counts)
        assert target.synthetic <= (config.max_per_class or target.synthetic)
        if not target.real or (config.below_min_real == "skip" and target.real < config.min_real):
            assert target.synthetic == 0
    assert sum(synthetic(found)) <= (config.max_total or sum(synthetic(found)))


@given(any_sizes, limits)
def test_a_target_that_differs_from_the_strategys_has_a_note(
    counts: list[int], fields: dict[str, Any]
) -> None:
    found = targets(counts_of(*counts), BalanceConfig(**fields))
    filled = {each.info.label for each in STRATEGIES[fields["strategy"]](_classes(counts))}
    for target in found:
        asked = max(counts) if target.label in filled else target.real
        assert target.target == asked or target.note


def _classes(counts: list[int]) -> Any:
    from augment.planning.policy import _Class

    return [_Class(ClassInfo(label=label, name=f"c{label}"), real) for label, real in enumerate(counts)]


@given(any_sizes, limits, st.integers(0, 1000))
def test_the_order_in_which_classes_come_changes_nothing(
    counts: list[int], fields: dict[str, Any], shuffle: int
) -> None:
    ordered = counts_of(*counts)
    pairs = list(zip(ordered.classes, ordered.counts, strict=True))
    random.Random(shuffle).shuffle(pairs)
    shuffled = ClassCounts(classes=tuple(info for info, _ in pairs), counts=tuple(real for _, real in pairs))
    config = BalanceConfig(**fields)
    assert sorted(targets(shuffled, config), key=lambda target: target.label) == list(
        targets(ordered, config)
    )


@given(sizes, st.integers(1, 300))
def test_max_total_is_used_up_and_every_class_gives_up_the_same_share(counts: list[int], limit: int) -> None:
    wanted = synthetic(targets(counts_of(*counts), balance()))
    assume(sum(wanted) > limit)
    capped = synthetic(targets(counts_of(*counts), balance(max_total=limit)))
    assert sum(capped) == limit
    for before, after in zip(wanted, capped, strict=True):
        assert abs(after - before * limit / sum(wanted)) < 1  # the quota rule of largest remainders


def test_max_total_shares_by_largest_remainder() -> None:
    # Quotas of 7 over wants 90, 60, 30, 0: 3.5, 2.33, 1.17, so the one left over goes to the first.
    found = targets(counts_of(10, 40, 70, 100), balance(max_total=7))
    assert synthetic(found) == [4, 2, 1, 0]
    assert found[0].note == "max_total: 4 of 90 samples"
    assert found[3].note == ""


def test_max_total_breaks_ties_towards_the_lower_label() -> None:
    assert synthetic(targets(counts_of(10, 10, 10, 100), balance(max_total=5))) == [2, 2, 1, 0]


def test_max_per_class_caps_what_is_made_not_the_total() -> None:
    found = targets(counts_of(100, 30, 95), balance(max_per_class=20))
    assert synthetic(found) == [0, 20, 5]
    assert [target.note for target in found] == ["", "max_per_class: 20 of 70 samples", ""]


def test_ratio_is_a_share_of_the_largest_class_rounded_down() -> None:
    found = targets(counts_of(333, 10, 200), balance(ratio=0.5))
    assert [target.target for target in found] == [333, 166, 200]
    assert [target.note for target in found] == [
        "",
        "filled up to 0.5 of the largest class",
        "already at 0.5 of the largest class or above",
    ]


def test_ratio_means_the_decimal_that_was_written() -> None:
    assert 0.29 * 100 < 29  # in binary
    assert targets(counts_of(100, 10), balance(ratio=0.29))[1].target == 29


def test_several_limits_leave_several_notes() -> None:
    (tail, _) = targets(
        counts_of(3, 100), balance(min_real=5, below_min_real="generate", max_per_class=50, max_total=40)
    )
    assert tail.synthetic == 40
    assert tail.note == (
        "generated from only 3 real images, fewer than min_real=5; "
        "max_per_class: 50 of 97 samples; max_total: 40 of 50 samples"
    )


# ---- classes too small to learn from --------------------------------------------------------------------


def test_a_class_below_min_real_is_refused_with_its_count_and_the_three_ways_out() -> None:
    with pytest.raises(InputError) as refusal:
        targets(counts_of(100, 3, 25, 0), BalanceConfig())
    assert refusal.value.exit_code == 3
    for words in (
        "balance.min_real=20",
        "'c1' (3)",
        "'c3' (0)",
        "lower balance.min_real",
        "skip",
        "generate",
    ):
        assert words in str(refusal.value)
    assert "c2" not in str(refusal.value)


def test_a_refusal_of_many_classes_names_twenty_and_counts_the_rest() -> None:
    with pytest.raises(InputError, match=r"'c20' \(2\) and 5 more\. Collect"):
        targets(counts_of(100, *[2] * 25), BalanceConfig())


def test_a_small_class_that_needs_nothing_is_not_refused() -> None:
    found = targets(counts_of(100, 3, 40), BalanceConfig(strategy={"c2": 60}))
    assert synthetic(found) == [0, 0, 20]


def test_skip_leaves_a_small_class_as_it_is_and_says_so() -> None:
    found = targets(counts_of(100, 3), BalanceConfig(below_min_real="skip"))
    assert synthetic(found) == [0, 0]
    assert found[1].note == "skipped: 3 real images, fewer than min_real=20"


def test_a_skipped_class_takes_no_share_of_max_total() -> None:
    found = targets(counts_of(100, 3, 50), BalanceConfig(below_min_real="skip", max_total=10))
    assert synthetic(found) == [0, 0, 10]


@pytest.mark.parametrize("below", ["skip", "generate"])
def test_a_class_without_images_is_always_skipped(below: str) -> None:
    found = targets(counts_of(100, 0), balance(below_min_real=below))
    assert synthetic(found) == [0, 0]
    assert found[1].note == "skipped: no images to learn from"


def test_the_minority_is_the_smallest_class_that_has_images() -> None:
    assert synthetic(targets(counts_of(100, 0, 40, 40), balance(strategy="minority"))) == [0, 0, 60, 0]


def test_no_images_at_all_is_an_input_error() -> None:
    for empty in (counts_of(), counts_of(0, 0)):
        with pytest.raises(InputError, match="nothing to balance"):
            targets(empty, BalanceConfig())


# ---- maps that are wrong ----------------------------------------------------------------------------


def test_every_mistake_in_a_map_is_named_with_its_mend() -> None:
    counts = ClassCounts(
        classes=(ClassInfo(label=0, name="platelets"), ClassInfo(label=1, name="red")), counts=(80, 100)
    )
    with pytest.raises(ConfigError) as refusal:
        targets(counts, balance(strategy={"Platelets": 90, "zebra": 5, "red": 50}))
    assert refusal.value.exit_code == 2
    unknown, stranger, shrinking = str(refusal.value).splitlines()
    assert "'Platelets'" in unknown
    assert "did you mean 'platelets'?" in unknown
    assert "'zebra'; the classes are platelets, red" in stranger
    assert "'red' has 100 images, more than its final total of 50" in shrinking


# ---- top-up ---------------------------------------------------------------------------------------------


def rows_of(label: int, rows: int, next_index: int = 0, name: str | None = None) -> ExistingRows:
    return ExistingRows(label=label, name=name or f"c{label}", rows=rows, next_index=next_index)


@given(any_sizes, limits, st.data())
def test_a_top_up_ends_at_the_target_or_at_what_is_there(
    counts: list[int], fields: dict[str, Any], data: st.DataObject
) -> None:
    wanted = targets(counts_of(*counts), BalanceConfig(**fields))
    labels = data.draw(st.lists(st.integers(0, len(counts)), unique=True))  # one more than there are classes
    existing = [
        rows_of(label, data.draw(st.integers(0, 100)), data.draw(st.integers(0, 100))) for label in labels
    ]
    found = topped_up(wanted, existing)
    held = {rows.label: rows for rows in existing}
    for before, after in zip(wanted, found, strict=True):
        there = held.get(after.label, rows_of(after.label, 0))
        assert after.synthetic >= 0
        assert after.existing == there.rows
        assert after.first == there.next_index
        assert after.real + after.existing + after.synthetic == max(before.target, before.real + there.rows)
        assert (after.label, after.name, after.real) == (before.label, before.name, before.real)


@given(any_sizes, limits)
def test_a_top_up_of_what_was_just_made_makes_nothing(counts: list[int], fields: dict[str, Any]) -> None:
    wanted = targets(counts_of(*counts), BalanceConfig(**fields))
    made = [rows_of(target.label, target.synthetic, target.synthetic) for target in wanted]
    assert synthetic(topped_up(wanted, made)) == [0] * len(counts)
    assert topped_up(wanted, ()) == wanted


def test_a_class_that_holds_more_than_its_target_says_so() -> None:
    found = topped_up(targets(counts_of(100, 90), balance()), [rows_of(1, 30, 30)])
    assert (found[1].target, found[1].synthetic) == (120, 0)
    assert found[1].note == "holds 20 more than its target: none is removed"


def test_a_label_that_has_rows_of_another_class_is_refused() -> None:
    wanted = targets(counts_of(100, 90), balance())
    with pytest.raises(ConfigError, match=r"label 1 are of class 'cat', and here it is 'c1'"):
        topped_up(wanted, [rows_of(1, 3, 3, name="cat")])
    assert topped_up(wanted, [rows_of(1, 0, 3, name="cat")])[1].first == 3  # no such row is left
