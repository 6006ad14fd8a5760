"""A disk that is full, for real: nothing half is left, and with room again the same command finishes."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from augment.errors import RetryLaterError
from augment.objects import open_store
from augment.objects.contract import TEMPORARY_DIR
from augment.store.records import plan_key
from augment.store.verification import verify
from tests.store.helpers import ROWS, commit, tiny_run
from tests.store.server.processes import exit_code_of

ENOUGH_FOR_A_PLAN = 6_000  # bytes: a shard is larger, and so are a page of the plan's and one of a shard's
IN_A_NAMESPACE = ["unshare", "--map-root-user", "--mount"]


def fill_then_finish(place: Path, set_room: Callable[[Path, int | None], None]) -> None:
    """A run that finds no room for its shards, and the same run with room."""
    set_room(place, ENOUGH_FOR_A_PLAN)
    store, run = open_store(str(place / "store")), tiny_run()
    with pytest.raises(RetryLaterError, match=r"store/data/.*free some space"):
        commit(store, run)
    assert [found.key for found in store.list()] == [plan_key(run.run_id)]
    assert list((place / "store" / TEMPORARY_DIR).iterdir()) == []

    set_room(place, None)
    assert commit(store, run).rows == ROWS
    report = verify(store.uri, deep=True)
    assert report.ok, report.problems


def limit_files(place: Path, size: int | None) -> None:
    """No file of this process may be larger, as by `ulimit -f`; None: any size."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


def limit_disk(place: Path, size: int | None) -> None:
    """A file system of this size at `place`; None: more room in the one that is there."""
    options = f"size={size}" if size is not None else "remount,size=10m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)


def test_a_file_that_may_not_grow_leaves_nothing_half(tmp_path: Path) -> None:
    assert exit_code_of(fill_then_finish, tmp_path, limit_files) == 0


@pytest.mark.skipif(
    sys.platform != "linux" or subprocess.run([*IN_A_NAMESPACE, "true"], capture_output=True).returncode != 0,
    reason="this user may not mount a small disk",
)
def test_a_full_disk_leaves_nothing_half(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, tests.store.server.test_full_disk as full\n"
        "full.fill_then_finish(pathlib.Path(sys.argv[1]), full.limit_disk)\n"
    )
    subprocess.run([*IN_A_NAMESPACE, sys.executable, "-c", code, str(tmp_path)], check=True)
