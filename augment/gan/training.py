"""The training loop: report, snapshot, stop, gradients and updates, EMA.

Owns the order of a run. Knows nothing of Ray, of stores or of files: it is given images, told which rank
it is, and calls back. Every draw is keyed by a global sample index, so the same spec gives the same run on
any number of workers up to the order of floating-point sums, and on a CPU a resumed run is the
uninterrupted one to the last bit.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from augment.gan.batches import Batches, RealImages
from augment.gan.checkpoint import restore
from augment.gan.ema import update_ema
from augment.gan.game import Game
from augment.gan.replica import Replica
from augment.gan.schedules import Rates
from augment.gan.spec import TrainingSpec
from augment.gan.state import TrainState, new_state

__all__ = ["RealImages", "Replica", "Report", "TrainState", "TrainingSpec", "train"]


@dataclass(frozen=True, slots=True)
class Report:
    """What happened since the last report, as this rank saw it.

    `values` holds means over the steps since then: discriminator loss, generator loss, real logit, fake
    logit, and r1, r2 or gradient_penalty over those steps that had one; and the last step's learning rate,
    gamma, augment probability and EMA decay.
    """

    step: int
    images_seen: int
    images_per_second: float  # over all workers
    values: Mapping[str, float]

    @property
    def kimg(self) -> float:
        """Thousands of real images shown to the discriminator so far."""
        return self.images_seen / 1000


def train(
    spec: TrainingSpec,
    images: RealImages,
    *,
    replica: Replica | None = None,
    resume: Mapping[str, bytes] | None = None,
    on_report: Callable[[Report], None] = lambda report: None,
    on_snapshot: Callable[[TrainState], None] = lambda state: None,
) -> TrainState:
    """Fit the GAN of `spec` to `images`, from the snapshot files `resume` or from the start.

    Every rank makes the same calls. `on_report` comes each `log_every` steps and at the end; `on_snapshot`
    each `snapshot_every` steps and at the end, with the live state: save what you need before returning.

    Raises InputError (images unlike the spec), ConfigError (batch size and workers; a snapshot of another
    spec), IntegrityError (a damaged snapshot), DivergenceError (a non-finite loss: the weights are those of
    the last good step).
    """
    replica = replica or Replica()
    batches = Batches(spec, images, rank=replica.rank, world_size=replica.world_size, device=replica.device)
    state = new_state(spec, replica.device)
    if resume is not None:
        restore(state, resume)
    game, log, begin = Game(state, replica), _Log(spec, state.step), state.step

    while True:
        at_end = state.step >= spec.train.steps
        moved = state.step > begin

        # Report. The host waits for the device here and at snapshots: where a GPU's divergence is seen.
        if moved and (at_end or state.step % spec.train.log_every == 0):
            game.guard.raise_if_diverged()
            on_report(log.report(state.step))

        # Snapshot.
        if moved and (at_end or state.step % spec.train.snapshot_every == 0):
            game.guard.raise_if_diverged()
            on_snapshot(state)

        # Stop.
        if at_end:
            return state

        # Gradients and updates: the discriminator's turn, then the generator's.
        rates, batch = Rates.at(spec.train, state.step), batches.step(state.step)
        log.add(game.update_discriminator(batch, rates))
        log.add(game.update_generator(batch, rates))

        # EMA.
        update_ema(state.ema, state.generator, decay=rates.ema_decay)
        state.step += 1


class _Log:
    """Sums of the loss terms since the last report, left on the device until then."""

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
            values={**values, **Rates.at(self._spec.train, step - 1).by_name},
        )
        self._begin(step)
        return report
