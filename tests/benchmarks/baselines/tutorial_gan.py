"""A GAN's training loop as PyTorch's tutorials teach it: PNG files, DataLoader, fp32, plain Adam, no more.

It makes the same model as ours: the same networks, loss, lazy R1 + R2 penalty, augmentation, balanced labels,
and moving average. What differs is how: images are read from files by ImageFolder and two loading processes
(the number in PyTorch's DCGAN tutorial), there is no channels-last, no autocast and no fused optimiser, random
numbers are torch's own, and losses are read back each step.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import softplus
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, WeightedRandomSampler
from torchvision.datasets import ImageFolder
from torchvision.transforms import Compose, Grayscale, Normalize, ToTensor

from augment.gan.networks import Condition, Discriminator, Generator

__all__ = ["train"]

LOADING_PROCESSES = 2

Augment = Callable[[Tensor], Tensor]


def train(
    generator: Generator,
    discriminator: Discriminator,
    folder: Path,
    augment: Augment,
    *,
    latent_dim: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    beta2: float,
    gamma: float,
    penalty_every: int,
    on_step: Callable[[int, float, float], None],
) -> AveragedModel:
    """Relativistic GAN with R1 + R2 every `penalty_every` steps; `on_step` gets the step and both losses."""
    loader = balanced_loader(folder, steps, batch_size)
    average = AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(0.99))  # type: ignore[no-untyped-call]
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=learning_rate, betas=(0.0, beta2))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=learning_rate, betas=(0.0, beta2))
    schedules = [CosineAnnealingLR(optimizer, T_max=steps) for optimizer in (optimizer_g, optimizer_d)]

    for step, (real, label) in enumerate(loader):
        condition = Condition(label)

        # Discriminator.
        with torch.no_grad():
            fake = generator(torch.randn(len(real), latent_dim), condition).image_BCHW
        penalty_due = step % penalty_every == 0
        seen_real = augment(real).requires_grad_(penalty_due)
        seen_fake = augment(fake).requires_grad_(penalty_due)
        real_logit = discriminator(seen_real, condition).logits_B
        fake_logit = discriminator(seen_fake, condition).logits_B
        loss_d = softplus(fake_logit - real_logit).mean()
        total_d = loss_d
        if penalty_due:
            penalty = squared_slope(real_logit, seen_real) + squared_slope(fake_logit, seen_fake)
            total_d = loss_d + penalty_every * gamma / 2 * penalty
        optimizer_d.zero_grad()
        total_d.backward()  # type: ignore[no-untyped-call]
        optimizer_d.step()

        # Generator.
        discriminator.requires_grad_(False)
        fake = generator(torch.randn(len(real), latent_dim), condition).image_BCHW
        fake_logit = discriminator(augment(fake), condition).logits_B
        real_logit = discriminator(augment(real), condition).logits_B
        loss_g = softplus(real_logit - fake_logit).mean()
        optimizer_g.zero_grad()
        loss_g.backward()  # type: ignore[no-untyped-call]
        optimizer_g.step()
        discriminator.requires_grad_(True)

        average.update_parameters(generator)
        for schedule in schedules:
            schedule.step()
        on_step(step + 1, loss_d.item(), loss_g.item())
    return average


def balanced_loader(folder: Path, steps: int, batch_size: int) -> DataLoader[tuple[Tensor, Tensor]]:
    """`steps` batches of gray images in [-1, 1] and their labels, every class as often as any other."""
    transform = Compose([Grayscale(), ToTensor(), Normalize(0.5, 0.5)])
    dataset = ImageFolder(str(folder), transform)
    labels_N = torch.tensor(dataset.targets)
    weights_N = 1.0 / torch.bincount(labels_N)[labels_N]
    sampler = WeightedRandomSampler(weights_N.tolist(), num_samples=steps * batch_size)
    return DataLoader(dataset, batch_size, sampler=sampler, num_workers=LOADING_PROCESSES)


def squared_slope(logits: Tensor, images: Tensor) -> Tensor:
    """E‖∇D‖² (R1 at real images, R2 at generated ones)."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.pow(2).flatten(1).sum(1).mean()
