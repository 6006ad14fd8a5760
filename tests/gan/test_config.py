import subprocess
import sys

import pytest
from pydantic import ValidationError

from augment.gan.config import ModelConfig, TrainConfig


def test_validating_a_config_imports_no_torch():
    code = "import sys, augment.gan.config, augment.gan.spec; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_auto_is_the_penalty_that_fits_the_loss():
    assert TrainConfig().resolved_penalty == "r1+r2"
    assert TrainConfig(loss="wgan-gp").resolved_penalty == "gradient-penalty"
    assert TrainConfig(penalty="r1").resolved_penalty == "r1"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch_size": 2, "workers": 3}, "batch_size=2 and workers=3 leave some workers"),
        ({"batch_size": 2, "workers": (1, 3)}, "and workers=3 leave some workers"),
        ({"workers": (4, 2)}, r"workers=\[4, 2\].*try \[2, 4\]"),
        ({"workers": (0, 2)}, "greater than or equal to 1"),
        ({"twins_weight": 0.1}, "try embedding_noise=0.75"),
        ({"evaluate_every": 120}, "must be a multiple of log_every=50.*try evaluate_every=150"),
        ({"transition": (0.5, 0.1)}, "ends before it begins"),
        ({"max_time": "20 minutes"}, "string_pattern_mismatch"),
    ],
)
def test_combinations_that_cannot_be_are_refused_with_ones_that_can(fields, message):
    with pytest.raises(ValidationError, match=message):
        TrainConfig(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"backbone": "style", "mapping_layers": 0}, "mapping_layers must be at least 1"),
        ({"backbone": "r3gan", "generator_conditioning": "normalisation"}, "choose dcgan or resnet"),
    ],
)
def test_networks_that_cannot_be_built_are_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        ModelConfig(**fields)


def test_a_number_of_workers_is_a_range_of_one():
    assert TrainConfig(workers=2).worker_range == (2, 2)
    assert TrainConfig(workers=(1, 4)).worker_range == (1, 4)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("20m", 1200), ("1h30m", 5400), ("0.5d", 43_200)])
def test_lengths_of_time_are_written_with_their_units(text, seconds):
    assert TrainConfig(max_time=text).max_time_s == seconds


def test_quality_is_measured_about_twenty_times_a_run_where_it_is_looked_at():
    assert TrainConfig(steps=5000, log_every=50).resolved_evaluate_every == 250
    assert TrainConfig(steps=30, log_every=50).resolved_evaluate_every == 50
    assert TrainConfig(evaluate_every=0).resolved_evaluate_every == 0


def test_wgan_without_its_penalty_is_refused():
    with pytest.raises(ValidationError, match="needs penalty=gradient-penalty"):
        TrainConfig(loss="wgan-gp", penalty="r1")
