"""How every arm of `augment lift` is trained, the same for all, and what is asked: which arms, by which images.

Owns these fields. Imports no torch: the command line reads it.
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from augment.errors import ConfigError
from augment.lift.arms import arms_named
from augment.types import ConfigModel

__all__ = ["LiftConfig", "LiftingConfig"]

Share = Annotated[float, Field(ge=0, le=1)]


class LiftConfig(ConfigModel):
    """What is common to all arms and seeds. The base augmentation is every arm's, 'real' included."""

    network: str = "small"
    """`small`, a model of torchvision by name (resnet18, …), or `module:function`, called with the image's shape
    and the number of classes, which returns a torch module from images [B, C, H, W] in [-1, 1] to logits [B, K]"""
    steps: Annotated[int, Field(ge=1)] = 1500
    """gradient steps of every arm"""
    batch_size: Annotated[int, Field(ge=4)] = 64
    """images a step, samples among them"""
    learning_rate: Annotated[float, Field(gt=0)] = 4e-3
    """of AdamW at its highest; it rises over the first tenth of the steps and falls as a cosine to 0"""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    """of matrices and kernels, not of gains and biases"""
    shift: Share = 1 / 16
    """share of the image's side by which it is moved at most, its edge continued"""
    horizontal_flip: bool = False
    """mirror left and right in half of the draws: where a mirrored image is of the same class"""
    vertical_flip: bool = False
    """mirror top and bottom in half of the draws"""
    precision: Literal["fp32", "bf16"] = "bf16"
    """of the forward and backward pass; weights, losses and predictions are fp32"""
    seeds: Annotated[int, Field(ge=1)] = 5
    """trainings of every arm; below 5 an interval says little"""


class LiftingConfig(LiftConfig):
    """Does it help? Classifiers with and without samples, judged on held-out real images (`augment lift`)."""

    arms: tuple[str, ...] = Field(
        default=(
            "real", "balanced-softmax", "oversampling", "duplicates", "classic", "smote", "duplicates-tail",
            "gan", "gan-gated", "gan-tail",
        ),
        min_length=1,
    )  # fmt: skip
    """What is compared: controls (real images alone) and arms with generated samples; a name that is none is an error
    that lists them all. Of this default `classic` is left out where it has no pipeline, and gated arms where
    gates are off"""
    test_uri: str | None = None
    """Held-out real images to report on, laid out and labelled as source.uri is; `null`: the source's own split `test`,
    or else `validation`. The generator must never have seen them"""
    validation_uri: str | None = None
    """Held-out real images to choose the arm by; `null`: the source's own split `validation`, or else
    validation_share of the images to report on"""
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """share of the held-out images of each class that the arm is chosen by, where there is no validation of its own;
    the rest is reported on"""

    @field_validator("arms")
    @classmethod
    def _arms_exist(cls, arms: tuple[str, ...]) -> tuple[str, ...]:
        try:
            arms_named(arms)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return tuple(dict.fromkeys(arms))

    @property
    def training(self) -> LiftConfig:
        """What decides a training, and nothing else."""
        return LiftConfig(**{name: getattr(self, name) for name in LiftConfig.model_fields})
