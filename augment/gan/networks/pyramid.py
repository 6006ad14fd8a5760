"""Which channels stand at which resolution.

Owns the choice of base, doublings and channels for a size of image. Knows no layer and no backbone.
"""

import math
from dataclasses import dataclass

from augment.errors import ConfigError
from augment.gan.config import ModelConfig

__all__ = ["Pyramid"]


@dataclass(frozen=True, slots=True)
class Pyramid:
    """The resolutions of a network: `base` pixels a side, doubled `doublings` times.

    `channels[k]` stands after k halvings of the image for k ≥ 1, and `channels[0]` at full resolution:
    half of `width`, for those backbones that compute there.
    """

    base: int
    doublings: int
    channels: tuple[int, ...]

    @classmethod
    def of(cls, model: ModelConfig, size: int) -> "Pyramid":
        """The pyramid of images of `size` pixels a side, with the largest base of at most 8 pixels.

        Raises ConfigError where `size` is not a base of 4–8 pixels doubled one to five times.
        """
        for doublings in range(1, 6):
            base, rest = divmod(size, 1 << doublings)
            if not rest and 4 <= base <= 8:
                return cls(base, doublings, tuple(_channels(model, k) for k in range(doublings + 1)))
        raise ConfigError(
            f"image.size={size}: no network can be built; it must be 4–8 doubled one to five times, "
            f"such as 28, 32, 64 or 256"
        )

    @property
    def base_shape(self) -> tuple[int, int, int]:
        """Height, width and channels at the lowest resolution."""
        return self.base, self.base, self.channels[-1]

    @property
    def base_features(self) -> int:
        """Numbers in one image's lowest-resolution feature map."""
        return math.prod(self.base_shape)

    @property
    def upward(self) -> list[tuple[int, int]]:
        """(channels before, channels after) of each doubling, from the base to full resolution."""
        return [(self.channels[k], self.channels[k - 1]) for k in range(self.doublings, 0, -1)]

    @property
    def downward(self) -> list[tuple[int, int]]:
        """(channels before, channels after) of each halving, from full resolution to the base."""
        return [(after, before) for before, after in reversed(self.upward)]

    def level_of(self, low_resolution: int) -> int:
        """Doublings of the base up to the first resolution of at least `low_resolution` pixels a side.

        Raises ConfigError where that is the image itself.
        """
        for level in range(self.doublings):
            if self.base << level >= low_resolution:
                return level
        sides = [self.base << level for level in range(self.doublings + 1)]
        raise ConfigError(
            f"model.low_resolution={low_resolution}: these networks' resolutions are {sides}, and a low one "
            f"lies below the image's {sides[-1]}; lower it to at most {sides[-2]}, or leave it out"
        )


def _channels(model: ModelConfig, halvings: int) -> int:
    return min(model.max_width, max(1, model.width << halvings >> 1))
