"""Config of the GAN: its networks, its training and its use. No torch here: validating costs nothing."""

from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from augment.types import ConfigModel

__all__ = ["DIFFAUGMENT_OPS", "LOSS_NAMES", "PENALTY_NAMES", "GenerateConfig", "ModelConfig", "TrainConfig"]

LossName = Literal["minimax", "non-saturating", "hinge", "least-squares", "wgan-gp", "relativistic"]
PenaltyName = Literal["auto", "none", "r1", "r1+r2", "gradient-penalty"]
DiffAugmentOp = Literal["brightness", "saturation", "contrast", "translation", "cutout"]
LOSS_NAMES: tuple[LossName, ...] = (
    "minimax",
    "non-saturating",
    "hinge",
    "least-squares",
    "wgan-gp",
    "relativistic",
)
PENALTY_NAMES: tuple[PenaltyName, ...] = ("auto", "none", "r1", "r1+r2", "gradient-penalty")
DIFFAUGMENT_OPS: tuple[DiffAugmentOp, ...] = ("brightness", "saturation", "contrast", "translation", "cutout")


class ModelConfig(ConfigModel):
    """The generator and the discriminator."""

    backbone: Literal["dcgan", "resnet"] = "dcgan"
    """`dcgan`: transposed convolutions (Radford et al. 2016), fast; `resnet`: residual blocks (Miyato et al.
    2018), slower and steadier at 64 px and above."""

    width: int = Field(default=48, ge=4, le=512)
    """Channels at half resolution; they double with every halving of the resolution, up to `max_width`."""

    max_width: int = Field(default=384, ge=4, le=2048)
    """Most channels at any resolution."""

    latent_dim: int = Field(default=64, ge=1, le=4096)
    """Length of the noise vector z."""

    conditional: bool = True
    """Learn classes; `false` trains one distribution and can fill up a single class only."""

    embedding_dim: int = Field(default=32, ge=1, le=1024)
    """Length of the generator's class embedding."""

    embedding_noise: float = Field(default=0.0, ge=0, le=5)
    """Standard deviation of the noise added to the class embedding while training (0 is off)."""


class TrainConfig(ConfigModel):
    """How the GAN is fitted."""

    steps: int = Field(default=5_000, ge=1)
    """Generator updates; one step shows `batch_size` real images to the discriminator."""

    batch_size: int = Field(default=64, ge=2)
    """Images a step over all workers; a multiple of `workers`."""

    workers: int = Field(default=1, ge=1)
    """Ray Train workers (PyTorch DDP); the samples drawn do not depend on it."""

    device: Literal["auto", "cpu", "gpu"] = "auto"
    """`auto` takes GPUs where the cluster has one for each worker, else CPUs."""

    cpus_per_worker: float | None = Field(default=None, gt=0)
    """CPUs each worker reserves, and so its intra-op threads; by default the cluster's CPUs are shared out (1
    for a GPU worker)."""

    max_failures: int = Field(default=3, ge=0)
    """Lost workers are replaced this many times, each from the last snapshot."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`bf16` autocast with channels-last tensors, or plain `fp32`; `auto` takes bf16 where the device
    computes it natively."""

    learning_rate: float = Field(default=5e-4, gt=0, le=1)
    """Adam's rate for both networks at the start; it falls along a cosine to `final_fraction` of it."""

    beta2: float = Field(default=0.95, gt=0, lt=1)
    """Adam's second-moment decay (β1 is 0, after R3GAN)."""

    final_fraction: float = Field(default=0.1, gt=0, le=1)
    """The learning rate and `gamma` end at this share of their start."""

    loss: LossName = "relativistic"
    """Adversarial loss: minimax, non-saturating (Goodfellow et al. 2014), hinge (Lim & Ye 2017),
    least-squares (Mao et al. 2017), wgan-gp (Gulrajani et al. 2017), relativistic (Jolicoeur-Martineau 2019;
    R3GAN 2024)."""

    penalty: PenaltyName = "auto"
    """Discriminator's gradient penalty: `auto` is r1+r2, or gradient-penalty for wgan-gp."""

    gamma: float = Field(default=2.0, ge=0)
    """Weight of the penalty (γ of R1/R2 as γ/2·‖∇D‖²; λ of the gradient penalty, where 10 is usual). 2 suits 64 px in colour; small gray images want less (0.4 at 28 px), large ones more."""

    penalty_every: int = Field(default=8, ge=1)
    """Apply the penalty on every n-th step, times n (lazy regularisation, Karras et al. 2020)."""

    label_temperature: float = Field(default=0.0, ge=0, le=1)
    """τ of the one label distribution for real and generated images, p_c ∝ n_c^τ: 0 is uniform, 1 natural."""

    ema_half_life_kimg: float = Field(default=20.0, ge=0)
    """Half-life of the generator's moving average, in thousands of images (0 is off); ramped up over the
    run's start."""

    diffaugment: tuple[DiffAugmentOp, ...] = ("brightness", "translation", "cutout")
    """Differentiable augmentation of real and generated images alike (Zhao et al. 2020): any of brightness,
    saturation, contrast, translation, cutout."""

    diffaugment_probability: float = Field(default=0.5, ge=0, le=1)
    """Probability of each operation on each image, reached after `diffaugment_ramp` of the run."""

    diffaugment_ramp: float = Field(default=0.25, ge=0, le=1)
    """Share of the run over which that probability rises from 0."""

    horizontal_flip: bool = False
    """Mirror real images at random; only where a mirrored image is as real (not for digits or text)."""

    vertical_flip: bool = False
    """Turn real images upside down at random; only where up and down mean nothing (cells, textures)."""

    snapshot_every: int = Field(default=500, ge=1)
    """Steps between snapshots: what a killed run loses at most."""

    log_every: int = Field(default=50, ge=1)
    """Steps between log lines and TensorBoard points."""

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        if self.batch_size % self.workers:
            fitting = max(self.workers, self.workers * (self.batch_size // self.workers))
            raise ValueError(
                f"batch_size={self.batch_size} must be a multiple of workers={self.workers}; "
                f"try batch_size={fitting}"
            )
        if self.loss == "wgan-gp" and self.penalty not in ("auto", "gradient-penalty"):
            raise ValueError(f"loss=wgan-gp needs penalty=gradient-penalty (or auto), not {self.penalty}")
        return self

    @property
    def resolved_penalty(self) -> PenaltyName:
        """The penalty that `auto` stands for."""
        if self.penalty != "auto":
            return self.penalty
        return "gradient-penalty" if self.loss == "wgan-gp" else "r1+r2"


class GenerateConfig(ConfigModel):
    """How samples are drawn from the trained generator."""

    batch_size: int = Field(default=256, ge=1, le=65_536)
    """Samples a forward pass."""

    device: Literal["auto", "cpu", "gpu"] = "auto"
    """`auto` takes a GPU for each actor where the cluster has one, else CPUs."""

    actors: int | None = Field(default=None, ge=1)
    """Most generators at once, each on a GPU or on one CPU thread; by default as many as there are GPUs, or CPUs."""
