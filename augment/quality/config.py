"""Config of the quality gates: what share of real images each may refuse. No torch here."""

from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from augment.types import ConfigModel, ShortfallPolicy

__all__ = ["GatesConfig", "GatingConfig"]


class GatesConfig(ConfigModel):
    """Which generated candidates may be committed; every limit is read off real images of the class."""

    folds: int = Field(default=4, ge=2, le=10)
    """Classifiers that judge together, each fitted without one of this many parts of the real images; a
    real image is scored by the one that did not see it."""

    judges: int | None = Field(default=1, ge=1)
    """How many of them look at each candidate, the first ones; `null`: all. Limits are those of all members'
    scores, so that a single one may refuse a little more or less; time is nearly in proportion. On Fashion-MNIST-LT one gives the same verdict as four on 98.4% of generated
    images, and two on 99.6%; one lets 93.2% of unseen real images pass, four 93.8%, and either 5.7% of those
    with a wrong label."""

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

    discriminator_quantile: float = Field(default=0.0, ge=0, lt=0.5)
    """A candidate is refused that the discriminator scores below this share of the class's real images; 0
    switches the gate off. Off, since these are its training images, which it knows by heart: with 0.05 it also
    refuses 4% of a class's unseen real images where it was trained on 5,000, 13% where on 387, and 68% and 49%
    where on 83 and 50 (Fashion-MNIST-LT): in the classes that need samples most."""

    prior_images: float = Field(default=10.0, gt=0)
    """A class's own images set its limits with weight n / (n + this), all classes together with the rest."""

    @model_validator(mode="after")
    def _check_judges(self) -> Self:
        if self.judges is not None and self.judges > self.folds:
            raise ValueError(f"judges={self.judges} of folds={self.folds} classifiers: at most {self.folds}")
        return self


class GatingConfig(GatesConfig):
    """The gates of a run: their limits, and what becomes of samples that none of the candidates passes for."""

    enabled: bool = True
    """Whether samples are judged before they are committed."""

    max_attempts: int = Field(default=10, ge=1, le=10_000)
    """Candidates drawn for the samples of a class in a shard, at most, as a multiple of these samples."""

    on_shortfall: ShortfallPolicy = "partial"
    """What becomes of a sample for which no candidate passed: `partial` commits without it, counts it in the
    manifest's ledger and ends with exit code 4; or the recipe that makes it instead, ungated: `classic`,
    `duplicate` or `smote`."""

    keep_rejected: int = Field(default=4, ge=0, le=100)
    """Refused candidates kept for looking, of each class and gate, in each of the first shards."""

    @property
    def limits(self) -> GatesConfig:
        """What decides the limits, and nothing else."""
        return GatesConfig(**{name: getattr(self, name) for name in GatesConfig.model_fields})
