"""From a shard's spec to its samples: candidates are drawn until each sample has one that the gates let pass.

Owns the order of draws, their bound and what becomes of samples that are left. Sample (class, index) is the first
of its candidates (attempt 0, 1, …) that passes, whoever draws it, in whatever batches. Two questions look at its
company, which is its own class in its own shard: whether it repeats another sample (attempt by attempt, and within
one by index), and whether the class may still draw. Knows neither how candidates are made nor what a gate measures; no Ray, no store.

S = samples of the shard, A = candidates of a round, B = those of one class, E = members of the ensemble, F = features,
K = classes.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from augment.quality.gate_names import GATES
from augment.quality.gates import GateKeeper
from augment.quality.repeats import Repeats
from augment.sampling.candidates import Candidates, Drawn
from augment.sampling.filled import Filled, Rejected
from augment.sampling.judged import GATES_OF_RECIPE
from augment.types import (
    ClassLedger,
    RecipeName,
    RowMarks,
    RunPlan,
    SampleBlock,
    ShardLedger,
    ShardPiece,
    ShardSpec,
)

__all__ = ["REPEAT", "Scores", "fill_shard"]

Indices = npt.NDArray[np.int64]
Scores = Callable[[npt.NDArray[np.uint8], Indices], npt.NDArray[np.float32]]
"""A discriminator: uint8 images [B, H, W, C] and class indices [B] → scores [B], higher for more real."""

REPEAT = "repeat"
"""In ledgers: refused because it repeats another sample of its class in the shard."""

_ROUND = 32  # candidates of a round, at least: a forward pass takes that many at once
_MOST_AHEAD = 16  # attempts of one sample drawn in one round


def fill_shard(
    run: RunPlan,
    spec: ShardSpec,
    candidates: Candidates,
    keeper: GateKeeper | None = None,
    scores: Scores | None = None,
    *,
    keep_rejected: int = 0,
) -> Filled:
    """The samples of a shard of `run`; with the run's gates, those that pass.

    Of a class with n samples in the shard at most `max_attempts` · n candidates are drawn; a sample that has none by
    then is made by the recipe of `on_shortfall`, or missing. `keep_rejected`: of each class and gate, the first so
    many refused candidates are given back.
    """
    if run.gates is None:
        return Filled(_all_at_once(run, spec, candidates), None)
    if keeper is None:
        raise ValueError(f"run {run.run_id} has gates, and none were given")
    filling = _Filling(run, spec, candidates, keeper, scores, keep_rejected)
    filling.draw()
    return filling.result()


def _all_at_once(run: RunPlan, spec: ShardSpec, candidates: Candidates) -> SampleBlock:
    class_index_S, sample_index_S = _samples_of(spec)
    drawn = candidates.draw(class_index_S, sample_index_S, np.zeros_like(sample_index_S))
    marks = tuple(
        RowMarks(run.plan.classes[class_index].recipe, 0, sources)
        for class_index, sources in zip(class_index_S.tolist(), drawn.source_images_S, strict=True)
    )
    return SampleBlock(spec, drawn.pixels_SHWC, marks)


@dataclass
class _ClassCount:
    """One class's samples in the shard, and what became of their candidates."""

    planned: int
    accepted: int = 0
    ungated: int = 0
    drawn: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class _Filling:
    """One shard while it is being filled."""

    def __init__(
        self,
        run: RunPlan,
        spec: ShardSpec,
        candidates: Candidates,
        keeper: GateKeeper,
        scores: Scores | None,
        keep_rejected: int,
    ) -> None:
        self._run, self._spec, self._candidates = run, spec, candidates
        self._keeper, self._scores, self._keep_rejected = keeper, scores, keep_rejected
        self._class_index_S, self._sample_index_S = _samples_of(spec)
        size = len(self._class_index_S)
        shape = run.plan.image
        self._pixels_SHWC = np.empty((size, shape.size, shape.size, shape.channels), np.uint8)
        self._marks_S: list[RowMarks | None] = [None] * size
        self._kept: dict[int, Repeats] = {}  # by class
        self._rejected: list[Rejected] = []
        planned = Counter(self._class_index_S.tolist())
        self._counts = {class_index: _ClassCount(count) for class_index, count in planned.items()}

    def draw(self) -> None:
        """Round after round, until every sample has a candidate that passed or its class has used up its draws."""
        attempt, open_S = 0, np.arange(len(self._class_index_S))
        while len(open_S):
            ahead = min(_MOST_AHEAD, max(1, _ROUND // len(open_S)))
            for looked in self._looked_at(open_S, range(attempt, attempt + ahead)):
                if not len(open_S := self._with_draws_left(open_S)):
                    break
                open_S = self._decided(open_S, looked)
            attempt += ahead

    def _looked_at(self, open_S: Indices, attempts: range) -> Iterator["_Looked"]:
        """The candidates of each of these attempts for the open samples, all drawn and judged at once."""
        slot_A, attempt_A = np.tile(open_S, len(attempts)), np.repeat(np.array(attempts), len(open_S))
        class_index_A, sample_index_A = self._class_index_S[slot_A], self._sample_index_S[slot_A]
        drawn = self._candidates.draw(class_index_A, sample_index_A, attempt_A)
        opinion = self._judged(drawn.pixels_SHWC, class_index_A)
        for number, attempt in enumerate(attempts):
            rows = slice(number * len(open_S), (number + 1) * len(open_S))
            yield _Looked(
                attempt,
                {int(slot): row for row, slot in enumerate(open_S)},
                Drawn(drawn.pixels_SHWC[rows], drawn.source_images_S[rows]),
                opinion.at(rows),
            )

    def _judged(self, pixels_AHWC: npt.NDArray[np.uint8], class_index_A: Indices) -> "_Opinion":
        """What the gates say of each candidate, each by the gates of its class's recipe."""
        gate_A: list[str | None] = [None] * len(class_index_A)
        score_A = [float("nan")] * len(class_index_A)
        features_A: list[npt.NDArray[np.float32] | None] = [None] * len(class_index_A)
        recipes = [self._run.plan.classes[class_index].recipe for class_index in class_index_A.tolist()]
        for recipe, gates in GATES_OF_RECIPE.items():
            rows = np.flatnonzero(np.array([each == recipe for each in recipes], bool))
            if not gates or not len(rows):
                continue
            asks = "discriminator" in gates and self._keeper.uses_discriminator
            scores = self._scores if asks else None
            verdicts = self._keeper.judge(
                pixels_AHWC[rows],
                class_index_A[rows],
                discriminator_B=scores(pixels_AHWC[rows], class_index_A[rows])
                if scores is not None
                else None,
                gates=gates,
            )
            for number, (row, gate) in enumerate(
                zip(rows.tolist(), verdicts.refused_by_B.tolist(), strict=True)
            ):
                features_A[row] = verdicts.features_EBF[:, number]
                if gate >= 0:
                    gate_A[row], score_A[row] = GATES[gate], float(verdicts.scores_BG[number, gate])
        return _Opinion(gate_A, score_A, features_A)

    def _with_draws_left(self, open_S: Indices) -> Indices:
        """The open samples of classes that may draw once more for each of them."""
        assert self._run.gates is not None  # noqa: S101  # or there would be no filling
        wanting = Counter(self._class_index_S[open_S].tolist())
        over = [
            class_index
            for class_index, count in wanting.items()
            if self._counts[class_index].drawn + count
            > self._run.gates.max_attempts * self._counts[class_index].planned
        ]
        left: Indices = open_S[~np.isin(self._class_index_S[open_S], over)]
        return left

    def _decided(self, open_S: Indices, looked: "_Looked") -> Indices:
        """Take what passes of one attempt; the samples that are still open."""
        rows = np.array([looked.row_of[slot] for slot in open_S.tolist()])
        passed = np.array([looked.opinion.gate_A[row] is None for row in rows.tolist()], bool)
        for class_index in np.unique(self._class_index_S[open_S]).tolist():
            own = np.flatnonzero(passed & (self._class_index_S[open_S] == class_index))
            passed[own[self._repeats(class_index, looked, rows[own])]] = False
        for slot, row, accepted in zip(open_S.tolist(), rows.tolist(), passed.tolist(), strict=True):
            class_index = int(self._class_index_S[slot])
            count = self._counts[class_index]
            if not GATES_OF_RECIPE[self._run.plan.classes[class_index].recipe]:
                count.ungated += 1
                self._take(slot, looked, row)
                continue
            count.drawn += 1
            if accepted:
                count.accepted += 1
                self._take(slot, looked, row)
            else:
                self._refuse(slot, looked, row)
        still: Indices = open_S[~passed]
        return still

    def _repeats(self, class_index: int, looked: "_Looked", rows: Indices) -> npt.NDArray[np.bool_]:
        """Which of these candidates of one class that passed, in order, repeat a kept sample or an earlier one of them.

        The others are kept.
        """
        if not len(rows) or self._run.plan.classes[class_index].recipe != "gan":
            return np.zeros(len(rows), bool)
        if class_index not in self._kept:
            self._kept[class_index] = self._keeper.repeats(class_index)
        return self._kept[class_index].refuse(
            looked.drawn.pixels_SHWC[rows], looked.opinion.features_EBF(rows)
        )

    def _take(self, slot: int, looked: "_Looked", row: int) -> None:
        class_index = int(self._class_index_S[slot])
        self._pixels_SHWC[slot] = looked.drawn.pixels_SHWC[row]
        recipe = self._run.plan.classes[class_index].recipe
        self._marks_S[slot] = RowMarks(recipe, looked.attempt, looked.drawn.source_images_S[row])

    def _refuse(self, slot: int, looked: "_Looked", row: int) -> None:
        class_index, gate = int(self._class_index_S[slot]), looked.opinion.gate_A[row] or REPEAT
        refused = self._counts[class_index].refused
        refused[gate] += 1
        if refused[gate] <= self._keep_rejected:
            self._rejected.append(
                Rejected(
                    class_index,
                    int(self._sample_index_S[slot]),
                    looked.attempt,
                    gate,
                    looked.opinion.score_A[row],
                    looked.drawn.pixels_SHWC[row].copy(),
                )
            )

    def result(self) -> Filled:
        """The samples that are there, those left made by the fallback or named as missing."""
        assert self._run.gates is not None  # noqa: S101  # or there would be no filling
        left = np.array([slot for slot, marks in enumerate(self._marks_S) if marks is None], np.int64)
        policy = self._run.gates.on_shortfall
        fallback = policy != "partial" and len(left) > 0
        if policy != "partial" and len(left):
            self._make_instead(left, policy)
        there = [slot for slot, marks in enumerate(self._marks_S) if marks is not None]
        missing = () if fallback else tuple(_pieces(self._class_index_S[left], self._sample_index_S[left]))
        held = _pieces(self._class_index_S[there], self._sample_index_S[there])
        block = SampleBlock(
            self._spec.model_copy(update={"pieces": tuple(held)}),
            self._pixels_SHWC[there],
            tuple(marks for marks in self._marks_S if marks is not None),
        )
        classes = tuple(
            _ledger(self._run.plan.classes[class_index].label, count, fallback=fallback)
            for class_index, count in self._counts.items()
        )
        return Filled(
            block,
            ShardLedger(index=self._spec.index, classes=classes, missing=missing),
            tuple(self._rejected),
        )

    def _make_instead(self, left: Indices, recipe: RecipeName) -> None:
        drawn = self._candidates.draw(
            self._class_index_S[left], self._sample_index_S[left], np.zeros_like(left), recipe
        )
        self._pixels_SHWC[left] = drawn.pixels_SHWC
        for slot, sources in zip(left.tolist(), drawn.source_images_S, strict=True):
            self._marks_S[slot] = RowMarks(recipe, 0, sources)


@dataclass(frozen=True, slots=True)
class _Opinion:
    """What the gates say of candidates."""

    gate_A: Sequence[str | None]  # that refuses; None: it passes
    score_A: Sequence[float]  # by which; NaN of what passes
    features_A: Sequence[npt.NDArray[np.float32] | None]  # [E, F], E the ensemble's members; None: not judged

    def at(self, rows: slice) -> "_Opinion":
        return _Opinion(self.gate_A[rows], self.score_A[rows], self.features_A[rows])

    def features_EBF(self, rows: Indices) -> npt.NDArray[np.float32]:
        """Of these candidates, which were judged."""
        return np.stack([each for row in rows.tolist() if (each := self.features_A[row]) is not None], axis=1)


@dataclass(frozen=True, slots=True)
class _Looked:
    """One attempt's candidates for the samples that were open when it was drawn, and what the gates say."""

    attempt: int
    row_of: dict[int, int]  # by slot
    drawn: Drawn
    opinion: _Opinion


def _ledger(label: int, count: _ClassCount, *, fallback: bool) -> ClassLedger:
    left = count.planned - count.accepted - count.ungated
    return ClassLedger(
        label=label,
        accepted=count.accepted,
        ungated=count.ungated,
        fallback=left if fallback else 0,
        missing=0 if fallback else left,
        drawn=count.drawn,
        refused=dict(sorted(count.refused.items())),
    )


def _samples_of(spec: ShardSpec) -> tuple[Indices, Indices]:
    """Class index and sample index of every row."""
    counts = [piece.count for piece in spec.pieces]
    class_index_S = np.repeat(np.array([piece.class_index for piece in spec.pieces], np.int64), counts)
    ranges = [np.arange(piece.first, piece.first + piece.count, dtype=np.int64) for piece in spec.pieces]
    return class_index_S, np.concatenate([np.empty(0, np.int64), *ranges])


def _pieces(class_index_S: Indices, sample_index_S: Indices) -> Iterator[ShardPiece]:
    """Stretches of one class with consecutive indices."""
    new = (np.diff(class_index_S) != 0) | (np.diff(sample_index_S) != 1)
    for rows in np.split(np.arange(len(class_index_S)), np.flatnonzero(new) + 1):
        if len(rows):
            yield ShardPiece(
                class_index=int(class_index_S[rows[0]]), first=int(sample_index_S[rows[0]]), count=len(rows)
            )
