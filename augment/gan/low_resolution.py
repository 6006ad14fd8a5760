"""What real images look like to UTLO's unconditional low-resolution game.

UTLO ("Taming the tail in class-conditional GANs: knowledge sharing via unconditional training at lower
resolutions", Khorram et al. 2024) lets the generator's first layers paint small pictures that are judged
without their class. Owns how a real image is made as small. Knows no network.
"""

from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from augment.errors import ConfigError

__all__ = ["shrink"]


def shrink(image_BCHW: Tensor, side: int) -> Tensor:
    """Images at `side` × `side`, float32: each pixel is the mean of the area it covers.

    A side that does not divide the image's gets antialiased bilinear resampling instead. The official code
    halves with a [1, 3, 3, 1] low-pass filter, of which the area's mean is the shortest form. Raises
    ConfigError where `side` is larger than the image.
    """
    height, width = image_BCHW.shape[2:]
    if side > min(height, width):
        raise ConfigError(
            f"model.low_resolution={side} is larger than the images, {height}×{width}; "
            "choose a smaller one, or null"
        )
    if height % side == 0 and width % side == 0:
        # not adaptive_avg_pool2d, whose backward pass on a GPU is not deterministic
        return avg_pool2d(image_BCHW.float(), (height // side, width // side))
    return interpolate(image_BCHW.float(), (side, side), mode="bilinear", antialias=True)
