"""What a training is known by: everything that decides the weights, claimed once for the model's name.

Owns the claim and the differences that a user is told. Imports neither torch nor Ray: a finished training is found by it.
"""

from augment.config import Config
from augment.errors import ConfigError
from augment.gan.spec import TrainingSpec
from augment.store.models import ModelFolder, SourceRecord, snapshot_sha256

__all__ = ["pin_training", "training_spec"]


def training_spec(config: Config, source: SourceRecord, folder: ModelFolder) -> TrainingSpec:
    """Everything that decides the weights: the config's part, what decoding the source found, and the snapshot
    that a fine-tuning in `folder` starts from.
    """
    return TrainingSpec(
        model=config.model,
        train=config.train,
        image=config.image.shape,
        classes=source.counts.classes,
        counts=source.counts.counts,
        seed=config.seed,
        data_sha256=source.decoded_sha256,
        start_sha256=_start_sha256(config, folder),
    )


def pin_training(folder: ModelFolder, spec: TrainingSpec) -> None:
    """Claim the model's name for `spec`; ConfigError with the differences where it means another training."""
    stored = TrainingSpec.model_validate_json(folder.pin_training(spec.to_json()))
    if differences := spec.differences(stored):
        raise ConfigError(
            f"{folder.store.uri_of(folder.root)} was begun with another configuration:\n  "
            + "\n  ".join(differences)
            + "\nset `name` to something new for a new model, or undo the change to go on with this one"
        )


def _start_sha256(config: Config, folder: ModelFolder) -> str | None:
    """Digest of the snapshot to start from: the one that this training was pinned to, if it has begun."""
    uri = config.train.start_from
    if uri is None:
        return None
    if (pinned := folder.training()) is not None:
        begun = TrainingSpec.model_validate_json(pinned)
        if begun.start_sha256 is not None and begun.train.start_from == uri:
            return begun.start_sha256  # the other model may have gone on meanwhile
    other = ModelFolder.at(uri, field="train.start_from")
    files = other.best_snapshot() or other.latest_snapshot()
    if files is None:
        raise ConfigError(f"train.start_from={uri} holds no snapshot to start from; train that model first")
    return snapshot_sha256(files)
