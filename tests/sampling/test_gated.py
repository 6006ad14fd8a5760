"""Which candidates become a shard's samples, by gates made by hand: against drawing one candidate at a time."""

from collections import Counter
from dataclasses import dataclass
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.quality.gates import GATES
from augment.recipes.config import SmoteConfig
from augment.recipes.making import preset_spec
from augment.sampling import gated
from augment.sampling.gated import REPEAT, fill_shard
from augment.types import RecipeSpecs, RowMarks, ShardPiece
from tests.sampling.common import (
    Asked,
    GivenGates,
    TalkingGenerator,
    asked_of,
    candidates_of,
    plan_of,
    real_of,
    run_of,
)

LABEL = "label"


def never(asked):
    return None


def always(asked):
    return LABEL


def filled(run, refusals=never, *, shard=0, alike=None, **options):
    """A shard of `run`, of a generator and gates whose answers are given."""
    generator = TalkingGenerator() if alike is None else TalkingGenerator(alike)
    return fill_shard(
        run, run.plan.shard(shard), candidates_of(run, generator), GivenGates(refusals), **options
    )


def samples_of(spec):
    return [
        (piece.class_index, piece.first + offset) for piece in spec.pieces for offset in range(piece.count)
    ]


def taken(filling):
    """Which candidate each sample is, as its own pixels say."""
    assert len(filling.block.marks) == filling.block.spec.rows
    return [asked_of(pixels) for pixels in filling.block.pixels_BHWC]


# ---- the rule, one candidate at a time ----------------------------------------------------------------


@dataclass
class Expected:
    taken: list[Asked]
    ledger: dict[int, tuple[int, int, int, dict[str, int]]]  # accepted, missing, drawn, refused
    missing: list[tuple[int, int]]
    refused: list[tuple[Asked, str]]


def one_at_a_time(run, spec, refusals, alike) -> Expected:
    """What this room's rule says, without rounds, batches or arrays."""
    chosen, ledger, refused = {}, {}, []
    for class_index in sorted({class_index for class_index, _ in samples_of(spec)}):
        left = [sample for sample in samples_of(spec) if sample[0] == class_index]
        planned, drawn, counts, looks, attempt = len(left), 0, Counter(), set(), 0
        while left and drawn + len(left) <= run.gates.max_attempts * planned:
            still = []
            for sample in left:
                asked, drawn = Asked(*sample, attempt), drawn + 1
                gate = refusals(asked) or (REPEAT if alike(asked) in looks else None)
                if gate is None:
                    chosen[sample] = asked
                    looks.add(alike(asked))
                else:
                    counts[gate] += 1
                    refused.append((asked, gate))
                    still.append(sample)
            left, attempt = still, attempt + 1
        ledger[class_index] = (planned - len(left), len(left), drawn, dict(counts))
    order = samples_of(spec)
    return Expected(
        taken=[chosen[sample] for sample in order if sample in chosen],
        ledger=ledger,
        missing=[sample for sample in order if sample not in chosen],
        refused=refused,
    )


@st.composite
def fillings(draw):
    """A run with gates, one of its shards, and answers of gates and looks drawn from a seed."""
    counts = draw(st.lists(st.integers(0, 9), min_size=1, max_size=3).filter(any))
    plan = plan_of(*(("gan", count) for count in counts), shard_rows=draw(st.integers(1, 12)))
    run = run_of(plan, max_attempts=draw(st.integers(1, 6)))
    shard = plan.shard(draw(st.integers(0, plan.num_shards - 1)))
    seed, share, looks = draw(st.integers(0, 999)), draw(st.sampled_from([0, 0.3, 0.7, 0.95, 1])), draw(
        st.sampled_from([4, 20, 256])
    )  # fmt: skip

    def refusals(asked):
        rng = np.random.default_rng([seed, *asked])
        return str(rng.choice(GATES)) if rng.random() < share else None

    def alike(asked):
        return int(np.random.default_rng([seed + 1, *asked]).integers(looks))

    return run, shard, refusals, alike


@settings(max_examples=60)
@given(fillings(), st.sampled_from([(32, 16), (1, 1), (7, 3), (500, 40)]))
def test_a_shard_is_what_drawing_one_candidate_at_a_time_would_make_it_however_many_are_drawn_ahead(
    case, ahead
):
    run, spec, refusals, alike = case
    expected = one_at_a_time(run, spec, refusals, alike)
    with patch.object(gated, "_ROUND", ahead[0]), patch.object(gated, "_MOST_AHEAD", ahead[1]):
        filling = fill_shard(
            run, spec, candidates_of(run, TalkingGenerator(alike)), GivenGates(refusals), keep_rejected=2
        )
    assert taken(filling) == expected.taken
    assert [mark.attempt for mark in filling.block.marks] == [asked.attempt for asked in expected.taken]
    assert samples_of(filling.block.spec) == [asked[:2] for asked in expected.taken]
    label_of = [target.label for target in run.plan.classes]
    assert {
        one.label: (one.accepted, one.missing, one.drawn, one.refused) for one in filling.ledger.classes
    } == {label_of[class_index]: values for class_index, values in expected.ledger.items()}
    missing = [
        (piece.class_index, piece.first + offset)
        for piece in filling.ledger.missing
        for offset in range(piece.count)
    ]
    assert missing == expected.missing
    assert missing == sorted(missing)
    for class_index, gate in {(asked.class_index, gate) for asked, gate in expected.refused}:
        kept = [
            asked_of(each.pixels_HWC)
            for each in filling.rejected
            if each.class_index == class_index and each.gate == gate
        ]
        first = [
            asked
            for asked, refused_by in expected.refused
            if asked.class_index == class_index and refused_by == gate
        ][:2]
        assert kept == first


@settings(max_examples=60)
@given(fillings())
def test_a_ledger_adds_up(case):
    run, spec, refusals, alike = case
    filling = fill_shard(run, spec, candidates_of(run, TalkingGenerator(alike)), GivenGates(refusals))
    planned = {run.plan.classes[piece.class_index].label: piece.count for piece in spec.pieces}
    assert [one.label for one in filling.ledger.classes] == list(planned)
    for one in filling.ledger.classes:
        assert one.accepted + one.ungated + one.fallback + one.missing == planned[one.label]
        assert one.accepted + sum(one.refused.values()) == one.drawn
        assert one.drawn <= run.gates.max_attempts * planned[one.label]
        # Draws that are left over are too few for every sample that is still without a candidate.
        assert not one.missing or one.drawn + one.missing > run.gates.max_attempts * planned[one.label]
    assert sum(piece.count for piece in filling.ledger.missing) == sum(
        one.missing for one in filling.ledger.classes
    )
    assert filling.ledger.index == spec.index


# ---- what is taken ------------------------------------------------------------------------------------


def test_the_first_attempt_that_passes_becomes_the_sample():
    run = run_of(plan_of(("gan", 3)), max_attempts=5)
    filling = filled(run, lambda asked: LABEL if asked.attempt < asked.sample_index else None)
    assert taken(filling) == [Asked(0, 0, 0), Asked(0, 1, 1), Asked(0, 2, 2)]
    assert filling.block.marks == (RowMarks("gan", 0), RowMarks("gan", 1), RowMarks("gan", 2))


def test_draws_that_easy_samples_leave_go_to_the_hard_ones_of_their_class_and_no_further():
    hard = 4  # of ten samples with three draws each: 10 + 20 · 1 draws
    run = run_of(plan_of(("gan", 10), ("gan", 10)), max_attempts=3)
    filling = filled(run, lambda asked: LABEL if asked[:2] == (0, hard) else None)
    first, second = filling.ledger.classes
    assert (first.accepted, first.missing, first.drawn) == (9, 1, 30)
    assert (second.accepted, second.missing, second.drawn) == (10, 0, 10)
    assert filling.ledger.missing == (ShardPiece(class_index=0, first=hard, count=1),)


def test_where_nothing_passes_the_shard_is_empty_and_names_all_as_missing():
    run = run_of(plan_of(("gan", 4), ("gan", 3)), max_attempts=2)
    filling = filled(run, always)
    assert filling.block.pixels_BHWC.shape == (0, 4, 4, 1)
    assert (filling.block.marks, filling.block.spec.pieces) == ((), ())
    assert filling.ledger.missing == run.plan.shard(0).pieces
    assert [one.drawn for one in filling.ledger.classes] == [8, 6]


def test_pieces_around_missing_samples_hold_the_others():
    run = run_of(plan_of(("gan", 6)), max_attempts=1)
    filling = filled(run, lambda asked: LABEL if asked.sample_index in (0, 2, 3) else None)
    assert [(piece.first, piece.count) for piece in filling.block.spec.pieces] == [(1, 1), (4, 2)]
    assert [(piece.first, piece.count) for piece in filling.ledger.missing] == [(0, 1), (2, 2)]


def test_a_candidate_that_repeats_a_kept_sample_of_its_class_is_drawn_again():
    run = run_of(plan_of(("gan", 3), ("gan", 1)), max_attempts=4)
    looks = {(0, 0, 0): 1, (0, 1, 0): 1, (0, 2, 0): 2, (0, 1, 1): 2, (0, 1, 2): 3, (1, 10, 0): 1}
    filling = filled(run, alike=lambda asked: looks.get(asked, 200))
    assert taken(filling) == [Asked(0, 0, 0), Asked(0, 1, 2), Asked(0, 2, 0), Asked(1, 10, 0)]
    assert filling.ledger.classes[0].refused == {REPEAT: 2}
    assert filling.ledger.classes[1].refused == {}


def test_a_refused_candidate_is_nothing_that_others_could_repeat():
    run = run_of(plan_of(("gan", 2)), max_attempts=2)
    refused_first = filled(
        run, lambda asked: LABEL if asked == (0, 0, 0) else None, alike=lambda asked: asked.attempt
    )
    assert taken(refused_first) == [Asked(0, 0, 1), Asked(0, 1, 0)]


def test_samples_of_another_shard_are_not_looked_at():
    run = run_of(plan_of(("gan", 4), shard_rows=2), max_attempts=1)
    for shard in (0, 1):
        filling = filled(run, shard=shard, alike=lambda asked: 7)
        assert (filling.ledger.index, filling.ledger.classes[0].accepted) == (shard, 1)


# ---- recipes and fallbacks ----------------------------------------------------------------------------

SPECS = RecipeSpecs(classic=preset_spec("textures"), smote=SmoteConfig().model_dump(mode="json"))


@pytest.mark.parametrize("instead", ["duplicate", "classic", "smote"])
def test_what_no_candidate_passed_for_is_made_by_the_fallback_and_marked(instead):
    plan = plan_of(("gan", 5), ("gan", 4), size=16)
    run = run_of(plan, max_attempts=2, on_shortfall=instead, recipes=SPECS)
    real, generator = real_of(plan), TalkingGenerator(size=16)
    gates = GivenGates(lambda asked: LABEL if asked.sample_index % 2 else None)
    filling = fill_shard(run, plan.shard(0), candidates_of(run, generator, real), gates)

    assert filling.block.spec == plan.shard(0)
    assert filling.ledger.missing == ()
    assert [(one.accepted, one.fallback, one.missing) for one in filling.ledger.classes] == [
        (3, 2, 0), (2, 2, 0),
    ]  # fmt: skip
    odd = [row for row, (_, index) in enumerate(samples_of(plan.shard(0))) if index % 2]
    for row, marks in enumerate(filling.block.marks):
        assert marks.recipe == (instead if row in odd else "gan")
        assert bool(marks.source_images) == (row in odd)
    classes, indices = (
        np.array([samples_of(plan.shard(0))[row][column] for row in odd]) for column in (0, 1)
    )
    made = candidates_of(run, generator, real).draw(classes, indices, np.zeros(len(odd), np.int64), instead)
    np.testing.assert_array_equal(filling.block.pixels_BHWC[odd], made.pixels_SHWC)


def test_each_recipe_is_asked_the_gates_that_are_meant_for_it():
    plan = plan_of(("gan", 2), ("classic", 2), ("duplicate", 2), ("smote", 2))
    run = run_of(plan, max_attempts=2, recipes=SPECS)
    gates = GivenGates(never)
    filling = fill_shard(run, plan.shard(0), candidates_of(run), gates)

    asked = dict(gates.gates_asked)
    assert asked[0] == GATES
    assert asked[1] == asked[3] == ("label", "in-distribution-features", "in-distribution-pixels")
    assert 2 not in asked  # real images are taken as they are
    assert [(one.accepted, one.ungated, one.drawn) for one in filling.ledger.classes] == [
        (2, 0, 2), (2, 0, 2), (0, 2, 0), (2, 0, 2),
    ]  # fmt: skip


def test_samples_of_recipes_may_look_alike():
    plan = plan_of(("duplicate", 9), ("smote", 9), real=2)
    run = run_of(plan, max_attempts=1, recipes=SPECS)
    filling = fill_shard(run, plan.shard(0), candidates_of(run), GivenGates(never))
    assert [(one.accepted, one.ungated) for one in filling.ledger.classes] == [(0, 9), (9, 0)]


def test_the_discriminator_is_asked_only_where_the_gates_use_it():
    plan = plan_of(("gan", 3), ("smote", 2))
    run = run_of(plan, max_attempts=1, recipes=SPECS)

    def scores(pixels_BHWC, class_index_B):
        assert set(class_index_B.tolist()) == {0}
        return np.array([asked_of(pixels).sample_index for pixels in pixels_BHWC], np.float32)

    for uses, given_scores in ((True, {0, 1, 2}), (False, None)):
        gates = GivenGates(never, uses_discriminator=uses)
        fill_shard(run, plan.shard(0), candidates_of(run), gates, scores)
        generated, smote = gates.scores_given
        assert (None if generated is None else set(generated.tolist())) == given_scores
        assert smote is None


def test_a_few_refused_candidates_are_kept_with_their_score():
    run = run_of(plan_of(("gan", 3)), max_attempts=3)
    filling = filled(
        run,
        lambda asked: LABEL if asked.sample_index == 0 else None,
        alike=lambda asked: 9,
        keep_rejected=2,
    )
    assert [(each.gate, each.sample_index, each.attempt) for each in filling.rejected] == [
        (LABEL, 0, 0), (REPEAT, 2, 0), (LABEL, 0, 1), (REPEAT, 2, 1),
    ]  # fmt: skip
    assert [asked_of(each.pixels_HWC) for each in filling.rejected] == [
        (each.class_index, each.sample_index, each.attempt) for each in filling.rejected
    ]
    assert [each.score for each in filling.rejected if each.gate == LABEL] == [0.5, 1.5]
    assert all(np.isnan(each.score) for each in filling.rejected if each.gate == REPEAT)
    assert filled(run, always).rejected == ()


def test_a_run_without_gates_takes_everything_at_once():
    plan = plan_of(("gan", 3), ("duplicate", 2))
    generator = TalkingGenerator(alike=lambda asked: 1)
    filling = fill_shard(run_of(plan), plan.shard(0), candidates_of(run_of(plan), generator))
    assert (filling.ledger, filling.rejected) == (None, ())
    assert filling.block.spec == plan.shard(0)
    assert generator.drawn == [Asked(0, 0, 0), Asked(0, 1, 0), Asked(0, 2, 0)]
    assert [(marks.recipe, len(marks.source_images)) for marks in filling.block.marks] == [
        ("gan", 0), ("gan", 0), ("gan", 0), ("duplicate", 1), ("duplicate", 1),
    ]  # fmt: skip


def test_a_run_with_gates_needs_them():
    run = run_of(plan_of(("gan", 1)), max_attempts=1)
    with pytest.raises(ValueError, match="has gates, and none were given"):
        fill_shard(run, run.plan.shard(0), candidates_of(run))
