import subprocess
import sys

import pytest
from pydantic import ValidationError

from augment.gan.config import TrainConfig


def test_validating_a_config_imports_no_torch():
    code = "import sys, augment.gan.config, augment.gan.spec; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_auto_is_the_penalty_that_fits_the_loss():
    assert TrainConfig().resolved_penalty == "r1+r2"
    assert TrainConfig(loss="wgan-gp").resolved_penalty == "gradient-penalty"
    assert TrainConfig(penalty="r1").resolved_penalty == "r1"


def test_a_batch_that_the_workers_cannot_share_is_refused_with_one_that_they_can():
    with pytest.raises(ValidationError, match="try batch_size=63"):
        TrainConfig(batch_size=64, workers=3)


def test_wgan_without_its_penalty_is_refused():
    with pytest.raises(ValidationError, match="needs penalty=gradient-penalty"):
        TrainConfig(loss="wgan-gp", penalty="r1")
