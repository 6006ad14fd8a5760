from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from augment.errors import ConfigError, InputError
from augment.quality.intervals import (
    Interval,
    bootstrap,
    clopper_pearson,
    compare,
    compare_means,
    holm,
    paired_t,
    simultaneous,
    wilson,
)
from augment.quality.label_metrics import METRICS, confusion_matrices, mean_recall

EVEN = (120, 120, 120, 120, 120)
LONG_TAIL = (400, 150, 60, 30, 20)
SIMULATIONS = 1000


@dataclass(frozen=True)
class World:
    """How two arms of equal worth come about; the noises are in units of an image's own."""

    counts: tuple[int, ...] = EVEN
    seeds: int = 5
    seed_noise: float = 0.15  # of a seed on all images of a class
    arm_noise: float = 0.6  # of an arm on an image, the same in all seeds: the arms err on different images
    shared_seed: float = 0.0  # share of the seed's noise that both arms have in common
    effect: float = 0.0  # of the arm on all images

    def draw(self, random):
        """Predictions of arm and control, [S, N] each, and labels [N]."""
        classes, images = len(self.counts), sum(self.counts)
        labels = np.repeat(np.arange(classes), self.counts)
        hardness = (
            random.normal(size=images) - np.linspace(1.2, 0.6, classes)[labels]
        )  # a class as its rarity
        common = random.normal(size=(self.seeds, classes))
        arms = []
        for effect in (self.effect, 0.0):
            own = random.normal(size=(self.seeds, classes))
            seed = np.sqrt(self.shared_seed) * common + np.sqrt(1 - self.shared_seed) * own
            margin = effect - hardness + self.arm_noise * random.normal(size=images)
            margin = margin + self.seed_noise * seed[:, labels]
            margin = margin + random.normal(scale=0.7, size=(self.seeds, images))
            wrong = (labels + 1 + np.arange(images) % (classes - 1)) % classes
            arms.append(np.where(margin > 0, labels, wrong))
        return arms[0], arms[1], labels

    def share_excluding_zero(self, metric, simulations=SIMULATIONS, seed=0):
        """Share of simulations whose 95% interval excludes zero."""
        random = np.random.default_rng(seed)
        return np.mean([compare(*self.draw(random), metric).excludes_zero for _ in range(simulations)])


def arms(seed=0, **changes):
    return World(**changes).draw(np.random.default_rng(seed))


# ---- calibration: a 95% interval of two equal arms excludes zero in 3 to 7% of 1,000 simulations --------


@pytest.mark.parametrize(
    ("metric", "world"),
    [
        ("accuracy", World()),
        ("balanced_accuracy", World()),
        ("balanced_accuracy", World(counts=LONG_TAIL)),
        ("balanced_accuracy", World(arm_noise=0.0)),  # two runs of one recipe: only seeds differ
        ("balanced_accuracy", World(seed_noise=0.0)),  # only images differ
        ("balanced_accuracy", World(seed_noise=0.5)),
        ("balanced_accuracy", World(shared_seed=0.8)),
        ("balanced_accuracy", World(seeds=3)),
        ("balanced_accuracy", World(seeds=2, seed_noise=0.4)),
        ("balanced_accuracy", World(seeds=10, counts=LONG_TAIL)),
        ("macro_f1", World()),
        ("macro_f1", World(counts=LONG_TAIL)),
        ("worst_class_recall", World()),
        ("worst_class_recall", World(counts=LONG_TAIL)),
        (mean_recall([3, 4]), World(counts=LONG_TAIL)),
    ],
)
def test_intervals_of_equal_arms_exclude_zero_in_one_of_twenty(metric, world):
    assert 0.03 <= world.share_excluding_zero(metric) <= 0.07


@pytest.mark.parametrize(("axis", "world"), [(1, World(seed_noise=0.0)), (0, World(seed_noise=0.5))])
def test_an_interval_of_seeds_alone_or_of_images_alone_would_be_too_sure(axis, world):
    """Why the interval is two-way: a t interval over one of the two, where the other makes the noise."""
    random = np.random.default_rng(1)
    misses = 0
    for _ in range(300):
        arm, control, labels = world.draw(random)
        difference_SN = (arm == labels).astype(float) - (control == labels)
        misses += paired_t(difference_SN.mean(axis)).excludes_zero
    assert misses / 300 > 0.1


def test_a_true_difference_is_found_as_often_as_the_noncentral_t_says():
    """Where only seeds make noise the interval is the paired t test, and that one's power is known."""
    random = np.random.default_rng(2)
    seeds, images, effect, noise = 5, 1000, 0.09, 0.05
    labels = np.zeros(images, np.int64)
    found = 0
    for _ in range(SIMULATIONS):
        share = 0.7 + random.normal(size=(2, seeds)) * noise / np.sqrt(2) + np.array([[effect], [0.0]])
        arm, control = (random.random((seeds, images)) >= row[:, None] for row in share)
        found += compare(arm.astype(np.int64), control.astype(np.int64), labels, "accuracy").excludes_zero
    limit = stats.t.ppf(0.975, seeds - 1)
    shift = effect / np.sqrt((noise**2 + 2 * 0.7 * 0.3 / images) / seeds)
    power = stats.nct.sf(limit, seeds - 1, shift) + stats.nct.cdf(-limit, seeds - 1, shift)
    assert found / SIMULATIONS == pytest.approx(power, abs=0.045)


def test_a_true_difference_of_several_points_is_nearly_always_found():
    world = World(effect=0.3)
    arm, control, labels = world.draw(np.random.default_rng(3))
    assert compare(arm, control, labels).estimate > 0.03
    assert world.share_excluding_zero("balanced_accuracy", simulations=200) > 0.9


# ---- the interval -------------------------------------------------------------------------------------


def two_way_by_hand(difference_SN):
    """Mean, variance and degrees of freedom from the sums of squares of a table, as in a text book."""
    seeds, images = difference_SN.shape
    seed_mean, image_mean, mean = difference_SN.mean(1), difference_SN.mean(0), difference_SN.mean()
    of_seeds = images * ((seed_mean - mean) ** 2).sum() / (seeds - 1)
    of_images = seeds * ((image_mean - mean) ** 2).sum() / (images - 1)
    rest = difference_SN - seed_mean[:, None] - image_mean + mean
    of_both = (rest**2).sum() / ((seeds - 1) * (images - 1))
    between_seeds, shared = of_seeds / (seeds * images), (of_images - of_both) / (seeds * images)
    variance = between_seeds + shared
    likely = between_seeds * (seeds - 1) / stats.chi2.ppf(0.3, seeds - 1)  # the upper 70% limit
    freedom = (likely + shared) ** 2 / (likely**2 / (seeds - 1) + shared**2 / (images - 1))
    return mean, variance, freedom


def test_the_interval_of_accuracies_is_that_of_a_two_way_analysis_of_variance():
    arm, control, labels = arms(4, counts=(300,) * 2)
    one_class = np.zeros_like(labels)  # accuracy in one stratum is the plain table
    right = (arm == labels).astype(int), (control == labels).astype(int)
    found = compare(1 - right[0], 1 - right[1], one_class, "accuracy")
    mean, variance, freedom = two_way_by_hand((right[0] - right[1]).astype(float))
    assert found.estimate == pytest.approx(mean)
    assert found.standard_error == pytest.approx(np.sqrt(variance))
    assert found.degrees_of_freedom == pytest.approx(freedom)
    assert (found.low, found.high) == pytest.approx(
        stats.t.interval(0.95, freedom, mean, np.sqrt(variance)), abs=1e-12
    )


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1"])
def test_the_noise_of_images_is_what_resampled_images_show(metric):
    """The jackknife's covariance of two seeds is that of 4,000 stratified draws of the test images."""
    counts = (80, 60, 40)
    arm, control, labels = arms(5, counts=counts, seeds=2, arm_noise=1.5, seed_noise=0.0)
    arm[1], control[1] = arm[0], control[0]  # no noise between seeds: all of the variance is the images'
    random = np.random.default_rng(0)
    drawn = [random.choice(np.flatnonzero(labels == k), (4000, n)) for k, n in enumerate(counts)]
    image_BN = np.hstack(drawn)  # in each draw as many of a class, in the order of the labels
    values = [
        METRICS[metric](confusion_matrices(predicted[0][image_BN], labels, 3)).value_S
        for predicted in (arm, control)
    ]
    resampled = np.std(values[0] - values[1])
    assert compare(arm, control, labels, metric).standard_error == pytest.approx(resampled, rel=0.04)


def test_arms_in_exchanged_places_have_the_mirrored_interval():
    arm, control, labels = arms(6)
    there, back = compare(arm, control, labels), compare(control, arm, labels)
    assert (back.estimate, back.low, back.high) == pytest.approx((-there.estimate, -there.high, -there.low))
    assert back.p_value == pytest.approx(there.p_value)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=15)
def test_neither_the_order_of_seeds_nor_of_images_matters(seed):
    random = np.random.default_rng(seed)
    arm, control, labels = arms(7, counts=(20, 30))
    rows, images = random.permutation(len(arm)), random.permutation(len(labels))
    shuffled = compare(arm[rows][:, images], control[rows][:, images], labels[images], "macro_f1")
    assert shuffled.model_dump() == pytest.approx(compare(arm, control, labels, "macro_f1").model_dump())


def test_equal_predictions_differ_by_nothing_for_certain():
    arm, _, labels = arms(8)
    found = compare(arm, arm, labels)
    assert (found.estimate, found.low, found.high, found.p_value) == (0, 0, 0, 1)
    assert not found.excludes_zero


def test_an_interval_excludes_zero_where_its_p_value_says_so_at_every_level():
    for seed in range(20):
        found = compare(*arms(seed, effect=0.05))
        for level in (0.5, 0.8, 0.95, 0.99):
            assert found.at(level).excludes_zero == (found.p_value < 1 - level)


def test_means_of_values_are_compared_as_accuracies_are():
    arm, control, labels = arms(9, counts=(50, 50))
    values = (arm == labels).astype(float), (control == labels).astype(float)
    # Classes of one size: accuracy is balanced accuracy, and its noise within classes is the same.
    assert compare_means(*values, labels).model_dump() == pytest.approx(
        compare(arm, control, labels, "balanced_accuracy").model_dump()
    )


def test_the_paired_t_interval_is_scipys():
    x, y = np.random.default_rng(0).normal(size=(2, 7))
    found, expected = paired_t(x - y, level=0.9), stats.ttest_rel(x, y)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.9)))
    assert found.p_value == pytest.approx(expected.pvalue)


def test_arms_that_cannot_be_compared_are_refused_with_the_reason():
    arm, control, labels = arms(10, counts=(5, 5))
    with pytest.raises(InputError, match=r"at least 2 seeds, not 1"):
        compare(arm[:1], control[:1], labels)
    with pytest.raises(InputError, match=r"\[5, 9\], \[5, 10\] and labels \[10\]"):
        compare(arm[:, 1:], control, labels)
    with pytest.raises(InputError, match=r"classes \[0\] have one"):
        compare(arm[:, 4:], control[:, 4:], labels[4:])
    with pytest.raises(InputError, match="the arm must be class indices"):
        compare(arm * 0.5, control, labels)
    with pytest.raises(InputError, match="not finite"):
        compare_means(np.full(arm.shape, np.nan), control, labels)
    with pytest.raises(ConfigError, match="'f2'"):
        compare(arm, control, labels, "f2")
    with pytest.raises(ConfigError, match="level=95"):
        compare(arm, control, labels, level=95)
    with pytest.raises(InputError, match="at least 2 differences"):
        paired_t(np.array([1.0]))


# ---- many arms ----------------------------------------------------------------------------------------


def test_holms_p_values_are_those_of_his_procedure():
    # By hand: 0.01·4, 0.02·3, 0.03·2, 0.8·1, never falling
    assert holm([0.03, 0.01, 0.8, 0.02]) == pytest.approx((0.06, 0.04, 0.8, 0.06))
    assert holm([]) == ()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.5))
def test_holm_rejects_what_stepping_down_rejects(p_values, alpha):
    rejected = set()
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[index] * (len(p_values) - rank) > alpha:
            break
        rejected.add(int(index))
    assert {i for i, p in enumerate(holm(p_values)) if p <= alpha} == rejected


def test_impossible_p_values_are_refused():
    with pytest.raises(InputError, match="between 0 and 1"):
        holm([0.1, 1.1])


def test_simultaneous_intervals_all_hold_nineteen_times_in_twenty():
    random = np.random.default_rng(4)
    wrong = 0
    for _ in range(SIMULATIONS):
        ten = [paired_t(row) for row in random.normal(size=(10, 5))]
        wrong += any(each.excludes_zero for each in simultaneous(ten))
    assert 0.025 <= wrong / SIMULATIONS <= 0.065
    assert simultaneous([Interval.student(1.0, 1.0, 4.0, 0.95)])[0].level == pytest.approx(0.95)


# ---- shares and bootstrap -----------------------------------------------------------------------------


@given(total=st.integers(1, 5000), share=st.floats(0, 1), level=st.sampled_from([0.8, 0.95, 0.99]))
@settings(max_examples=60)
def test_intervals_of_shares_are_scipys(total, share, level):
    count = round(share * total)
    exact = stats.binomtest(count, total).proportion_ci(level, method="exact")
    score = stats.binomtest(count, total).proportion_ci(level, method="wilson")
    found = clopper_pearson(count, total, level)
    assert (found.low, found.high) == pytest.approx(tuple(exact), abs=1e-9)
    found = wilson(count, total, level)
    assert (found.low, found.high) == pytest.approx(tuple(score), abs=1e-9)
    assert found.low <= found.estimate <= found.high


def test_impossible_shares_are_refused():
    for count, total in ((3, 2), (-1, 5), (0, 0)):
        with pytest.raises(InputError, match=f"a share of {count} in {total}"):
            wilson(count, total)
        with pytest.raises(InputError, match=f"a share of {count} in {total}"):
            clopper_pearson(count, total)


def test_the_bootstrap_of_a_mean_is_the_normal_interval_of_many_rows():
    x = np.random.default_rng(0).normal(size=500)
    found = bootstrap(lambda rows: float(rows.mean()), x, seed=0, name="mean")
    half = 1.96 * x.std() / np.sqrt(len(x))
    assert found.estimate == x.mean()
    assert (found.low, found.high) == pytest.approx((x.mean() - half, x.mean() + half), abs=half / 10)


def test_pairs_stay_pairs_and_samples_are_drawn_apart_in_a_bootstrap():
    x = np.random.default_rng(0).normal(size=(200, 1))
    pairs = np.hstack([x, x + 1])
    paired = bootstrap(lambda rows: float((rows[:, 1] - rows[:, 0]).mean()), pairs, seed=0, name="pairs")
    assert (paired.low, paired.high) == pytest.approx((1, 1))
    apart = bootstrap(lambda a, b: float((b - a).mean()), x, x + 1, seed=0, name="apart")
    assert apart.high - apart.low > 0.2


def test_a_bootstrap_is_drawn_by_its_seed_and_name():
    x = np.random.default_rng(0).normal(size=30)

    def interval(seed, name):
        return bootstrap(lambda rows: float(np.median(rows)), x, seed=seed, name=name, draws=200)

    assert interval(1, "a") == interval(1, "a")
    assert interval(1, "a") != interval(2, "a")
    assert interval(1, "a") != interval(1, "b")


def test_a_bootstrap_of_nothing_is_refused():
    with pytest.raises(InputError, match="bootstrap of x: a sample is empty"):
        bootstrap(lambda rows: 0.0, np.empty(0), seed=0, name="x")
