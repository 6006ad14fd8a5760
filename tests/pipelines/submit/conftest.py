"""A submission, a clock that nobody waits for, and a backend that does as it is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from augment.config import Config, config_to_dict
from augment.types import ConfigModel
from pipelines.submit import backends
from pipelines.submit.backends import BackendKind
from pipelines.submit.contract import Job, JobStatus, Submission
from pipelines.submit.retrying import Clock

GPU_CONFIG: dict[str, Any] = {
    "name": "defects",
    "source": {"uri": "s3://bucket/train"},
    "train": {"workers": 4, "device": "gpu", "batch_size": 64},
    "generate": {"actors": 6, "device": "gpu"},
    "output": {"uri": "s3://bucket/out"},
}


@pytest.fixture
def submission() -> Submission:
    """A job for four GPUs, on a store that nobody contacts."""
    config = config_to_dict(Config.model_validate(GPU_CONFIG))
    return Submission(run_id="defects-1", config=config, code_version="0.1.0+0000")


@pytest.fixture
def job(submission: Submission) -> Job:
    """Its first attempt."""
    return Job(name="defects-1", submission=submission)


@dataclass
class Watch:
    """Time that passes when it is slept."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        """Let it pass."""
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> Clock:
        """As the desk takes it."""
        return Clock(now_s=lambda: self.now, sleep=self.sleep)


@pytest.fixture
def watch() -> Watch:
    """A clock at 0."""
    return Watch()


class ToldSettings(ConfigModel):
    """Of the backend that does as it is told."""

    place: str = "here"


@dataclass
class Told:
    """A backend in memory: what it was given, and what it is to answer."""

    jobs: dict[str, Job] = field(default_factory=dict)
    answers: dict[str, list[JobStatus | Exception]] = field(default_factory=dict)  # the last one stays
    submits: list[str] = field(default_factory=list)
    refusals: list[Exception] = field(default_factory=list)
    opened_with: list[ConfigModel] = field(default_factory=list)

    def submit(self, job: Job) -> None:
        """See Backend."""
        if self.refusals:
            raise self.refusals.pop(0)
        if job.name not in self.jobs or self.jobs[job.name].nonce != job.nonce:
            self.submits.append(job.name)
            self.jobs[job.name] = job

    def status(self, name: str, nonce: str = "") -> JobStatus:
        """See Backend."""
        queue = self.answers.get(name, [])
        if not queue:
            there = self.jobs.get(name)
            known = there is not None and nonce in ("", there.nonce)
            return JobStatus(state="running" if known else "absent", where=f"told {name}")
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def logs(self, name: str, nonce: str = "", *, follow: bool) -> Iterator[str]:
        """See Backend."""
        yield f"log of {name}\n"

    def cancel(self, name: str, nonce: str = "") -> None:
        """See Backend: the job is gone."""
        self.jobs.pop(name, None)
        self.answers.pop(name, None)

    def render(self, job: Job) -> str:
        """See Backend."""
        return job.name


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """That backend, in the table as `told` and as `other`."""
    backend = Told()

    def make(settings: ToldSettings) -> Told:
        backend.opened_with.append(settings)
        return backend

    for name in ("told", "other"):
        monkeypatch.setitem(backends.BACKENDS, name, BackendKind(ToldSettings, make))
    return backend


@pytest.fixture
def gpu_config(tmp_path: Path) -> Path:
    """The config file of that submission."""
    path = tmp_path / "gpu.yaml"
    path.write_text(yaml.safe_dump(GPU_CONFIG))
    return path
