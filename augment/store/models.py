"""Where a model lies: its training's identity, its snapshots, and the finished generator.

    _models/<name>/training.json                       what decides the weights: put once, then compared
    _models/<name>/source.json                         what the source held when it was last decoded
    _models/<name>/real-samples.npz                    a few real images of each class, for looking
    _models/<name>/snapshots/<step>-<digest>/…         the last two snapshots
    _models/<name>/grids/…  tensorboard/…              pictures and curves
    _models/<name>/generator-<sha256>.safetensors      the result
    _models/<name>/model.json                          the result's commit point

Owns these keys and the order in which they are written. To it a snapshot is named bytes: what is inside
is augment.gan's.
"""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import ValidationError

from augment.errors import IntegrityError
from augment.objects import ObjectNotFoundError, ObjectStore
from augment.types import BadImage, ClassCounts, ModelRef, Record, sha256_hex

__all__ = ["ModelFolder", "ModelRecord", "SourceRecord"]

SNAPSHOTS_KEPT = 2
_COMMIT_FILE = "snapshot.json"  # a snapshot without it was not finished

_RecordT = TypeVar("_RecordT", bound=Record)


class SourceRecord(Record):
    """What decoding the source found; valid as long as `fingerprint` is the source's."""

    fingerprint: str  # of the listing and of how images are decoded
    counts: ClassCounts
    bad: tuple[BadImage, ...]
    decoded_sha256: str


class ModelRecord(Record):
    """A finished model: the generator's key and digest."""

    key: str
    sha256: str
    steps: int
    training_sha256: str  # of the spec it was trained by


class ModelFolder:
    """The folder of one named model inside a dataset."""

    def __init__(self, store: ObjectStore, name: str) -> None:
        self.store = store
        self.root = f"_models/{name}"

    def pin_training(self, spec_json: bytes) -> bytes:
        """Store `spec_json` if no training has this name yet; the stored one is returned, to be compared."""
        key = f"{self.root}/training.json"
        return spec_json if self.store.put_if_absent(key, spec_json) else self.store.get(key)

    def put_source(self, record: SourceRecord) -> None:
        """Remember what decoding found."""
        self.store.put(f"{self.root}/source.json", record.to_json())

    def source(self) -> SourceRecord | None:
        """What the last decoding found."""
        return self._record(f"{self.root}/source.json", SourceRecord)

    def put_artefact(self, name: str, data: bytes) -> str:
        """Store a file for looking at (a picture, a curve), replacing the one before; its URI."""
        key = f"{self.root}/{name}"
        self.store.put(key, data)
        return self.store.uri_of(key)

    def artefact(self, name: str) -> bytes:
        """The bytes of such a file."""
        return self.store.get(f"{self.root}/{name}")

    def put_snapshot(self, step: int, files: Mapping[str, bytes]) -> None:
        """Store a snapshot, its commit file last, and drop all but the newest two."""
        digest = sha256_hex(b"".join(sha256_hex(files[name]).encode() for name in sorted(files)))[:16]
        folder = f"{self.root}/snapshots/{step:010d}-{digest}"
        for name in sorted(files, key=lambda name: (name == _COMMIT_FILE, name)):
            self.store.put_if_absent(f"{folder}/{name}", files[name])
        complete = self._complete_snapshots()
        for old in complete[:-SNAPSHOTS_KEPT]:
            self._drop_snapshot(old)

    def latest_step(self) -> int | None:
        """The step of the newest complete snapshot."""
        complete = self._complete_snapshots()
        return int(complete[-1].rstrip("/").rsplit("/", 1)[1].partition("-")[0]) if complete else None

    def latest_snapshot(self) -> dict[str, bytes] | None:
        """The newest complete snapshot's files by name; read again where another driver drops it meanwhile."""
        while complete := self._complete_snapshots():
            try:
                return {
                    stored.key.rsplit("/", 1)[1]: self.store.get(stored.key)
                    for stored in list(self.store.list(complete[-1]))
                }
            except ObjectNotFoundError:
                continue  # only ever dropped after a newer one was stored
        return None

    def publish(self, generator: bytes, *, steps: int, training_sha256: str) -> ModelRecord:
        """Store the finished generator, then its commit point; if another driver was first, theirs holds."""
        sha256 = sha256_hex(generator)
        key = f"{self.root}/generator-{sha256}.safetensors"
        self.store.put_if_absent(key, generator)
        record = ModelRecord(key=key, sha256=sha256, steps=steps, training_sha256=training_sha256)
        if self.store.put_if_absent(f"{self.root}/model.json", record.to_json()):
            return record
        adopted = self.finished()
        assert adopted is not None  # noqa: S101  # it exists, and nothing deletes it
        return adopted

    def finished(self) -> ModelRecord | None:
        """The finished model, if training has ended."""
        return self._record(f"{self.root}/model.json", ModelRecord)

    def ref(self, record: ModelRecord) -> ModelRef:
        """Where the generator is read from, and its digest."""
        return ModelRef(uri=self.store.uri_of(record.key), sha256=record.sha256)

    def _complete_snapshots(self) -> list[str]:
        """Folders (ending in "/") of complete snapshots, oldest first."""
        keys = [stored.key for stored in self.store.list(f"{self.root}/snapshots/")]
        return sorted(key.removesuffix(_COMMIT_FILE) for key in keys if key.endswith(f"/{_COMMIT_FILE}"))

    def _drop_snapshot(self, folder: str) -> None:
        # The commit file goes first: half a snapshot must not look like a whole one.
        self.store.delete(f"{folder}{_COMMIT_FILE}")
        for stored in list(self.store.list(folder)):
            self.store.delete(stored.key)

    def _record(self, key: str, kind: type[_RecordT]) -> _RecordT | None:
        try:
            data = self.store.get(key)
        except ObjectNotFoundError:
            return None
        try:
            return kind.model_validate_json(data)
        except ValidationError as error:
            raise IntegrityError(
                f"{self.store.uri_of(key)} is not a valid {kind.__name__}: {error}"
            ) from error
