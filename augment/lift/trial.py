"""One trial: one arm trained with one seed, and what it then says of held-out real images.

Owns the training loop and the prediction. The same call on the same kind of machine gives the same numbers: all
draws are by global sample index, on one CPU thread. Where trials run, and what they score, is not known here.

B = rows of a batch, R = rows an arm may draw, N = images, K = classes.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from augment.errors import DivergenceError, InputError
from augment.lift.arms import Arm
from augment.lift.blending import blended
from augment.lift.config import LiftConfig
from augment.lift.draws import Batch, Draws
from augment.lift.images import LabelledImages, LiftData
from augment.lift.losses import balanced_softmax, soft_cross_entropy, weighted_mean
from augment.lift.mixture import Mixture, Phase, mixture_of
from augment.lift.networks import build_classifier, last_layer, reset_head
from augment.lift.split_norm import set_real_rows, split_norms
from augment.seeds import digest64
from augment.types import Record

__all__ = ["Trial", "TrialRecord", "run_trial"]

_TILE = 250  # images a forward pass of prediction
_WARMUP = 0.1  # share of the steps over which the rate rises
_REPORT_EVERY = 50  # steps
_MASK63 = (1 << 63) - 1


class TrialRecord(Record):
    """What a training was and took."""

    arm: Arm
    config: LiftConfig
    seed: int
    real_rows: int
    samples_K: tuple[int, ...]  # added, by class index
    losses: tuple[float, ...]  # means over 50 steps each, the last of what is left
    seconds: float


@dataclass(frozen=True, slots=True)
class Trial:
    """The record, and the probabilities [N, K] that the trained network gives to real held-out images."""

    record: TrialRecord
    validation_NK: npt.NDArray[np.float32]
    test_NK: npt.NDArray[np.float32]


def run_trial(
    arm: Arm,
    data: LiftData,
    config: LiftConfig,
    seed: int,
    *,
    log: Callable[[int, float], None] | None = None,
) -> Trial:
    """Train `arm` with `seed`, and predict validation and test images by the last weights.

    AdamW (Loshchilov & Hutter 2019), a rising rate and then half a cosine to 0. A refitted last layer has new
    weights, a cycle of its own and class-balanced real rows, and nothing else moves (cRT, Kang et al. 2020,
    section 4.1). `log` is told the number of steps done and the mean loss since it was told last.

    Raises InputError where the data lack what the arm needs, DivergenceError where the loss is not finite.
    """
    _check_teachers(arm, data)
    began_s = time.perf_counter()
    mixture = mixture_of(arm, data, config.steps)
    with _repeatable(seed):
        network = build_classifier(config.network, data.shape, len(data.class_names), seed=seed)
        if arm.own_norm:
            split_norms(network)
        losses = _Training(arm, data, config, seed, mixture, network).run(log)
        validation_NK, test_NK = (_predict(network, part) for part in (data.validation, data.test))
    record = TrialRecord(
        arm=arm,
        config=config,
        seed=seed,
        real_rows=mixture.real,
        samples_K=tuple(
            np.bincount(mixture.class_index_R[mixture.real :], minlength=len(data.class_names)).tolist()
        ),
        losses=tuple(losses),
        seconds=round(time.perf_counter() - began_s, 2),
    )
    return Trial(record, validation_NK, test_NK)


class _Training:
    """The loop over the phases of one arm."""

    def __init__(
        self, arm: Arm, data: LiftData, config: LiftConfig, seed: int, mixture: Mixture, network: nn.Module
    ) -> None:
        self._arm, self._data, self._config, self._seed = arm, data, config, seed
        self._mixture, self._network = mixture, network
        self._draws = Draws(config, data.shape.size, seed)
        self._counts_K = torch.from_numpy(data.counts_K)
        self._class_R = torch.from_numpy(mixture.class_index_R)
        self._weight_R = torch.from_numpy(mixture.weight_R)

    def run(self, log: Callable[[int, float], None] | None) -> list[float]:
        """Train; mean losses, one a report."""
        reported: list[float] = []
        recent: list[Tensor] = []
        optimiser = _optimiser(self._network.train(), self._config)
        for phase in self._mixture.phases:
            if phase.head_only:
                optimiser = self._refitting()
            prior_K = torch.from_numpy(phase.prior_K).float()
            for step in range(phase.begin, phase.end):
                for group in optimiser.param_groups:
                    group["lr"] = self._config.learning_rate * _one_cycle(step, *phase.cycle)
                loss = self._loss(step, phase, prior_K)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                recent.append(loss.detach())
                if len(recent) == _REPORT_EVERY or step + 1 == self._config.steps:
                    reported.append(self._report(recent, step + 1, log))
        return reported

    def _refitting(self) -> torch.optim.AdamW:
        """The optimiser of a new last layer, which stands on features that no longer move."""
        self._network.eval().requires_grad_(False)
        head = last_layer(self._network)
        reset_head(head, seed=self._seed)
        return _optimiser(head.requires_grad_(True), self._config)

    def _loss(self, step: int, phase: Phase, prior_K: Tensor) -> Tensor:
        """Of the batch of `step`."""
        batch = self._draws.batch(step, phase, self._mixture.real)
        row_B = torch.from_numpy(batch.row_B)
        class_B, weight_B = self._class_R[row_B], self._weight_R[row_B]
        x_BCHW = _to_network(self._pixels(batch))
        set_real_rows(self._network, batch.real)
        if self._arm.blend == "none" or phase.head_only:
            logits_BK = self._logits(x_BCHW)
            loss_B = self._hard(logits_BK, class_B, prior_K)
            if self._arm.needs_teachers and not phase.head_only:
                loss_B = self._softened(loss_B, logits_BK, batch)
            return weighted_mean(loss_B, weight_B)
        mixed = blended(self._arm.blend, x_BCHW, class_B, self._counts_K, self._draws.blend(step))
        logits_BK = self._logits(mixed.x_BCHW)
        own_B = self._hard(logits_BK, class_B, prior_K)
        partners_B = self._hard(logits_BK, class_B[mixed.partner_B], prior_K)
        loss_B = mixed.own_B * own_B + (1 - mixed.own_B) * partners_B
        return weighted_mean(loss_B, (weight_B + weight_B[mixed.partner_B]) / 2)

    def _logits(self, x_BCHW: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self._config.precision == "bf16"):
            logits_BK: Tensor = self._network(x_BCHW)
        return logits_BK.float()

    def _hard(self, logits_BK: Tensor, class_B: Tensor, prior_K: Tensor) -> Tensor:
        """The arm's loss of the labels as they are asked for, [B]."""
        uniform = self._arm.loss == "cross_entropy"
        return balanced_softmax(logits_BK, class_B, torch.ones_like(prior_K) if uniform else prior_K)

    def _softened(self, hard_B: Tensor, logits_BK: Tensor, batch: Batch) -> Tensor:
        """With the teachers' labels, as far as the arm takes them for real rows and for samples."""
        shares = (self._arm.soft_real, self._arm.soft_synthetic)
        parts = []
        for rows, index_B, images, share in zip(*self._two_kinds(batch), shares, strict=True):
            if share and len(index_B):
                soft_BK = torch.from_numpy(_soft(images)[index_B])
                soft_B = soft_cross_entropy(logits_BK[rows], soft_BK)
                parts.append((1 - share) * hard_B[rows] + share * soft_B)
            else:
                parts.append(hard_B[rows])
        return torch.cat(parts)

    def _pixels(self, batch: Batch) -> npt.NDArray[np.uint8]:
        """The batch's augmented images, [B, H, W, C]."""
        return np.concatenate(
            [
                batch.gather(images.pixels_NHWC, index_B, rows)
                for rows, index_B, images in zip(*self._two_kinds(batch), strict=True)
            ]
        )

    def _two_kinds(
        self, batch: Batch
    ) -> tuple[list[slice], list[npt.NDArray[np.int64]], list[LabelledImages]]:
        """Rows of the batch, their positions among the images they come from, and those: real, then samples."""
        real, training = self._mixture.real, self._data.training
        pool = self._data.pools[self._arm.source] if self._arm.source else training
        samples_B = self._mixture.pool_index[batch.row_B[batch.real :] - real]
        rows = [slice(0, batch.real), slice(batch.real, len(batch.row_B))]
        return rows, [batch.row_B[: batch.real], samples_B], [training, pool]

    def _report(self, recent: list[Tensor], done: int, log: Callable[[int, float], None] | None) -> float:
        """Look at the losses since the last report, and forget them."""
        mean = float(torch.stack(recent).mean())
        recent.clear()
        if not math.isfinite(mean):
            raise DivergenceError(
                f"the loss of arm {self._arm.name}, seed {self._seed}, is not finite within {done} steps; "
                f"lower lift.learning_rate={self._config.learning_rate}"
            )
        if log is not None:
            log(done, mean)
        return mean


def _check_teachers(arm: Arm, data: LiftData) -> None:
    """InputError where soft labels are asked for that are not there: before anything is trained."""
    wanted = [data.training] if arm.soft_real else []
    if arm.soft_synthetic and arm.source is not None:
        wanted += [
            pool for name, pool in data.pools.items() if name == arm.source
        ]  # none: mixture_of's error
    if any(images.soft_NK is None for images in wanted):
        raise InputError(
            f"arm {arm.name} learns the teachers' labels: its real images need soft_NK where soft_real > 0, "
            "and its samples where soft_synthetic > 0"
        )


def _soft(images: LabelledImages) -> npt.NDArray[np.float32]:
    if images.soft_NK is None:
        raise AssertionError("_check_teachers lets no such images pass")
    return images.soft_NK


@contextmanager
def _repeatable(seed: int) -> Iterator[None]:
    """One thread and a seeded generator, for what of a user's network is random (dropout); both given back."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(digest64("lift.torch", seed) & _MASK63)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


@torch.inference_mode()
def _predict(network: nn.Module, images: LabelledImages) -> npt.NDArray[np.float32]:
    """Probabilities in fp32, [N, K]."""
    network.eval()
    return np.concatenate(
        [
            network(_to_network(images.pixels_NHWC[first : first + _TILE])).float().softmax(1).numpy()
            for first in range(0, len(images.pixels_NHWC), _TILE)
        ]
    )


def _one_cycle(step: int, begin: int, end: int) -> float:
    """Factor of the learning rate at `step` of a cycle: a linear rise, then half a cosine to 0."""
    progress = (step - begin) / (end - begin)
    if progress < _WARMUP:
        return 0.05 + 0.95 * progress / _WARMUP
    return 0.5 + 0.5 * math.cos(math.pi * (progress - _WARMUP) / (1 - _WARMUP))


def _optimiser(network: nn.Module, config: LiftConfig) -> torch.optim.AdamW:
    """Weight decay on matrices and kernels only: a gain or a bias has no reason to be small."""
    kernels = [weight for weight in network.parameters() if weight.ndim > 1]
    vectors = [weight for weight in network.parameters() if weight.ndim <= 1]
    groups = [
        {"params": kernels, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=config.learning_rate)


def _to_network(pixels_BHWC: npt.NDArray[np.uint8]) -> Tensor:
    """0…255 → [-1, 1], [B, C, H, W] in channels-last memory. Copies: Ray's arrays may only be read."""
    return torch.tensor(pixels_BHWC).permute(0, 3, 1, 2).float() / 127.5 - 1
