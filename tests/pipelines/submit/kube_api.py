"""A Kubernetes API server on loopback, as far as RayJobs and logs go: objects, conflicts, statuses that move, faults.

It answers as Kubernetes does: 201 and the object, a Status of 404, 409, 401 or 422, and a log in pieces. `statuses` are
a RayJob's, one a GET, the last of which stays; `faults` are answered, in turn, instead of what was asked for.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

TOKEN = "kube-canary-token"


class KubeApi:
    """The server; `kubeconfig` is a client's file."""

    def __init__(self, folder: Path) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.statuses: list[dict[str, Any]] = [{}]
        self.pods: list[dict[str, Any]] = []
        self.log = ["first line\n", "second line\n"]
        self.faults: list[tuple[int, str]] = []
        self.asked: list[str] = []
        self.has_crd = True
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.kubeconfig = folder / "kubeconfig"
        self.write_kubeconfig(TOKEN)

    def write_kubeconfig(self, token: str) -> None:
        """A file with this token."""
        cluster = {"server": f"http://127.0.0.1:{self._server.server_port}"}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "me"}}],
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": "me", "user": {"token": token}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(document))

    def add_pod(
        self, name: str, job: str, phase: str = "Running", created: str = "2026-11-23T00:00:00Z"
    ) -> None:
        """A pod of the Kubernetes Job `job`."""
        metadata = {"name": name, "labels": {"job-name": job}, "creationTimestamp": created}
        self.pods.append({"metadata": metadata, "status": {"phase": phase}, "spec": {"containers": []}})

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, Any]:
        """Status and document; text for a page."""
        self.asked.append(f"{method} {path}")
        if self.faults:
            status, said = self.faults.pop(0)
            return status, _status(status, said)
        parts = path.strip("/").split("/")
        if parts[:2] == ["apis", "ray.io"]:
            return self._rayjobs(method, parts[6:], body) if self.has_crd else (404, "404 page not found\n")
        if parts[-1] == "log":
            return 200, self.log
        selector = query.get("labelSelector", [""])[0].partition("=")[2]
        found = [pod for pod in self.pods if pod["metadata"]["labels"]["job-name"] == selector]
        return 200, {"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": found}

    def _rayjobs(self, method: str, name: list[str], body: bytes) -> tuple[int, Any]:
        if method == "POST":
            manifest = json.loads(body)
            key = manifest["metadata"]["name"]
            if key in self.objects:
                return 409, _status(409, f'rayjobs.ray.io "{key}" already exists')
            self.objects[key] = manifest
            return 201, manifest
        if name[0] not in self.objects:
            return 404, _status(404, f'rayjobs.ray.io "{name[0]}" not found')
        if method == "DELETE":
            del self.objects[name[0]]
            return 200, _status(200, "")
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return 200, {**self.objects[name[0]], "status": status}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _do(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    status, document = 401, _status(401, "Unauthorized")
                else:
                    status, document = api.answer(self.command, parts.path, parse_qs(parts.query), body)
                if isinstance(document, list):
                    self._send_pieces(document)
                    return
                data = document.encode() if isinstance(document, str) else json.dumps(document).encode()
                self.send_response(status)
                self.send_header(
                    "Content-Type", "text/plain" if isinstance(document, str) else "application/json"
                )
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def _send_pieces(self, pieces: list[str]) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for piece in [*(each.encode() for each in pieces), b""]:
                    self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")

            do_GET = do_POST = do_DELETE = _do

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        return Handler


def _status(code: int, message: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Status", "status": "Failure", "message": message, "code": code}
