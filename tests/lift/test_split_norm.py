"""Two batch norms: samples leave no trace in what real images are normalised with."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from augment.errors import ConfigError
from augment.lift.split_norm import SplitNorm, set_real_rows, split_norms


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()))


def test_samples_do_not_change_the_statistics_of_real_rows() -> None:
    alone, both = network().train(), network().train()
    split_norms(both)
    real, samples = torch.randn(6, 1, 8, 8), 5 + 3 * torch.randn(3, 1, 8, 8)
    expected = alone(real)
    set_real_rows(both, 6)
    torch.testing.assert_close(both(torch.cat([real, samples]))[:6], expected)
    norm = next(module for module in both.modules() if isinstance(module, SplitNorm))
    torch.testing.assert_close(norm.main.running_mean, alone[1][0].running_mean)
    assert not torch.allclose(norm.auxiliary.running_mean, norm.main.running_mean)


@pytest.mark.parametrize("real", [0, 3, 5, None])
def test_any_number_of_real_rows_gives_every_row_an_output(real: int | None) -> None:
    both = network().train()
    split_norms(both)
    set_real_rows(both, real)
    assert both(torch.randn(5, 1, 8, 8)).shape == (5, 4, 6, 6)


def test_prediction_uses_the_statistics_of_real_rows_for_all() -> None:
    plain, both = network().eval(), network()
    split_norms(both)
    set_real_rows(both, 2)
    x = torch.randn(5, 1, 8, 8)
    torch.testing.assert_close(both.eval()(x), plain(x))


def test_a_network_without_batch_normalisation_is_an_error() -> None:
    with pytest.raises(ConfigError, match="has no batch normalisation"):
        split_norms(nn.Sequential(nn.Linear(2, 2)))
