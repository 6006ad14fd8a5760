"""A version copied into a layout: safe to kill and run again, and never taken for whole before it is.

    a mark                among the data; written first, deleted last: no reader of the folder gets past it
    the data files        shard by shard, each shard checked against its digest
    classes.json, croissant.json, README.md
    export.json           what was copied; its being there means that all of it is

Owns the order of writes and what is refused. A target holds nothing but one export: whatever else lies there
is named and stays untouched. Each file follows from the version and the layout alone, so a second exporter,
or the same one after a crash, finds its files there and compares them. Knows no layout and not what the
metadata say.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from augment.errors import ConfigError, IntegrityError
from augment.objects import LocalStore, ObjectStore
from augment.objects.contract import TEMPORARY_DIR
from augment.store.layouts.contract import ExportedFile, FileBytes, Layout, OpenedShard
from augment.store.reading import Dataset, read_shard, refuse_collected
from augment.store.shards import held_spec
from augment.types import Record, sha256_hex

__all__ = ["EXPORT_KEY", "MOST_DESCRIBED", "ExportRecord", "Exported", "export_data"]

EXPORT_KEY = "export.json"
MOST_DESCRIBED = 10_000
"""Files that metadata list one by one."""
_WRITE_THREADS = 8  # writes wait on the store, not on a CPU
_MAX_RECORD_BYTES = 1 << 16


class ExportRecord(Record):
    """What a target holds: which version of which dataset, in which layout. Names no place and no time."""

    layout: str
    version: int
    snapshot_sha256: str


@dataclass(frozen=True)
class Exported:
    """A whole copy. `made` is False where it was there before."""

    record: ExportRecord
    files: int
    rows: int
    made: bool


Describe = Callable[[Sequence[ExportedFile] | None], Iterable[FileBytes]]
"""The metadata of a copy, in the order in which they are to be written, from its data files; None for more
than `MOST_DESCRIBED` of them."""


def export_data(
    dataset: Dataset,
    target: ObjectStore,
    layout: Layout,
    describe: Describe,
    progress: Callable[[int], None] = lambda rows: None,
) -> Exported:
    """Copy a version into `target`, or finish a copy that was begun there; `progress(rows)` as it goes on.

    Raises ConfigError if the target holds anything else or overlaps with the dataset, IntegrityError if a
    shard or a file that is there already is not what it should be: before anything is written, where the
    version's rows were revoked and collected.
    """
    _check_apart(dataset.uri, target.uri)
    refuse_collected(dataset)
    record = ExportRecord(
        layout=layout.name,
        version=dataset.version,
        snapshot_sha256=sha256_hex(dataset.snapshot.to_json()),
    )
    marks = layout.also_unfinished(dataset.class_names)
    if _begin(target, layout, record, marks):
        return Exported(record, _files_in(target, layout), dataset.rows, made=False)
    extras = layout.extras(dataset.class_names, {row.label: row.synthetic for row in dataset.balance()})
    count, described = 0, list[ExportedFile]()
    for file in _put_shards(dataset, target, layout, progress):
        count += 1
        if count <= MOST_DESCRIBED:
            described.append(file)
    known = {layout.unfinished_key, *marks, *(each.key for each in extras)}
    _check_nothing_else(target, layout, count, known)
    for extra in (*extras, *describe(described if count <= MOST_DESCRIBED else None)):
        target.put(extra.key, extra.data)
    target.put(EXPORT_KEY, record.to_json())
    _reveal(target, layout, marks)
    return Exported(record, count, dataset.rows, made=True)


def _check_apart(source_uri: str, target_uri: str) -> None:
    source, target = f"{source_uri}/", f"{target_uri}/"
    if source.startswith(target) or target.startswith(source):
        raise ConfigError(
            f"{target_uri} and the dataset {source_uri} lie within each other; export to a place of its own"
        )


def _begin(target: ObjectStore, layout: Layout, record: ExportRecord, marks: Sequence[str]) -> bool:
    """Claim the target; whether it holds the whole copy already. ConfigError if it holds anything else."""
    markers = (EXPORT_KEY, layout.unfinished_key)
    found = {key: _record_at(target, key) for key in markers}
    for key, there in found.items():
        if there is not None and there != record:
            same = there.snapshot_sha256 == record.snapshot_sha256
            other = "" if same else " of another dataset or state"
            raise ConfigError(
                f"{target.uri_of(key)}: the target holds an export of version {there.version} "
                f"as {there.layout}{other}; "
                "choose an empty target"
            )
    if found[EXPORT_KEY] is not None:
        _reveal(target, layout, marks)  # a killed export may have left just this undone
        return True
    if found[layout.unfinished_key] is None:
        if (first := next(target.list(), None)) is not None:
            raise ConfigError(
                f"{target.uri} holds {first.key}, which is no part of an export; choose an empty target"
            )
        if not target.put_if_absent(layout.unfinished_key, record.to_json()):
            return _begin(
                target, layout, record, marks
            )  # another exporter was quicker: is it the same export?
    for key in marks:
        target.put_if_absent(key, record.to_json())
    return False


def _record_at(target: ObjectStore, key: str) -> ExportRecord | None:
    listed = next((item for item in target.list(key) if item.key == key), None)
    if listed is None:
        return None
    if listed.size <= _MAX_RECORD_BYTES:
        with suppress(ValueError):  # pydantic's: not such a record
            return ExportRecord.model_validate_json(target.get(key))
    raise ConfigError(f"{target.uri_of(key)} is not of an export; choose an empty target")


def _put_shards(
    dataset: Dataset, target: ObjectStore, layout: Layout, progress: Callable[[int], None]
) -> Iterator[ExportedFile]:
    """One shard in memory at a time, its files written in parallel."""
    done = 0
    with ThreadPoolExecutor(_WRITE_THREADS, thread_name_prefix="export") as pool:
        for shard in _opened_shards(dataset):
            yield from pool.map(lambda file: _put(target, file), layout.files(shard))
            done += shard.spec.rows
            progress(done)


def _opened_shards(dataset: Dataset) -> Iterator[OpenedShard]:
    # One that gates have emptied would be a file without rows: WebDataset's reader takes such a tar for a fault.
    listed = [(run, shard) for run in dataset.runs for shard in run.manifest.shards if shard.rows]
    for number, (run, shard) in enumerate(listed):
        spec = held_spec(run.plan.plan, shard.index, run.manifest.without, run.manifest.missing)
        yield OpenedShard(number, len(listed), run.plan, spec, read_shard(dataset.store, shard))


def _put(target: ObjectStore, file: FileBytes) -> ExportedFile:
    sha256 = sha256_hex(file.data)
    if not target.put_if_absent(file.key, file.data) and sha256_hex(target.get(file.key)) != sha256:
        raise IntegrityError(
            f"{target.uri_of(file.key)} is there already with other bytes than this export's; "
            "remove the target and export again"
        )
    return ExportedFile(file.key, len(file.data), sha256)


def _check_nothing_else(target: ObjectStore, layout: Layout, count: int, known: Collection[str]) -> None:
    """Among the data lies nothing that a reader of the whole folder would take in, but for the keys `known`.

    All of ours are there, so it is enough to count: of a million images, no list is kept.
    """
    found = 0
    for item in target.list():
        if layout.owns.fullmatch(item.key) is not None:
            found += 1
        elif "/" in item.key and item.key not in known:
            raise ConfigError(
                f"{target.uri_of(item.key)} is no part of this export; "
                "remove it and run the same command again"
            )
    if found != count:
        raise ConfigError(
            f"{target.uri} holds {found} files like those of this export, "
            f"which has {count}; choose an empty target"
        )


def _files_in(target: ObjectStore, layout: Layout) -> int:
    return sum(layout.owns.fullmatch(item.key) is not None for item in target.list())


def _reveal(target: ObjectStore, layout: Layout, marks: Sequence[str]) -> None:
    """Take away what keeps readers out; the one that claims the target last."""
    for key in (*marks, layout.unfinished_key):
        target.delete(key)
    if isinstance(target, LocalStore):  # a reader of class folders would take the place of writes for a class
        for (
            unfinished
        ) in target.unfinished():  # by a killed exporter; one at work finds all written, and asks again
            target.discard_unfinished(unfinished.key)
        with suppress(OSError):
            (Path(target.uri) / TEMPORARY_DIR).rmdir()
