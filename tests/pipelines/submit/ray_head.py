"""A Ray cluster of one node with a token, on loopback and free ports, that ends by itself when its owner says so."""

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
from contextlib import suppress
from pathlib import Path

import requests

START_TIMEOUT_S = 120.0


class RayHead:
    """`ray start --head --block` in a session of its own; `env` is what a client needs."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(16)
        self._folder = Path(tempfile.mkdtemp(prefix="ray-head-", dir="/tmp"))  # sockets need a short path
        self.address = f"http://127.0.0.1:{_free_port()}"
        self.env = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
            self.env.pop(name, None)
        options = [
            *("--head", "--block", "--node-ip-address=127.0.0.1", f"--port={_free_port()}", "--num-cpus=2"),
            *("--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={self.address.rpartition(':')[2]}"),
            *(f"--dashboard-agent-listen-port={_free_port()}", f"--metrics-export-port={_free_port()}"),
            *(f"--ray-client-server-port={_free_port()}", f"--temp-dir={self._folder}", "--disable-usage-stats"),
            *("--object-store-memory=200000000", f"--min-worker-port={0}", f"--max-worker-port={0}"),
        ]  # fmt: skip
        with (self._folder / "out").open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", *options],
                env=self.env, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        self._wait()

    def _wait(self) -> None:
        """Until jobs are taken: the dashboard answers before its agent does."""
        headers = {"Authorization": f"Bearer {self.token}"}
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            with suppress(requests.RequestException):
                if requests.get(f"{self.address}/api/jobs/", headers=headers, timeout=5).ok:
                    return
            said = (self._folder / "out").read_text(errors="replace")
            assert self._process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.2)

    def close(self) -> None:
        """End it and whatever of it is left; another Ray on this machine is not touched."""
        self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        for _ in range(50):
            left = self._processes()
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not left and self._process.poll() is not None:
                break
            time.sleep(0.1)
        self._process.wait(10)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _processes(self) -> list[int]:
        """Those whose command line or environment names our folder or token: nobody else has them."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                if (str(self._folder).encode() in told or self.token.encode() in told) and int(
                    entry.name
                ) != os.getpid():
                    found.append(int(entry.name))
        return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
