import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.gan.transition import transition_strength

SHARES = st.floats(0, 1)


def test_it_is_0_before_the_beginning_1_after_the_end_and_a_straight_line_between():
    at = [transition_strength(p, begin=0.2, end=0.6) for p in (0, 0.2, 0.3, 0.4, 0.6, 1)]
    assert at == pytest.approx([0, 0, 0.25, 0.5, 1, 1])


def test_the_papers_carnivores_are_half_conditional_at_3000_kimg_of_25000():
    assert transition_strength(3000 / 25_000, begin=2000 / 25_000, end=4000 / 25_000) == pytest.approx(0.5)


@given(progress=SHARES, later=SHARES, begin=SHARES, length=SHARES)
def test_it_never_falls_and_stays_between_0_and_1(progress, later, begin, length):
    before, after = (
        transition_strength(p, begin=begin, end=begin + length) for p in sorted((progress, later))
    )
    assert 0 <= before <= after <= 1


@given(progress=SHARES)
def test_from_0_to_0_is_conditional_throughout(progress):
    assert transition_strength(progress, begin=0.0, end=0.0) == 1.0


def test_where_the_beginning_is_the_end_it_steps():
    assert [transition_strength(p, begin=0.5, end=0.5) for p in (0.4999, 0.5, 0.6)] == [0, 1, 1]


def test_neither_it_nor_the_class_weights_import_torch():
    program = "import sys, augment.gan.transition, augment.gan.class_balance; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
