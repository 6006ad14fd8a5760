"""What a run thinks of itself: is it in trouble, is this the best so far, should it end.

Owns the judgement, as pure functions of what was measured: records in, a record out or TroubleError. Knows no
network, no clock and no file. Rank 0 judges, and every rank is told; the verdict is stored in each snapshot,
so that a resumed run judges as the uninterrupted one would.
"""

import math
import statistics
from collections.abc import Mapping
from typing import Literal

from augment.errors import DivergenceError
from augment.gan.config import TrainConfig
from augment.gan.schedules import MOST_AUGMENT_PROBABILITY
from augment.types import Record

__all__ = [
    "ClassScore",
    "Ending",
    "Evaluation",
    "TimeLimit",
    "Trend",
    "Trouble",
    "TroubleError",
    "Watch",
    "after_evaluation",
    "after_look",
    "after_trouble",
    "goes_back_to_best",
    "is_better",
    "plan_within",
    "remedy_in_words",
]

Ending = Literal["steps", "max_kimg", "max_time", "budget", "plateau"]
TimeLimit = Literal["max_time", "budget"]
TroubleKind = Literal["divergence", "mode collapse", "discriminator overfitting"]

COLLAPSED = 0.1  # of the real images' diversity: half of the classes below it are a collapse
CLASS_COLLAPSED = 0.03  # one class below it is one
ALIVE = 0.3  # once the median class has had this much, falling is a collapse; before, it is a beginning
GRACE_STEPS = 100  # after the warm-up, after which never having been alive is a collapse too
LOOKS_IN_A_ROW = 2  # one look may be unlucky
RUNAWAY_LOGIT = 1e3  # R1 and R2 hold logits to about 10
RUNAWAY_CRITIC = 1e6  # a Wasserstein critic's values are distances, of any size that the images have
BETTER = 0.99  # a measurement counts as better from this share of the best on: less is noise
WORSE = 1.5  # a discriminator that overfits makes quality fall to this multiple of the best and below …
SURE = 0.9  # … while it tells nearly every pair apart …
FALLEN_FOR = 3  # … in so many measurements
RATE_REMEDY = 0.5
AUGMENT_REMEDY = 0.2
MEASURED_SHARE = 0.1  # of `max_time`, after which the run's own speed is taken as known
COUNTED_ON = 0.97  # of that speed


class ClassScore(Record):
    """How good one class's samples are; None where the class has too few real images to say."""

    name: str
    frechet: float | None
    recall: float | None = None
    label_accuracy: float | None = None


class Evaluation(Record):
    """Quality class by class at one step, in whatever feature space the caller measures in."""

    step: int
    classes: tuple[ClassScore, ...]

    @property
    def distances(self) -> list[float]:
        """Intra-class Fréchet distances of the classes that have one."""
        return [one.frechet for one in self.classes if one.frechet is not None]

    @property
    def mean(self) -> float:
        """Mean intra-class Fréchet distance; infinite where none could be measured."""
        return statistics.fmean(self.distances) if self.distances else math.inf

    @property
    def worst(self) -> float:
        """The worst class's; infinite where none could be measured."""
        return max(self.distances, default=math.inf)

    @property
    def score(self) -> float:
        """√(mean · worst), lower is better: a snapshot is as good as its classes and its worst class."""
        return math.sqrt(self.mean * self.worst)


class Trend(Record):
    """Running averages of what the discriminator says: of logits, and of ADA's sign (1: sure of every pair)."""

    overfitting_sign: float
    real_logit: float
    fake_logit: float


class Trouble(Record):
    """What went wrong, when, and in a sentence; and what was changed to mend it, once something was."""

    kind: TroubleKind
    step: int
    what: str
    remedy: str = ""


class TroubleError(Exception):
    """Raised on every rank alike; training goes back to its best snapshot or gives up."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.what)
        self.trouble = trouble


class Watch(Record):
    """What supervision remembers; part of every snapshot."""

    attempt: int = 0  # remedies applied
    troubles: tuple[Trouble, ...] = ()
    learning_rate_scale: float = 1.0
    augment_extra: float = 0.0
    planned_steps: int | None = None  # fewer than asked for, once a time limit is known to cut the run
    limited_by: TimeLimit | None = None  # which limit they were planned by
    elapsed_s: float = 0.0  # counted where there is a time limit
    best: Evaluation | None = None
    evaluations_since_best: int = 0
    alive: bool = False
    suspicious_looks: int = 0
    ended: Ending | None = None


def after_look(
    watch: Watch,
    train: TrainConfig,
    *,
    step: int,
    trend: Trend,
    diversity: Mapping[str, float],
    last: bool = False,
) -> Watch:
    """The watch after a look at D's `trend` and each class's `diversity` (1: that of its real images).

    Raises TroubleError on a collapse that was seen in two looks (or in the `last`), and on runaway logits.
    """
    highest = max(abs(trend.real_logit), abs(trend.fake_logit))
    if highest > (RUNAWAY_CRITIC if train.loss == "wgan-gp" else RUNAWAY_LOGIT):
        what = f"step {step}: divergence: the discriminator's logits have run away to {highest:,.0f}"
        raise TroubleError(Trouble(kind="divergence", step=step, what=what))
    if not diversity:
        return watch
    median = statistics.median(diversity.values())
    warm = step >= train.warm_up_steps  # before, the weights' random draw is all there is to see
    alive = watch.alive or (warm and median >= ALIVE)
    collapsed = [name for name, share in diversity.items() if share < CLASS_COLLAPSED]
    suspicious = (alive or step > train.warm_up_steps + GRACE_STEPS) and (
        median < COLLAPSED or bool(collapsed)
    )
    looks = watch.suspicious_looks + 1 if suspicious else 0
    if looks >= (1 if last else LOOKS_IN_A_ROW):
        which = f"classes {', '.join(collapsed[:5])}" if collapsed else "most classes"
        what = (
            f"step {step}: mode collapse: the samples of {which} are nearly the same image (diversity "
            f"{min(diversity.values()):.2f} of the real images', median {median:.2f})"
        )
        raise TroubleError(Trouble(kind="mode collapse", step=step, what=what))
    return watch.model_copy(update={"alive": alive, "suspicious_looks": looks})


def is_better(evaluation: Evaluation, best: Evaluation | None) -> bool:
    """Whether a measurement beats the best before it by more than noise."""
    return best is None or evaluation.score < BETTER * best.score


def after_evaluation(watch: Watch, train: TrainConfig, evaluation: Evaluation, *, trend: Trend) -> Watch:
    """The watch after a measurement; `best` is this one where it is better than all before.

    Ends the run on a plateau; raises TroubleError where quality has fallen while the discriminator is sure.
    """
    if watch.best is None or is_better(evaluation, watch.best):
        return watch.model_copy(update={"best": evaluation, "evaluations_since_best": 0})
    since = watch.evaluations_since_best + 1
    out_of_patience = 0 < train.patience <= since
    fallen = evaluation.score > WORSE * watch.best.score
    if since >= FALLEN_FOR and fallen and trend.overfitting_sign > SURE:
        what = (
            f"step {evaluation.step}: discriminator overfitting: it tells {(1 + trend.overfitting_sign) / 2:.0%} of pairs "
            f"apart, and quality has fallen from {watch.best.score:.3g} at step {watch.best.step} to {evaluation.score:.3g}"
        )
        raise TroubleError(Trouble(kind="discriminator overfitting", step=evaluation.step, what=what))
    ended = watch.ended or ("plateau" if out_of_patience else None)
    return watch.model_copy(update={"evaluations_since_best": since, "ended": ended})


def after_trouble(watch: Watch, good: Watch, trouble: Trouble, train: TrainConfig) -> Watch:
    """The watch to go on with from the snapshot that `good` came with: the one remedy.

    A discriminator that overfits gets more augmentation where there can be more, any other trouble half the
    learning rate. Raises DivergenceError where no remedy is left.
    """
    mend = "Lower train.learning_rate or raise train.gamma, then run again under another name"
    if trouble.kind == "discriminator overfitting":
        mend = "Add operations to train.diffaugment or raise train.gamma, then run again under another name"
    if watch.attempt >= train.remedies:
        before = "".join(f" It had met trouble before ({one.what})." for one in watch.troubles)
        raise DivergenceError(
            f"{trouble.what}; training stopped.{before} The last good snapshot is kept. {mend}"
        )
    extra = watch.augment_extra
    if trouble.kind == "discriminator overfitting" and _can_augment_more(train, extra):
        rate, extra = watch.learning_rate_scale, extra + AUGMENT_REMEDY
        remedy = f"{AUGMENT_REMEDY:+.1f} augmentation probability"
    else:
        rate = RATE_REMEDY * watch.learning_rate_scale
        remedy = f"{RATE_REMEDY} × the learning rate"
    return good.model_copy(
        update={
            "attempt": watch.attempt + 1,
            "troubles": (*watch.troubles, trouble.model_copy(update={"remedy": remedy})),
            "learning_rate_scale": rate,
            "augment_extra": extra,
            "elapsed_s": watch.elapsed_s,
            "planned_steps": None,  # what time is left is planned anew
            "limited_by": None,
            "evaluations_since_best": 0,
            "suspicious_looks": 0,
            "ended": None,
        }
    )


def goes_back_to_best(trouble: Trouble) -> bool:
    """Whether the best snapshot is the one to go back to; before any other trouble, the last one was good."""
    return trouble.kind == "discriminator overfitting"


def remedy_in_words(watch: Watch, step: int) -> str:
    """What `after_trouble` decided, for the log."""
    trouble = watch.troubles[-1]
    return f"{trouble.what}; going back to step {step} with {trouble.remedy}"


def _can_augment_more(train: TrainConfig, extra: float) -> bool:
    begins_at = 0.0 if train.ada_target is not None else train.diffaugment_probability
    return bool(train.diffaugment) and begins_at + extra < MOST_AUGMENT_PROBABILITY


def plan_within(
    watch: Watch,
    train: TrainConfig,
    *,
    step: int,
    elapsed_s: float,
    steps_per_s: float,
    budget_s: float | None = None,
) -> Watch:
    """The watch with `planned_steps` cut to what the time leaves room for, and ended where it is over.

    The limit is `max_time`, or `budget_s` where that is less: like `elapsed_s`, in seconds of training from its first
    step, those before a resume included.
    """
    limits: list[tuple[float, TimeLimit]] = []
    if train.max_time_s is not None:
        limits.append((train.max_time_s, "max_time"))
    if budget_s is not None:
        limits.append((budget_s, "budget"))
    if not limits:
        return watch
    limit_s, name = min(limits)
    update: dict[str, object] = {"elapsed_s": elapsed_s}
    if elapsed_s >= limit_s:
        update |= {"ended": name}
    elif watch.planned_steps is None and elapsed_s >= MEASURED_SHARE * limit_s:
        fitting = step + int(COUNTED_ON * steps_per_s * (limit_s - elapsed_s))
        update |= {"planned_steps": max(step + 1, min(train.budget_steps, fitting)), "limited_by": name}
    return watch.model_copy(update=update)
