"""Backend `slurm`: a batch script whose nodes become one Ray cluster for the length of the job.

The script is all there is to it: it writes the config down, starts Ray by `ray symmetric-run` on every node, runs
`augment run` on the first, and leaves the exit code beside the log, in a folder that the submitter sees too. Slurm's
own accounts are asked for what has left no exit code. Job and files are called by the attempt's name and nonce: neither
Slurm nor a folder knows unique names, and how a job of the same name ended is no other's ending.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field, field_validator

from augment.errors import ConfigError, PartialError, RetryLaterError
from augment.types import ConfigModel
from pipelines.submit.contract import (
    Job,
    JobStatus,
    called,
    cancelled,
    ended_with,
    job_environment,
    never_started,
    run_command,
)
from pipelines.submit.environment import CommandWords, Environment
from pipelines.submit.log_file import text_of

__all__ = ["SlurmBackend", "SlurmSettings"]

COMMAND_TIMEOUT_S = 60.0
POLL_S = 2.0
WARNED_S = (
    90  # seconds before a job is ended: a snapshot, Ray's end and going back into the queue take less than 40
)
HEREDOC = "AUGMENT_CONFIG_ENDS_HERE"

_WAITING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD"})
_LOST = frozenset({"NODE_FAIL", "PREEMPTED", "TIMEOUT", "OUT_OF_MEMORY", "DEADLINE", "REVOKED"})
_NO_ANSWER = re.compile(  # of sbatch; what refuses a job is said in more ways than what keeps it from being read
    r"unable to contact|connection (refused|timed out)|connect(ion)? failure|timed out|try again|temporarily|"
    r"standby mode|zero bytes were transmitted|not connected|no route to host|broken pipe",
    re.I,
)
_REFUSED = re.compile(  # of those that ask or cancel: all else may pass
    r"(unrecognized|invalid|unknown|ambiguous) (option|field)|option .*(unrecognized|ambiguous|requires)|"
    r"invalid user|access(/permission)? denied|permission denied|not permitted|accounting .*(disabled|off)",
    re.I,
)


class SlurmSettings(ConfigModel):
    """A Slurm cluster, as seen from a host that has its commands."""

    log_dir: str
    """An absolute path that this host and the nodes share: logs and exit codes."""

    nodes: int = Field(default=1, ge=1)
    """Nodes of the Ray cluster; each is taken whole."""

    gpus_per_node: int = Field(default=0, ge=0)
    """GPUs of each node."""

    gpu_type: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]+$")
    """As in `--gres=gpu:TYPE:N`."""

    time: str = Field(default="24:00:00", pattern=r"^(\d+-)?\d+(:\d\d){0,2}$")
    """The job's time limit, as sbatch takes it; a job that reaches it goes on when it is submitted again."""

    partition: str | None = Field(default=None, pattern=r"^[^\s]+$")
    """The partition; Slurm's default without one."""

    account: str | None = Field(default=None, pattern=r"^[^\s]+$")
    """Who pays."""

    options: tuple[str, ...] = ()
    """More options of sbatch, such as `--constraint=a100`, or `--mem=64G` instead of all memory of the nodes."""

    setup: CommandWords = ()
    """Lines of bash before Ray starts, such as `module load cuda` or `source /shared/augment/bin/activate`."""

    env: Environment = Field(default={})
    """Environment of the job, never a secret."""

    command: CommandWords = Field(default=("augment",), min_length=1)
    """How `augment` is called on the nodes."""

    ray: CommandWords = Field(default=("ray",), min_length=1)
    """How `ray` is called on the nodes."""

    requeues: int = Field(default=2, ge=0)
    """How often the job puts itself back into the queue when it ends with 5 or 75; it goes on from what is stored."""

    start_timeout_s: int = Field(default=300, ge=30)
    """Seconds that all nodes have to join."""

    @field_validator("log_dir")
    @classmethod
    def _log_dir_is_absolute(cls, log_dir: str) -> str:
        if not log_dir.startswith("/") or re.search(r"[%\s]", log_dir):
            raise ValueError(
                f"{log_dir!r} is no absolute path that nodes and submitter share (and holds no '%' and no space)"
            )
        return log_dir.rstrip("/")

    @field_validator("options")
    @classmethod
    def _options_are_options(cls, options: tuple[str, ...]) -> tuple[str, ...]:
        for option in options:
            if not re.fullmatch(r"--[a-z][a-z0-9-]*(=\S+)?", option):
                raise ValueError(
                    f"{option!r} is no option of sbatch; write it as --name=value, without spaces"
                )
            name = option.split("=")[0]  # sbatch takes the beginning of a name for the name
            if any(ours.startswith(name) for ours in _SET_BY_US):
                raise ValueError(f"{name} is set from the job and the fields here; remove it")
        return options


_SET_BY_US = [
    "--job-name",
    "--nodes",
    "--ntasks",
    "--ntasks-per-node",
    "--exclusive",
    "--requeue",
    "--no-requeue",
    "--signal",
    "--open-mode",
    "--output",
    "--error",
    "--time",
    "--partition",
    "--account",
    "--gres",
    "--dependency",
    "--export",
    "--array",
    "--wrap",
]


class SlurmBackend:
    """See Backend."""

    def __init__(self, settings: SlurmSettings) -> None:
        self._settings = settings

    def submit(self, job: Job) -> None:
        """See Backend. Slurm knows no unique names: what is queued under the name is looked for first."""
        folder = Path(self._settings.log_dir)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"log_dir={folder} can't be made: {error.strerror}") from error
        mine = called(job.name, job.nonce)
        if self._queued(mine) is None and not self._exit_file(mine).exists():
            _slurm("sbatch", "--parsable", input_text=self.render(job))

    def status(self, name: str, nonce: str = "") -> JobStatus:
        """See Backend."""
        return self._status(called(name, nonce))

    def _status(self, name: str) -> JobStatus:
        where = f"Slurm job {name}, log {self._log(name)}"
        queued = self._queued(name)
        if queued is not None:
            state, reason = queued
            if state in _WAITING or state == "PENDING":
                return JobStatus(state="waiting", reason=reason, where=where)
            return JobStatus(state="running", where=where)
        try:
            return ended_with(int(self._exit_file(name).read_text(encoding="utf-8")), where=where)
        except FileNotFoundError:
            return (
                cancelled(where=where) if self._cancel_file(name).exists() else self._accounted(name, where)
            )

    def logs(self, name: str, nonce: str = "", *, follow: bool) -> Iterator[str]:
        """See Backend."""
        mine = called(name, nonce)
        path, alive = Path(self._log(mine)), follow
        while not path.exists() and (alive := alive and self._status(mine).alive):
            time.sleep(POLL_S)
        if not path.exists():
            return
        yield from text_of(path, lambda: alive and self._status(mine).alive, every_s=POLL_S)

    def cancel(self, name: str, nonce: str = "") -> None:
        """See Backend."""
        mine = called(name, nonce)
        if self._queued(mine) is not None:
            self._cancel_file(mine).touch()  # a cluster without accounting would forget it
            _slurm("scancel", "--me", "--name", mine)

    def render(self, job: Job) -> str:
        """See Backend: the script, as sbatch takes it."""
        return "\n".join([*self._header(called(job.name, job.nonce)), "", *self._body(job), ""])

    def _header(self, name: str) -> list[str]:
        settings = self._settings
        gpus = (
            f"{settings.gpu_type}:{settings.gpus_per_node}" if settings.gpu_type else settings.gpus_per_node
        )
        options = [
            f"--job-name={name}",
            f"--nodes={settings.nodes}",
            "--ntasks-per-node=1",
            "--exclusive",  # `ray symmetric-run` refuses a node with another Ray, and stops all Ray at its end
            f"--time={settings.time}",
            "--requeue",
            f"--signal=B:TERM@{WARNED_S}",  # before the time limit; before a preemption, where the cluster says so
            "--open-mode=append",  # a job that is requeued goes on in its log
            f"--output={self._log(name)}",
            "--dependency=singleton",  # should two of one name ever be queued, the second finds the work done
            *([] if any(re.match(r"--mem(=|-per)", option) for option in settings.options) else ["--mem=0"]),
            *([f"--gres=gpu:{gpus}"] if settings.gpus_per_node else []),
            *([f"--partition={settings.partition}"] if settings.partition else []),
            *([f"--account={settings.account}"] if settings.account else []),
            *settings.options,
        ]
        return ["#!/bin/bash", *(f"#SBATCH {option}" for option in options)]

    def _body(self, job: Job) -> list[str]:
        settings = self._settings
        config, code = '"$scratch/augment.json"', '"$scratch/exit_code"'
        ray = shlex.join(settings.ray)
        words = run_command(settings.command, config)
        augment = " ".join(word if word == config else shlex.quote(word) for word in words)
        environment = job_environment(job, settings.env)
        return [
            "set -euo pipefail",
            f"exit_file={shlex.quote(str(self._exit_file(called(job.name, job.nonce))))}",
            'rm -f "$exit_file"',
            'scratch="$(mktemp -d)"',
            "trap 'rm -rf \"$scratch\"' EXIT",
            *(f"export {name}={shlex.quote(value)}" for name, value in environment.items()),
            *settings.setup,
            "",
            "# A token of this job's own: nobody else on the network may give its Ray commands.",
            "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN",
            "RAY_AUTH_TOKEN=\"$(od -An -N32 -tx1 /dev/urandom | tr -d ' \\n')\"",
            f"export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT={settings.start_timeout_s} RAY_USAGE_STATS_ENABLED=0",
            "",
            f"cat > {config} <<'{HEREDOC}'",
            job.submission.config_json,
            HEREDOC,
            "",
            "# The script runs on the first node, which is to be the head: its name and the config are at hand there.",
            'head="$(scontrol show hostnames "$SLURM_JOB_NODELIST")"',
            "head=\"${head%%$'\\n'*}\"",
            "port=$((20000 + SLURM_JOB_ID % 10000))",
            "# Slurm warns this script alone, and it augment alone: a snapshot needs Ray, which a signal to all would end.",
            'trap \'[ ! -s "$scratch/driver" ] || kill -TERM "$(cat "$scratch/driver")"\' TERM',
            "# `ray symmetric-run` ends with 0 where Ray itself can't start: only a written code says that we ran.",
            "srun --ntasks-per-node=1 --kill-on-bad-exit=0 \\",
            f'  {ray} symmetric-run --address "$head:$port" --min-nodes "$SLURM_JOB_NUM_NODES" -- \\',
            f'  bash -c \'"$@" & echo $! > "${{0%/*}}/driver"; wait $!; echo $? > "$0"\' {code} {augment} &',
            "running=$!",
            'while kill -0 "$running" 2> /dev/null; do wait "$running" || true; done',
            "",
            f'if [ -s {code} ]; then code="$(cat {code})"; else code={RetryLaterError.exit_code}; '
            'echo "Ray did not start on all nodes" >&2; fi',
            f'if {{ [ "$code" -eq {PartialError.exit_code} ] || [ "$code" -eq {RetryLaterError.exit_code} ]; }} && '
            f'[ "${{SLURM_RESTART_COUNT:-0}}" -lt {settings.requeues} ]; then',
            '  echo "exit code $code: back into the queue, to go on from what is stored" >&2',
            '  scontrol requeue "$SLURM_JOB_ID" && exit "$code"',
            "fi",
            'echo "$code" > "$exit_file.part" && mv "$exit_file.part" "$exit_file"',
            'exit "$code"',
        ]

    def _queued(self, name: str) -> tuple[str, str] | None:
        """State and reason of the job in the queue; None where there is none."""
        listed = _slurm("squeue", "--me", "--noheader", "--name", name, "--format=%T|%r").splitlines()
        states = [tuple(line.strip().partition("|")[::2]) for line in listed if line.strip()]
        live = [(state, reason) for state, reason in states if state in _WAITING or state in _GOING]
        # Of two that are queued by one name, the one that runs tells more.
        return max(live, key=lambda pair: pair[0] in _GOING) if live else None

    def _accounted(self, name: str, where: str) -> JobStatus:
        """The status of a job that has left the queue without an exit code of ours, by Slurm's accounting."""
        try:
            rows = _slurm(
                "sacct", "-X", "-n", "-P", "--name", name, "--starttime=now-30days", "--format=State,ExitCode"
            ).splitlines()
        except ConfigError:  # a cluster need not have accounting
            rows = []
        if not rows:
            if Path(self._log(name)).exists():
                return ended_with(
                    -9, where=where, reason="it left the queue without an exit code: it was killed"
                )
            return JobStatus(state="absent", where=where)
        state, _, codes = rows[-1].partition("|")
        state = state.split()[0]  # "CANCELLED by 1000"
        if state == "CANCELLED":
            return cancelled(where=where)
        if state in _LOST or codes.partition(":")[2] not in ("", "0"):
            return ended_with(-9, where=where, reason=f"Slurm ended it: {state}")
        if state == "BOOT_FAIL":
            return never_started("Slurm could not start its node: BOOT_FAIL", where=where)
        return ended_with(int(codes.partition(":")[0] or 1), where=where)

    def _log(self, name: str) -> str:
        return f"{self._settings.log_dir}/{name}.log"

    def _exit_file(self, name: str) -> Path:
        return Path(self._settings.log_dir) / f"{name}.exit"

    def _cancel_file(self, name: str) -> Path:
        return Path(self._settings.log_dir) / f"{name}.cancelled"


_GOING = frozenset({"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"})


def _slurm(command: str, *arguments: str, input_text: str | None = None) -> str:
    """What a command of Slurm prints. ConfigError where it refuses, RetryLaterError where Slurm doesn't answer.

    A job that sbatch does not take is wrong unless it says otherwise; a question that fails is asked again unless
    it was wrong or is not ours to ask.
    """
    try:
        done = subprocess.run(  # noqa: S603 - Slurm's commands, by name
            [command, *arguments],
            input=input_text,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise ConfigError(
            f"{command} is not on PATH; submit from a login node of the Slurm cluster"
        ) from None
    except subprocess.TimeoutExpired as error:
        raise RetryLaterError(f"{command} did not answer within {COMMAND_TIMEOUT_S:g} s") from error
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
        if _NO_ANSWER.search(said) if command == "sbatch" else not _REFUSED.search(said):
            raise RetryLaterError(f"{command}: {said}")
        raise ConfigError(f"{command} refuses: {said}")
    return done.stdout
