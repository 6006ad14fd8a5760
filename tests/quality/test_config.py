import subprocess
import sys

import pytest
from pydantic import ValidationError

from augment.quality.config import GatesConfig


@pytest.mark.parametrize(
    "wrong",
    [
        {"folds": 1},
        {"label_quantile": 0.5},
        {"copy_quantile": -0.1},
        {"prior_images": 0.0},
        {"neighbours": 0},
        {"band": "outside"},
        {"fold": 3},
        {"folds": 3, "judges": 4},
    ],
)
def test_what_makes_no_sense_is_refused_by_name(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        GatesConfig.model_validate(wrong)


def test_the_discriminators_gate_is_off_unless_asked_for():
    """Its real scores are those of its own training images: see the field's words."""
    assert GatesConfig().discriminator_quantile == 0


def test_every_field_says_what_it_does():
    assert all(field.description for field in GatesConfig.model_fields.values())


def test_a_config_is_read_without_torch():
    code = "import sys, augment.quality.config; sys.exit(bool({'torch', 'ray', 'cv2'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
