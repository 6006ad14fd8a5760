import numpy as np
import pytest
import torch

from augment.gan.config import ModelConfig
from augment.gan.networks.conditioning import ClassConditionalNorm, LatentInput, MappingLayer, Modulation
from augment.gan.networks.interface import Condition
from tests.gan.networks.common import noise, style_of

K, C = 3, 32


def latent_input(**settings):
    torch.manual_seed(0)
    return LatentInput(ModelConfig(latent_dim=6, embedding_dim=3, **settings), K)


def norm(channels=C, classes=K):
    layer = ClassConditionalNorm(channels, classes)
    torch.manual_seed(1)
    for table in (layer.gain, layer.bias):
        torch.nn.init.normal_(table.weight)
    return layer


def test_without_mapping_w_is_latent_and_scaled_embedding_plus_noise_side_by_side():
    layer, y = latent_input(), torch.tensor([2, 0])
    z, e = noise(2, 6), noise(2, 3, seed=1)
    w = layer(z, Condition(y, e, strength=0.25))
    torch.testing.assert_close(w, torch.cat([z, 0.25 * layer.embedding.weight[y] + e], dim=1))


def test_without_classes_w_is_the_latent():
    z = noise(2, 6)
    assert torch.equal(latent_input(conditional=False)(z, Condition(torch.tensor([0, 0]))), z)


def test_the_mapping_network_looks_at_the_latents_direction_alone():
    layer, y, z = latent_input(mapping_layers=2), torch.tensor([0, 1]), noise(2, 6)
    w = layer(z, Condition(y))
    assert w.shape == (2, 9)
    torch.testing.assert_close(layer(3 * z, Condition(y)), w)
    assert not torch.allclose(layer(z, Condition(y, noise(2, 3))), w)


def test_the_mapping_network_keeps_the_second_moment():
    torch.manual_seed(0)
    x = noise(512, 256, seed=1)
    y = MappingLayer(256)(MappingLayer(256)(x))
    assert y.square().mean().item() == pytest.approx(1.0, rel=0.1)


def test_the_mapping_network_learns_at_a_tenth_of_the_rate():
    torch.manual_seed(0)
    layer = MappingLayer(8)
    layer.activation = torch.nn.Identity()  # so that the layer of a unit matrix is its acting weights
    before = layer(torch.eye(8)).detach()
    layer(noise(4, 8)).sum().backward()
    torch.optim.Adam([layer.weight], lr=1e-2).step()
    step = (layer(torch.eye(8)).detach() - before).abs()
    torch.testing.assert_close(step, torch.full_like(step, 1e-3), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("channels", "groups"), [(4, 1), (24, 1), (32, 2), (48, 3), (384, 24), (37, 1)])
def test_groups_have_at_least_16_channels_where_there_are_as_many(channels, groups):
    assert ClassConditionalNorm(channels, None).groups == groups


def test_normalisation_is_the_textbooks_with_gain_and_bias_of_the_class():
    layer, x, y = norm(), noise(4, C, 5, 5), torch.tensor([0, 2, 1, 2])
    values = x.numpy().astype(np.float64).reshape(4, 2, -1)
    mean, variance = values.mean(-1, keepdims=True), values.var(-1, keepdims=True)
    unit = ((values - mean) / np.sqrt(variance + 1e-5)).reshape(x.shape)
    gain, bias = (
        table.weight.detach().numpy()[y.numpy()][:, :, None, None] for table in (layer.gain, layer.bias)
    )
    for strength in (0.0, 0.3, 1.0):
        found = layer(x, style_of(noise(4, 9), y, strength)).detach().numpy()
        np.testing.assert_allclose(found, unit * (1 + strength * gain) + strength * bias, atol=1e-5)


def test_class_gains_and_biases_start_at_zero():
    layer, x, y = ClassConditionalNorm(C, K), noise(3, C, 4, 4), torch.tensor([0, 1, 2])
    plain = ClassConditionalNorm(C, None)
    assert torch.equal(layer(x, style_of(noise(3, 9), y)), plain(x, style_of(noise(3, 9), y)))
    assert list(plain.parameters()) == []


def test_normalisation_does_not_mix_samples():
    layer, x, y = norm(), noise(4, C, 4, 4), torch.tensor([0, 1, 2, 0])
    whole = layer(x, style_of(noise(4, 9), y))
    torch.testing.assert_close(layer(x[1:2], style_of(noise(1, 9), y[1:2])), whole[1:2])


def test_modulation_is_one_plus_gain_times_x_plus_bias():
    torch.manual_seed(0)
    layer, x, w = Modulation(9, C), noise(2, C, 4, 4), noise(2, 9)
    gain, bias = layer.affine(w)[:, :C, None, None], layer.affine(w)[:, C:, None, None]
    torch.testing.assert_close(layer(x, style_of(w)), (1 + gain) * x + bias)
