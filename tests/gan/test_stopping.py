import pytest
import torch

from augment.gan.checkpoint import dump, read_summary
from augment.gan.replica import Replica
from augment.gan.snapshots import MemorySnapshots
from augment.gan.stopping import StopAsker, StoppedError
from augment.gan.training import train
from augment.gan.vitals import Vitals
from tests.gan.common import tiny_images, tiny_spec


class Kept(MemorySnapshots):
    """Remembers at which steps it was asked to keep the state."""

    def __init__(self):
        super().__init__()
        self.steps = []

    def save(self, state, *, best):
        super().save(state, best=best)
        self.steps.append(state.step)


class OneOfTwo(Replica):
    """A rank of two that has no group: it counts the questions."""

    def agree(self, decide):
        questions.append(None)
        return decide()


questions = []


def fit(spec, **kwargs):
    return train(spec, tiny_images(spec), **kwargs)


@pytest.mark.parametrize("at", [1, 3, 4, 5])
def test_a_run_that_is_asked_to_stop_goes_on_from_that_very_step_to_the_last_bit(at):
    spec, kept = tiny_spec(steps=6, snapshot_every=4), Kept()

    with pytest.raises(StoppedError) as stopped:
        fit(spec, snapshots=kept, pulse=lambda step: step == at)

    assert stopped.value.step == at
    assert kept.steps == [0, 4, 5] if at == 5 else [0, at]  # at a step with a snapshot it is not taken twice
    assert dump(fit(spec, snapshots=kept)) == dump(fit(spec))


def test_a_run_that_is_asked_before_its_first_step_keeps_what_it_began_with():
    spec, kept = tiny_spec(), Kept()

    with pytest.raises(StoppedError, match="before step 0"):
        fit(spec, snapshots=kept, pulse=lambda step: True)

    assert kept.steps == [0]
    assert read_summary(kept.latest()).step == 0


def test_no_snapshot_is_taken_of_what_may_be_a_collapse(monkeypatch):
    monkeypatch.setattr(Vitals, "look", lambda self, generator, strength: {"bag": 0.01})
    monkeypatch.setattr("augment.gan.supervision.GRACE_STEPS", 0)
    spec, kept = tiny_spec(steps=8, log_every=2, snapshot_every=100, warm_up_steps=0), Kept()

    with pytest.raises(StoppedError):
        fit(spec, snapshots=kept, pulse=lambda step: step == 3)

    assert kept.steps == [0]


def test_the_pulse_beats_before_each_step_of_every_rank_and_several_ranks_ask_about_once_a_second():
    beats = []
    asker = StopAsker(
        OneOfTwo(rank=1, world_size=2, device=torch.device("cpu")), lambda step: bool(beats.append(step))
    )
    questions.clear()

    assert not any(asker.stops_before(step) for step in range(4))
    assert len(questions) == 4  # the run does not know its speed yet
    asker.keep_pace(7.9)
    assert not any(asker.stops_before(step) for step in range(4, 25))
    assert len(questions) == 4 + 3  # before steps 7, 14 and 21

    assert beats == list(range(25))


def test_one_rank_asks_itself_before_each_step():
    asker = StopAsker(Replica(), lambda step: step == 3)
    asker.keep_pace(1000.0)
    assert [asker.stops_before(step) for step in range(5)] == [False, False, False, True, False]
