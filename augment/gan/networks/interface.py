"""What every backbone takes and gives, so that the step and the generator's file know none of them.

Owns the records that pass between the networks and their users. Knows no layer and no loss.

B = samples, D = latent z, E = class embedding, W = mapped latent w, K = classes, h = the low resolution.
"""

from typing import NamedTuple

from torch import Tensor

__all__ = ["Condition", "GeneratorOutput", "Judgement"]


class Condition(NamedTuple):
    """What a network is told of its samples' classes."""

    class_B: Tensor
    """Class indices, int64 [B]."""

    noise_BE: Tensor | None = None
    """Added to the generator's class embedding (NoisyTwins, Rangwani et al. 2023); None for none."""

    strength: float | Tensor = 1.0
    """λ in [0, 1] of transitional training (Shahbazi et al. 2022): 0 hides the class, 1 shows it whole."""


class GeneratorOutput(NamedTuple):
    """What a generator makes of latents."""

    image_BCHW: Tensor
    """float32 in [-1, 1]."""

    low_BChh: Tensor | None
    """The unconditional low-resolution picture of UTLO (Khorram et al. 2024), float32 in [-1, 1]; None
    without `model.low_resolution`."""

    w_BW: Tensor
    """The mapped latent that the image was made from; without mapping layers, latent and class embedding."""


class Judgement(NamedTuple):
    """What a discriminator thinks of images, all float32."""

    logits_B: Tensor
    """How real each image is as one of its class."""

    class_logits_BK: Tensor | None
    """The auxiliary classifier's logits (Odena et al. 2017); None without one."""

    low_logits_B: Tensor | None
    """How real each low-resolution picture is, whatever its class (UTLO); None where none was shown."""
