"""Signs of life: how much a class's generated images differ from each other, beside its real ones.

Owns the measure that mode collapse is seen in, cheap enough to take at every report. Knows nothing of what
is done about it (augment.gan.supervision) and of quality (that is measured less often, in feature space).

n = samples a class, K = classes looked at.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from augment.gan.batches import RealImages
from augment.gan.networks.interface import Condition
from augment.gan.spec import TrainingSpec
from augment.seeds import normals, stream_id

__all__ = ["Vitals", "diversity"]

SAMPLES_A_CLASS = 8
MOST_CLASSES = 16
_MOST_REAL = 64
_FEWEST_REAL = 4  # of fewer images the spread says little
_BLANK = 1e-3  # real images of a class that differ less are one image


def diversity(images_KnCHW: Tensor) -> Tensor:
    """Mean over pixels of the standard deviation over a class's n images, [K]; 0 for n equal images."""
    return images_KnCHW.float().std(dim=1).flatten(1).mean(1)


class Vitals:
    """Looks at the same latents of the same classes each time: those with the fewest images, which go first."""

    def __init__(self, spec: TrainingSpec, images: RealImages, device: torch.device) -> None:
        real = {
            index: _real_diversity(images, index)
            for index in sorted(range(len(spec.counts)), key=lambda index: spec.counts[index])
            if spec.counts[index] >= _FEWEST_REAL
        }
        self._real = {index: value for index, value in list(real.items())[:MOST_CLASSES] if value > _BLANK}
        self._names = [spec.classes[index].name for index in self._real]
        classes = np.repeat(np.fromiter(self._real, dtype=np.int64), SAMPLES_A_CLASS)
        z_BD = normals(spec.seed, stream_id("train.vitals"), 0, len(classes), spec.model.latent_dim)
        self._class_B = torch.from_numpy(classes).to(device)
        self._z_BD = torch.from_numpy(z_BD).to(device)

    @torch.inference_mode()
    def look(self, generator: nn.Module, strength: float = 1.0) -> dict[str, float]:
        """Each class's diversity as a share of its real images', shown as far as it is trained; waits for the device."""
        if not self._real:
            return {}
        made_BCHW: Tensor = generator(self._z_BD, Condition(self._class_B, strength=strength)).image_BCHW
        made_K = diversity(made_BCHW.reshape(-1, SAMPLES_A_CLASS, *made_BCHW.shape[1:])).cpu()
        shares = [float(made) / real for made, real in zip(made_K, self._real.values(), strict=True)]
        return dict(zip(self._names, shares, strict=True))


def _real_diversity(images: RealImages, class_index: int) -> float:
    chosen: npt.NDArray[np.int64] = np.flatnonzero(images.class_index_N == class_index)[:_MOST_REAL]
    pixels_nHWC = torch.from_numpy(images.pixels_NHWC[chosen]).float() / 127.5 - 1
    return float(diversity(pixels_nHWC[None])[0])
