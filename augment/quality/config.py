"""Config of the quality gates: what share of real images each may refuse. No torch here."""

from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from augment.types import ConfigModel

__all__ = ["GatesConfig"]


class GatesConfig(ConfigModel):
    """Which generated candidates may be committed; every limit is read off real images of the class."""

    folds: int = Field(default=4, ge=2, le=10)
    """Classifiers that judge together, each fitted without one of this many parts of the real images; a
    real image is scored by the one that did not see it."""

    judges: int | None = Field(default=None, ge=1)
    """How many of them look at each candidate, the first ones; `null`: all. Limits stay honest with any
    number: fewer cost less time, more agree better."""

    steps: int = Field(default=400, ge=1)
    """Updates of each classifier."""

    batch_size: int = Field(default=128, ge=2)
    """Images an update of a classifier."""

    label_quantile: float = Field(default=0.05, ge=0, lt=0.5)
    """A candidate is refused whose log p(class) lies below that of this share of the class's unseen real
    images; 0 switches the gate off."""

    distance_quantile: float = Field(default=0.05, ge=0, lt=0.5)
    """A candidate is refused that lies farther from the class's real images than this share of them lie from
    one another, half of the share in features and half in pixels; 0 switches these gates off."""

    band: Literal["within", "approximate"] = "within"
    """Which distance in features passes. `within`: as near as real images are, by `distance_quantile`;
    `approximate`: d_f < d ≤ 2 d_f with d_f the class's mean distance, after DiffuLT's approximately
    in-distribution samples (Shao et al. 2024): near, but not where real images lie already."""

    neighbours: int = Field(default=3, ge=1, le=50)
    """Distance to a class is that to its k-th nearest real image; the last one where a class has fewer."""

    copy_quantile: float = Field(default=0.01, ge=0, lt=0.5)
    """A candidate is refused as a near copy that lies nearer to a real image of its class than all but this
    share of the real images lie to one another, half of the share in pixels and half in features; 0
    switches these gates off."""

    duplicate_quantile: float = Field(default=0.001, ge=0, lt=0.5)
    """The same between two generated images of a class, of which the later one is refused. Of M perfect
    samples beside n real images about M / n times this share are refused; 0 switches the gate off."""

    discriminator_quantile: float = Field(default=0.05, ge=0, lt=0.5)
    """A candidate is refused that the discriminator scores below this share of the class's real images, where
    such scores are given; 0 switches the gate off."""

    prior_images: float = Field(default=10.0, gt=0)
    """A class's own images set its limits with weight n / (n + this), all classes together with the rest."""

    @model_validator(mode="after")
    def _check_judges(self) -> Self:
        if self.judges is not None and self.judges > self.folds:
            raise ValueError(f"judges={self.judges} of folds={self.folds} classifiers: at most {self.folds}")
        return self
