"""A Ray cluster of several nodes on this machine, each `ray start` in a session of its own, that can be killed one by one.

Nodes have addresses of their own on loopback, free ports and a folder of their own; what belongs to them is told by a
token in their environment, so that no other Ray of the machine is touched.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

START_TIMEOUT_S = 120.0
MARK = "AUGMENT_TEST_NODE"
STORE_BYTES = 200_000_000


class Node:
    """A raylet and what it has started (of the head, the cluster's store of state as well)."""

    def __init__(self, process: subprocess.Popen[bytes], mark: str) -> None:
        self._process, self._mark = process, f"{MARK}={mark}".encode()

    def workers(self) -> Iterator[tuple[int, str]]:
        """Process and title of each worker, such as `ray::RayTrainWorker`."""
        for pid in self.processes():
            with suppress(OSError):
                title = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0 ").decode(errors="replace")
                if title.startswith("ray::"):
                    yield pid, title

    def processes(self) -> list[int]:
        """All that have the node's mark, which nobody else has."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (
                    self._mark in (entry / "environ").read_bytes().split(b"\0")
                    and int(entry.name) != os.getpid()
                ):
                    found.append(int(entry.name))
        return found

    def kill(self) -> None:
        """SIGKILL, the raylet first: as a machine that is gone."""
        raylets = [pid for pid in self.processes() if b"raylet" in _command(pid).partition(b"\0")[0]]
        deadline = time.monotonic() + 30
        for pid in (*raylets, *self.processes()):
            _kill(pid)
        while left := self.processes():
            for pid in left:
                _kill(pid)
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
        self._process.wait(10)


class RayNodes:
    """The head with 2 CPUs, which jobs join at `address` with `env`; `add` makes another node."""

    def __init__(self, *, cpus: int = 2) -> None:
        self._token, self._folder = (
            secrets.token_hex(16),
            Path(tempfile.mkdtemp(prefix="ray-nodes-", dir="/tmp")),
        )
        self._nodes: list[Node] = []
        self.address = f"127.0.0.1:{_free_port()}"
        self.env = {
            key: value
            for key, value in os.environ.items()
            if key not in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
        }
        self.env |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self._token, "RAY_USAGE_STATS_ENABLED": "0"}
        self.head = self._start(
            "--head", "--node-ip-address=127.0.0.1", f"--port={self.address.partition(':')[2]}", f"--num-cpus={cpus}",
            "--num-gpus=0", "--include-dashboard=false", f"--temp-dir={self._folder}",
            f"--ray-client-server-port={_free_port()}",
        )  # fmt: skip
        self._wait(lambda: _answers(self.address))

    def add(self, *, cpus: int = 2, gpus: int = 0) -> Node:
        """Another node, once the cluster has it."""
        host = f"127.0.0.{len(self._nodes) + 1}"
        node = self._start(
            f"--address={self.address}",
            f"--node-ip-address={host}",
            f"--num-cpus={cpus}",
            f"--num-gpus={gpus}",
        )
        self._wait(lambda: any(b"raylet" in _command(pid).partition(b"\0")[0] for pid in node.processes()))
        return node

    def close(self) -> None:
        """End all of it."""
        for node in reversed(self._nodes):
            node.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, *options: str) -> Node:
        mark = f"{self._token}-{len(self._nodes)}"
        common = [
            "--block", "--disable-usage-stats", f"--object-store-memory={STORE_BYTES}", "--min-worker-port=0",
            "--max-worker-port=0", f"--metrics-export-port={_free_port()}", f"--dashboard-agent-listen-port={_free_port()}",
        ]  # fmt: skip
        with (self._folder / f"node-{len(self._nodes)}").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", *options, *common],
                env=self.env | {MARK: mark}, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        node = Node(process, mark)
        self._nodes.append(node)
        return node

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not condition():
            said = [path.read_text(errors="replace") for path in sorted(self._folder.glob("node-*"))]
            assert all(node._process.poll() is None for node in self._nodes), said
            assert time.monotonic() < deadline, said
            time.sleep(0.2)


def _answers(address: str) -> bool:
    host, _, port = address.partition(":")
    with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        return True
    return False


def _command(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
