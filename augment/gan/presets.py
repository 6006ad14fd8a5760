"""Presets: what a config leaves open of `model` and `train`, chosen from the data and the hardware.

Owns the rules and the numbers in them. Pure and without torch, so that `augment plan` can show the choice. A field that the user set is never touched. To tune a number, change its
table; to choose another field, write a rule and an entry of `RULES`, behind those whose choice it looks at.

Numbers were measured on long-tailed Fashion-MNIST (28 and 32 px, gray, 12,000 images, imbalance 100), or are
those of a paper that the reason names. A field for which neither speaks keeps its default.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from augment.errors import ConfigError
from augment.gan.config import ModelConfig, TrainConfig
from augment.gan.hardware import Hardware, gpus_for, training_images_per_s
from augment.types import ImageShape, Record

__all__ = [
    "FEW_IMAGES",
    "RULES",
    "Choice",
    "ChosenField",
    "choose",
    "rare_classes_warning",
]

FEW_IMAGES = 20
"""A class with fewer real images gives samples that hardly vary (Gupta & Brown 2026)."""


class ChosenField(Record):
    """A field that the preset filled in: its dotted name, its value, and why."""

    name: str
    value: Any
    why: str

    @property
    def text(self) -> str:
        """The value as a YAML config has it."""
        if isinstance(self.value, list | tuple):
            return f"[{', '.join(map(str, self.value))}]"
        return self.value if isinstance(self.value, str) else json.dumps(self.value)


@dataclass(frozen=True, slots=True)
class Choice:
    """A whole `model` and `train`, which of their fields were chosen, and what the user should know."""

    model: ModelConfig
    train: TrainConfig
    chosen: tuple[ChosenField, ...] = ()
    warnings: tuple[str, ...] = ()


def choose(
    model: ModelConfig,
    train: TrainConfig,
    image: ImageShape,
    counts: Sequence[int],
    hardware: Hardware,
    *,
    earlier: ModelConfig | None = None,
) -> Choice:
    """`model` and `train` with what they leave open filled in; fields in `model_fields_set` stay as they are.

    `counts` are real images a class. `earlier` are the networks of the model that fine-tuning starts from:
    they are taken over whole. With `model.preset=none` nothing is chosen.

    Raises ConfigError where `model` sets a field otherwise than `earlier` has it.
    """
    if model.preset == "none":
        return Choice(model, train)
    fixed = {f"model.{name}" for name in model.model_fields_set}
    fixed |= {f"train.{name}" for name in train.model_fields_set}
    chosen: list[ChosenField] = []
    if earlier is not None:
        model, chosen = _networks_of(earlier, model)
        fixed |= {f"model.{name}" for name in ModelConfig.model_fields}
    case = _Case(model, train, image, tuple(counts), hardware, frozenset(fixed), earlier is not None)
    for name, rule in RULES.items():
        pick = None if name in fixed else rule(case)
        if pick is not None:
            case = case.having(name, pick.value)
            chosen.append(ChosenField(name=name, value=pick.value, why=pick.why))
    return Choice(
        # Validated once more: what was chosen must hold together with what the user set.
        ModelConfig.model_validate(case.model.model_dump()),
        TrainConfig.model_validate(case.train.model_dump()),
        tuple(chosen),
        rare_classes_warning(counts),
    )


def rare_classes_warning(counts: Sequence[int]) -> tuple[str, ...]:
    """A warning where a class has images, but fewer than `FEW_IMAGES`."""
    rare = [count for count in counts if 0 < count < FEW_IMAGES]
    if not rare:
        return ()
    which = "1 class has" if len(rare) == 1 else f"{len(rare)} classes have"
    return (
        f"{which} fewer than {FEW_IMAGES} real images ({min(rare)} in the rarest): generating them is not "
        "advised, for their samples would hardly vary; collect more, or set balance.below_min_real=skip",
    )


# ---- the tables ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """A value for the cases that meet every condition (None: any); of a table, the first that fits counts."""

    value: Any
    why: str  # {size} and {images} are filled in
    below_px: int | None = None
    channels: int | None = None
    gpu: bool | None = None
    below_images: int | None = None


BACKBONE = (
    Row("dcgan", "the quickest, and the best measured for its time at 32 px", below_px=64),
    Row("r3gan", "the strongest for its cost from 64 px on", gpu=True),
    Row("dcgan", "the quickest: on CPUs, time decides at {size} px"),
)

WIDTH = (
    Row(48, "measured at 32 px: 2 million weights are enough", below_px=64),
    Row(64, "room for detail at {size} px", gpu=True),
    Row(48, "wider networks take too long on CPUs", below_px=96),
    Row(32, "on CPUs, wider networks would see too few images of {size} px"),
)

BATCH_SIZE = (  # no row below the default of 64, which the user's workers were checked against
    Row(64, "on CPUs, many small steps are best", gpu=False),
    Row(256, "fills a GPU (R3GAN's)", below_px=65),
    Row(128, "fills a GPU at {size} px"),
)

LEARNING_RATE = (  # of the relativistic loss
    Row(1e-3, "small gray images bear a high rate: measured best", below_px=40, channels=1),
    Row(5e-4, "colour and larger images bear less than small gray ones"),
)

DIFFAUGMENT = (
    Row(
        ("translation",),
        "shifts: brightness makes small gray images worse (measured)",
        below_px=64,
        channels=1,
    ),
    Row(("translation", "cutout"), "shifts and holes: brightness makes gray images worse", channels=1),
    Row(
        ("brightness", "translation", "cutout"), "all, for {images} images (DiffAugment)", below_images=5_000
    ),
    Row(("translation", "cutout"), "enough for {images} images (DiffAugment)"),
)

DIFFAUGMENT_PROBABILITY = (
    Row(0.9, "{images} images are soon known by heart", below_images=500),
    Row(0.8, "{images} images are soon known by heart", below_images=1_000),
    Row(0.5, "enough for {images} images (measured)"),
)

DIFFAUGMENT_RAMP = (Row(0.1, "soon: {images} images are quickly known by heart", below_images=1_000),)

ADA_TARGET = (Row(0.6, "augments as much as {images} images call for (ADA)", below_images=1_000),)

WANTED_KIMG = 640.0
WANTED_AT_IMAGES = 5_000
WANTED_SHARES = (0.2, 16.0)
"""Thousands of images worth showing at up to 32 px where 5,000 are real: quality was seen to gain up to there.
More by the side of the image, and by the root of the number of images, between these shares."""

CPU_BUDGET_S = 20 * 60.0
GPU_BUDGET_S = 60 * 60.0
"""Training takes no longer than this, as far as its speed can be told beforehand."""

MAX_TIME_MARGIN = 2.0
"""Steps for so many times `max_time`: training measures its own speed, and cuts them to what fits."""

FINE_TUNING_STEPS = 0.25
FINE_TUNING_RATE = 0.5
"""Shares of a training from the beginning."""

GAMMA_AT_32_GRAY = 0.4
GAMMA_POWER = 0.65
"""γ = 0.4 · (pixels · channels / 1024)^0.65: measured 0.4 at 32 px gray, and 2 at 64 px in colour."""

GRADIENT_PENALTY_WEIGHT = 10.0
"""λ of Gulrajani et al. 2017."""

EMA_SHARE = 1 / 50
EMA_KIMG = (20.0, 500.0)
"""Half-life of the average as a share of the run (R3GAN: 500 kimg of 25,000), between these kimg."""

ADA_SHARE = 0.2
"""Share of the run in which ADA could go from no augmentation to full: short runs can't wait for 500 kimg."""

AUXILIARY_WEIGHT = 0.1
"""Of a classifier beside the projection. Measured on a long tail at 32 px, one seed: intra-class FID 0.48 instead of
0.66 in the mean and 0.72 instead of 1.17 in the worst class, and no class whose labels are worse than real ones'."""

EMBEDDING_NOISE = 0.75
EMBEDDING_NOISE_FROM_IMBALANCE = 10.0
"""NoisyTwins' standard deviation; it was made for mapping networks and long tails."""


# ---- the rules ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Case:
    """What a rule looks at; `model` and `train` hold what the rules before it chose."""

    model: ModelConfig
    train: TrainConfig
    image: ImageShape
    counts: tuple[int, ...]
    hardware: Hardware
    fixed: frozenset[str]  # the user's fields, and with fine-tuning those of the networks
    fine_tuning: bool

    @property
    def images(self) -> int:
        return sum(self.counts)

    @property
    def imbalance(self) -> float:
        present = [count for count in self.counts if count]
        return max(present) / min(present) if present else 1.0

    @property
    def gpu(self) -> bool:
        return gpus_for(self.train, self.hardware) > 0

    @property
    def kimg(self) -> float:
        """Thousands of images that the run shows."""
        return self.train.budget_steps * self.train.batch_size / 1000

    def having(self, name: str, value: Any) -> "_Case":
        """This case with the field `name` at `value`."""
        section, _, field = name.partition(".")
        if section == "model":
            return replace(self, model=self.model.model_copy(update={field: value}))
        return replace(self, train=self.train.model_copy(update={field: value}))

    def pick(self, table: Sequence[Row]) -> "_Pick | None":
        """The table's value for this case; None where no row fits."""
        for row in table:
            fits = (
                (row.below_px is None or self.image.size < row.below_px)
                and (row.channels is None or self.image.channels == row.channels)
                and (row.gpu is None or self.gpu == row.gpu)
                and (row.below_images is None or self.images < row.below_images)
            )
            if fits:
                return _Pick(row.value, row.why.format(size=self.image.size, images=f"{self.images:,}"))
        return None


@dataclass(frozen=True, slots=True)
class _Pick:
    value: Any
    why: str


Rule = Callable[[_Case], _Pick | None]
"""A field's value and why; None leaves it at its default."""


def _networks_of(earlier: ModelConfig, model: ModelConfig) -> tuple[ModelConfig, list[ChosenField]]:
    """`earlier` as the config, and which of its fields differ from the defaults."""
    fields = [name for name in ModelConfig.model_fields if name != "preset"]
    if differences := [
        f"model.{name}={getattr(model, name)!r}, and the earlier model has {getattr(earlier, name)!r}"
        for name in fields
        if name in model.model_fields_set and getattr(model, name) != getattr(earlier, name)
    ]:
        raise ConfigError(
            "train.start_from needs the same networks: " + "; ".join(differences) + "; leave these fields out"
        )
    default = ModelConfig()
    taken = [
        ChosenField(name=f"model.{name}", value=getattr(earlier, name), why="the earlier model's")
        for name in fields
        if getattr(earlier, name) != getattr(default, name) and name not in model.model_fields_set
    ]
    return earlier.model_copy(update={"preset": model.preset}), taken


def _backbone(case: _Case) -> _Pick | None:
    pick = case.pick(BACKBONE)
    if pick is not None and pick.value == "r3gan" and case.model.generator_conditioning == "normalisation":
        return _Pick("resnet", "the strongest with normalisation layers, which the conditioning needs")
    return pick


def _discriminator_conditioning(case: _Case) -> _Pick | None:
    several = case.model.conditional and sum(count > 0 for count in case.counts) > 1
    if not several or case.model.backbone != "dcgan":
        return None
    return _Pick(
        "projection+auxiliary", "a classifier beside the projection keeps classes apart: measured best"
    )


def _auxiliary_weight(case: _Case) -> _Pick | None:
    if case.model.discriminator_conditioning != "projection+auxiliary":
        return None
    return _Pick(
        AUXILIARY_WEIGHT, "beside a projection: enough for the labels, too little to decide the picture"
    )


def _learning_rate(case: _Case) -> _Pick | None:
    pick = case.pick(LEARNING_RATE) if case.train.loss == "relativistic" else None
    if case.fine_tuning:
        rate = case.train.learning_rate if pick is None else pick.value
        return _Pick(
            rate * FINE_TUNING_RATE, f"{FINE_TUNING_RATE:g} × the usual: the networks know much already"
        )
    return pick


def _gamma(case: _Case) -> _Pick | None:
    penalty, size, channels = case.train.resolved_penalty, case.image.size, case.image.channels
    if penalty == "gradient-penalty":
        return _Pick(GRADIENT_PENALTY_WEIGHT, "λ of Gulrajani et al. 2017")
    if penalty == "none":
        return None
    gamma = GAMMA_AT_32_GRAY * (size**2 * channels / 1024) ** GAMMA_POWER
    return _Pick(float(f"{gamma:.2g}"), f"for {size} px {'gray' if channels == 1 else 'in colour'}")


def _label_temperature(case: _Case) -> _Pick | None:
    if not case.model.conditional or case.imbalance == 1:
        return None
    return _Pick(0.0, "every class is shown equally often: measured best for its worst one")


def _ada_target(case: _Case) -> _Pick | None:
    """Not where the user asked for a probability, or for no augmentation at all."""
    asked = "train.diffaugment_probability" in case.fixed or not case.train.diffaugment
    return None if asked else case.pick(ADA_TARGET)


def _diffaugment_probability(case: _Case) -> _Pick | None:
    adaptive = case.train.ada_target is not None
    return None if adaptive or not case.train.diffaugment else case.pick(DIFFAUGMENT_PROBABILITY)


def _diffaugment_ramp(case: _Case) -> _Pick | None:
    adaptive = case.train.ada_target is not None
    return None if adaptive or not case.train.diffaugment else case.pick(DIFFAUGMENT_RAMP)


def _embedding_noise(case: _Case) -> _Pick | None:
    mapped = case.model.conditional and case.model.resolved_mapping_layers > 0
    if not mapped or case.imbalance < EMBEDDING_NOISE_FROM_IMBALANCE:
        return None
    return _Pick(EMBEDDING_NOISE, f"the tail is long (imbalance {case.imbalance:,.0f}; NoisyTwins)")


def _steps(case: _Case) -> _Pick | None:
    """As many as the data is worth, where there is time for them."""
    train, batch = case.train, case.train.batch_size
    if train.max_kimg is not None:
        return _Pick(math.ceil(1000 * train.max_kimg / batch), f"train.max_kimg={train.max_kimg:g} decides")
    least, most = WANTED_SHARES
    reduced = FINE_TUNING_STEPS if case.fine_tuning else 1.0
    share = min(most, max(least, math.sqrt(case.images / WANTED_AT_IMAGES)))
    wanted_kimg = WANTED_KIMG * max(1.0, case.image.size / 32) * share * reduced
    budget_s = reduced * (GPU_BUDGET_S if case.gpu else CPU_BUDGET_S)
    if train.max_time_s is not None:
        budget_s = MAX_TIME_MARGIN * train.max_time_s
    rate = training_images_per_s(case.model, train, case.image, case.hardware)
    steps = _two_digits(min(1000 * wanted_kimg, rate * budget_s) / batch)
    return _Pick(steps, _why_steps(case, steps, rate, wanted_kimg))


def _why_steps(case: _Case, steps: int, rate: float, wanted_kimg: float) -> str:
    kimg = steps * case.train.batch_size / 1000
    gpus = gpus_for(case.train, case.hardware)
    there = _counted(gpus, "GPU") if gpus else _counted(case.hardware.cpus, "CPU")
    why = f"{kimg:,.0f} kimg, about {max(1.0, 1000 * kimg / rate / 60):,.0f} min on {there}"
    if case.fine_tuning:
        why += f", {FINE_TUNING_STEPS:g} × a training from the beginning"
    if kimg < 0.8 * wanted_kimg and case.train.max_time is None:
        why += f"; up to {wanted_kimg:,.0f} kimg would serve: set train.max_time to allow more"
    return why


def _ema_half_life(case: _Case) -> _Pick | None:
    least, most = EMA_KIMG
    half_life = float(f"{min(most, case.kimg * EMA_SHARE):.2g}")
    if half_life <= least:
        return None
    return _Pick(half_life, f"{EMA_SHARE:.0%} of {case.kimg:,.0f} kimg (R3GAN's share)")


def _ada_kimg(case: _Case) -> _Pick | None:
    if case.train.ada_target is None:
        return None
    return _Pick(float(f"{max(0.1, case.kimg * ADA_SHARE):.2g}"), f"{ADA_SHARE:.0%} of {case.kimg:,.0f} kimg")


def _two_digits(steps: float) -> int:
    """Rounded down to two digits that say something, and at least 1."""
    digits = str(int(steps))
    return max(1, int(digits[:2].ljust(len(digits), "0")))


def _counted(number: float, word: str) -> str:
    return f"{number:g} {word}" if number == 1 else f"{number:g} {word}s"


RULES: Mapping[str, Rule] = {  # in the order in which they look at one another's choice
    "model.backbone": _backbone,
    "model.width": lambda case: case.pick(WIDTH),
    "model.discriminator_conditioning": _discriminator_conditioning,
    "train.batch_size": lambda case: case.pick(BATCH_SIZE),
    "train.steps": _steps,
    "train.learning_rate": _learning_rate,
    "train.gamma": _gamma,
    "train.auxiliary_weight": _auxiliary_weight,
    "train.label_temperature": _label_temperature,
    "train.diffaugment": lambda case: case.pick(DIFFAUGMENT),
    "train.ada_target": _ada_target,
    "train.ada_kimg": _ada_kimg,
    "train.diffaugment_probability": _diffaugment_probability,
    "train.diffaugment_ramp": _diffaugment_ramp,
    "train.ema_half_life_kimg": _ema_half_life,
    "train.embedding_noise": _embedding_noise,
}
