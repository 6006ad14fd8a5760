"""What a job may use, and what its commands have used: the clock of its budget.

A budget is of a job, not of a command: what is used is kept in the dataset's store, so that a scheduler
which tries again after exit code 5 spends what is left, and not the budget anew. A job is a submission with
all its attempts and requeues, or else what runs under a config's `name`; once it has ended well, the next
one begins at nothing. A command that finds nothing left is a ConfigError: trying again cannot mend it, and
schedulers stop.

Owns when a budget is over and the words for it. How money becomes time is augment.planning.budget's; what a
stage does then is the stage's. Time is the wall clock's, since workers on other machines look at it too.
Imports neither torch nor Ray.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from augment.config import Config
from augment.errors import AugmentError, ConfigError, IntegrityError, PartialError
from augment.gan.hardware import Hardware
from augment.objects import ObjectStore
from augment.planning.budget import Allowance, allowance, training_share, usd_per_hour
from augment.store.spent import Spent, put_spent, stored_spent
from pipelines.progress import log
from pipelines.site import held_by
from pipelines.submit.contract import SUBMISSION_VARIABLE
from pipelines.submit.record import run_id_of_job

__all__ = ["Spending", "job_of"]

TOLD_EVERY_S = 30.0
"""A driver that is killed without a word has used so much more, at most, than the store knows."""

TOLD_WITHIN_S = 2.0


class Spending:
    """One command's part in its job's budget, from the command's start on."""

    def __init__(self, config: Config, store: ObjectStore, now_s: Callable[[], float] = time.time) -> None:
        self._config, self._store, self._now_s = config, store, now_s
        self._began_s = now_s()
        self._job = ""
        self._before, self._usd_per_s = Spent(), 0.0
        self._allowance: Allowance | None = None
        self._over = threading.Event()  # nothing more is told
        self._teller: threading.Thread | None = None

    def look_up(self) -> None:
        """Find what was used before, ahead of paying for more; ConfigError where that was all there is."""
        budget = self._config.budget
        if budget.hours is None and budget.usd is None:
            return
        self._job = job_of(self._store, self._config.name)
        self._before = before = stored_spent(self._store, self._job)
        for field, limit, used, unit in (
            ("hours", budget.hours, before.seconds / 3600, "h"),
            ("usd", budget.usd, before.usd, "USD"),
        ):
            if limit is not None and used >= limit:
                raise ConfigError(
                    f"budget.{field}={limit:g} is used up by {before.commands} command(s) of this job before this one: "
                    f"{used:.3g} {unit}; {_GO_ON}"
                )

    def begin(self, hardware: Hardware) -> None:
        """Count by what the cluster has; ConfigError where dollars can't be counted by it."""
        budget, prices, held = (
            self._config.budget,
            self._config.cost.prices,
            held_by(self._config, hardware),
        )
        self._usd_per_s = (usd_per_hour(prices, held) or 0.0) / 3600
        self._allowance = allowance(
            budget, prices, held, spent_s=self._before.seconds, spent_usd=self._before.usd
        )

    @contextmanager
    def told(self) -> Iterator[None]:
        """While the body runs, and at its end, the store is told what is used, where there is a budget."""
        if self._allowance is None:
            yield
            return
        if self._before.commands:
            log.info(
                "budget: %.3g h are used by %d command(s) of this job before this one",
                self._before.seconds / 3600, self._before.commands,
            )  # fmt: skip
        self._tell()
        self._teller = threading.Thread(target=self._go_on_telling, name="augment-spending", daemon=True)
        self._teller.start()
        try:
            yield
        finally:
            if self._hush():
                # In a thread: who was told to end must not wait for a store that does not answer.
                last = threading.Thread(target=self._tell, name="augment-spending-last", daemon=True)
                last.start()
                last.join(TOLD_WITHIN_S)

    def done(self) -> None:
        """The job has ended well: what it used is not the next one's. What hinders that is only logged."""
        self._hush()
        try:
            job = self._job or job_of(self._store, self._config.name)
            if _is_begun(self._store, job):
                put_spent(self._store, job, Spent())
        except AugmentError as error:
            log.warning("budget: the store does not take down that the job has ended: %s", error)

    @property
    def ends_at(self) -> float | None:
        """When the budget is over, in seconds since 1970; None where there is none."""
        return None if self._allowance is None else self._began_s + self._allowance.seconds

    def training_ends_at(self, generating_s: float) -> float | None:
        """When training is to end for `generating_s` seconds to be left, in which its model is used."""
        if self.ends_at is None:
            return None
        now_s = self._now_s()
        return now_s + training_share(self.ends_at - now_s, generating_s)

    def refuse(self, step: str) -> None:
        """PartialError where the budget is over before `step` has begun."""
        if self._is_over and self._allowance is not None:
            raise PartialError(f"{self._allowance.field} is used up before {step}; {_GO_ON}")

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Where the body ends partly done and the budget is over, the error says that it is why."""
        try:
            yield
        except PartialError as error:
            if self._is_over and self._allowance is not None:
                raise PartialError(f"{self._allowance.field} is used up: {error}; {_GO_ON}") from error
            raise

    @property
    def _is_over(self) -> bool:
        return self.ends_at is not None and self._now_s() >= self.ends_at

    def _hush(self) -> bool:
        """No telling any more; whether there was any till now. One at work is waited for, not for long."""
        told = self._teller is not None and not self._over.is_set()
        self._over.set()
        if self._teller is not None:
            self._teller.join(TOLD_WITHIN_S)
        return told

    def _go_on_telling(self) -> None:
        while not self._over.wait(TOLD_EVERY_S):
            self._tell()

    def _tell(self) -> None:
        seconds = self._now_s() - self._began_s
        try:
            put_spent(
                self._store, self._job, self._before.plus(seconds=seconds, usd=seconds * self._usd_per_s)
            )
        except AugmentError as error:
            log.warning("budget: the store does not take down what is used: %s", error)


def _is_begun(store: ObjectStore, job: str) -> bool:
    """Whether the store has something of a job to forget, be it damaged."""
    try:
        return stored_spent(store, job) != Spent()
    except IntegrityError:
        return True


def job_of(store: ObjectStore, name: str) -> str:
    """Whose budget this process spends: its submission's, of any attempt, else a config's `name`'s."""
    submitted = os.environ.get(SUBMISSION_VARIABLE)
    return f"submission-{run_id_of_job(store, submitted)}" if submitted else f"name-{name}"


_GO_ON = (
    "what is stored is kept, and the same command with a larger budget, which is that of all a job's "
    "commands together, or with none, goes on"
)
