"""A config with what it leaves open filled in: chosen for the data and the hardware, or as its model was begun.

Owns which of the two holds. The rules are augment.gan.presets'. Imports neither torch nor Ray: `augment plan`
answers at once.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from augment.config import Config, RayConfig
from augment.errors import ConfigError, IntegrityError
from augment.gan.config import ModelConfig
from augment.gan.hardware import Hardware
from augment.gan.presets import ChosenField, choose
from augment.gan.spec import HOW_NOT_WHAT, TrainingSpec
from augment.objects import ObjectNotFoundError
from augment.store.models import ModelFolder
from augment.types import ClassCounts, canonical_json

__all__ = [
    "CHOICES_FILE",
    "Settled",
    "as_begun",
    "begun_in",
    "choices_document",
    "chosen_in",
    "local_hardware",
    "put_choices",
    "settled",
]

CHOICES_FILE = "choices.json"
_NVIDIA_SMI_S = 10.0


@dataclass(frozen=True, slots=True)
class Settled:
    """A config with nothing left open, which fields were filled in, and what the user should know."""

    config: Config
    chosen: tuple[ChosenField, ...]
    warnings: tuple[str, ...]


def settled(
    config: Config,
    counts: ClassCounts,
    hardware: Hardware,
    *,
    native_precision: Callable[[], Literal["fp32", "bf16", "fp16"]] | None = None,
) -> Settled:
    """`config` with its open fields chosen for a new model.

    `native_precision` says what `train.precision=auto`, with or without the preset, comes to on the devices
    that will train; without it (`augment plan` asks no device) that one field stays open.

    Raises ConfigError where `train.start_from` names no model, or one with other networks than the config's.
    """
    auto = config.model.preset == "auto"
    earlier = config.train.start_from if auto else None
    choice = choose(
        config.model,
        config.train,
        config.image.shape,
        counts.counts,
        hardware,
        earlier=None if earlier is None else _networks_at(earlier),
    )
    train, chosen = choice.train, choice.chosen
    if train.precision == "auto" and native_precision is not None:
        precision = native_precision()
        train = train.model_copy(update={"precision": precision})
        why = "what the device computes natively"
        chosen = (*chosen, ChosenField(name="train.precision", value=precision, why=why))
    return Settled(config.model_copy(update={"model": choice.model, "train": train}), chosen, choice.warnings)


def as_begun(config: Config, begun: TrainingSpec) -> Config:
    """`config` with its open fields as the model was begun with: another machine must not choose anew.

    Fields that the user set stay, so that a change is found when the two are compared, and so do those that
    decide nothing of the model. Without the preset, on either side, `precision: auto` alone is open.
    """
    model, train = config.model, config.train
    if model.preset == begun.model.preset == "auto":
        model = model.model_copy(update=_open_fields("model", model, begun.model))
        train = train.model_copy(update=_open_fields("train", train, begun.train))
    if train.precision == "auto":
        train = train.model_copy(update={"precision": begun.train.precision})
    return config.model_copy(update={"model": model, "train": train})


def begun_in(folder: ModelFolder) -> TrainingSpec | None:
    """What the model in `folder` was begun with; IntegrityError where that can't be read."""
    data = folder.training()
    if data is None:
        return None
    try:
        return TrainingSpec.model_validate_json(data)
    except ValidationError as error:
        raise IntegrityError(f"{folder.uri}/training.json can't be read: {error}") from error


def put_choices(folder: ModelFolder, new: Settled, hardware: Hardware) -> None:
    """Store what was chosen, and for which hardware, beside the model."""
    folder.put_artefact(CHOICES_FILE, canonical_json(choices_document(new, hardware)))


def chosen_in(folder: ModelFolder) -> tuple[ChosenField, ...]:
    """The fields that were chosen for the model in `folder`; none where the model is older than presets."""
    try:
        document = json.loads(folder.artefact(CHOICES_FILE))
        return tuple(ChosenField.model_validate(field) for field in document["chosen"])
    except ObjectNotFoundError:
        return ()
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{folder.uri}/{CHOICES_FILE} can't be read: {error!r}") from error


def choices_document(new: Settled, hardware: Hardware) -> dict[str, Any]:
    """What was chosen, for what hardware, and what it warns of, as plain JSON values."""
    return {
        "hardware": hardware.model_dump(mode="json"),
        "chosen": [field.model_dump(mode="json") for field in new.chosen],
        "warnings": list(new.warnings),
    }


def local_hardware(ray: RayConfig) -> Hardware:
    """This machine's, or what `ray.num_cpus` leaves of it."""
    return Hardware(cpus=ray.num_cpus or _usable_cpus(), gpus=_visible_gpus(os.environ))


def _open_fields(section: str, here: Any, begun: Any) -> Mapping[str, Any]:
    """What `begun` has for the fields that `here` was not told of."""
    return {
        name: getattr(begun, name)
        for name in type(here).model_fields
        if name not in here.model_fields_set
        and (f"{section}.{name}" not in HOW_NOT_WHAT or name == "start_from")  # it decides the first weights
    }


def _networks_at(uri: str) -> ModelConfig:
    """The networks of the model in the folder `uri`."""
    folder = ModelFolder.at(uri, field="train.start_from")
    begun = begun_in(folder)
    if begun is None:
        raise ConfigError(f"train.start_from={uri}: no model was begun there; train that one first")
    return begun.model


def _usable_cpus() -> int:
    """CPUs that this process may run on; all, where the system does not say."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _visible_gpus(environment: Mapping[str, str]) -> int:
    """NVIDIA GPUs that CUDA would show, without loading it; 0 where no driver answers."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return 0
    try:
        done = subprocess.run(  # noqa: S603  # the system's own tool, without input
            [command, "-L"], capture_output=True, text=True, timeout=_NVIDIA_SMI_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    there = sum(line.startswith("GPU ") for line in done.stdout.splitlines())
    allowed = environment.get("CUDA_VISIBLE_DEVICES")
    if allowed is None:
        return there
    return min(there, sum(entry.strip() not in ("", "-1") for entry in allowed.split(",")))
