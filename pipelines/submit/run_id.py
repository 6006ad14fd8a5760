"""A submission's id: a hash of everything that decides the run, so that submitting it again finds it.

Hashed are the config, what the source holds, the code and, for schedules, the tick. Not hashed: the backend, its
settings, the host and the clock. Knows no store.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import augment
import pipelines
from augment.config import Config
from augment.data.census import take_census
from augment.data.sources import open_source
from augment.types import canonical_json, sha256_hex
from pipelines.submit.contract import MAX_RUN_ID, Submission, checked_run_id

__all__ = ["code_version", "source_fingerprint", "submission_of"]

_HASH_DIGITS = 12


def submission_of(config: Config, run_id: str | None = None, tick: str | None = None) -> Submission:
    """The submission of this config, with the id given, else one that follows from what it says.

    Lists the source, in seconds for a million images, unless the id is given: then nothing is contacted, and it is
    the id alone that tells one run from another. Raises ConfigError for an id that can't name a job, InputError for a
    source that can't be used.
    """
    if run_id is not None:
        return Submission(
            run_id=checked_run_id(run_id),
            config=_as_given(config),
            code_version=code_version(),
            tick=tick,
        )
    spec = {
        "config": _as_given(config),
        "code_version": code_version(),
        "source_fingerprint": source_fingerprint(config),
        "tick": tick,
    }
    return Submission(run_id=_id_of(config.name, spec), **spec)


def source_fingerprint(config: Config) -> str:
    """64 hex digits over names, sizes, labels and etags of the source: others where a file was written anew."""
    census = take_census(open_source(config.source), image=config.image)
    return sha256_hex(canonical_json([census.fingerprint, census.etags]))


def code_version() -> str:
    """The installed version and 8 hex digits of its sources, which a checkout may have changed: `0.1.0+1a2b3c4d`."""
    digests = {
        f"{package.__name__}/{path.relative_to(root).as_posix()}": sha256_hex(path.read_bytes())
        for package in (augment, pipelines)
        for root in [Path(str(package.__file__)).parent]
        for path in root.rglob("*.py")
    }
    return f"{importlib.metadata.version('ray-augment')}+{sha256_hex(canonical_json(digests))[:8]}"


def _as_given(config: Config) -> dict[str, Any]:
    """The fields that the user set and no others: presets choose those that a config leaves open."""
    return config.model_dump(mode="json", exclude_unset=True)


def _id_of(name: str, spec: Mapping[str, object]) -> str:
    """`defects-v1-0123456789ab`: the config's name, as far as it fits, and the hash."""
    letters = re.sub(r"^[^a-z]+", "", name)[: MAX_RUN_ID - _HASH_DIGITS - 1].strip("-") or "run"
    return checked_run_id(f"{letters}-{sha256_hex(canonical_json(spec))[:_HASH_DIGITS]}")
