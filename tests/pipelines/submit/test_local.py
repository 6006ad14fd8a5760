"""The local backend, with real processes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from augment.errors import ConfigError
from pipelines.submit.contract import Job, JobStatus
from pipelines.submit.local import LocalBackend, LocalSettings


def sh(script: str) -> tuple[str, ...]:
    """A command that stands for `augment`; what follows it are its arguments."""
    return ("/bin/sh", "-c", script, "augment")


@pytest.fixture
def backend(tmp_path: Path) -> Callable[[str], LocalBackend]:
    """Backends of one state folder, each with a script for `augment`."""
    return lambda script: LocalBackend(LocalSettings(state_dir=str(tmp_path), command=sh(script)))


def ended(backend: LocalBackend, name: str) -> JobStatus:
    """The status, when the job has ended."""
    deadline = time.monotonic() + 60
    while (status := backend.status(name)).alive:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return status


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 75])
def test_every_exit_code_of_the_contract_comes_through(
    backend: Callable[[str], LocalBackend], job: Job, code: int
) -> None:
    runner = backend(f"echo ran $1 $2 >&2; exit {code}")
    assert runner.status(job.name).state == "absent"

    runner.submit(job)
    status = ended(runner, job.name)

    assert (status.state, status.exit_code) == ("failed" if code else "succeeded", code)
    assert "".join(runner.logs(job.name, follow=False)) == "ran run -c\n"


def test_the_job_has_the_config_as_submitted_and_outlives_its_submitter(
    backend: Callable[[str], LocalBackend], job: Job, tmp_path: Path
) -> None:
    runner = backend('cat "$3"; ps -o sid= -p $$')
    runner.submit(job)
    ended(runner, job.name)

    config, session = "".join(runner.logs(job.name, follow=False)).rsplit("}", 1)
    assert config + "}" == job.submission.config_json
    assert int(session) != os.getsid(0)


def test_submitting_again_from_many_threads_runs_once(
    backend: Callable[[str], LocalBackend], job: Job, tmp_path: Path
) -> None:
    runner = backend(f"echo ran >> {tmp_path}/runs; sleep 0.3")
    threads = [threading.Thread(target=runner.submit, args=(job,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ended(runner, job.name)
    runner.submit(job)
    ended(runner, job.name)

    assert (tmp_path / "runs").read_text() == "ran\n"


def test_cancel_lets_the_job_finish_what_it_holds(
    backend: Callable[[str], LocalBackend], job: Job, tmp_path: Path
) -> None:
    runner = backend(
        f"trap 'echo stored > {tmp_path}/stored; exit 143' TERM; echo up; while :; do sleep 0.05; done"
    )
    runner.submit(job)
    assert next(runner.logs(job.name, follow=True)) == "up\n"

    runner.cancel(job.name)
    runner.cancel(job.name)

    status = runner.status(job.name)
    assert (status.state, status.exit_code) == ("cancelled", 5)
    assert (tmp_path / "stored").read_text() == "stored\n"


def test_a_job_that_succeeded_while_it_was_cancelled_has_succeeded(
    backend: Callable[[str], LocalBackend], job: Job
) -> None:
    runner = backend("trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done")
    runner.submit(job)
    next(runner.logs(job.name, follow=True))

    runner.cancel(job.name)

    assert runner.status(job.name).state == "succeeded"


def test_a_job_that_was_killed_with_its_supervisor_can_be_gone_on_with(
    backend: Callable[[str], LocalBackend], job: Job, tmp_path: Path
) -> None:
    runner = backend("echo up; sleep 60")
    runner.submit(job)
    next(runner.logs(job.name, follow=True))

    os.killpg(int((tmp_path / job.name / "group").read_text()), signal.SIGKILL)

    status = ended(runner, job.name)
    assert (status.state, status.exit_code) == ("failed", 5)
    assert "log" in status.reason


def test_following_a_log_gives_all_of_it_in_order_and_ends_with_the_job(
    backend: Callable[[str], LocalBackend], job: Job
) -> None:
    runner = backend("for n in 1 2 3; do echo line $n; sleep 0.1; done")
    runner.submit(job)

    assert "".join(runner.logs(job.name, follow=True)) == "line 1\nline 2\nline 3\n"
    assert list(runner.logs("never", follow=True)) == []


def test_another_machine_does_not_look_for_the_job_on_itself(job: Job, tmp_path: Path) -> None:
    elsewhere = LocalBackend(LocalSettings(state_dir=str(tmp_path), host="elsewhere"))

    for call in (lambda: elsewhere.submit(job), lambda: elsewhere.status(job.name)):
        with pytest.raises(ConfigError, match="on elsewhere"):
            call()


def test_render_shows_the_command_and_the_config(backend: Callable[[str], LocalBackend], job: Job) -> None:
    text = backend("true").render(job)

    assert text.splitlines()[-1].endswith("config.json --progress log")
    assert job.submission.config_json in text


def test_how_a_job_of_the_same_name_ended_is_not_how_this_one_does(
    backend: Callable[[str], LocalBackend], job: Job, tmp_path: Path
) -> None:
    """As after the dataset, and with it every record, was deleted; or of another dataset on this machine."""
    runner = backend(f"echo ran >> {tmp_path}/runs; exit $(wc -l < {tmp_path}/runs)")
    first, second = (job.model_copy(update={"nonce": nonce}) for nonce in ("0123abcd", "4567cdef"))
    runner.submit(first)
    deadline = time.monotonic() + 60
    while runner.status(first.name, first.nonce).alive:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert runner.status(second.name, second.nonce).state == "absent"
    assert runner.status(job.name).state == "absent", "nor is it an attempt's of an older version"

    runner.submit(second)
    while runner.status(second.name, second.nonce).alive:
        assert time.monotonic() < deadline
        time.sleep(0.02)

    assert [runner.status(each.name, each.nonce).exit_code for each in (first, second)] == [1, 2]
    assert (tmp_path / "runs").read_text() == "ran\nran\n"
