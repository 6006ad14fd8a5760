"""A GAN's training loop as PyTorch's tutorials teach it: DataLoader, fp32, one pass a batch, plain Adam.

It makes the same model as ours: the same networks, loss, lazy R1 + R2 penalty, augmentation, balanced labels,
mirroring and moving average. What differs is how: no channels-last, no autocast, no fused optimiser, torch's
own random numbers, and a loss read back each step.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

__all__ = ["train"]

Augment = Callable[[Tensor], Tensor]


def train(
    generator: nn.Module,
    discriminator: nn.Module,
    pixels_NHWC: Tensor,
    labels_N: Tensor,
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
    images = pixels_NHWC.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1
    weights_N = 1.0 / torch.bincount(labels_N)[labels_N]
    sampler = WeightedRandomSampler(weights_N.tolist(), num_samples=steps * batch_size)
    loader = DataLoader(TensorDataset(images, labels_N), batch_size=batch_size, sampler=sampler)

    average = AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(0.99))  # type: ignore[no-untyped-call]
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=learning_rate, betas=(0.0, beta2))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=learning_rate, betas=(0.0, beta2))
    schedules = [CosineAnnealingLR(optimizer, T_max=steps) for optimizer in (optimizer_g, optimizer_d)]

    for step, (real, label) in enumerate(loader):
        real = mirrored(real)

        # Discriminator.
        noise = torch.randn(len(real), latent_dim)
        with torch.no_grad():
            fake = generator(noise, label)
        penalty_due = step % penalty_every == 0
        seen_real = augment(real).requires_grad_(penalty_due)
        seen_fake = augment(fake).requires_grad_(penalty_due)
        real_logit, fake_logit = discriminator(seen_real, label), discriminator(seen_fake, label)
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
        fake = generator(torch.randn(len(real), latent_dim), label)
        fake_logit = discriminator(augment(fake), label)
        real_logit = discriminator(augment(real), label)
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


def mirrored(images: Tensor) -> Tensor:
    """Each image, or its mirror image, by the toss of a coin."""
    heads = torch.rand(len(images)) < 0.5
    return torch.where(heads[:, None, None, None], images.flip(3), images)


def squared_slope(logits: Tensor, images: Tensor) -> Tensor:
    """E‖∇D‖² (R1 at real images, R2 at generated ones)."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.pow(2).flatten(1).sum(1).mean()
