"""Fine-tuning starts from what was learned: the same classes give the same pictures, new ones a place among them."""

from typing import Any

import numpy as np
import pytest
import torch

from augment.errors import ConfigError, IntegrityError
from augment.gan.checkpoint import STATE_FILE, dump
from augment.gan.finetune import start_from
from augment.gan.networks.interface import Condition
from augment.gan.spec import TrainingSpec
from augment.gan.state import TrainState, new_state
from augment.gan.training import train
from augment.types import ClassInfo, ImageShape
from tests.gan.common import tiny_images, tiny_spec

CPU = torch.device("cpu")
BAG, BOOT, COAT, HAT = (
    ClassInfo(label=label, name=name) for label, name in ((0, "bag"), (10, "boot"), (20, "coat"), (5, "hat"))
)
NORMS_AND_AUXILIARY = {"generator_conditioning": "normalisation", "discriminator_conditioning": "auxiliary"}
KINDS = [{}, NORMS_AND_AUXILIARY, {"discriminator_conditioning": "concatenation", "backbone": "r3gan"}]


def spec_of(
    classes: tuple[ClassInfo, ...], *, seed: int, counts: tuple[int, ...] = (), **model: Any
) -> TrainingSpec:
    base = tiny_spec(steps=2, model=model)
    return base.model_copy(update={"classes": classes, "counts": counts or (5,) * len(classes), "seed": seed})


def trained(spec: TrainingSpec) -> TrainState:
    return train(spec, tiny_images(spec))


def outputs(state: TrainState, class_index: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The average's pictures of a class, and what the discriminator thinks of fixed ones."""
    z_BD = torch.randn(3, state.spec.model.latent_dim, generator=torch.Generator().manual_seed(0))
    x_BCHW = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    condition = Condition(torch.full((3,), class_index))
    with torch.no_grad():
        return state.ema(z_BD, condition).image_BCHW, state.discriminator(x_BCHW, condition).logits_B


def assert_same_outputs(one: tuple[torch.Tensor, ...], other: tuple[torch.Tensor, ...]) -> None:
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("model", KINDS)
def test_the_same_classes_give_the_same_pictures_and_judgements(model: dict[str, Any]) -> None:
    earlier = trained(spec_of((BAG, BOOT, COAT), seed=1, **model))
    state = new_state(spec_of((BAG, BOOT, COAT), seed=2, **model), CPU)
    before = outputs(state, 0)

    transfer = start_from(state, dump(earlier))

    assert not torch.equal(outputs(state, 0)[0], before[0])
    for class_index in range(3):
        assert_same_outputs(outputs(state, class_index), outputs(earlier, class_index))
    assert (transfer.step, transfer.known, transfer.new, transfer.dropped) == (
        2,
        ("bag", "boot", "coat"),
        (),
        (),
    )


@pytest.mark.parametrize("model", KINDS)
def test_known_classes_keep_their_pictures_wherever_they_now_stand(model: dict[str, Any]) -> None:
    earlier = trained(spec_of((BAG, BOOT, COAT), seed=1, **model))
    state = new_state(spec_of((COAT, HAT, BAG), seed=2, **model), CPU)

    transfer = start_from(state, dump(earlier))

    assert_same_outputs(outputs(state, 0), outputs(earlier, 2))
    assert_same_outputs(outputs(state, 2), outputs(earlier, 0))
    assert (transfer.known, transfer.new, transfer.dropped) == (("coat", "bag"), ("hat",), ("boot",))
    assert str(transfer) == "weights of step 2, 2 classes known, 1 new (hat), 1 left out (boot)"


def test_a_new_class_starts_from_the_mean_of_the_learned_ones_and_its_own_deviation() -> None:
    earlier = trained(spec_of((BAG, BOOT), seed=1))
    state = new_state(spec_of((BAG, HAT, BOOT), seed=2), CPU)
    fresh_KE = state.generator.latent_input.embedding.weight.detach().clone()

    start_from(state, dump(earlier))

    learned_KE = earlier.generator.latent_input.embedding.weight.detach()
    expected_E = (
        (learned_KE[0] + learned_KE[1]) / 2 + fresh_KE[1] - (fresh_KE[0] + fresh_KE[1] + fresh_KE[2]) / 3
    )
    torch.testing.assert_close(state.generator.latent_input.embedding.weight[1], expected_E)


def test_a_class_of_the_same_label_and_another_name_is_new() -> None:
    earlier = trained(spec_of((BAG, BOOT), seed=1))
    renamed = ClassInfo(label=BOOT.label, name="shoe")

    transfer = start_from(new_state(spec_of((BAG, renamed), seed=1), CPU), dump(earlier))

    assert (transfer.known, transfer.new, transfer.dropped) == (("bag",), ("shoe",), ("boot",))


def test_a_class_is_known_by_its_name_wherever_its_label_has_moved() -> None:
    earlier = trained(spec_of((BAG, BOOT), seed=1))
    moved = ClassInfo(label=99, name=BOOT.name)
    assert start_from(new_state(spec_of((BAG, moved), seed=1), CPU), dump(earlier)).known == ("bag", "boot")


def test_a_class_that_had_no_images_was_not_learned() -> None:
    earlier = trained(spec_of((BAG, BOOT, COAT), seed=1, counts=(5, 0, 4)))

    transfer = start_from(new_state(spec_of((BAG, BOOT, COAT), seed=2), CPU), dump(earlier))

    assert (transfer.known, transfer.new) == (("bag", "coat"), ("boot",))


def test_an_unconditional_model_has_no_rows_to_match() -> None:
    model = {"conditional": False}
    earlier = trained(tiny_spec(steps=2, model=model))
    state = new_state(spec_of((HAT,), seed=2, **model), CPU)

    start_from(state, dump(earlier))

    assert_same_outputs(outputs(state, 0), outputs(earlier, 0))


def test_step_moments_and_watch_begin_anew_and_training_goes_on_from_there() -> None:
    earlier = trained(spec_of((BAG, BOOT), seed=1))
    spec = spec_of((BAG, BOOT, HAT), seed=2)
    files = dump(earlier)
    fresh, state = new_state(spec, CPU), new_state(spec, CPU)

    start_from(state, files)
    assert (state.step, state.watch) == (0, fresh.watch)
    assert not state.generator_adam.state
    for name, weight in state.generator.named_parameters():
        assert weight.stride() == dict(fresh.generator.named_parameters())[name].stride()

    after = train(spec, tiny_images(spec), start=lambda state: start_from(state, files) and None)
    assert after.step == 2
    assert all(np.isfinite(weight.detach().numpy()).all() for weight in after.ema.parameters())


def test_other_networks_are_refused_with_every_field_that_differs() -> None:
    files = dump(trained(spec_of((BAG, BOOT), seed=1)))
    other = spec_of((BAG, BOOT), seed=1, latent_dim=7, width=6)
    other = other.model_copy(update={"image": ImageShape(size=32, channels=1)})

    with pytest.raises(ConfigError) as error:
        start_from(new_state(other, CPU), files)

    for line in (
        "model.latent_dim: 6 there, 7 here",
        "model.width: 4 there, 6 here",
        "image.size: 16 there, 32 here",
    ):
        assert line in str(error.value)


def test_a_preset_and_a_spelling_of_the_same_networks_make_no_difference() -> None:
    files = dump(trained(spec_of((BAG, BOOT), seed=1)))
    same = spec_of((BAG, BOOT), seed=2, mapping_layers=0, preset="none")

    assert start_from(new_state(same, CPU), files).known == ("bag", "boot")


def test_a_damaged_snapshot_is_an_integrity_error_and_changes_nothing() -> None:
    files = dump(trained(spec_of((BAG, BOOT), seed=1)))
    state = new_state(spec_of((BAG, BOOT), seed=2), CPU)
    before = dump(state)
    damaged = bytearray(files[STATE_FILE])
    damaged[-1] ^= 1

    with pytest.raises(IntegrityError, match="SHA-256"):
        start_from(state, files | {STATE_FILE: bytes(damaged)})
    with pytest.raises(IntegrityError, match="lacks"):
        start_from(state, {})

    assert dump(state) == before
