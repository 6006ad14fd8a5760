"""Config of the GAN: its networks, its training and its use. No torch here: validating costs nothing."""

import math
import re
from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from augment.types import ConfigModel

__all__ = ["DIFFAUGMENT_OPS", "LOSS_NAMES", "PENALTY_NAMES", "GenerateConfig", "ModelConfig", "TrainConfig"]

LossName = Literal["minimax", "non-saturating", "hinge", "least-squares", "wgan-gp", "relativistic"]
PenaltyName = Literal["auto", "none", "r1", "r1+r2", "gradient-penalty"]
DiffAugmentOp = Literal["brightness", "saturation", "contrast", "translation", "cutout"]
BackboneName = Literal["dcgan", "resnet", "r3gan", "style"]
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


Share = Annotated[float, Field(ge=0, le=1)]


class ModelConfig(ConfigModel):
    """The generator and the discriminator."""

    preset: Literal["auto", "none"] = "auto"
    """`auto` chooses every field of `model` and `train` that this config leaves out, from the census and the
    hardware, prints what it chose and stores it; `none` takes the defaults below."""

    backbone: BackboneName = "dcgan"
    """`dcgan`: transposed convolutions (Radford et al. 2016), fast; `resnet`: residual blocks (Miyato et al.
    2018); `r3gan`: residual bottlenecks without normalisation (Huang et al. 2024), strongest for their cost
    above 32 px; `style`: a mapping network and modulated convolutions (Karras et al. 2020)."""

    width: int = Field(default=48, ge=4, le=512)
    """Channels at half resolution; they double with every halving of the resolution, up to `max_width`."""

    max_width: int = Field(default=384, ge=4, le=2048)
    """Most channels at any resolution."""

    latent_dim: int = Field(default=64, ge=1, le=4096)
    """Length of the noise vector z."""

    mapping_layers: int | None = Field(default=None, ge=0, le=8)
    """Fully connected layers that map latent and class to w before the synthesis (Karras et al. 2019);
    `null`: 4 for `style`, which needs one, else 0."""

    group_width: int | None = Field(default=None, ge=2)
    """Channels of a group in `r3gan`'s 3×3 convolutions; `null`: plain ones, since grouped ones are slow in
    the double backward pass of R1 and R2 on a CPU. The paper has 16."""

    conditional: bool = True
    """Learn classes; `false` trains one distribution and can fill up a single class only."""

    embedding_dim: int = Field(default=32, ge=1, le=1024)
    """Length of the generator's class embedding."""

    generator_conditioning: Literal["concatenation", "normalisation"] = "concatenation"
    """Where the class enters the generator: `concatenation` to the latent (Mirza & Osindero 2014);
    `normalisation`: also a gain and a bias a class in every normalisation layer (de Vries et al. 2017), for
    `dcgan` and `resnet`."""

    discriminator_conditioning: Literal[
        "projection", "concatenation", "auxiliary", "projection+auxiliary"
    ] = "projection"
    """Where it enters the discriminator: `projection` (Miyato & Koyama 2018), `concatenation` to the features
    (Mirza & Osindero 2014), an `auxiliary` classifier (Odena et al. 2017), or a projection and a classifier."""

    low_resolution: Literal[4, 8, 16] | None = None
    """Pixels a side of the unconditional pictures of UTLO (Khorram et al. 2024), through which rare classes
    learn shape from frequent ones; `null` is off. The first resolution of at least this size is taken."""

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        if self.generator_conditioning == "normalisation" and self.backbone not in ("dcgan", "resnet"):
            raise ValueError(
                f"generator_conditioning=normalisation needs normalisation layers, which backbone="
                f"{self.backbone} does without; choose dcgan or resnet, or concatenation"
            )
        if self.backbone == "style" and self.mapping_layers == 0:
            raise ValueError("backbone=style modulates by w: mapping_layers must be at least 1")
        return self

    @property
    def resolved_mapping_layers(self) -> int:
        """The number that `null` stands for."""
        if self.mapping_layers is not None:
            return self.mapping_layers
        return 4 if self.backbone == "style" else 0


class TrainConfig(ConfigModel):
    """How the GAN is fitted."""

    steps: int = Field(default=5_000, ge=1)
    """Generator updates; one step shows `batch_size` real images to the discriminator."""

    max_kimg: float | None = Field(default=None, gt=0)
    """Most thousands of real images shown; fewer steps than `steps` where that is less."""

    max_time: str | None = Field(
        default=None, pattern=r"^(\d+(\.\d+)?[dhms])+$", examples=["90s", "20m", "1h30m"]
    )
    """Most time for training, such as `90s`, `20m` or `1h30m`: the run measures its own speed and fits the
    schedules to what can be done in it; the clock is looked at each `log_every` steps. A run with it cannot be
    repeated to the last bit."""

    batch_size: int = Field(default=64, ge=2)
    """Images a step over all workers, however many they are."""

    workers: Annotated[int, Field(ge=1)] | tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = 1
    """Ray Train workers (PyTorch DDP), or `[least, most]` to go on with what the cluster has; the samples
    drawn do not depend on it."""

    device: Literal["auto", "cpu", "gpu"] = "auto"
    """`auto` takes GPUs where the cluster has one for each worker, else CPUs."""

    cpus_per_worker: float | None = Field(default=None, gt=0)
    """CPUs each worker reserves, and so its intra-op threads; by default the cluster's CPUs are shared out (1
    for a GPU worker)."""

    max_failures: int = Field(default=3, ge=0)
    """Lost workers are replaced this many times, each from the last snapshot."""

    start_from: str | None = None
    """URI of an earlier model's folder (`<dataset>/_models/<name>`) to start from instead of random weights;
    its networks must be the same, classes may have been added."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`bf16` autocast with channels-last tensors, `fp16` with a loss scale (for GPUs without bf16), or plain
    `fp32`; `auto` takes bf16 where the device computes it natively."""

    tf32: bool = True
    """On a GPU, let float32 matrix products round their inputs to TensorFloat-32."""

    compile: bool = False
    """Compile the networks with torch.compile where no penalty is due (its gradient of a gradient cannot be
    compiled); pays on a GPU in long runs."""

    learning_rate: float = Field(default=5e-4, gt=0, le=1)
    """Adam's rate for both networks at the start; it falls along a cosine to `final_fraction` of it."""

    warm_up_steps: int = Field(default=200, ge=0)
    """Steps over which the learning rate rises from near 0. Without them a tanh end may saturate at once and
    take a thousand steps to come back."""

    beta2: float = Field(default=0.95, gt=0, lt=1)
    """Adam's second-moment decay at the start (β1 is 0, after R3GAN)."""

    beta2_final: float | None = Field(default=None, gt=0, lt=1)
    """The same at the end, reached along a cosine (R3GAN: 0.9 → 0.99); `null` keeps `beta2`."""

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

    ada_target: float | None = Field(default=None, gt=-1, lt=1)
    """Adapt the probability instead (ADA, Karras et al. 2020): up while the discriminator's overfitting sign is
    above this target (the paper's 0.6), down while below; `null` keeps to `diffaugment_probability`."""

    ada_kimg: float = Field(default=500.0, gt=0)
    """Thousands of images in which ADA could move the probability from 0 to 1."""

    horizontal_flip: bool = False
    """Mirror real images at random; only where a mirrored image is as real (not for digits or text)."""

    vertical_flip: bool = False
    """Turn real images upside down at random; only where up and down mean nothing (cells, textures)."""

    embedding_noise: float = Field(default=0.0, ge=0, le=5)
    """Standard deviation of the noise on the generator's class embedding while training (NoisyTwins, Rangwani
    et al. 2023: 0.75), times the class's effective-number weight, so that rare classes get more; 0 is off."""

    twins_weight: float = Field(default=0.0, ge=0)
    """Weight of NoisyTwins' Barlow loss between two noisy copies of a latent (0.01 in the paper); needs
    `embedding_noise` and mapping layers."""

    gsr_weight: float = Field(default=0.0, ge=0)
    """Weight of group spectral regularisation of class-conditional parameters (Rangwani et al. 2022; 1 is what
    their code calls 0.5)."""

    lecam_weight: float = Field(default=0.0, ge=0)
    """Weight of the LeCam regulariser (Tseng et al. 2021), which suits losses of anchored logits: 0.3 for
    hinge."""

    auxiliary_weight: float = Field(default=1.0, ge=0)
    """Weight of the auxiliary classifier's loss, with a `model.discriminator_conditioning` that has one."""

    low_resolution_weight: float = Field(default=1.0, ge=0)
    """Weight of the unconditional low-resolution loss (UTLO, Khorram et al. 2024: 1 to 10), with
    `model.low_resolution`."""

    transition: tuple[Share, Share] | None = None
    """Shares of the run between which training turns from unconditional to conditional (Shahbazi et al.
    2022), such as `[0.1, 0.3]`; `null` is conditional from the start."""

    snapshot_every: int = Field(default=500, ge=1)
    """Steps between snapshots: what a killed run loses at most."""

    log_every: int = Field(default=50, ge=1)
    """Steps between log lines and TensorBoard points, and between looks for mode collapse."""

    evaluate_every: int | None = Field(default=None, ge=0)
    """Steps between measurements of quality class by class, by which the best snapshot is chosen; 0 is off,
    `null` is about twenty a run."""

    evaluate_samples: int = Field(default=100, ge=10)
    """Generated images a class and measurement, of at most `evaluate_classes` classes."""

    evaluate_classes: int = Field(default=32, ge=1)
    """Classes measured; of more, the rarest half and an even choice of the others."""

    patience: int = Field(default=8, ge=0)
    """Measurements without a better one after which a run stops early, on a plateau; 0 never stops."""

    remedies: int = Field(default=1, ge=0)
    """Times that a run in trouble (mode collapse, overfitting discriminator, divergence) goes back to its best
    snapshot, with half the learning rate or more augmentation, before it stops with an error."""

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        least, most = self.worker_range
        if least > most:
            raise ValueError(f"workers=[{least}, {most}]: the least is above the most; try [{most}, {least}]")
        if self.batch_size < most:
            raise ValueError(
                f"batch_size={self.batch_size} and workers={most} leave some workers without an image"
            )
        if self.loss == "wgan-gp" and self.penalty not in ("auto", "gradient-penalty"):
            raise ValueError(f"loss=wgan-gp needs penalty=gradient-penalty (or auto), not {self.penalty}")
        if self.max_time_s == 0:
            raise ValueError(f"max_time={self.max_time} leaves no time at all; try max_time=20m")
        if self.ada_target is not None and not self.diffaugment:
            raise ValueError(
                f"ada_target={self.ada_target} adapts the probability of diffaugment, which has no operation; name "
                "some, such as diffaugment=[translation]"
            )
        if self.twins_weight and self.batch_size < 2 * most:
            raise ValueError(
                f"twins_weight={self.twins_weight} compares the images of one worker, and batch_size="
                f"{self.batch_size} leaves some of workers={most} with one; try batch_size={2 * most}"
            )
        if self.twins_weight and not self.embedding_noise:
            raise ValueError(
                f"twins_weight={self.twins_weight} compares two noisy copies, and embedding_noise is 0; try "
                "embedding_noise=0.75"
            )
        if self.evaluate_every and self.evaluate_every % self.log_every:
            fitting = self.log_every * -(-self.evaluate_every // self.log_every)
            raise ValueError(
                f"evaluate_every={self.evaluate_every} must be a multiple of log_every={self.log_every}, where a run "
                f"is looked at; try evaluate_every={fitting}"
            )
        if self.transition is not None and self.transition[0] > self.transition[1]:
            raise ValueError(f"transition={list(self.transition)} ends before it begins")
        return self

    @property
    def worker_range(self) -> tuple[int, int]:
        """The least and the most workers."""
        return (self.workers, self.workers) if isinstance(self.workers, int) else self.workers

    @property
    def max_time_s(self) -> float | None:
        """`max_time` in seconds."""
        if self.max_time is None:
            return None
        parts = re.findall(r"([\d.]+)([dhms])", self.max_time)
        return sum(float(number) * {"d": 86_400, "h": 3600, "m": 60, "s": 1}[unit] for number, unit in parts)

    @property
    def budget_steps(self) -> int:
        """Steps that `steps` and `max_kimg` allow."""
        if self.max_kimg is None:
            return self.steps
        return max(1, min(self.steps, math.ceil(1000 * self.max_kimg / self.batch_size)))

    @property
    def resolved_evaluate_every(self) -> int:
        """Steps between measurements, 0 for none, in a run that uses its whole budget of steps."""
        return self.evaluate_every_of(self.budget_steps)

    def evaluate_every_of(self, total_steps: int) -> int:
        """The same in a run of `total_steps`: a multiple of `log_every`, where runs are looked at."""
        if self.evaluate_every is not None:
            return self.evaluate_every
        return self.log_every * math.ceil(total_steps / 20 / self.log_every)

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
