"""Submit or attach, ask, wait, cancel: what every backend has in common.

Owns the order of things. The record is written before a job is started, so that whoever comes later, or second, finds
it: an attempt that is alive or has succeeded is attached to; one that failed or was cancelled is followed by the next
attempt, which goes on from what is stored; one that was recorded and never started is started. While one submission of a
config's name is alive, no other of it is begun: both would train one model and top up one dataset.

Who starts a job looks for its ending afterwards, and who cancels one looks for the job after its ending is recorded:
whichever comes second sees what the other has done, so that no job runs on that is recorded as cancelled.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from augment.errors import ConfigError, PartialError, RetryLaterError
from augment.objects import ObjectStore
from augment.types import ConfigModel
from pipelines.progress import log
from pipelines.submit import record
from pipelines.submit.backends import open_backend, recorded_settings
from pipelines.submit.contract import Backend, Job, JobStatus, Submission, cancelled
from pipelines.submit.record import Attempt
from pipelines.submit.retrying import CLOCK, TRIES, Clock, retried

__all__ = ["Desk", "Seen"]

POLL_S = 5.0
PATIENCE_S = 900.0  # how long a waiter bears a backend that doesn't answer
APPEARS_WITHIN_S = 60.0  # a job that was started and is not seen by then has been deleted
CANCELLED_WITHIN_S = 300.0

RESUMABLE = frozenset({PartialError.exit_code, RetryLaterError.exit_code})


@dataclass(frozen=True)
class Seen:
    """An attempt, and how it stands."""

    attempt: Attempt
    status: JobStatus
    attached: bool = False  # to what was there before

    def document(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "run_id": self.attempt.run_id,
            "attempt": self.attempt.number,
            "backend": self.attempt.backend,
            "job": self.attempt.name,
            "attached": self.attached,
            **self.status.model_dump(mode="json"),
        }


@dataclass(frozen=True)
class Desk:
    """The submissions of one dataset. `settings`, where given, are used instead of those that were recorded."""

    store: ObjectStore
    settings: ConfigModel | None = None
    clock: Clock = CLOCK

    def submit(
        self, submission: Submission, backend: str, settings: ConfigModel, *, new_attempt: bool = False
    ) -> Seen:
        """Start the submission's next attempt, or attach to the one that is alive or has succeeded.

        `new_attempt` doesn't ask how the last one stands, for a backend that is gone. Raises ConfigError where the
        id means another submission, or where it is alive on another backend; RetryLaterError while another submission
        of the same config's name is alive, such as a schedule's last tick.
        """
        last = record.last_attempt(self.store, submission.run_id)
        if last is None and not new_attempt:
            self._refuse_beside_another(submission)  # before there is any trace of this one
        record.put_submission(self.store, submission)
        if last is not None and not new_attempt:
            seen = self._asked_before_submitting(last)
            if seen.status.alive and last.backend != backend:
                raise ConfigError(
                    f"run {last.run_id} is {seen.status.state} on --backend {last.backend} ({seen.status.where}); "
                    f"cancel it first: augment cancel {self.store.uri} --run-id {last.run_id}"
                )
            if seen.status.alive or seen.status.state == "succeeded":
                return Seen(last, seen.status, attached=True)
            asked = (backend, settings.model_dump(mode="json"))
            if seen.status.state == "absent" and (last.backend, last.settings) == asked:
                return self._start(last, submission, attached=False)
            log.info("attempt %d of %s: %s", last.number, last.run_id, seen.status.reason or "never started")
            self._refuse_beside_another(submission)
        wanted = Attempt(
            run_id=submission.run_id,
            number=last.number + 1 if last else 1,
            backend=backend,
            settings=settings.model_dump(mode="json"),
            nonce=secrets.token_hex(4),
        )
        attempt, ours = record.put_attempt(self.store, wanted)
        return self._start(attempt, submission, attached=not ours)

    def look(self, attempt: Attempt, *, tries: int = TRIES) -> Seen:
        """How the attempt stands: as recorded where its end was seen, else as its backend says, asked up to `tries`
        times while it doesn't answer.
        """
        known = record.seen_ending(self.store, attempt)
        if known is not None:
            return Seen(attempt, known)
        backend = self.backend_of(attempt)
        status = retried(
            f"asking {attempt.backend}",
            lambda: backend.status(attempt.name, attempt.nonce),
            tries=tries,
            clock=self.clock,
        )
        if status.ended:
            status = record.put_ending(self.store, attempt, status)
        return Seen(attempt, status)

    def wait(self, attempt: Attempt, *, timeout_s: float | None = None) -> Seen:
        """Until the attempt has ended. RetryLaterError where `timeout_s` or the backend's silence is too long."""
        started_s = answered_s = self.clock.now_s()
        last_said = ""
        while True:
            try:
                seen = self.look(attempt)
                answered_s = self.clock.now_s()
            except RetryLaterError as error:
                if self.clock.now_s() - answered_s > PATIENCE_S:
                    raise
                log.warning("%s: %s; still waiting", attempt.name, error)
            else:
                if seen.status.ended:
                    return seen
                if seen.status.state == "absent" and self.clock.now_s() - started_s > APPEARS_WITHIN_S:
                    return self._deleted(attempt)
                said = f"{seen.status.state}{': ' if seen.status.reason else ''}{seen.status.reason}"
                if said != last_said:
                    log.info("%s is %s", attempt.name, said)
                    last_said = said
            if timeout_s is not None and self.clock.now_s() - started_s >= timeout_s:
                raise RetryLaterError(
                    f"{attempt.name} has not ended within --timeout ({timeout_s:g} s); it goes on, and the same "
                    "command attaches to it"
                )
            self.clock.sleep(POLL_S)

    def cancel(self, run_id: str) -> Seen:
        """Stop the run's last attempt and see it end; what it has stored is kept, and submitting again goes on."""
        seen = self.look(self.last(run_id))
        if seen.status.ended:
            return seen
        attempt, status = seen.attempt, self._stopped(seen.attempt)
        if status.state == "absent":  # the backend keeps nothing of a cancelled job, or has none yet
            status = cancelled(where=seen.status.where)
        ended = record.put_ending(self.store, attempt, status)
        if ended.state == "cancelled":
            self._stopped(attempt)  # its submitter may have started it since, without a look at this ending
        return Seen(attempt, ended)

    def logs(self, run_id: str, *, follow: bool) -> Iterator[str]:
        """What the run's last attempt has printed."""
        attempt = self.last(run_id)
        return self.backend_of(attempt).logs(attempt.name, attempt.nonce, follow=follow)

    def last(self, run_id: str) -> Attempt:
        """The run's last attempt; ConfigError where it was recorded and never attempted."""
        record.read_submission(self.store, run_id)
        attempt = record.last_attempt(self.store, run_id)
        if attempt is None:
            raise ConfigError(f"run {run_id} was recorded and never begun; submit it again")
        return attempt

    def backend_of(self, attempt: Attempt) -> Backend:
        """The backend that the attempt was begun on."""
        recorded = self.settings or recorded_settings(attempt.backend, attempt.settings, attempt.name)
        return open_backend(attempt.backend, recorded)

    def _asked_before_submitting(self, last: Attempt) -> Seen:
        try:
            return self.look(last)
        except RetryLaterError as error:
            raise RetryLaterError(
                f"attempt {last.number} of {last.run_id} can't be asked how it stands: {error}. Try again later; if "
                "that cluster is gone for good, add --new-attempt"
            ) from error

    def _refuse_beside_another(self, submission: Submission) -> None:
        """RetryLaterError while the newest submission of the same config's name is another one, and alive."""
        newest = record.newest_attempt(self.store, name=record.config_name(submission))
        if newest is None or newest.attempt.run_id == submission.run_id:
            return
        other = newest.attempt
        try:
            status = self.look(other, tries=1).status
        except RetryLaterError as error:
            raise RetryLaterError(
                f"{other.name}, submitted before under the name {newest.name!r}, can't be asked how it stands: {error}. "
                "Try again later; if that cluster is gone for good, add --new-attempt"
            ) from error
        except ConfigError as error:  # of another machine, say: that is no reason never to submit again
            log.warning("%s, submitted before under the name %r: %s", other.name, newest.name, error)
            return
        if status.alive:
            raise RetryLaterError(
                f"{other.name}, submitted before under the name {newest.name!r}, is {status.state} on --backend "
                f"{other.backend} ({status.where}); submit {submission.run_id} again when it has ended, or stop it: augment "
                f"cancel {self.store.uri} --run-id {other.run_id}"
            )

    def _start(self, attempt: Attempt, submission: Submission, *, attached: bool) -> Seen:
        known = record.seen_ending(self.store, attempt)
        if known is not None:  # cancelled since it was recorded
            return Seen(attempt, known, attached=attached)
        backend = self.backend_of(attempt)
        job = Job(name=attempt.name, submission=submission, nonce=attempt.nonce)
        retried(f"submitting to {attempt.backend}", lambda: backend.submit(job), clock=self.clock)
        known = record.seen_ending(self.store, attempt)
        if known is not None and known.state == "cancelled":  # by somebody who found no job yet
            self._stopped(attempt)
            return Seen(attempt, known, attached=attached)
        status = retried(
            f"asking {attempt.backend}", lambda: backend.status(job.name, job.nonce), clock=self.clock
        )
        return Seen(attempt, status, attached=attached)

    def _stopped(self, attempt: Attempt) -> JobStatus:
        """The status of the attempt's job once nothing of it runs any more; RetryLaterError where that takes too long."""
        backend = self.backend_of(attempt)
        retried(
            f"cancelling on {attempt.backend}",
            lambda: backend.cancel(attempt.name, attempt.nonce),
            clock=self.clock,
        )
        until_s = self.clock.now_s() + CANCELLED_WITHIN_S
        while (status := backend.status(attempt.name, attempt.nonce)).alive and self.clock.now_s() < until_s:
            self.clock.sleep(1.0)
        if status.alive:
            raise RetryLaterError(f"{attempt.name} is still {status.state} ({status.where}); cancel again")
        return status

    def _deleted(self, attempt: Attempt) -> Seen:
        """The ending of a job that somebody or some rule has deleted before anybody saw it end."""
        status = JobStatus(
            state="failed",
            exit_code=PartialError.exit_code,
            reason=f"--backend {attempt.backend} no longer knows {attempt.name}; submit again: a finished run is found",
        )
        return Seen(attempt, record.put_ending(self.store, attempt, status))
