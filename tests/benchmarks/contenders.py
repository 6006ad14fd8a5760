"""Who takes part in suite `gan`: the preset that a user gets, one change at a time to it, and the prototype.

A contender is what its user would write into a config's `model` and `train`; whatever it leaves out, the
preset chooses. Owns these choices and their reasons. Knows neither data nor measure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from augment.errors import ConfigError

__all__ = ["CONTENDERS", "Parts", "contenders", "merged"]

Parts = Mapping[str, Any]
"""Sections of a config, as `{"train": {"gamma": 1.0}}`."""

PROTOTYPE: Parts = {
    "model": {"preset": "none", "backbone": "dcgan"},
    "train": {
        "steps": 5_000,
        "batch_size": 64,
        "learning_rate": 5e-4,
        "warm_up_steps": 0,
        "loss": "relativistic",
        "penalty": "r1+r2",
        "gamma": 1.0,
        "penalty_every": 8,
        "beta2": 0.95,
        "final_fraction": 0.1,
        "label_temperature": 0.5,
        "ema_half_life_kimg": 20.0,
        "diffaugment": ["translation", "brightness"],
        "diffaugment_probability": 0.5,
        "horizontal_flip": True,
        "evaluate_every": 0,
        "remedies": 0,
    },
}
"""The recipe that this engine had to beat, by which a run's last step was taken.

It differs from the prototype as it was measured in the networks, which are today's of the same widths (0.8 M
and 1.4 M parameters instead of 1.0 M and 1.8 M, and other initial weights), and in translation, which here
repeats the image's edge and goes ±4 pixels instead of ±3.
"""

CONTENDERS: Mapping[str, Parts] = {
    "prototype": PROTOTYPE,
    "preset": {},
    # Ablations: the preset, and one thing other than it would have it.
    "no-auxiliary": {"model": {"discriminator_conditioning": "projection"}},
    "tau-0.5": {"train": {"label_temperature": 0.5}},
    "tau-1": {"train": {"label_temperature": 1.0}},
    "no-diffaugment": {"train": {"diffaugment": []}},
    "gsr": {"train": {"gsr_weight": 0.5}},
    "embedding-noise": {"train": {"embedding_noise": 0.75}},
    # Twins compare mapped latents, so that there must be a mapping, and noise to tell them apart.
    "twins": {"model": {"mapping_layers": 2}, "train": {"embedding_noise": 0.75, "twins_weight": 0.01}},
    # LeCam ties logits to anchors, which a relativistic loss does not have; hence a pair of its own.
    "non-saturating": {"train": {"loss": "non-saturating"}},
    "non-saturating-lecam": {"train": {"loss": "non-saturating", "lecam_weight": 0.3}},
}


def contenders(only: Sequence[str]) -> dict[str, Parts]:
    """Those named, in the order above; all where none is named. ConfigError for a name that isn't there."""
    if unknown := [name for name in only if name not in CONTENDERS]:
        raise ConfigError(f"--only: there is no {unknown[0]!r} among {', '.join(CONTENDERS)}")
    return {name: parts for name, parts in CONTENDERS.items() if not only or name in only}


def merged(*all_parts: Parts) -> dict[str, Any]:
    """The sections of all; of a field that several set, the last one's value."""
    result: dict[str, Any] = {}
    for parts in all_parts:
        for name, value in parts.items():
            before = result.get(name)
            if isinstance(before, Mapping) and isinstance(value, Mapping):
                value = merged(before, value)
            result[name] = value
    return result
