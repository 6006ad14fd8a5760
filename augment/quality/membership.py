"""Membership inference: can who holds the synthetic images tell which real images they were made from?

Owns the attack that needs nothing but distances. A real image is called a member where a synthetic one lies
close to it: the full black-box attack of GAN-Leaks (Chen et al. 2020) and of Hilprecht et al. 2019. It is
judged on held-out real images, which are no members. An attack that fails proves little: a better one may
succeed. Knows neither images nor where features come from.

M = members (training images), H = held-out images, N = synthetic images, F = features.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from augment.errors import ConfigError, InputError
from augment.quality.distances import Features, nearest
from augment.quality.intervals import Bounds, bootstrap
from augment.seeds import stream_id, uniforms
from augment.types import Record

__all__ = [
    "MembershipAttack",
    "area_under_roc",
    "attack",
    "membership_scores",
    "pooled_attack",
    "true_positive_rate",
]

_FALSE_POSITIVE_RATE = 0.01  # attacks matter for the few that they are sure of (Carlini et al. 2022)
_DRAWS = 1_000  # of the bootstrap
_FEWEST = 2  # scores with a variance
_ALARM = 0.025  # chance of a false alarm of each of the two tests: together at most 5%

Scores = npt.NDArray[np.float64]


class MembershipAttack(Record):
    """How well members are told from held-out images; 0.5 and the false positive rate are mere guessing."""

    members: int
    heldout: int
    auc: Bounds
    false_positive_rate: float  # that is allowed, e.g. 0.01
    true_positive_rate: Bounds | None  # None where so few held-out images cannot tell such a rate
    p_value: float | None  # one-sided, exact, for 'no more members found than by guessing'

    @property
    def leaks(self) -> bool:
        """Whether the attack finds members, by more than chance explains (two tests, 2.5% each)."""
        return self.auc.low > 0.5 or (self.p_value is not None and self.p_value < _ALARM)


def membership_scores(real_NF: Features, synthetic_MF: Features) -> Scores:
    """Minus the distance of each real image to its nearest synthetic one, [N]: higher is a likelier member."""
    return -nearest(real_NF, synthetic_MF).distance_N.astype(np.float64)


def attack(
    member_M: Scores,
    heldout_H: Scores,
    *,
    seed: int,
    false_positive_rate: float = _FALSE_POSITIVE_RATE,
    level: float = 0.95,
    draws: int = _DRAWS,
) -> MembershipAttack:
    """The attack by scores of members and of held-out images, e.g. of one class; higher is a likelier member.

    `true_positive_rate` at 1% needs 100 held-out images. Its interval is a bootstrap over both samples, drawn
    `draws` times by `seed`. Its p-value is that of as many members above the threshold, if members and
    held-out images followed each other in a random order (hypergeometric).

    Raises InputError for fewer than two scores a side, ConfigError for an impossible rate.
    """
    if not 0 < false_positive_rate < 1:
        raise ConfigError(f"false_positive_rate={false_positive_rate} must lie between 0 and 1")
    rate = p_value = None
    if (allowed := _allowed(len(heldout_H), false_positive_rate)) > 0:
        rate = bootstrap(
            lambda members, others: true_positive_rate(members, others, false_positive_rate),
            member_M,
            heldout_H,
            seed=seed,
            name="membership",
            level=level,
            draws=draws,
        )
        found = round(rate.estimate * len(member_M))
        from scipy.stats import hypergeom  # a second to import, and not for who only reads a card

        # So many members come before held-out image number `allowed + 1` in a random order just where the
        # first `found + allowed` images hold no more than `allowed` held-out ones: hypergeometric.
        drawn = found + allowed
        p_value = float(hypergeom.cdf(allowed, len(member_M) + len(heldout_H), len(heldout_H), drawn))
    return MembershipAttack(
        members=len(member_M),
        heldout=len(heldout_H),
        auc=area_under_roc(member_M, heldout_H, level=level),
        false_positive_rate=false_positive_rate,
        true_positive_rate=rate,
        p_value=p_value,
    )


def pooled_attack(
    classes: Sequence[tuple[Scores, Scores]],
    *,
    seed: int,
    false_positive_rate: float = _FALSE_POSITIVE_RATE,
    level: float = 0.95,
    draws: int = _DRAWS,
) -> MembershipAttack:
    """One attack on all classes together, each a pair (members' scores, held-out images' scores).

    Distances of different classes don't compare, and rare classes have other shares of members. So a score
    becomes its place within its class, spread evenly over (0, 1): without a leak members and held-out images
    are then alike in every class, and in all together. Raises InputError for no class.
    """
    from scipy.stats import rankdata

    if not classes:
        raise InputError("membership inference: no class to attack")
    member, heldout = [], []
    for position, (member_M, heldout_H) in enumerate(classes):
        both = np.concatenate([member_M, heldout_H])
        stream = stream_id("membership.places", position)
        place = (rankdata(both) - uniforms(seed, stream, 0, 1, len(both))[0]) / len(both)
        member.append(place[: len(member_M)])
        heldout.append(place[len(member_M) :])
    return attack(
        np.concatenate(member),
        np.concatenate(heldout),
        seed=seed,
        false_positive_rate=false_positive_rate,
        level=level,
        draws=draws,
    )


def area_under_roc(member_M: Scores, heldout_H: Scores, *, level: float = 0.95) -> Bounds:
    """Chance that a member scores above a held-out image, ties half (DeLong et al. 1988, eq. 2 to 5).

    By ranks, as Sun & Xu 2014 compute it. Two samples that don't overlap have an interval without width.
    """
    from scipy.special import ndtri
    from scipy.stats import rankdata

    members, heldout = len(member_M), len(heldout_H)
    if min(members, heldout) < _FEWEST:
        raise InputError(f"membership inference needs 2 members and 2 held-out images: {members}, {heldout}")
    rank = rankdata(np.concatenate([member_M, heldout_H]))
    below_M = (rank[:members] - rankdata(member_M)) / heldout  # held-out images below each member
    above_H = 1 - (rank[members:] - rankdata(heldout_H)) / members  # members above each held-out image
    auc = float(below_M.mean())
    error = float(np.sqrt(below_M.var(ddof=1) / members + above_H.var(ddof=1) / heldout))
    half = float(ndtri((1 + level) / 2)) * error
    return Bounds(estimate=auc, low=max(0.0, auc - half), high=min(1.0, auc + half), level=level)


def true_positive_rate(member_M: Scores, heldout_H: Scores, false_positive_rate: float) -> float:
    """Share of members above a threshold that at most that share of the held-out images passes."""
    first = len(heldout_H) - 1 - _allowed(len(heldout_H), false_positive_rate)
    threshold = np.partition(heldout_H, first)[first]
    return float((member_M > threshold).mean())


def _allowed(heldout: int, false_positive_rate: float) -> int:
    """Held-out images that may pass; a hair is added, so that 1% of 100 is one whatever rounding says."""
    return int(heldout * false_positive_rate + 1e-9)
