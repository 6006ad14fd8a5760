"""Suite `store`: what the commit protocol costs beside a bare write, and a deep verify beside a bare read.

Committing is begin_run, put_shard for each shard, seal_run and publish, on a local folder and on SeaweedFS
(a real S3 server, on loopback). Making the shards' bytes is not timed; to the protocol they are opaque.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.measure import Case, Comparison, Outcome, in_fresh_process, timed

if TYPE_CHECKING:
    from augment.types import RunPlan

__all__ = ["REPEATS", "comparisons"]

REPEATS = 5
BUCKET = "bench"
SHARD_BYTES = 1_000_000
FILES, OBJECTS = "open, write, fsync", "boto3 put_object"
TABLES, DECODED = "pyarrow read_table", "pyarrow, then Pillow on each image"


def comparisons(small: bool, stack: ExitStack) -> list[Comparison]:
    """Writes on two stores, reads of one; the S3 server and the dataset last as long as `stack`."""
    shards, rows = (5, 1_000) if small else (50, 20_000)
    stack.enter_context(_s3_server())
    dataset = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
    files = in_fresh_process(write_dataset, dataset, rows)
    return [
        Comparison(
            name=f"commit {shards} shards of 1 MB, local folder",
            unit="MB",
            cases=[Case(FILES, partial(bare_files, shards)), Case("ours", partial(commit_locally, shards))],
            baselines=[FILES],
        ),
        Comparison(
            name=f"commit {shards} shards of 1 MB, S3 (SeaweedFS)",
            unit="MB",
            cases=[Case(OBJECTS, partial(bare_objects, shards)), Case("ours", partial(commit_to_s3, shards))],
            baselines=[OBJECTS],
        ),
        Comparison(
            name=f"verify --deep, {rows:,} rows of 28×28 PNG",
            unit="rows",
            cases=[
                Case(TABLES, partial(bare_tables, files, rows)),
                Case(DECODED, partial(bare_decoding, files, rows)),
                Case("ours", partial(verify_deep, dataset, files, rows)),
            ],
            baselines=[TABLES, DECODED],
        ),
    ]


# ---- writes -------------------------------------------------------------------------------------------


def commit_locally(shards: int) -> Outcome:
    """Ours on a local folder."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        return _committed(folder, shards)


def commit_to_s3(shards: int) -> Outcome:
    """Ours on S3; its client's first connection is made before."""
    return _committed(f"s3://{BUCKET}/{uuid.uuid4().hex}", shards)


def bare_files(shards: int) -> Outcome:
    """The baseline on a local folder."""
    from tests.benchmarks.baselines.bare_writes import write_files

    blobs = _blobs(shards)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        return _megabytes(blobs, timed(lambda: write_files(Path(folder), blobs)))


def bare_objects(shards: int) -> Outcome:
    """The baseline on S3; its client's first connection is made before."""
    import boto3

    from tests.benchmarks.baselines.bare_writes import write_objects

    blobs, client = _blobs(shards), boto3.session.Session().client("s3")
    client.put_object(Bucket=BUCKET, Key="warm-up", Body=b"")
    return _megabytes(blobs, timed(lambda: write_objects(client, BUCKET, uuid.uuid4().hex, blobs)))


def _committed(uri: str, shards: int) -> Outcome:
    from augment.objects import open_store
    from augment.store.commit import begin_run, publish, put_shard, seal_run

    store, blobs, run = open_store(uri), _blobs(shards), _run(samples=shards * 10, shard_rows=10)
    store.put("warm-up", b"")

    def commit() -> None:
        begin_run(store, run)
        for index, blob in enumerate(blobs):
            put_shard(store, run.run_id, index, 10, blob)
        publish(store, seal_run(store, run), "refuse")

    return _megabytes(blobs, timed(commit))


def _blobs(count: int) -> list[bytes]:
    return [os.urandom(SHARD_BYTES) for _ in range(count)]


def _megabytes(blobs: Sequence[bytes], seconds: float) -> Outcome:
    return Outcome(sum(map(len, blobs)) / 1e6, seconds)


# ---- reads --------------------------------------------------------------------------------------------


def write_dataset(folder: str, rows: int) -> list[str]:
    """Commit a dataset of noise images into `folder`; its shards' paths."""
    import numpy as np

    from augment.data.images import encode_images
    from augment.objects import open_store
    from augment.store.commit import begin_run, publish, put_shard, seal_run
    from augment.store.reading import open_dataset
    from augment.store.shards import build_shard

    run, store, rng = _run(rows, shard_rows=max(1, rows // 8)), open_store(folder), np.random.default_rng(0)
    shape = run.plan.image
    begin_run(store, run)
    for spec in run.plan.shards():
        pixels_BHWC = rng.integers(0, 256, (spec.rows, shape.size, shape.size, shape.channels), np.uint8)
        data = build_shard(run, spec, encode_images(pixels_BHWC, run.image_format))
        put_shard(store, run.run_id, spec.index, spec.rows, data)
    publish(store, seal_run(store, run), "refuse")
    return open_dataset(folder).files


def verify_deep(uri: str, files: Sequence[str], rows: int) -> Outcome:
    """Ours: every digest, schema, row and identity, and every image decoded."""
    from augment.store.verification import VerifyReport, verify

    _load_readers(files)
    reports: list[VerifyReport] = []
    seconds = timed(lambda: reports.append(verify(uri, deep=True)))
    if not reports[0].ok or reports[0].rows != rows:
        raise RuntimeError(f"verify found {reports[0]}")
    return Outcome(rows, seconds)


def bare_tables(files: Sequence[str], rows: int) -> Outcome:
    """The baseline that checks nothing."""
    from tests.benchmarks.baselines.bare_reads import read_tables

    _load_readers(files)
    return Outcome(rows, timed(lambda: read_tables(files)))


def bare_decoding(files: Sequence[str], rows: int) -> Outcome:
    """The baseline that decodes."""
    from tests.benchmarks.baselines.bare_reads import read_and_decode

    _load_readers(files)
    return Outcome(rows, timed(lambda: read_and_decode(files)))


def _load_readers(files: Sequence[str]) -> None:
    """pyarrow and Pillow load parts of themselves at the first read: that is nobody's time."""
    from tests.benchmarks.baselines.bare_reads import read_and_decode

    read_and_decode(files[:1])


# ---- shared -------------------------------------------------------------------------------------------


def _run(samples: int, shard_rows: int) -> RunPlan:
    from augment.store.commit import make_run_plan
    from tests.benchmarks.demo import even_plan

    return make_run_plan(
        even_plan(samples, shard_rows),
        generator_sha256="0" * 64,
        image_format="png",
        augmentation=None,
        versions={},
    )


@contextmanager
def _s3_server() -> Iterator[None]:
    """SeaweedFS with a bucket; meanwhile AWS_* point there, for the measurements' processes to inherit."""
    from tests.servers import SeaweedServer

    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        server = SeaweedServer(Path(folder))
        try:
            server.create_bucket(BUCKET)
            for name in (
                "AWS_PROFILE",
                "AWS_SESSION_TOKEN",
                "AWS_ENDPOINT_URL_S3",
                "HTTP_PROXY",
                "http_proxy",
            ):
                os.environ.pop(name, None)
            os.environ.update(server.env | {"NO_PROXY": "127.0.0.1,localhost"})
            _grow_volumes(server.client())
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)
            server.close()


def _grow_volumes(client: Any) -> None:
    """SeaweedFS makes its volumes at the first writes: that is nobody's time."""
    for index in range(10):
        client.put_object(Bucket=BUCKET, Key=f"warm-up-{index}", Body=os.urandom(SHARD_BYTES))
