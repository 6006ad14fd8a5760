"""Backend `ray`: a running Ray cluster, by its Jobs API over HTTP, with token authentication.

The config travels as the job's working directory. The driver's own exit code comes from the API's `driver_exit_code`:
Ray's command line has 1 for every failure. Imports Ray only when it is asked to do something.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shlex
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import Field, field_validator

from augment.errors import ConfigError, RetryLaterError
from augment.redaction import redact
from augment.types import ConfigModel, sha256_hex
from pipelines.submit.contract import (
    NONCE_KEY,
    Job,
    JobStatus,
    cancelled,
    ended_with,
    job_environment,
    never_started,
    run_command,
)
from pipelines.submit.environment import CommandWords, Environment

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

__all__ = ["RayJobsBackend", "RayJobsSettings"]

CONFIG_NAME = "augment.json"
DEFAULT_ADDRESS = "http://127.0.0.1:8265"
ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")  # Ray lets them win over any argument
FOLLOW_TRIES = 5

# They say what they pack and upload, and when a log ends.
_TALKATIVE = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)

# Ray's own accounts of why a job never got as far as its command.
_WRONG_ENVIRONMENT = frozenset({"RUNTIME_ENV_SETUP_FAILURE", "JOB_ENTRYPOINT_COMMAND_START_ERROR"})
_NOT_PLACED = frozenset(
    {
        "JOB_SUPERVISOR_ACTOR_START_TIMEOUT",
        "JOB_SUPERVISOR_ACTOR_START_FAILURE",
        "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE",
    }
)


class RayJobsSettings(ConfigModel):
    """A Ray cluster that is there."""

    address: str = Field(default_factory=lambda: _address_of_environment() or DEFAULT_ADDRESS)
    """Of the head's dashboard, which answers the Jobs API: `http://HEAD:8265`, best through a tunnel or https. By
    default what RAY_API_SERVER_ADDRESS or RAY_ADDRESS says, else this machine."""

    auth: str = Field(default="token", pattern="^(token|disabled)$")
    """`token`: authenticate with RAY_AUTH_TOKEN, or the file that RAY_AUTH_TOKEN_PATH names, or ~/.ray/auth_token;
    `disabled` is for a cluster that nobody else reaches."""

    ca_file: str | None = None
    """Certificates to check an https address with, instead of the system's."""

    command: CommandWords = Field(default=("augment",), min_length=1)
    """How `augment` is called on the cluster."""

    py_modules: tuple[str, ...] = ()
    """Folders of Python packages to ship from here, such as those of `augment` and `pipelines` themselves; empty where
    the cluster's image has them."""

    env: Environment = Field(default={})
    """Environment of the job. Never a secret: those belong to the nodes' own environment or role."""

    stop_s: float = Field(default=30.0, gt=0)
    """Seconds that a cancelled job has to finish what it holds."""

    @field_validator("address")
    @classmethod
    def _address_is_http(cls, address: str) -> str:
        if redact(address) != address:
            raise ValueError(f"{redact(address)} holds credentials; the token comes from the environment")
        if not re.match(r"https?://", address):
            raise ValueError(f"{address} is not the dashboard's address; give http://HEAD:8265")
        return address.rstrip("/")


class RayJobsBackend:
    """See Backend."""

    def __init__(self, settings: RayJobsSettings) -> None:
        self._settings = settings

    def submit(self, job: Job) -> None:
        """See Backend. Raises ConfigError where a job of this name has another config."""
        with self._client() as client, tempfile.TemporaryDirectory(prefix="augment-submit-") as folder:
            (Path(folder) / CONFIG_NAME).write_text(job.submission.config_json, encoding="utf-8")
            request = self._request(job, working_dir=folder)
            try:
                client.submit_job(**request)
            except RuntimeError as error:
                if "already exists" not in str(error):
                    raise
                self._check_same(client.get_job_info(job.name), request["metadata"], job.name)

    def status(self, name: str, nonce: str = "") -> JobStatus:
        """See Backend."""
        where = f"Ray job {name} at {self._settings.address}"
        with self._client() as client:
            try:
                details = client.get_job_info(name)
            except RuntimeError as error:
                if _http_status(error) == 404:
                    return JobStatus(state="absent", where=where)
                raise
        if nonce and (details.metadata or {}).get(NONCE_KEY) != nonce:
            return JobStatus(state="absent", where=where)
        return _status_of(details, where)

    def logs(self, name: str, nonce: str = "", *, follow: bool) -> Iterator[str]:
        """See Backend. A connection that breaks is made again, and what was printed is not repeated."""
        status = self.status(name, nonce)
        if status.state == "absent":
            return
        if not follow or status.ended:
            with self._client() as client:
                yield client.get_job_logs(name)
            return
        printed, silent = 0, 0
        while silent < FOLLOW_TRIES:
            before = printed
            for text in self._tail(name, skip=printed):
                printed += len(text)
                yield text
            if self.status(name).ended:
                return
            silent = 0 if printed > before else silent + 1
        raise RetryLaterError(f"the log of {status.where} broke off {FOLLOW_TRIES} times; follow it again")

    def cancel(self, name: str, nonce: str = "") -> None:
        """See Backend."""
        if self.status(name, nonce).alive:
            with self._client() as client:
                client.stop_job(name)

    def render(self, job: Job) -> str:
        """See Backend: the request to `POST /api/jobs/`, and the file that goes along, as YAML."""
        request = self._request(job, working_dir=f"a folder that holds {CONFIG_NAME}")
        document = {
            "address": self._settings.address,
            "request": request,
            CONFIG_NAME: job.submission.config,
        }
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)

    def _request(self, job: Job, *, working_dir: str) -> dict[str, Any]:
        # The supervisor reads the patience of a stop from the job's own environment; Ray's default is 3 s.
        patience = {"RAY_JOB_STOP_WAIT_TIME_S": f"{self._settings.stop_s:g}"}
        env = {**patience, **job_environment(job, self._settings.env)}
        runtime_env: dict[str, Any] = {"working_dir": working_dir, "env_vars": env}
        if self._settings.py_modules:
            runtime_env["py_modules"] = list(self._settings.py_modules)
        return {
            "entrypoint": shlex.join(run_command(self._settings.command, CONFIG_NAME)),
            "submission_id": job.name,
            "runtime_env": runtime_env,
            "metadata": {
                "augment_run_id": job.submission.run_id,
                "augment_submission_sha256": sha256_hex(job.submission.to_json()),
                **({NONCE_KEY: job.nonce} if job.nonce else {}),
            },
        }

    def _check_same(self, there: JobDetails, metadata: dict[str, str], name: str) -> None:
        for key in metadata:
            found = (there.metadata or {}).get(key)
            if found != metadata[key]:
                raise ConfigError(
                    f"{self._settings.address} has a job {name} already, and it is not this one (metadata {key}={found}); "
                    f"give another --run-id, or, once it has ended, `ray job delete {name}`"
                )

    def _tail(self, name: str, *, skip: int) -> Iterator[str]:
        """The log from character `skip` on, until the job or the connection ends."""
        with self._client() as client, _loop() as loop:
            pieces: AsyncIterator[str] = client.tail_job_logs(name)
            while (piece := loop.run_until_complete(_next(pieces))) is not None:
                new, skip = piece[skip:], max(0, skip - len(piece))
                if new:
                    yield new

    @contextmanager
    def _client(self) -> Iterator[JobSubmissionClient]:
        """A client; while it is used, whatever it raises for a service's sake becomes ours."""
        self._refuse_other_address()
        _authenticate(self._settings.auth)
        import requests
        from ray.exceptions import AuthenticationError
        from ray.job_submission import JobSubmissionClient

        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
        where = self._settings.address
        try:
            yield JobSubmissionClient(where, verify=self._settings.ca_file or True)
        except AuthenticationError as error:
            raise ConfigError(
                f"{where} refuses: {str(error).splitlines()[0]}; set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH, to the "
                "cluster's token"
            ) from error
        except (ConnectionError, requests.ConnectionError, requests.Timeout) as error:
            raise RetryLaterError(f"no Ray dashboard answers at {where}: {_last_line(error)}") from error
        except FileNotFoundError as error:
            raise ConfigError(f"ca_file={self._settings.ca_file} is not there") from error
        except requests.HTTPError as error:
            raise RetryLaterError(f"{where} answers with an error: {_last_line(error)}") from error
        except RuntimeError as error:
            status = _http_status(error)
            if status is not None and status >= 500:  # "No available agent" among them
                raise RetryLaterError(f"{where} can't do it now: {_last_line(error)}") from error
            raise ConfigError(f"{where} refuses: {_last_line(error)}") from error
        except ValueError as error:  # no JSON, or a folder of py_modules that is none
            raise ConfigError(f"{where} or its cluster file is not right: {_last_line(error)}") from error

    def _refuse_other_address(self) -> None:
        forced = _address_of_environment()
        if forced is not None and forced.rstrip("/") != self._settings.address:
            names = " or ".join(ADDRESS_VARIABLES)
            raise ConfigError(
                f"address={self._settings.address}, but the environment's {names} says {redact(forced)}, which Ray would "
                "use instead; unset it"
            )


def _status_of(details: JobDetails, where: str) -> JobStatus:
    state, said = str(details.status), (details.message or "").strip().partition("\n")[0]
    if state == "PENDING":
        return JobStatus(state="waiting", reason=said, where=where)
    if state == "RUNNING":
        return JobStatus(state="running", where=where)
    if state == "STOPPED":
        return cancelled(where=where)
    if state == "SUCCEEDED":
        return ended_with(0, where=where)
    kind = str(details.error_type or "")
    if details.driver_exit_code is not None:
        return ended_with(details.driver_exit_code, where=where)
    if kind in _WRONG_ENVIRONMENT:
        return JobStatus(
            state="failed", exit_code=ConfigError.exit_code, reason=f"{kind}: {said}", where=where
        )
    if kind in _NOT_PLACED:
        return never_started(f"{kind}: {said}", where=where)
    return ended_with(
        -9, where=where, reason=f"{kind}: {said}".strip(": ")
    )  # its node or supervisor was lost


def _authenticate(mode: str) -> None:
    """Have Ray, which reads the environment, use the token, or none. It keeps what it read first."""
    given = os.environ.get("RAY_AUTH_MODE")
    if given is not None and given.lower() != mode:
        raise ConfigError(f"auth={mode}, but the environment's RAY_AUTH_MODE is {given}; make them agree")
    os.environ["RAY_AUTH_MODE"] = mode


def _address_of_environment() -> str | None:
    return next((os.environ[name] for name in ADDRESS_VARIABLES if os.environ.get(name)), None)


def _http_status(error: RuntimeError) -> int | None:
    found = re.search(r"status code (\d{3})", str(error))
    return int(found[1]) if found else None


def _last_line(error: BaseException) -> str:
    """The end of a traceback is its message."""
    lines = [line for line in redact(str(error)).splitlines() if line.strip(" .")]
    return lines[-1].strip() if lines else type(error).__name__


async def _next(pieces: AsyncIterator[str]) -> str | None:
    """The next piece; None at the end, also of the connection."""
    import aiohttp

    try:
        return await anext(pieces)
    except (StopAsyncIteration, aiohttp.ClientError):
        return None
    except RuntimeError:  # the socket was closed, as the client says it
        return None


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    try:
        yield loop
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
