"""The training loop: report, look, measure, snapshot, stop, gradients and updates, EMA.

Owns the order of a run. Knows nothing of Ray, of stores or of files: it is given images, told which rank
it is, and calls back. Every draw is keyed by a global sample index, so the same spec gives the same run on
any number of workers up to the order of floating-point sums, and on a CPU a resumed run of one or two workers
is the uninterrupted one to the last bit (of more, all-reduce adds in an order of its own after a start).
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from augment.gan.batches import Batches, RealImages, StepBatch
from augment.gan.checkpoint import restore
from augment.gan.ema import update_ema
from augment.gan.game import Game
from augment.gan.prefetch import Prefetch
from augment.gan.replica import Replica
from augment.gan.report import Report
from augment.gan.schedules import Rates
from augment.gan.snapshots import MemorySnapshots, Snapshots
from augment.gan.spec import TrainingSpec
from augment.gan.state import TrainState, new_state
from augment.gan.stopping import Pulse, StopAsker, StoppedError
from augment.gan.supervision import (
    Ending,
    Evaluation,
    Trouble,
    TroubleError,
    Watch,
    after_evaluation,
    after_look,
    after_trouble,
    goes_back_to_best,
    plan_within,
    remedy_in_words,
)
from augment.gan.vitals import Vitals

__all__ = ["RealImages", "Replica", "Report", "TrainState", "TrainingSpec", "tensor_float_32", "train"]

log = logging.getLogger("augment")

Evaluate = Callable[[TrainState], Evaluation]


def train(
    spec: TrainingSpec,
    images: RealImages,
    *,
    replica: Replica | None = None,
    snapshots: Snapshots | None = None,
    start: Callable[[TrainState], None] = lambda state: None,
    evaluate: Evaluate | None = None,
    on_report: Callable[[Report], None] = lambda report: None,
    pulse: Pulse = lambda step: False,
    micro_batches: int = 1,
    seconds_left: float | None = None,
) -> TrainState:
    """Fit the GAN of `spec` to `images`, from the latest of `snapshots` or from the start.

    Every rank makes the same calls. `start` may change the state before the first step of a new run (fine-
    tuning). `evaluate`, where given, is called on rank 0 each `evaluate_every` steps and at the end; the state
    returned is then that of the best measurement, else the last. `on_report` comes each `log_every` steps
    and at the end.

    `pulse` is called before each step; where rank 0's returns True, the run takes a snapshot and raises StoppedError
    on all ranks, within about a second of training, and the same call goes on from that step. `micro_batches`
    computes each update in so many parts, whose gradients add up: the loss of the whole batch in less memory, equal
    up to the order of sums (twins are then compared within a part, as they are within a worker's images).

    `seconds_left` (None: no limit) is what this call may take: the schedules are fitted to it and the run ends there,
    at its best measurement, as `max_time` ends it; unlike that, it is no part of the spec.

    Raises InputError (images unlike the spec), ConfigError (batch size and workers; a snapshot of another
    spec), IntegrityError (a damaged snapshot), DivergenceError (mode collapse, an overfitting discriminator or
    divergence, after `remedies` were tried: the snapshots are from before).
    """
    run = _Run(
        spec, images, replica or Replica(), snapshots or MemorySnapshots(), evaluate, on_report, pulse,
        micro_batches, seconds_left,
    )  # fmt: skip
    with closing(run), tensor_float_32(allowed=spec.train.tf32):
        if not run.resume():
            run.begin(start)
        while run.state.watch.ended is None:
            try:
                run.to_the_end()
            except TroubleError as error:
                run.go_back(error.trouble)
        run.take_best()
        return run.state


@contextmanager
def tensor_float_32(*, allowed: bool) -> Iterator[None]:
    """Let a GPU's matrix products and convolutions round float32 inputs to 10 bits; elsewhere nothing changes."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=True, deterministic=False, allow_tf32=allowed
        ):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


class _Run:
    """One call of `train`: the state, the players and what watches them."""

    def __init__(
        self,
        spec: TrainingSpec,
        images: RealImages,
        replica: Replica,
        snapshots: Snapshots,
        evaluate: Evaluate | None,
        on_report: Callable[[Report], None],
        pulse: Pulse,
        micro_batches: int,
        seconds_left: float | None,
    ) -> None:
        batches = Batches(
            spec, images, rank=replica.rank, world_size=replica.world_size, device=replica.device
        )
        self.state = new_state(spec, replica.device)
        self._spec, self._replica, self._snapshots = spec, replica, snapshots
        self._evaluate, self._on_report = evaluate, on_report
        self._stop = StopAsker(replica, pulse)
        self._ends_s = None if seconds_left is None else time.perf_counter() + seconds_left
        self._game = Game(self.state, replica, share=batches.share, micro_batches=micro_batches)
        self._vitals = Vitals(spec, images, replica.device) if replica.rank == 0 else None
        self._prefetch = Prefetch(batches.step) if replica.device.type == "cuda" else None
        self._batch: Callable[[int], StepBatch] = self._prefetch or batches.step

    def resume(self) -> bool:
        """Go on from the latest snapshot; False where there is none."""
        files = self._replica.agree(self._snapshots.latest)
        if files is not None:
            restore(self.state, files)
        return files is not None

    def begin(self, start: Callable[[TrainState], None]) -> None:
        """A new run, whose first snapshot is the one that a remedy finds where nothing better was made.

        Fine-tuning measures what it starts from, which may stay the best.
        """
        start(self.state)
        if self._spec.start_sha256 is not None and self._spec.train.resolved_evaluate_every:
            measured = self._replica.agree(lambda: self._evaluate(self.state) if self._evaluate else None)
            self.state.watch = self.state.watch.model_copy(update={"best": measured})
        self._snapshots.save(self.state, best=self.state.watch.best is not None)

    def to_the_end(self) -> None:
        """Steps until the watch says that the run has ended. Raises TroubleError."""
        train, state = self._spec.train, self.state
        account, begin = _Account(self._spec, state.step), state.step
        clock = _Clock(state.watch.elapsed_s)
        while True:
            moved = state.step > begin
            at_end = state.step >= state.total_steps

            # Report, look and measure: the host waits for the device here, and here alone.
            is_best = False
            if moved and (at_end or state.step % train.log_every == 0):
                is_best = self._look(account, clock, at_end=at_end)
            if at_end and state.watch.ended is None:
                state.watch = state.watch.model_copy(update={"ended": self._ending()})
            ended = state.watch.ended is not None

            # Snapshot, unless it might be of a collapse.
            due = ended or is_best or state.step % train.snapshot_every == 0
            if moved and due:
                self._save(best=is_best)

            # Stop.
            if ended:
                return

            # Stop where that is asked for: the same run goes on from this very step.
            if self._stop.stops_before(state.step):
                if moved and not due:
                    self._save(best=False)
                raise StoppedError(state.step)

            # Gradients and updates: the discriminator's turn, then the generator's.
            rates, batch = self._rates(), self._batch(state.step)
            account.add(self._game.update_discriminator(batch, rates))
            account.add(self._game.update_generator(batch, rates))

            # EMA.
            update_ema(state.ema, state.generator, decay=rates.ema_decay)
            state.step += 1
            account.rates = rates

    def _save(self, *, best: bool) -> None:
        """A snapshot of the state as it is, unless it might be of a collapse."""
        if not self.state.watch.suspicious_looks:
            self._game.guard.raise_if_diverged()
            self._snapshots.save(self.state, best=best)

    def go_back(self, trouble: Trouble) -> None:
        """The one remedy: the last good snapshot (or the best), with what `after_trouble` changes."""
        state = self.state
        best = self._snapshots.best if goes_back_to_best(trouble) else lambda: None
        files = self._replica.agree(lambda: best() or self._snapshots.latest())
        assert files is not None  # noqa: S101  # one was saved before the first step
        before = state.watch
        restore(state, files)
        state.watch = after_trouble(before, state.watch, trouble, self._spec.train)
        self._game.guard.reset()
        if self._replica.rank == 0:
            log.warning("train: %s", remedy_in_words(state.watch, state.step))
        self._snapshots.save(state, best=False)  # a run that is killed now goes on from here

    def take_best(self) -> None:
        """The state that was measured best, where any was measured."""
        watch = self.state.watch
        if watch.best is None or watch.best.step == self.state.step:
            return
        files = self._replica.agree(self._snapshots.best)
        assert files is not None  # noqa: S101  # every best was saved as such
        restore(self.state, files)
        self.state.watch = watch

    def close(self) -> None:
        """Let go of the look-ahead."""
        if self._prefetch is not None:
            self._prefetch.close()

    def _look(self, account: "_Account", clock: "_Clock", *, at_end: bool) -> bool:
        """Report, and let rank 0 judge; whether this step is the best measured. Raises TroubleError."""
        self._game.guard.raise_if_diverged()
        state = self.state
        report = account.report(state.step)
        verdict = self._replica.agree(lambda: self._judge(report, clock, at_end=at_end))
        if self._replica.rank == 0:
            report = replace(
                report,
                diversity=verdict.diversity,
                evaluation=verdict.evaluation,
                limit_left_s=self._limit_left_s(clock),
            )
        self._on_report(report)
        if verdict.trouble is not None:
            raise TroubleError(verdict.trouble)
        assert verdict.watch is not None  # noqa: S101  # a verdict is one or the other
        state.watch = verdict.watch
        self._stop.keep_pace(verdict.steps_per_s)
        return state.watch.best is not None and state.watch.best.step == state.step

    def _limit_left_s(self, clock: "_Clock") -> float | None:
        limit_s, limits = self._spec.train.max_time_s, []
        if limit_s is not None:
            limits.append(limit_s - clock.elapsed_s)
        if self._ends_s is not None:
            limits.append(self._ends_s - time.perf_counter())
        return max(0.0, min(limits)) if limits else None

    def _judge(self, report: Report, clock: "_Clock", *, at_end: bool) -> "_Verdict":
        """Rank 0's: what the newest figures say of the run."""
        train, state, step = self._spec.train, self.state, report.step
        speed = report.images_per_second / train.batch_size
        watch = plan_within(
            state.watch,
            train,
            step=step,
            elapsed_s=clock.elapsed_s,
            steps_per_s=speed,
            budget_s=None if self._ends_s is None else clock.elapsed_s + self._ends_s - time.perf_counter(),
        )
        last = at_end or watch.ended is not None
        assert self._vitals is not None  # noqa: S101  # rank 0 has them
        strength = self._rates().class_strength
        diversity, evaluation = self._vitals.look(state.generator, strength), None
        every = train.evaluate_every_of(state.total_steps)
        try:
            watch = after_look(watch, train, step=step, trend=state.trend, diversity=diversity, last=last)
            due = every and strength == 1 and (last or step % every == 0)
            if self._evaluate is not None and due and not watch.suspicious_looks:
                evaluation = self._evaluate(state)
                watch = after_evaluation(watch, train, evaluation, trend=state.trend)
        except TroubleError as error:
            return _Verdict(None, error.trouble, diversity, evaluation, speed)
        return _Verdict(watch, None, diversity, evaluation, speed)

    def _rates(self) -> Rates:
        watch = self.state.watch
        return Rates.at(
            self._spec.train,
            self.state.step,
            total_steps=self.state.total_steps,
            learning_rate_scale=watch.learning_rate_scale,
            augment_extra=watch.augment_extra,
            ramp_average=self._spec.start_sha256 is None,
        )

    def _ending(self) -> Ending:
        train = self._spec.train
        if self.state.watch.planned_steps is not None and self.state.step < train.budget_steps:
            return self.state.watch.limited_by or "max_time"
        return "max_kimg" if self.state.step < train.steps else "steps"


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What rank 0 tells the others: the watch to go on with, or the trouble."""

    watch: Watch | None
    trouble: Trouble | None
    diversity: Mapping[str, float]
    evaluation: Evaluation | None
    steps_per_s: float  # rank 0's, so that all ranks go by one


class _Clock:
    """Seconds of training, those before a resume included."""

    def __init__(self, before_s: float) -> None:
        self._begin_s = time.perf_counter() - before_s

    @property
    def elapsed_s(self) -> float:
        return time.perf_counter() - self._begin_s


class _Account:
    """Sums of the loss terms since the last report, left on the device until then."""

    rates: Rates  # of the last step

    def __init__(self, spec: TrainingSpec, step: int) -> None:
        self._spec = spec
        self._begin(step)

    def _begin(self, step: int) -> None:
        self._step, self._time_s = step, time.perf_counter()
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, terms: Mapping[str, Tensor]) -> None:
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach()
            self._counts[name] = self._counts.get(name, 0) + 1

    def report(self, step: int) -> Report:
        """Means and speed since the last report; waits for the device, and begins the next account."""
        values = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        images = (step - self._step) * self._spec.train.batch_size
        report = Report(
            step=step,
            images_seen=step * self._spec.train.batch_size,
            images_per_second=images / (time.perf_counter() - self._time_s),
            values={**self.rates.by_name, **values},  # what was measured is so, whatever was scheduled
        )
        self._begin(step)
        return report
