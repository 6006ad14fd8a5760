"""Suite `census`: classes of a Parquet label column counted, beside DuckDB; a million keys counted, beside a walk.

Both count the same file with as many threads, from opening it to the counts by class; ours takes names,
sizes, labels and bad rows into a fingerprint as well. Libraries are loaded by a look at a small file before.
Peak memory is the whole process's: the difference between ten million rows and a million is what grows.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.benchmarks.measure import Case, Comparison, Outcome, in_fresh_process, timed

__all__ = ["REPEATS", "comparisons"]

REPEATS = 5
CLASSES = 100
DUCKDB, WALK = "DuckDB GROUP BY", "list() alone"
WARM_UP_ROWS = 1_000


def comparisons(small: bool, stack: ExitStack) -> list[Comparison]:
    """Integers and texts at two sizes, and keys; the files last as long as `stack`."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
    sizes = (2_000, 20_000) if small else (1_000_000, 10_000_000)
    keys = 2_000 if small else 1_000_000
    found = []
    for kind in ("integer", "text"):
        warm_up = in_fresh_process(write_labels, folder, kind, WARM_UP_ROWS)
        for rows in sizes:
            path = in_fresh_process(write_labels, folder, kind, rows)
            cases = [
                Case(DUCKDB, partial(count_with_duckdb, path, warm_up, rows)),
                Case("ours", partial(count_ours, path, warm_up, rows)),
            ]
            found.append(Comparison(f"census of {rows:,} rows, {kind} labels", "rows", cases, [DUCKDB]))
    cases = [Case(WALK, partial(walk_keys, keys)), Case("ours", partial(count_keys, keys))]
    return [*found, Comparison(f"census of {keys:,} keys in class folders, in memory", "keys", cases, [WALK])]


# ---- Parquet ------------------------------------------------------------------------------------------


def write_labels(folder: Path, kind: str, rows: int) -> str:
    """A file of `rows` long-tailed labels (class frequencies 1/rank) and tiny images; its path."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    share = 1 / np.arange(1, CLASSES + 1)
    label_B = np.random.default_rng(0).choice(CLASSES, rows, p=share / share.sum())
    labels = pa.array(label_B)
    if kind == "text":
        labels = pa.array([f"class-{label:03d}" for label in range(CLASSES)]).take(labels)
    images = pa.array([b"x"]).take(pa.array(np.zeros(rows, np.int32)))
    path = folder / f"{kind}-{rows}.parquet"
    pq.write_table(pa.table({"image": images, "label": labels}), path)
    return str(path)


def count_with_duckdb(path: str, warm_up: str, rows: int) -> Outcome:
    """The baseline: a new connection, and one query."""
    import duckdb

    def count(of: str) -> int:
        with duckdb.connect() as connection:
            connection.execute(f"SET threads={os.cpu_count()}")
            query = f"SELECT label, count(*) FROM '{of}' GROUP BY label"
            return sum(images for _, images in connection.execute(query).fetchall())

    count(warm_up)
    return _checked(lambda: count(path), rows)


def count_ours(path: str, warm_up: str, rows: int) -> Outcome:
    """Ours, from the config to the census."""
    _census(warm_up)
    return _checked(lambda: _census(path), rows)


# ---- keys ---------------------------------------------------------------------------------------------


def walk_keys(keys: int) -> Outcome:
    """What the store itself takes: every key listed, none kept."""
    from augment.objects import open_store

    uri = _filled(keys)
    _census("memory://warm-up", "folder")
    return _checked(lambda: sum(1 for _ in open_store(uri).list()), keys)


def count_keys(keys: int) -> Outcome:
    """Ours: every key a class's image."""
    uri = _filled(keys)
    _census("memory://warm-up", "folder")
    return _checked(lambda: _census(uri, "folder"), keys)


def _filled(keys: int) -> str:
    from augment.objects import open_store

    store = open_store("memory://bench")
    for index in range(keys):
        store.put(f"class-{index % CLASSES:03d}/{index:08d}.png", b"x")
    open_store("memory://warm-up").put("class/1.png", b"x")
    next(store.list())  # the store sorts its keys at the first listing
    return "memory://bench"


# ---- shared -------------------------------------------------------------------------------------------


def _census(uri: str, source_format: str = "auto") -> int:
    from augment.data.census import take_census
    from augment.data.config import ImageConfig, SourceConfig
    from augment.data.sources import open_source

    config = SourceConfig.model_validate({"uri": uri, "format": source_format})
    return take_census(open_source(config), image=ImageConfig()).counts.total


def _checked(count: Callable[[], int], expected: int) -> Outcome:
    counted: list[int] = []
    seconds = timed(lambda: counted.append(count()))
    if counted != [expected]:
        raise RuntimeError(f"{counted[0]:,} rows were counted, and there are {expected:,}")
    return Outcome(expected, seconds)
