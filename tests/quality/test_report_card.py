import json

import numpy as np
import pytest

from augment.errors import InputError
from augment.quality.cas import accuracy_of
from augment.quality.classifier import fit_classifier
from augment.quality.fidelity import Moments, frechet_distance
from augment.quality.memorization import near_copies, nearest_distance
from augment.quality.real_floor import matched_figures, matched_sets
from augment.quality.report_card import LabelledFeatures, ReportCard, fidelity_report
from tests.quality.common import striped_images

NAMES = ("cat", "dog", "newt", "owl")


def labelled(seed, counts, shift=0.0, wrong=0.0):
    """Four classes at four places, `wrong` of them taken for the next class."""
    random = np.random.default_rng(seed)
    class_index = random.permutation(np.repeat(np.arange(len(counts)), counts))
    features = random.normal(3.0 * class_index[:, None] + shift, 1.0, (len(class_index), 6))
    mistaken = random.random(len(class_index)) < wrong
    return LabelledFeatures(features, class_index, np.where(mistaken, (class_index + 1) % 4, class_index))


def report(generated, training=None, heldout=None, **options):
    return fidelity_report(
        generated,
        training or labelled(1, (300, 200, 150, 30)),
        heldout or labelled(2, (200, 150, 120, 20)),
        NAMES,
        feature_space="toy",
        seed=0,
        **options,
    )


@pytest.fixture(scope="module")
def honest():
    return report(labelled(0, (200, 200, 200, 100), wrong=0.1))


def test_a_class_has_the_figures_of_its_own_images_alone(honest):
    generated, training, heldout = (
        labelled(0, (200, 200, 200, 100)),
        labelled(1, (300, 200, 150, 30)),
        labelled(2, (200, 150, 120, 20)),
    )
    own = [each.features_NF[each.class_index_N == 2] for each in (generated, training, heldout)]
    card = honest.classes[2]
    assert (card.class_index, card.name) == (2, "newt")
    assert (card.generated, card.training, card.heldout) == (200, 150, 120)
    assert card.fidelity == matched_figures(matched_sets(*own))
    near = near_copies(*own)
    assert card.copies.threshold == near.threshold
    assert card.copies.share.value.estimate == near.generated.value
    assert card.copies.share.floor.estimate == near.heldout.value


def test_a_generator_of_the_real_distribution_is_near_every_floor(honest):
    overall = honest.overall
    for name in ("mean_precision", "mean_recall", "mean_coverage"):
        figure = getattr(overall, name)
        assert figure.value == pytest.approx(figure.floor, abs=0.1)
    assert overall.frechet.value == pytest.approx(overall.frechet.floor, abs=0.5)
    assert overall.label_accuracy.value.low < 0.9 < overall.label_accuracy.value.high
    assert overall.label_accuracy.floor.estimate == 1
    assert not overall.copies.copies
    assert not overall.membership.leaks


def test_a_copier_is_at_every_floor_but_for_its_copies():
    training = labelled(1, (300, 200, 150, 30))
    rows = np.random.default_rng(0).permutation(len(training.features_NF))[:400]
    copied = LabelledFeatures(training.features_NF[rows], training.class_index_N[rows])
    card = report(copied, training)
    assert card.overall.mean_precision.value >= card.overall.mean_precision.floor
    assert card.overall.copies.copies
    assert card.overall.copies.share.value.estimate == 1
    assert card.overall.membership.leaks
    assert card.classes[0].nearest.generated[0] == card.classes[0].generated  # all at distance 0
    assert card.overall.label_accuracy.value is None  # nobody was asked


def test_one_classs_images_under_anothers_label_show_in_that_class(honest):
    generated = labelled(0, (200, 200, 200, 100))
    exchanged = LabelledFeatures(
        generated.features_NF, np.array([1, 0, 2, 3])[generated.class_index_N], generated.class_index_N
    )
    cards = report(exchanged).classes
    for k in (0, 1):
        assert cards[k].label_accuracy.value.estimate == 0
        assert cards[k].fidelity.precision.value < 0.2
        assert cards[k].fidelity.frechet.value > 10 * cards[k].fidelity.frechet.floor
    assert cards[2].fidelity == honest.classes[2].fidelity


def test_histograms_count_every_image_between_edges_that_generated_and_held_out_share(honest):
    for card in honest.classes:
        assert sum(card.nearest.generated) == card.generated
        assert sum(card.nearest.heldout) == card.heldout
        assert len(card.nearest.edges) == len(card.nearest.generated) + 1 == len(card.nearest.heldout) + 1
    training, heldout = labelled(1, (300, 200, 150, 30)), labelled(2, (200, 150, 120, 20))
    distance = nearest_distance(heldout.features_NF[heldout.class_index_N == 1], training.features_NF)
    assert honest.classes[1].nearest.edges[-1] >= distance.max()
    assert sum(honest.overall.nearest.heldout) == 490


def test_the_overall_distance_weighs_every_class_the_same():
    """Four times as many images of one class on either side change it by no more than chance."""
    few = report(labelled(3, (100, 100, 100, 100)), labelled(4, (100,) * 4), labelled(5, (100,) * 4))
    many = report(
        labelled(3, (400, 100, 100, 100)),
        labelled(4, (400, 100, 100, 100)),
        labelled(5, (400, 100, 100, 100)),
    )
    assert many.overall.frechet.value == pytest.approx(few.overall.frechet.value, abs=0.5)
    naive = frechet_distance(
        Moments.of(labelled(4, (100,) * 4).features_NF),
        Moments.of(labelled(3, (400, 100, 100, 100)).features_NF),
    )
    assert naive > 10 * many.overall.frechet.value


def test_without_held_out_images_there_is_a_floor_of_halves_and_no_word_on_privacy():
    card = fidelity_report(
        labelled(0, (50,) * 4), labelled(1, (60,) * 4), None, NAMES, feature_space="toy", seed=0
    )
    for own in card.classes:
        assert own.fidelity.floor_from == "halves"
        assert own.fidelity.frechet.floor is not None
        assert own.copies is own.nearest is own.membership is None
    assert card.overall.copies is card.overall.nearest is card.overall.membership is None


def test_classes_of_few_images_tell_what_they_can():
    card = report(labelled(0, (30, 30, 30, 1)), labelled(1, (40, 40, 40, 3)), labelled(2, (30, 30, 30, 1)))
    owl = card.classes[3]
    assert owl.fidelity.recall.value is owl.fidelity.frechet.value is owl.membership is None
    assert owl.fidelity.floor_from == "none"
    assert owl.copies.share.value.high > 0.9
    assert card.overall.mean_recall.value is not None


def test_classes_that_were_not_generated_are_not_on_the_card():
    card = report(labelled(0, (50, 0, 60, 0)))
    assert [own.name for own in card.classes] == ["cat", "newt"]
    assert card.overall.label_accuracy.floor.estimate == 1
    assert card.overall.membership.members == 450


def test_cas_stands_beside_what_real_images_teach():
    test = striped_images((20, 20, 20, 20), seed=5)
    taught = [
        accuracy_of(
            fit_classifier(*striped_images((20,) * 4, seed=s), 4, seed=0, steps=5), *test, trained_on=80
        )
        for s in (0, 1)
    ]
    card = report(labelled(0, (30,) * 4), cas=taught[0], real_cas=taught[1])
    assert card.overall.cas.value == taught[0].accuracy
    assert card.overall.balanced_cas.floor == taught[1].balanced_accuracy
    assert card.classes[3].cas.value.estimate == taught[0].recall_of(3)
    assert card.classes[3].cas.floor.estimate == taught[1].recall_of(3)


def test_the_card_is_json_and_comes_back_the_same(honest):
    assert ReportCard.model_validate_json(honest.to_json()) == honest
    assert json.loads(honest.to_json())["overall"]["copies"]["share"]["value"]["high"] > 0


def test_the_same_features_give_the_same_card(honest):
    assert report(labelled(0, (200, 200, 200, 100), wrong=0.1)) == honest


def test_what_does_not_fit_is_refused_with_the_reason():
    good = labelled(0, (30,) * 4)
    with pytest.raises(InputError, match=r"generated classes \[3\] have no training image"):
        report(good, labelled(1, (30, 30, 30, 0)))
    with pytest.raises(InputError, match=r"generated images: 120 features, \[119\] class indices"):
        report(LabelledFeatures(good.features_NF, good.class_index_N[1:]))
    with pytest.raises(InputError, match=r"training images: 120 features, \[1\] predictions"):
        report(good, LabelledFeatures(good.features_NF, good.class_index_N, np.array([0])))
    with pytest.raises(InputError, match=r"held-out images: class indices outside 0\.\.3"):
        report(good, heldout=LabelledFeatures(good.features_NF, good.class_index_N + 1))
    with pytest.raises(InputError, match="generated images"):
        report(LabelledFeatures(np.zeros((0, 6)), np.zeros(0, np.int64)))
