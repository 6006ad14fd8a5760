"""A committed dataset as its consumers see it: one version, exactly its shards, nothing else.

Owns `Dataset` and the way from a URI to it. Only keys that a manifest lists are ever read; what is missing
or differs from its digest is an IntegrityError, never a skip (`to_ray`, which hands the keys to Ray's own
reader, and so leaves errors and digests to it, is the exception: `augment verify --deep` checks). Opening needs neither torch nor ray: `to_torch`
imports torch when called, and `to_ray` finds its reader by entry point, since nothing here may know Ray.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from augment.errors import ConfigError, InputError, IntegrityError
from augment.objects import ObjectNotFoundError, ObjectStore, open_store
from augment.store.existing import rows_by_label
from augment.store.records import (
    Stored,
    latest_snapshot,
    manifest_key,
    plan_key,
    read_manifest,
    read_plan,
    read_snapshot,
    version_times,
)
from augment.store.shards import parse_shard_key, shard_prefix
from augment.types import Manifest, RunPlan, ShardReceipt, Snapshot, SnapshotRun, sha256_hex

if TYPE_CHECKING:
    import pandas as pd

    from augment.store.torch_reading import ShardImages

__all__ = [
    "ClassBalance",
    "CommittedRun",
    "Dataset",
    "open_dataset",
    "read_run",
    "read_shard",
    "read_version",
    "refuse_collected",
    "split_version",
]


class ClassBalance(NamedTuple):
    """One class of a dataset: images in the source, and synthetic rows committed here."""

    label: int
    name: str
    real: int
    synthetic: int


@dataclass(frozen=True)
class CommittedRun:
    """A run of a dataset: what was planned, and the shards that hold it, or what was not revoked of it."""

    plan: RunPlan
    manifest: Manifest

    @property
    def rows_by_label(self) -> dict[int, int]:
        """Rows that are here, by the label of every class of the plan; 0 for one that was revoked."""
        return rows_by_label(self.plan, self.manifest)


@dataclass(frozen=True)
class Dataset:
    """One version of a committed dataset; pickles as its records and URI, without credentials."""

    uri: str
    snapshot: Snapshot
    runs: tuple[CommittedRun, ...]

    @property
    def version(self) -> int:
        """The dataset version, from 1."""
        return self.snapshot.version

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """One manifest a run, in the order of publication."""
        return tuple(run.manifest for run in self.runs)

    @property
    def manifest(self) -> Manifest:
        """The manifest, where the version holds a single run; else InputError: use `manifests`."""
        if len(self.runs) != 1:
            raise InputError(
                f"version {self.version} of {self.uri} holds {len(self.runs)} runs; use .manifests, one a run"
            )
        return self.runs[0].manifest

    @property
    def shards(self) -> tuple[ShardReceipt, ...]:
        """Every shard of the version, run after run, by index."""
        return tuple(shard for run in self.runs for shard in run.manifest.shards)

    @cached_property
    def store(self) -> ObjectStore:
        """The store that holds the dataset."""
        return open_store(self.uri)

    @property
    def files(self) -> list[str]:
        """Full URIs (absolute paths, in a local store) of the shards; any Parquet reader takes them."""
        return [self.store.uri_of(shard.key) for shard in self.shards]

    @property
    def rows(self) -> int:
        """Rows over all shards."""
        return self.snapshot.rows

    @property
    def class_names(self) -> dict[int, str]:
        """Class name by label, ascending. Raises IntegrityError if two runs name a label differently."""
        names: dict[int, str] = {}
        for run in self.runs:
            for target in run.plan.plan.classes:
                if names.setdefault(target.label, target.name) != target.name:
                    raise IntegrityError(
                        f"the runs of {self.uri} name label {target.label} both {names[target.label]!r} and "
                        f"{target.name!r}; they come from different sources"
                    )
        return dict(sorted(names.items()))

    def balance(self) -> tuple[ClassBalance, ...]:
        """Each class's images in the source (as the newest run counted them) and synthetic rows here."""
        synthetic: Counter[int] = Counter()
        real: dict[int, int] = {}
        for run in self.runs:
            synthetic.update(run.rows_by_label)
            real |= {target.label: target.real for target in run.plan.plan.classes}
        return tuple(
            ClassBalance(label, name, real[label], synthetic[label])
            for label, name in self.class_names.items()
        )

    def counts(self) -> dict[str, int]:
        """Committed rows by class name, in the order of labels."""
        rows: dict[str, int] = {}
        for row in self.balance():  # two labels may share a name
            rows[row.name] = rows.get(row.name, 0) + row.synthetic
        return rows

    def tables(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """The shards one by one, each checked against its digest; all columns unless named."""
        for shard in self.shards:
            yield pq.ParquetFile(pa.BufferReader(read_shard(self.store, shard))).read(columns=columns)

    def to_pandas(self, columns: list[str] | None = None) -> pd.DataFrame:
        """The whole version in memory; `image` holds dicts of `bytes` and `path`.

        Raises ConfigError if pandas is not installed.
        """
        _require("pandas")
        tables = [table.replace_schema_metadata(None) for table in self.tables(columns)]
        if not tables:
            raise InputError(f"version {self.version} of {self.uri} has no rows")
        frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
        return frame

    def to_torch(self, cached_shards: int = 8) -> ShardImages:
        """A map-style torch Dataset of (uint8 image [C, H, W], label), grayscale as C = 1.

        It keeps the last `cached_shards` shards, as encoded bytes, in each worker's memory; raise it when a
        shuffling loader walks over more.
        """
        _require("torch")
        from augment.store.torch_reading import ShardImages

        return ShardImages(self, cached_shards)

    def to_ray(self) -> Any:
        """A `ray.data.Dataset` of this version, made by the installed reader named `ray`.

        Raises ConfigError if none is installed.
        """
        for reader in entry_points(group="augment.readers", name="ray"):
            return reader.load()(self)
        raise ConfigError(
            "no reader named 'ray' is installed (entry point group augment.readers); reinstall ray-augment"
        )


def open_dataset(uri: str, version: int | None = None) -> Dataset:
    """A committed dataset: its newest version, or the one asked for (`version=3`, or `uri@3`).

    Every record is checked against the digest that pins it. Raises InputError if there is nothing committed,
    IntegrityError if a record is missing or differs, ConfigError if there is no such version or the store cannot
    be reached with these credentials.
    """
    uri, version = split_version(uri, version)
    store = open_store(uri)
    snapshot = read_version(store, version).record
    return Dataset(store.uri, snapshot, tuple(read_run(store, listed) for listed in snapshot.runs))


def split_version(uri: str, version: int | None = None) -> tuple[str, int | None]:
    """`uri@3` as (uri, 3). Raises ConfigError if `version` says otherwise."""
    match = re.fullmatch(r"(.+[^/@])@([1-9][0-9]{0,19})", uri, re.DOTALL)
    if match is None:
        return uri, version
    if version not in (None, int(match[2])):
        raise ConfigError(f"{uri} names version {match[2]}, but version={version} was asked for too")
    return match[1], int(match[2])


def read_version(store: ObjectStore, version: int | None) -> Stored[Snapshot]:
    """One version's snapshot, the newest by default.

    Raises InputError if nothing is committed there, ConfigError if a version was named that is not there.
    """
    latest = latest_snapshot(store) if version is None else _named_version(store, version)
    if latest is None:
        _refuse_misspelt_version(store.uri)
        raise InputError(
            f"no dataset is committed at {store.uri}; make one with `augment run`, or correct the URI"
        )
    return latest


def _named_version(store: ObjectStore, version: int) -> Stored[Snapshot] | None:
    """None where no version is at all. A version that others come after is missing: InputError."""
    try:
        return read_snapshot(store, version)
    except InputError:
        versions = version_times(store)
        if not versions:
            return None
        if min(versions) <= version <= max(versions):
            raise
        raise ConfigError(f"{store.uri} has no version {version}; {_told(versions)}") from None


def _refuse_misspelt_version(uri: str) -> None:
    """ConfigError for `out@abc` where `out` holds a dataset; `out@abc` is a place, too, and holds none."""
    place, _, version = uri.rpartition("@")
    if not place or place.endswith("/") or "/" in version:
        return
    versions = version_times(open_store(place))
    if versions:
        raise ConfigError(f"{uri}: a version is a whole number from 1, as in {place}@1; {_told(versions)}")


def _told(versions: Collection[int]) -> str:
    first, last = min(versions), max(versions)
    return f"it has version {last} alone" if first == last else f"it has versions {first} to {last}"


def read_run(store: ObjectStore, listed: SnapshotRun) -> CommittedRun:
    """A run that a snapshot lists. Raises IntegrityError unless manifest and plan are what was pinned."""
    manifest = read_manifest(store, listed.run_id, listed.without)
    key = manifest_key(listed.run_id, listed.without)
    if manifest.sha256 != listed.manifest_sha256:
        raise IntegrityError(f"{store.uri_of(key)} is not what the snapshot pins")
    if manifest.record.status != "committed":
        raise IntegrityError(f"{store.uri_of(key)} is of an aborted run")
    plan = read_plan(store, listed.run_id)
    if plan.sha256 != manifest.record.plan_sha256:
        raise IntegrityError(f"{store.uri_of(plan_key(listed.run_id))} is not what the manifest pins")
    return CommittedRun(plan.record, manifest.record)


def read_shard(store: ObjectStore, shard: ShardReceipt) -> bytes:
    """A shard's bytes. Raises IntegrityError if it is missing or not what its manifest says."""
    try:
        data = store.get(shard.key)
    except ObjectNotFoundError as error:
        raise IntegrityError(f"{store.uri_of(shard.key)} {_why_missing(store, shard)}") from error
    if len(data) != shard.size_bytes or sha256_hex(data) != shard.sha256:
        raise IntegrityError(f"{store.uri_of(shard.key)} is not what its manifest lists: other bytes")
    return data


def refuse_collected(dataset: Dataset) -> None:
    """Raises the IntegrityError of reading on, if shards of the version were revoked since and then collected.

    Costs a look at the newest version, and a listing of the runs that it has revoked anything of.
    """
    store, latest = dataset.store, latest_snapshot(dataset.store)
    revoked = () if latest is None else latest.record.revoked[len(dataset.snapshot.revoked) :]
    for run in dataset.runs:
        if any(made.concerns(run.plan.run_id, run.plan.generator_sha256) for made in revoked):
            there = {found.key for found in store.list(shard_prefix(run.plan.run_id))}
            for shard in run.manifest.shards:
                if shard.key not in there:
                    raise IntegrityError(f"{store.uri_of(shard.key)} {_why_missing(store, shard)}")


def _why_missing(store: ObjectStore, shard: ShardReceipt) -> str:
    """Damage, or the garbage collection of what a later version has revoked."""
    parsed, latest = parse_shard_key(shard.key), latest_snapshot(store)
    if parsed is not None and latest is not None and latest.record.revoked:
        generator = read_plan(store, parsed.run_id).record.generator_sha256
        still_listed = any(
            kept.key == shard.key
            for listed in latest.record.runs
            if listed.run_id == parsed.run_id
            for kept in read_run(store, listed).manifest.shards
        )
        for revocation in latest.record.revoked:
            if revocation.concerns(parsed.run_id, generator) and not still_listed:
                return (
                    f"held rows that were revoked in version {revocation.version} ({revocation.why}), and was "
                    f"collected since; read version {revocation.version} or a later one"
                )
    return "is missing, though its manifest lists it"


def _require(module: str) -> None:
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise ConfigError(f"{module} is not installed; pip install 'ray-augment[readers]'")
