"""LeCam regularisation: the discriminator's logits tied to where they have been of late.

"Regularizing generative adversarial networks under limited data" (Tseng et al., CVPR 2021).

Owns the penalty and the two anchors that it measures from. Knows no discriminator, no weight and no
snapshot: the anchors are plain tensors, for the training state to keep.

B = samples in the batch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import relu

__all__ = ["LeCamAnchors", "debiased_decay", "lecam"]


@dataclass(frozen=True, slots=True, eq=False)
class LeCamAnchors:
    """Moving averages of D's mean logit of real and of generated images, float32 scalars on the device."""

    real: Tensor
    fake: Tensor

    def updated(self, real_mean: Tensor, fake_mean: Tensor, *, decay: float) -> "LeCamAnchors":
        """anchor ← decay · anchor + (1 − decay) · mean: new tensors, no gradient, no wait for the device.

        Give all ranks the same means. Both official codes update before they measure; here a step measures
        against the steps before it, and the first step not at all.
        """
        return LeCamAnchors(
            real=torch.lerp(self.real, real_mean.detach().to(self.real), 1 - decay),
            fake=torch.lerp(self.fake, fake_mean.detach().to(self.fake), 1 - decay),
        )


def debiased_decay(decay: float, updates: int) -> float:
    """The decay to use after `updates` updates so that the average does not lean towards its start.

    (β − β^t) / (1 − β^t) with t = updates + 1: 0 at first, then rising to β. The average is then that of
    Adam's bias correction (Kingma & Ba 2015, section 3), as in the official StyleGAN2 code, where β = 0.99.
    """
    forgotten = decay ** (updates + 1)
    return (decay - forgotten) / (1 - forgotten)


def lecam(real_logits_B: Tensor, fake_logits_B: Tensor, anchors: LeCamAnchors) -> Tensor:
    """E[max(0, r − α_F)²] + E[max(0, α_R − f)²], a scalar: real logits from above, fake ones from below.

    This is the official code's form (google/lecam-gan). The paper's R_LC squares the differences as they
    are, and so also pushes logits that are on the wrong side already.
    """
    real_excess_B = relu(real_logits_B - anchors.fake)
    fake_excess_B = relu(anchors.real - fake_logits_B)
    return real_excess_B.square().mean() + fake_excess_B.square().mean()
