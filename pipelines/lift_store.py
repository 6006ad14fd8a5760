"""What `augment lift` leaves in a dataset's store, and finds there again.

    _lift/<question>/lift.json                        the answer, with everything that it rests on
    _lift/<question>/<arm>-s<seed>-<digest>.npz       a trial: its record, and probabilities of held-out images
    _lift/pools/<run>.json                            how many samples of a class a source has
    _lift/usage/<test>/<question>.json                that these test images were asked this
    _lift/recommendation.json                         the newest recommendation (augment.lift.following)

A trial is found by its digest, whichever question it was run for: it is of the arm, the common settings, the seed,
the images and the samples, of torch's version and TRIAL_VERSION, which stands for our code. Samples are not kept: they can be made again.

Owns these keys and files. Knows no Ray.

S = seeds, N = images, K = classes.
"""

import importlib
import importlib.metadata
import importlib.util
import io
import re
from pathlib import Path

import numpy as np

from augment.errors import IntegrityError
from augment.lift.arms import Arm
from augment.lift.config import LiftConfig
from augment.lift.images import LiftData
from augment.lift.trial import Trial, TrialRecord
from augment.lift.usage import TestUsage
from augment.lift.verdict import LiftResult
from augment.objects import ObjectStore
from augment.stored_record import stored_record
from augment.types import Record, canonical_json, sha256_hex

__all__ = ["TRIAL_VERSION", "LiftStore", "PoolRecord", "trial_digest"]

TRIAL_VERSION = 2
"""Raised with every change of our code that changes what a trial predicts, so that none from before is found."""

_ROOT = "_lift"
_DIGITS = 16
_TRIAL = re.compile(rf"{_ROOT}/[0-9a-f]+/[^/]+-s\d+-([0-9a-f]{{{_DIGITS}}})\.npz")


class PoolRecord(Record):
    """The samples of one source: how many of each class there are, and what is known of classes that lack some."""

    run_id: str  # of the plan that they are made by: it decides every sample
    source: str
    samples_K: tuple[int, ...]
    why: dict[int, str]  # by class index


def trial_digest(arm: Arm, seed: int, config: LiftConfig, data: LiftData, run_id: str) -> str:
    """16 hex digits of all that decides a trial; `run_id` names the pool of an arm's samples, "" without one.

    Of the user's own network it is the source of the module named, but not of what that imports.
    """
    images = [part.sha256 for part in (data.training, data.validation, data.test)]
    settings = config.model_dump(mode="json", exclude={"seeds"})
    code = [str(TRIAL_VERSION), importlib.metadata.version("torch"), _source_sha256(config.network)]
    return sha256_hex(canonical_json([arm.digest, settings, seed, *images, run_id, *code]))[:_DIGITS]


def _source_sha256(network: str) -> str:
    """Of the module of a `module:function`, as it is on disk now; "" for ours, and where there is none to be found:
    the trial says so."""
    name, colon, _ = network.partition(":")
    if not colon:
        return ""
    importlib.invalidate_caches()
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError):
        return ""
    path = Path(spec.origin) if spec is not None and spec.origin else None
    return sha256_hex(path.read_bytes()) if path is not None and path.is_file() else ""


class LiftStore:
    """The keys of one dataset."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def finished(self) -> dict[str, str]:
        """The key of every finished trial, by its digest."""
        found = ((_TRIAL.fullmatch(stored.key), stored.key) for stored in self._store.list(f"{_ROOT}/"))
        return {match[1]: key for match, key in found if match}

    def put_trial(self, question: str, digest: str, trial: Trial) -> str:
        """Store a finished trial; its key."""
        data = io.BytesIO()
        record = np.frombuffer(trial.record.to_json(), np.uint8)
        np.savez_compressed(data, record=record, validation_NK=trial.validation_NK, test_NK=trial.test_NK)
        name = f"{trial.record.arm.name}-s{trial.record.seed}-{digest}"
        key = f"{_ROOT}/{question[:_DIGITS]}/{name}.npz"
        self._store.put_if_absent(key, data.getvalue())
        return key

    def trial(self, key: str) -> Trial:
        """A finished trial; IntegrityError where its file is damaged."""
        try:
            with np.load(io.BytesIO(self._store.get(key)), allow_pickle=False) as arrays:
                record = TrialRecord.model_validate_json(arrays["record"].tobytes())
                return Trial(record, arrays["validation_NK"], arrays["test_NK"])
        except (ValueError, OSError, KeyError, EOFError) as error:  # a ValidationError is a ValueError
            raise IntegrityError(
                f"{self._store.uri_of(key)} is no trial of ours: {error}; delete it, and run `augment lift` again"
            ) from error

    def put_pool(self, record: PoolRecord) -> None:
        """Remember what a source's samples came to."""
        self._store.put_if_absent(f"{_ROOT}/pools/{record.run_id}.json", record.to_json())

    def pool(self, run_id: str) -> PoolRecord | None:
        """What they came to, if they were made before."""
        return stored_record(PoolRecord, self._store, f"{_ROOT}/pools/{run_id}.json")

    def count_use(self, test_sha256: str, question: str) -> TestUsage:
        """What these test images were asked so far, this question included; an object each, so that none is lost."""
        folder = f"{_ROOT}/usage/{test_sha256[:_DIGITS]}/"
        self._store.put_if_absent(f"{folder}{question}.json", canonical_json({"test_sha256": test_sha256}))
        asked = sorted(self._store.list(folder), key=lambda stored: (stored.modified_s, stored.key))
        questions = tuple(stored.key.removeprefix(folder).removesuffix(".json") for stored in asked)
        return TestUsage(test_sha256=test_sha256, questions=questions)

    def put_result(self, result: LiftResult) -> str:
        """Store the answer to a question; its URI."""
        key = f"{_ROOT}/{result.question[:_DIGITS]}/lift.json"
        self._store.put(key, result.to_json())
        return self._store.uri_of(key)

    def result(self, question: str) -> LiftResult | None:
        """The answer to a question, if it was given. Raises IntegrityError where its file is damaged."""
        return stored_record(LiftResult, self._store, f"{_ROOT}/{question[:_DIGITS]}/lift.json")
