"""What a plan may cost, before anything runs and with nothing measured: bytes, shards, encoding, generating, training.

Every figure is a guess from rates that were measured elsewhere, good to about a factor of two, and `assumptions` says
which rates were assumed. Pure; asks no cluster and no store. What a probe measures is augment.planning.forecast's.
"""

from typing import Literal

from augment.types import AugmentPlan, ImageShape, Record

__all__ = ["CostEstimate", "TrainingLoad", "bytes_per_image", "encode_s_per_image", "estimate"]

ImageFormat = Literal["png", "webp"]

_KEPT_FRACTION: dict[tuple[ImageFormat, int], float] = {
    ("png", 1): 0.65,
    ("png", 3): 0.60,
    ("webp", 1): 0.75,  # lossless WebP has no gray mode: it stores three equal channels
    ("webp", 3): 0.50,
}
"""Encoded ÷ raw bytes, by format and channels. Measured on micrographs of blood cells (PNG level 1, WebP
method 0): gray 0.67 and 0.79 at 28 px, 0.48 and 0.65 at 64 px; colour 0.62 and 0.55 at 28 px, 0.48 and 0.40
at 64 px; photographs at 256 px 0.66 as PNG. Generated images are noisier than real ones, so the constants lie
at the upper end."""

_ROW_BYTES = 150
"""File headers of one image and the scalar columns of its row."""

_ENCODE_FIXED_S = 1e-4
_ENCODE_S_PER_PIXEL: dict[ImageFormat, float] = {"png": 98e-9, "webp": 24e-9}
"""A line through measured rates, colour, one core: PNG level 1 2,019 images/s at 64 px, 624 at 128 px and
156 at 256 px; lossless WebP method 0 6,534, 1,933 and 597."""

DEFAULT_IMAGES_PER_S = 1_000.0
"""Samples a second of one generator on a data-centre GPU, with its transfers; a CPU core makes far fewer."""


class TrainingLoad(Record):
    """What training is asked to do, and the rate it is assumed to run at."""

    steps: int
    batch_size: int
    images_per_s: float

    @property
    def kimg(self) -> float:
        """Real images shown to the discriminator, in thousands."""
        return self.steps * self.batch_size / 1000


class CostEstimate(Record):
    """Guessed size and time of a run; times are those of the work itself, without queueing or start-up."""

    basis: Literal["guessed"] = "guessed"
    rows: int
    shards: int
    bytes_per_image: int
    total_bytes: int
    encode_core_s: float  # CPU time over all cores
    generate_s: float  # with `devices` generators side by side
    train_s: float | None  # None where no training load was given
    assumptions: tuple[str, ...]


def estimate(
    plan: AugmentPlan,
    image_format: ImageFormat,
    *,
    images_per_s: float = DEFAULT_IMAGES_PER_S,
    devices: int = 1,
    training: TrainingLoad | None = None,
) -> CostEstimate:
    """Estimate the run of `plan`.

    `images_per_s` is one generator's rate and `devices` (≥ 1) how many run at once; `training` adds the
    time to train.
    """
    image_bytes = bytes_per_image(plan.image, image_format)
    generated = _forward_passes(plan) * plan.batch_size
    assumptions = [
        f"about {image_bytes:,} bytes an image as {image_format}, its header and row included",
        f"{1 / encode_s_per_image(plan.image, image_format):,.0f} images/s encoded on one core",
        f"{images_per_s:,.0f} images/s from each of {devices} generator(s)",
    ]
    if training is not None:
        assumptions.append(f"{training.images_per_s:,.0f} images/s in training ({training.kimg:,.0f} kimg)")
    return CostEstimate(
        rows=plan.rows,
        shards=plan.num_shards,
        bytes_per_image=image_bytes,
        total_bytes=plan.rows * image_bytes,
        encode_core_s=plan.rows * encode_s_per_image(plan.image, image_format),
        generate_s=generated / (images_per_s * devices),
        train_s=training.steps * training.batch_size / training.images_per_s if training else None,
        assumptions=tuple(assumptions),
    )


def bytes_per_image(image: ImageShape, image_format: ImageFormat) -> int:
    """Estimated bytes of one image in a shard: raw bytes · kept fraction + header and row."""
    raw = image.size * image.size * image.channels
    return round(raw * _KEPT_FRACTION[image_format, image.channels]) + _ROW_BYTES


def encode_s_per_image(image: ImageShape, image_format: ImageFormat) -> float:
    """Estimated seconds one core takes to encode an image: a fixed part and a part a pixel."""
    return _ENCODE_FIXED_S + _ENCODE_S_PER_PIXEL[image_format] * image.size * image.size


def _forward_passes(plan: AugmentPlan) -> int:
    """Generator passes of the whole plan: each shard ends with a pass of its own, padded to `batch_size`."""
    full_shards, last_rows = divmod(plan.rows, plan.shard_rows)
    return full_shards * -(-plan.shard_rows // plan.batch_size) - (-last_rows // plan.batch_size)
