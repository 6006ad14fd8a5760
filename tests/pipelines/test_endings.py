"""How a command ends that cannot go on: stopped by its user, without a place to write to, without a cluster."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Event
from typing import NoReturn

import pytest

from augment.config import load_config
from augment.errors import ConfigError, RetryLaterError
from pipelines.cluster import ray_cluster
from pipelines.progress import Progress
from pipelines.run import run
from tests.conftest import set_aws
from tests.pipelines.conftest import wait_until
from tests.servers import FaultyProxy, SeaweedServer

INTERRUPTED = 130
STOPPED = "stopped; what is stored is kept, the same command goes on from there"


def start(*arguments: object) -> subprocess.Popen[str]:
    """`augment` with these arguments, in a process of its own that heeds Ctrl-C.

    A job that a shell started in the background ignores SIGINT, and so would its children: these tests', too.
    """
    command = [sys.executable, "-m", "pipelines.cli", *map(str, arguments), "--progress", "log"]
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed
    )


def lines_until(process: subprocess.Popen[str], text: str) -> Iterator[str]:
    """What it says on standard error, up to a line with `text`."""
    assert process.stderr is not None
    for line in process.stderr:
        yield line
        if text in line:
            return
    raise AssertionError(f"it ended without {text!r}")


def test_ctrl_c_while_a_store_does_not_answer_is_exit_code_130(
    seaweed: SeaweedServer, s3_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Event()

    def hole(method: str, path: str) -> str:
        asked.set()
        return "hole"

    proxy = FaultyProxy(seaweed.endpoint, hole)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
    with start("verify", s3_uri) as command:
        try:
            assert asked.wait(60)
            command.send_signal(signal.SIGINT)
            printed, said = command.communicate(timeout=60)
        finally:
            command.kill()
            proxy.close()

    assert (command.returncode, printed) == (INTERRUPTED, "")
    assert said.splitlines()[-1] == STOPPED
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ctrl_c_in_a_run_is_exit_code_130_and_the_rest_of_ray_ends_too(
    config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    settings = ["train.steps=100000", "train.snapshot_every=100000", "ray.num_cpus=2"]
    overrides = [part for setting in settings for part in ("--set", setting)]
    with start("run", "-c", config_file, *overrides) as command:
        try:
            for line in lines_until(command, "train: starting workers"):
                assert "Traceback" not in line
            started = below(command.pid)
            command.send_signal(signal.SIGINT)
            printed, said = command.communicate(timeout=300)
        finally:
            command.kill()

    assert (command.returncode, printed) == (INTERRUPTED, "")
    assert STOPPED in said
    assert "Traceback" not in said
    assert started, "Ray was there"
    wait_until(lambda: not started & alive(), lambda: True, timeout_s=60)


def test_an_output_that_cannot_be_written_is_said_before_anything_is_begun(
    config_file: Path, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here a file is in the way, and a system folder takes none; both hold for root, too."""
    in_the_way = config_file.parent / "file"
    in_the_way.touch()
    monkeypatch.setattr("pipelines.cluster.ray_cluster", no_cluster)

    for place in (in_the_way / "out", Path("/proc/nowhere")):
        with pytest.raises(ConfigError, match=f"{place}"):
            run(load_config(config_file, [f"output.uri={place}"]), quiet)


def test_an_output_on_s3_that_may_only_be_read_is_said_before_anything_is_begun(
    config_file: Path, quiet: Progress, seaweed: SeaweedServer, s3_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_aws(monkeypatch, seaweed.guest_env)
    monkeypatch.setattr("pipelines.cluster.ray_cluster", no_cluster)

    with pytest.raises(ConfigError, match=rf"{s3_uri}.*access denied.*credentials"):
        run(load_config(config_file, [f"output.uri={s3_uri}/out"]), quiet)


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "[::1]:9", "127.0.0.1:99999"])
def test_a_cluster_that_does_not_answer_asks_to_try_later_at_once(
    config_file: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr("pipelines.cluster.ray.is_initialized", lambda: False)
    config = load_config(config_file, [f"ray.address={address!r}"])

    with pytest.raises(RetryLaterError, match=rf"ray\.address={re.escape(address)}"), ray_cluster(config.ray):
        raise AssertionError("there is no cluster")


def test_ray_that_cannot_start_here_is_exit_code_75(
    config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", "/dev/null/not-a-folder")

    command = start("run", "-c", config_file)
    printed, said = command.communicate(timeout=300)

    assert (command.returncode, printed) == (75, "")
    assert "error: Ray did not start" in said
    assert "/dev/null/not-a-folder" in said
    assert "Traceback" not in said


def no_cluster(config: object) -> NoReturn:
    raise AssertionError("a cluster was asked for before it was known that nothing can be written")


def processes() -> Iterator[tuple[int, int]]:
    """Process and parent of all that run; a zombie has ended."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,stat="], stdout=subprocess.PIPE, text=True, check=True)
    for line in listed.stdout.splitlines():
        pid, parent, state = line.split()
        if not state.startswith("Z"):
            yield int(pid), int(parent)


def alive() -> set[int]:
    return {pid for pid, _ in processes()}


def below(ancestor: int) -> set[int]:
    """Processes that `ancestor` has started, and those that they have."""
    parent_of = dict(processes())
    found: set[int] = {ancestor}
    while grown := {pid for pid, parent in parent_of.items() if parent in found} - found:
        found |= grown
    return found - {ancestor}
