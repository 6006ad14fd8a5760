"""A secret in the environment goes nowhere: a whole run on a real S3 server, and everything it left is scanned.

The canaries are the server's real credentials (and a wrong one, for runs that are refused). They are looked
for raw, hexadecimal, URL-quoted and in base64, in what was printed, logged, pickled and written.
"""

from __future__ import annotations

import base64
import io
import logging
import os
import pickle
import sys
import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from ray import cloudpickle

from augment.config import load_config
from augment.data.sources import open_source
from augment.errors import AugmentError
from augment.objects import open_store
from pipelines import cli
from pipelines.progress import Progress
from pipelines.run import run
from tests.pipelines.conftest import SMALL_JOB
from tests.servers import SeaweedServer

WRONG_SECRET = "canary/" + uuid.uuid4().hex + "+" + uuid.uuid4().hex


def test_no_secret_is_in_anything_that_runs_print_log_pickle_or_write(
    ray_and_s3: SeaweedServer,
    pictures: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    place = f"s3://jobs/{uuid.uuid4().hex}"
    store = open_store(place)
    for name, data in pictures.items():
        store.put(f"train/{name}", data)
    job = tmp_path / "job.yaml"
    job.write_text(SMALL_JOB.format(source=f"{place}/train", output=f"{place}/out"))
    failing = ["name=failing", f"output.uri={place}/failed", "train.max_failures=0"]

    with all_logged(tmp_path / "debug.log"):
        assert augment(monkeypatch, "run", "-c", job) == 0
        assert augment(monkeypatch, "run", "-c", job, *failing, "train.gamma=1e38") == 1  # inside a worker
        assert augment(monkeypatch, "run", "-c", job, "output.uri=s3://no-such-bucket-here/out") == 2
        assert augment(monkeypatch, "verify", f"{place}/out") == 0
        carried = pickles(job)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", WRONG_SECRET)
        assert augment(monkeypatch, "run", "-c", job) == 2
        refused = traceback_of(job)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", ray_and_s3.secret_key)
    printed = capfd.readouterr()

    left = {
        "standard output": printed.out.encode(),
        "standard error": printed.err.encode(),
        "a traceback": refused.encode(),
        **carried,
        **arguments_of_processes(),
        **files_of_ray(),
        **{found.key: store.get(found.key) for found in store.list()},
    }
    assert {"out/README.md", "out/_snapshots/00000000000000000001.json"} <= left.keys()
    for kind in (".parquet", ".safetensors", "tfevents", "training.json", ".log", ".out"):
        assert any(kind in name for name in left), f"nothing of the kind {kind} was scanned"
    print(f"{len(left)} things with {sum(map(len, left.values()))} bytes are scanned")
    secret_keys = [ray_and_s3.secret_key, WRONG_SECRET]
    assert leaks(left, [*secret_keys, ray_and_s3.access_key]) == []
    # botocore's own debug log holds every request's headers, and with them the access key's name; ours adds none
    assert leaks({"debug.log": (tmp_path / "debug.log").read_bytes()}, secret_keys) == []


@pytest.mark.parametrize("kind", ["raw", "base64", "quoted", "hex", "compressed column", "text of a PNG"])
@pytest.mark.parametrize("offset", [0, 1, 2])
def test_the_scan_finds_what_is_hidden(kind: str, offset: int) -> None:
    text = "." * offset + WRONG_SECRET + "and so on"
    planted = {
        "raw": text.encode(),
        "base64": base64.b64encode(text.encode()),
        "quoted": quote(text, safe="").encode(),
        "hex": text.encode().hex().encode(),
        "compressed column": parquet_with(text),
        "text of a PNG": png_with(text),
    }
    assert leaks({"here": planted[kind], "there": b"nothing"}, [WRONG_SECRET]) == ["here"]


def leaks(left: dict[str, bytes], needles: list[str]) -> list[str]:
    """Names of what holds one of the needles, in any form."""
    forms = {form for needle in needles for form in forms_of(needle)}
    return [
        name
        for name, data in left.items()
        if any(form in layer for layer in layers_of(data) for form in forms)
    ]


def forms_of(secret: str) -> Iterator[bytes]:
    """How bytes that hold it may look."""
    raw = secret.encode()
    yield from (raw, raw.hex().encode(), raw.hex().upper().encode(), quote(secret, safe="").encode())
    yield raw.replace(b"/", b"\\/")  # as some write JSON
    for before in range(3):  # base64 has three alignments; its edges hold bits of the neighbours
        aligned = base64.b64encode(b"\0" * before + raw)[4 * (before > 0) :]
        yield aligned[: len(aligned) // 4 * 4 - 4]


def layers_of(data: bytes) -> Iterator[bytes]:
    """The bytes, and what is compressed in them: a Parquet file's columns, a PNG's texts."""
    yield data
    if data[:4] == b"PAR1":
        yield repr(pq.read_table(pa.BufferReader(data)).to_pylist()).encode()
    if data[:4] == b"\x89PNG":
        with Image.open(io.BytesIO(data)) as picture:
            yield repr(picture.info).encode()


def parquet_with(text: str) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": [text] * 50}), sink, compression="zstd", write_statistics=False)
    return sink.getvalue()


def png_with(text: str) -> bytes:
    from PIL.PngImagePlugin import PngInfo

    sink, info = io.BytesIO(), PngInfo()
    info.add_text("comment", text, zip=True)
    Image.new("L", (2, 2)).save(sink, "PNG", pnginfo=info)
    return sink.getvalue()


def augment(monkeypatch: pytest.MonkeyPatch, verb: str, *arguments: object) -> int:
    """The command in this process, so that it uses the Ray of this session; its exit code."""
    settings = [f"--set={argument}" if "=" in str(argument) else str(argument) for argument in arguments]
    monkeypatch.setattr(sys, "argv", ["augment", verb, *settings, "--progress", "log"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def traceback_of(job: Path) -> str:
    """What a caller of the Python interface would see of a run that is refused."""
    with pytest.raises(AugmentError) as caught:
        run(load_config(job), Progress("none"))
    return "".join(traceback.format_exception(caught.value))


def pickles(job: Path) -> dict[str, bytes]:
    """What travels to workers, after it was used here: stores, sources and configs."""
    config = load_config(job)
    store, source = open_store(config.source.uri), open_source(config.source)
    assert source.listing().labels_B.size == len(list(store.list()))
    carried = {"store": store, "source": source, "config": config}
    return {
        f"{name} as a {kind.__name__} pickle": kind.dumps(value)
        for name, value in carried.items()
        for kind in (pickle, cloudpickle)
    }


def arguments_of_processes() -> dict[str, bytes]:
    """The command line of every process that may be read: anyone on the machine sees it."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found[str(path)] = path.read_bytes()
        except OSError:
            continue  # it has ended, or is another user's
    return found


def files_of_ray() -> dict[str, bytes]:
    """Everything in the folder of this Ray session: logs of drivers and workers, and what else it keeps."""
    from ray._private.worker import _global_node

    folder = Path(_global_node.get_session_dir_path())
    return {
        str(path): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and os.access(path, os.R_OK)
    }


@contextmanager
def all_logged(path: Path) -> Iterator[None]:
    """Every logger of this process writes all it has to say, botocore's and Ray's among them."""
    handler = logging.FileHandler(path)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()
