"""What calibrated gates are known by, so that a run finds those that were calibrated before.

Owns the identity and what a run's plan says of its gates. Imports neither torch nor Ray: a run that is finished is found
by it.
"""

from augment.config import Config
from augment.errors import ConfigError
from augment.quality.config import GatesConfig
from augment.sampling.judged import gated_classes
from augment.store.models import GatesRecord, ModelFolder, ModelRecord
from augment.types import AugmentPlan, GatesPin, Record, canonical_json, sha256_hex

__all__ = ["GatesIdentity", "gates_identity", "known_gates", "pin_of"]

_DIGITS = 16


class GatesIdentity(Record):
    """Everything that decides calibrated gates."""

    limits: GatesConfig
    data_sha256: str
    class_count: int
    judged: tuple[int, ...]
    seed: int
    horizontal_flip: bool
    vertical_flip: bool
    critic_sha256: str | None

    @property
    def digest(self) -> str:
        """16 hex digits of it."""
        return sha256_hex(canonical_json(self.model_dump(mode="json")))[:_DIGITS]


def gates_identity(
    config: Config, plan: AugmentPlan, data_sha256: str, model: ModelRecord | None
) -> GatesIdentity:
    """Of the gates of this run; ConfigError where the discriminator is to judge and none was kept."""
    critic = None
    if config.gates.discriminator_quantile and model is not None:
        critic = model.critic_sha256
        if critic is None:
            raise ConfigError(
                f"gates.discriminator_quantile={config.gates.discriminator_quantile} needs the discriminator, and "
                f"model `{config.name}` was trained before it was kept; set it to 0, or set `name` to train another"
            )
    return GatesIdentity(
        limits=config.gates.limits,
        data_sha256=data_sha256,
        class_count=len(plan.classes),
        judged=gated_classes(plan),
        seed=config.seed,
        horizontal_flip=config.train.horizontal_flip,
        vertical_flip=config.train.vertical_flip,
        critic_sha256=critic,
    )


def known_gates(
    config: Config, folder: ModelFolder, plan: AugmentPlan, data_sha256: str, model: ModelRecord | None
) -> GatesRecord | None:
    """The gates of this run, if they were calibrated before."""
    return folder.gates(gates_identity(config, plan, data_sha256, model).digest)


def pin_of(config: Config, record: GatesRecord, model: ModelRecord | None) -> GatesPin:
    """What a run's plan says of its gates."""
    return GatesPin(
        sha256=record.sha256,
        critic_sha256=model.critic_sha256 if model and config.gates.discriminator_quantile else None,
        max_attempts=config.gates.max_attempts,
        on_shortfall=config.gates.on_shortfall,
    )
