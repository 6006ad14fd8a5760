"""Where a model lies: its training's identity, its snapshots, and the finished generator with its critic.

    _models/<name>/training.json                       what decides the weights: put once, then compared
    _models/<name>/source.json                         what the source held when it was last decoded
    _models/<name>/real-samples.npz                    a few real images of each class, for looking
    _models/<name>/judge-<sha256>.safetensors          the classifier that quality is measured with meanwhile
    _models/<name>/judge.json                          which one: put once
    _models/<name>/gates-<sha256>.safetensors          quality gates, calibrated on the real images
    _models/<name>/gates-<identity>.json               which ones, for the settings and images of this digest: put once
    _models/<name>/snapshots/<attempt>-<step>-<digest>[-best]/…
                                                       the last two snapshots, and the last marked as best
    _models/<name>/grids/…  tensorboard/…              pictures and curves
    _models/<name>/generator-<sha256>.safetensors      the result
    _models/<name>/critic-<sha256>.safetensors         the discriminator of the same step, which scores samples
    _models/<name>/model.json                          the result's commit point: which generator, which critic

A snapshot is there once its commit file is, which is written last and deleted first. Names sort by age: the
attempt counts the times that training went back to an earlier step. That one is the best is part of its
name, so there is no pointer that could be left behind; whoever drops snapshots keeps the last two and the
last best of all that are there, so that drivers which race, or die anywhere, never take these away.

Generator and critic are named by their digests and put before model.json, which is put once and names both:
drivers that race may leave a file that nothing names, never a generator beside another training's critic.

Owns these keys and the order in which they are written. To it a snapshot is named bytes: what is inside
is augment.gan's.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from pydantic import Field, model_validator
from typing_extensions import Self

from augment.errors import ConfigError
from augment.objects import ObjectNotFoundError, ObjectStore, open_store
from augment.stored_record import stored_record
from augment.types import BadImage, ClassCounts, ModelRef, Record, sha256_hex

__all__ = [
    "ClassQuality",
    "FoundModel",
    "GatesRecord",
    "JudgeRecord",
    "ModelFolder",
    "ModelRecord",
    "SourceRecord",
    "find_generator",
    "snapshot_sha256",
]

SNAPSHOTS_KEPT = 2
_MODELS = "_models"
_COMMIT_FILE = "snapshot.json"  # a snapshot without it was not finished
_SNAPSHOT_NAME = re.compile(r"(\d{4,})-(\d{10,})-([0-9a-f]{16})(-best)?")
_DIGEST_DIGITS = 16


class SourceRecord(Record):
    """What decoding the source found; valid as long as `fingerprint` is the source's."""

    fingerprint: str  # of the listing and of how images are decoded
    counts: ClassCounts
    bad: tuple[BadImage, ...]
    decoded_sha256: str
    etags: dict[str, str] = Field(default_factory=dict)
    """By URI: another one says that a file was written anew, maybe of the same size."""


class JudgeRecord(Record):
    """The classifier of a model's training: its file's key and digest."""

    key: str
    sha256: str


class GatesRecord(Record):
    """Calibrated quality gates: their file's key and digest."""

    key: str
    sha256: str


class ClassQuality(Record):
    """How good one class's samples were when last measured; None is 'too few real images to tell'."""

    name: str
    frechet: float | None
    recall: float | None = None
    label_accuracy: float | None = None


class ModelRecord(Record):
    """A finished model: the keys and digests of its generator and critic, and how its training went."""

    key: str
    sha256: str
    steps: int  # trained
    training_sha256: str  # of the spec it was trained by
    ended: str | None = None  # why training stopped: its steps, a budget, a plateau
    best_step: int | None = None  # of the weights exported, where the best measured ones were
    evaluation: tuple[ClassQuality, ...] = ()  # of these, while training
    critic_key: str | None = None  # None where the model was trained before critics were kept
    critic_sha256: str | None = None

    @model_validator(mode="after")
    def _critic_is_whole(self) -> Self:
        if (self.critic_key is None) != (self.critic_sha256 is None):
            raise ValueError("critic_key and critic_sha256 belong together: give both or neither")
        return self


def snapshot_sha256(files: Mapping[str, bytes]) -> str:
    """One digest of all of a snapshot's files."""
    return sha256_hex(b"".join(sha256_hex(files[name]).encode() for name in sorted(files)))


class _SnapshotName(NamedTuple):
    """What a snapshot's name tells; sorts from the oldest to the newest."""

    attempt: int
    step: int
    digest: str  # the first digits of its SHA-256
    best: bool

    def __str__(self) -> str:
        return f"{self.attempt:04d}-{self.step:010d}-{self.digest}{'-best' if self.best else ''}"

    @classmethod
    def parse(cls, text: str) -> "_SnapshotName | None":
        match = _SNAPSHOT_NAME.fullmatch(text)
        return cls(int(match[1]), int(match[2]), match[3], match[4] is not None) if match else None


class _StoredNetwork(NamedTuple):
    key: str
    sha256: str


class ModelFolder:
    """The folder of one named model inside a dataset."""

    def __init__(self, store: ObjectStore, name: str) -> None:
        self.store = store
        self.name = name
        self.root = f"{_MODELS}/{name}"

    @classmethod
    def at(cls, uri: str, *, field: str) -> "ModelFolder":
        """The folder at `<dataset>/_models/<name>`; ConfigError names `field` where `uri` is none."""
        dataset, found, name = uri.rstrip("/").rpartition(f"/{_MODELS}/")
        if not found or not dataset or not name or "/" in name:
            raise ConfigError(f"{field}={uri} names no model's folder; give <dataset>/{_MODELS}/<name>")
        return cls(open_store(dataset), name)

    @property
    def uri(self) -> str:
        """Where the folder lies."""
        return self.store.uri_of(self.root)

    def pin_training(self, spec_json: bytes) -> bytes:
        """Store `spec_json` if no training has this name yet; the stored one is returned, to be compared."""
        key = f"{self.root}/training.json"
        return spec_json if self.store.put_if_absent(key, spec_json) else self.store.get(key)

    def training(self) -> bytes | None:
        """The training that this name was pinned to."""
        try:
            return self.store.get(f"{self.root}/training.json")
        except ObjectNotFoundError:
            return None

    def put_source(self, record: SourceRecord) -> None:
        """Remember what decoding found."""
        self.store.put(f"{self.root}/source.json", record.to_json())

    def source(self) -> SourceRecord | None:
        """What the last decoding found."""
        return stored_record(SourceRecord, self.store, f"{self.root}/source.json")

    def put_artefact(self, name: str, data: bytes) -> str:
        """Store a file for looking at (a picture, a curve), replacing the one before; its URI."""
        key = f"{self.root}/{name}"
        self.store.put(key, data)
        return self.store.uri_of(key)

    def artefact(self, name: str) -> bytes:
        """The bytes of such a file."""
        return self.store.get(f"{self.root}/{name}")

    def put_judge(self, judge: bytes) -> JudgeRecord:
        """Store the classifier, then which one it is; if another driver was first, theirs holds."""
        stored = self._put_network("judge", judge)
        record = JudgeRecord(key=stored.key, sha256=stored.sha256)
        if self.store.put_if_absent(f"{self.root}/judge.json", record.to_json()):
            return record
        adopted = self.judge()
        assert adopted is not None  # noqa: S101  # it exists, and nothing deletes it
        return adopted

    def judge(self) -> JudgeRecord | None:
        """The classifier, if one was fitted."""
        return stored_record(JudgeRecord, self.store, f"{self.root}/judge.json")

    def put_gates(self, gates: bytes, identity: str) -> GatesRecord:
        """Store calibrated gates, then that they are those of `identity`; if another driver was first, theirs hold."""
        stored = self._put_network("gates", gates)
        record = GatesRecord(key=stored.key, sha256=stored.sha256)
        if self.store.put_if_absent(f"{self.root}/gates-{identity}.json", record.to_json()):
            return record
        adopted = self.gates(identity)
        assert adopted is not None  # noqa: S101  # it exists, and nothing deletes it
        return adopted

    def gates(self, identity: str) -> GatesRecord | None:
        """The gates for what `identity` is a digest of, if they were calibrated."""
        return stored_record(GatesRecord, self.store, f"{self.root}/gates-{identity}.json")

    def put_snapshot(
        self, files: Mapping[str, bytes], *, step: int, attempt: int = 0, best: bool = False
    ) -> None:
        """Store a snapshot, its commit file last, and drop all but the newest two and the last best."""
        name = _SnapshotName(attempt, step, snapshot_sha256(files)[:_DIGEST_DIGITS], best)
        for file in sorted(files, key=lambda file: (file == _COMMIT_FILE, file)):
            self.store.put_if_absent(f"{self._snapshot(name)}{file}", files[file])
        self._drop_old_snapshots()

    def latest_step(self) -> int | None:
        """The step of the newest complete snapshot."""
        complete = self._complete_snapshots()
        return complete[-1].step if complete else None

    def latest_snapshot(self) -> dict[str, bytes] | None:
        """The newest complete snapshot's files by name."""
        return self._last_snapshot()

    def best_snapshot(self) -> dict[str, bytes] | None:
        """The files by name of the last complete snapshot that was stored as best."""
        return self._last_snapshot(best=True)

    def snapshot_of(self, sha256: str) -> dict[str, bytes] | None:
        """The files by name of the snapshot with this `snapshot_sha256`, as long as it is kept."""
        return self._last_snapshot(digest=sha256[:_DIGEST_DIGITS])

    def publish(
        self,
        generator: bytes,
        *,
        critic: bytes | None = None,
        steps: int,
        training_sha256: str,
        ended: str | None = None,
        best_step: int | None = None,
        evaluation: tuple[ClassQuality, ...] = (),
    ) -> ModelRecord:
        """Store the finished generator and its critic, then their commit point.

        If another driver was first, its pair holds.
        """
        made = self._put_network("generator", generator)
        scoring = None if critic is None else self._put_network("critic", critic)
        record = ModelRecord(
            key=made.key,
            sha256=made.sha256,
            critic_key=scoring.key if scoring else None,
            critic_sha256=scoring.sha256 if scoring else None,
            steps=steps,
            training_sha256=training_sha256,
            ended=ended,
            best_step=best_step,
            evaluation=evaluation,
        )
        if self.store.put_if_absent(f"{self.root}/model.json", record.to_json()):
            return record
        adopted = self.finished()
        assert adopted is not None  # noqa: S101  # it exists, and nothing deletes it
        return adopted

    def finished(self) -> ModelRecord | None:
        """The finished model, if training has ended."""
        return stored_record(ModelRecord, self.store, f"{self.root}/model.json")

    def ref(self, record: ModelRecord) -> ModelRef:
        """Where the generator is read from, and its digest."""
        return ModelRef(uri=self.store.uri_of(record.key), sha256=record.sha256)

    def _put_network(self, kind: str, data: bytes) -> "_StoredNetwork":
        sha256 = sha256_hex(data)
        key = f"{self.root}/{kind}-{sha256}.safetensors"
        self.store.put_if_absent(key, data)
        return _StoredNetwork(key, sha256)

    def _snapshot(self, name: _SnapshotName) -> str:
        return f"{self.root}/snapshots/{name}/"

    def _snapshots(self) -> dict[_SnapshotName, bool]:
        """Every snapshot of which anything lies in the store, oldest first: whether it is complete."""
        found: dict[_SnapshotName, bool] = {}
        for stored in self.store.list(f"{self.root}/snapshots/"):
            folder, _, file = stored.key.rpartition("/")
            if (name := _SnapshotName.parse(folder.rpartition("/")[2])) is not None:
                found[name] = found.get(name, False) or file == _COMMIT_FILE
        return dict(sorted(found.items()))

    def _complete_snapshots(self) -> list[_SnapshotName]:
        return [name for name, complete in self._snapshots().items() if complete]

    def _last_snapshot(self, *, best: bool = False, digest: str | None = None) -> dict[str, bytes] | None:
        """The last complete snapshot that fits; looked for again where another driver drops it meanwhile."""
        while fitting := [
            name
            for name in self._complete_snapshots()
            if (name.best or not best) and digest in (None, name.digest)
        ]:
            try:
                return self._read_snapshot(self._snapshot(fitting[-1]))
            except ObjectNotFoundError:
                continue
        return None

    def _read_snapshot(self, folder: str) -> dict[str, bytes]:
        """All files, the commit file last: as it is deleted first, the others were all there before."""
        keys = [stored.key for stored in self.store.list(folder)]
        commit_key = f"{folder}{_COMMIT_FILE}"
        others = {key.removeprefix(folder): self.store.get(key) for key in keys if key != commit_key}
        return others | {_COMMIT_FILE: self.store.get(commit_key)}

    def _drop_old_snapshots(self) -> None:
        found = self._snapshots()
        complete = [name for name, is_complete in found.items() if is_complete]
        kept = [*complete[-SNAPSHOTS_KEPT:], *[name for name in complete if name.best][-1:]]
        for name, is_complete in found.items():
            # What was never finished is dropped too once it is too old for a writer to be at it still.
            if name not in kept and (is_complete or name < min(kept)):
                self._drop_snapshot(self._snapshot(name))

    def _drop_snapshot(self, folder: str) -> None:
        # The commit file goes first: half a snapshot must not look like a whole one.
        self.store.delete(f"{folder}{_COMMIT_FILE}")
        self.store.delete_all([stored.key for stored in self.store.list(folder)])


class FoundModel(NamedTuple):
    """A generator's file and the folder of the model that it is."""

    folder: ModelFolder
    key: str


def find_generator(store: ObjectStore, sha256: str) -> FoundModel | None:
    """The model of a dataset whose generator has this digest; None if there is none (any more)."""
    for found in store.list(f"{_MODELS}/"):
        name, _, file = found.key.removeprefix(f"{_MODELS}/").partition("/")
        if file == f"generator-{sha256}.safetensors":
            return FoundModel(ModelFolder(store, name), found.key)
    return None
