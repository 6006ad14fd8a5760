"""A gate keeper as a file: one safetensors file that describes itself.

Owns the format: arrays by name, each member of the ensemble as the bytes of its own file, and one JSON
record. The caller keeps the file's SHA-256. Opening a file runs no code.
"""

import json
from typing import Literal

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from augment.errors import IntegrityError
from augment.quality.classifier import Classifier
from augment.quality.crossfit import Ensemble
from augment.quality.gate_names import GATES
from augment.quality.gate_records import KeeperInfo, KeeperParts, Limits, References
from augment.types import Record, sha256_hex

__all__ = ["parts_from_bytes", "parts_to_bytes"]

_CPU = torch.device("cpu")
_METADATA_KEY = "augment.gates"
_LIMITS = ("low_KG", "high_KG", "duplicate_pixels_K", "duplicate_features_K")
_REFERENCES = ("class_index_R", "position_R", "features_ERF", "middle_RD", "spread_E")


class _Header(Record):
    format_version: Literal[1] = 1
    gates: tuple[str, ...]
    keeper: KeeperInfo
    member_sha256s: tuple[str, ...]


def parts_to_bytes(parts: KeeperParts) -> bytes:
    """The file of a keeper. Equal parts give equal bytes."""
    members = [member.to_bytes() for member in parts.ensemble.members]
    arrays = {name: getattr(parts.limits, name) for name in _LIMITS}
    arrays |= {name: getattr(parts.references, name) for name in _REFERENCES}
    arrays |= {f"member_{i}": np.frombuffer(data, np.uint8) for i, data in enumerate(members)}
    header = _Header(
        gates=GATES, keeper=parts.info, member_sha256s=tuple(sha256_hex(data) for data in members)
    )
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return save(contiguous, metadata={_METADATA_KEY: header.to_json().decode()})


def parts_from_bytes(data: bytes, *, sha256: str, device: torch.device = _CPU) -> KeeperParts:
    """The parts of a file of `parts_to_bytes`, its classifiers on `device`.

    Raises IntegrityError where the file's SHA-256 is not `sha256` (checked before anything is parsed) or the
    file is none of ours.
    """
    if (found := sha256_hex(data)) != sha256:
        raise IntegrityError(f"the gates' SHA-256 is {found}, expected {sha256}: refusing to open them")
    header = _read_header(data)
    try:
        arrays = load(data)
        members = [
            Classifier.from_bytes(arrays[f"member_{i}"].tobytes(), sha256=member_sha256, device=device)
            for i, member_sha256 in enumerate(header.member_sha256s)
        ]
        limits = Limits(**{name: arrays[name] for name in _LIMITS})
        references = References(**{name: arrays[name] for name in _REFERENCES})
    except (SafetensorError, KeyError) as error:
        raise IntegrityError(f"the gates' arrays do not fit their header: {error!r}") from error
    _check_shapes(header, limits, references)
    return KeeperParts(header.keeper, Ensemble(members), references, limits)


def _read_header(data: bytes) -> _Header:
    try:
        length = int.from_bytes(data[:8], "little")  # safetensors: u64 header length, then the header as JSON
        header = _Header.model_validate_json(json.loads(data[8 : 8 + length])["__metadata__"][_METADATA_KEY])
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise IntegrityError(f"not a file of quality gates of this project: {error!r}") from error
    if header.gates != GATES:
        raise IntegrityError(f"the file has the gates {list(header.gates)}, this version {list(GATES)}")
    return header


def _check_shapes(header: _Header, limits: Limits, references: References) -> None:
    classes, members = header.keeper.class_count, len(header.member_sha256s)
    images = len(references.class_index_R)
    fits = (
        limits.low_KG.shape == limits.high_KG.shape == (classes, len(GATES))
        and limits.duplicate_pixels_K.shape == limits.duplicate_features_K.shape == (classes,)
        and references.position_R.shape == references.middle_RD.shape[:1] == (images,)
        and references.features_ERF.shape[:2] == (members, images)
        and references.spread_E.shape == (members,)
    )
    if not fits:
        raise IntegrityError(f"the gates' arrays do not fit {classes} classes and {members} classifiers")
