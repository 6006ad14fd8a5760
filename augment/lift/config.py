"""How every arm of `augment lift` is trained: the same for all, controls and generated alike.

Owns these fields. Imports no torch: the command line reads it.
"""

from typing import Annotated, Literal

from pydantic import Field

from augment.types import ConfigModel

__all__ = ["LiftConfig"]

Share = Annotated[float, Field(ge=0, le=1)]


class LiftConfig(ConfigModel):
    """What is common to all arms and seeds. The base augmentation is every arm's, 'real' included."""

    network: str = "small"
    """`small`, a model of torchvision by name (resnet18, …), or `module:function`, called with the image's shape
    and the number of classes, which returns a torch module from images [B, C, H, W] in [-1, 1] to logits [B, K]"""
    steps: Annotated[int, Field(ge=1)] = 1500
    """gradient steps of every arm"""
    batch_size: Annotated[int, Field(ge=4)] = 64
    """images a step, samples among them"""
    learning_rate: Annotated[float, Field(gt=0)] = 4e-3
    """of AdamW at its highest; it rises over the first tenth of the steps and falls as a cosine to 0"""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    """of matrices and kernels, not of gains and biases"""
    shift: Share = 1 / 16
    """share of the image's side by which it is moved at most, its edge continued"""
    horizontal_flip: bool = False
    """mirror left and right in half of the draws: where a mirrored image is of the same class"""
    vertical_flip: bool = False
    """mirror top and bottom in half of the draws"""
    precision: Literal["fp32", "bf16"] = "bf16"
    """of the forward and backward pass; weights, losses and predictions are fp32"""
    seeds: Annotated[int, Field(ge=1)] = 5
    """trainings of every arm; below 5 an interval says little"""
