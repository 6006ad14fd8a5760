import numpy as np
import pytest
import torch

from augment.gan.networks.heads import AuxiliaryHead, ConcatenationHead, ProjectionHead
from augment.gan.networks.interface import Condition
from tests.gan.networks.common import noise

F, K = 8, 3
Y = torch.tensor([2, 0, 1, 1])


def numbers(parameter):
    return parameter.detach().numpy().astype(np.float64)


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_the_projection_is_psi_plus_strength_times_the_inner_product_with_the_class(strength):
    head, phi = ProjectionHead(F, K), noise(4, F)
    x = numbers(phi)
    expected = x @ numbers(head.psi) + strength * (x * numbers(head.class_direction.weight)[Y]).sum(1)
    found = head(phi, Condition(Y, strength=strength)).logits_B
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_concatenation_is_a_perceptron_of_features_and_scaled_embedding(strength):
    head, phi = ConcatenationHead(F, K, 5), noise(4, F)
    x = np.concatenate([numbers(phi), strength * numbers(head.embedding.weight)[Y]], axis=1)
    hidden = x @ numbers(head.hidden[0].weight).T
    expected = np.where(hidden > 0, hidden, 0.2 * hidden) @ numbers(head.psi.psi)
    found = head(phi, Condition(Y, strength=strength)).logits_B
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-5)


def test_the_auxiliary_head_guesses_the_class_without_being_told():
    head, phi = AuxiliaryHead(F, K, projected=False), noise(4, F)
    judged, other = head(phi, Condition(Y)), head(phi, Condition((Y + 1) % K))
    np.testing.assert_allclose(
        judged.class_logits_BK.detach().numpy(), numbers(phi) @ numbers(head.classifier.weight).T, atol=1e-6
    )
    assert torch.equal(judged.class_logits_BK, other.class_logits_BK)
    assert torch.equal(judged.logits_B, other.logits_B)


def test_a_projection_beside_the_classifier_judges_as_it_does_alone():
    head, phi = AuxiliaryHead(F, K, projected=True), noise(4, F)
    judged, alone = head(phi, Condition(Y)), head.psi(phi, Condition(Y))
    assert torch.equal(judged.logits_B, alone.logits_B)
    assert not torch.equal(judged.logits_B, head(phi, Condition((Y + 1) % K)).logits_B)
    np.testing.assert_allclose(
        judged.class_logits_BK.detach().numpy(), numbers(phi) @ numbers(head.classifier.weight).T, atol=1e-6
    )


@pytest.mark.parametrize(
    "head",
    [
        ProjectionHead(F, K),
        ConcatenationHead(F, K, 5),
        AuxiliaryHead(F, K, projected=False),
        AuxiliaryHead(F, K, projected=True),
    ],
)
def test_logits_are_computed_in_float32_even_of_bf16_features(head):
    phi = noise(4, F).bfloat16()
    expected = head(phi.float(), Condition(Y))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = head(phi, Condition(Y))
    for one, other in zip(found, expected, strict=True):
        assert one is other is None or torch.equal(one, other)
