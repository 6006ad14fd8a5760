"""Presets: what the user set stays, what is chosen holds together, and the numbers are those that were measured."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import ConfigError
from augment.gan.config import ModelConfig, TrainConfig
from augment.gan.hardware import Hardware, training_images_per_s
from augment.gan.presets import RULES, Choice, choose
from augment.types import ImageShape

FASHION_LT = (5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50)
TWO_CPUS = Hardware(cpus=2)
A_GPU = Hardware(cpus=16, gpus=1)

shapes = st.builds(
    ImageShape,
    size=st.sampled_from((16, 20, 28, 32, 40, 56, 64, 96, 128, 256)),
    channels=st.sampled_from((1, 3)),
)
censuses = st.lists(st.one_of(st.integers(0, 50), st.integers(0, 10**7)), min_size=1, max_size=12)
machines = st.builds(Hardware, cpus=st.sampled_from((0.5, 1.0, 2.0, 16.0, 512.0)), gpus=st.integers(0, 8))
users = st.fixed_dictionaries(
    {},
    optional={
        "model.backbone": st.sampled_from(("dcgan", "resnet", "r3gan", "style")),
        "model.width": st.integers(4, 512),
        "model.conditional": st.booleans(),
        "model.mapping_layers": st.integers(1, 4),
        "train.steps": st.integers(1, 10**6),
        "train.max_kimg": st.floats(0.001, 1e6),
        "train.max_time": st.sampled_from(("30s", "20m", "3d")),
        "train.batch_size": st.integers(400, 500),
        "train.workers": st.one_of(st.integers(1, 400), st.tuples(st.integers(1, 8), st.integers(8, 400))),
        "train.device": st.sampled_from(("auto", "cpu", "gpu")),
        "train.learning_rate": st.floats(1e-6, 1),
        "train.loss": st.sampled_from(("relativistic", "hinge", "wgan-gp")),
        "train.penalty": st.sampled_from(("auto", "gradient-penalty")),
        "train.gamma": st.floats(0, 100),
        "train.diffaugment": st.sampled_from(((), ("cutout",))),
        "train.diffaugment_probability": st.floats(0, 1),
        "train.ada_target": st.sampled_from((None, 0.5)),
        "train.embedding_noise": st.floats(0, 5),
    },
)


def configs(fields: dict[str, Any]) -> tuple[ModelConfig, TrainConfig]:
    by_section: dict[str, dict[str, Any]] = {"model": {}, "train": {}}
    for name, value in fields.items():
        section, _, field = name.partition(".")
        by_section[section][field] = value
    if by_section["train"].get("workers"):  # as many images as workers, where nothing else says so
        by_section["train"].setdefault("batch_size", 400)
    if not by_section["train"].get("diffaugment", True) and by_section["train"].get("ada_target"):
        del by_section["train"]["ada_target"]  # nothing to adapt: a ConfigError of its own
    return ModelConfig(**by_section["model"]), TrainConfig(**by_section["train"])


def chosen(
    size: int = 28,
    channels: int = 1,
    counts: tuple[int, ...] = FASHION_LT,
    hardware: Hardware = TWO_CPUS,
    earlier: ModelConfig | None = None,
    **fields: Any,
) -> Choice:
    model, train = configs({name.replace("__", "."): value for name, value in fields.items()})
    image = ImageShape(size=size, channels=channels)  # type: ignore[arg-type]
    return choose(model, train, image, counts, hardware, earlier=earlier)


@given(users, shapes, censuses, machines)
def test_what_the_user_set_stays_and_the_whole_is_valid(
    fields: dict[str, Any], image: ImageShape, counts: list[int], hardware: Hardware
) -> None:
    model, train = configs(fields)

    choice = choose(model, train, image, counts, hardware)

    for before, after in ((model, choice.model), (train, choice.train)):
        assert all(getattr(after, name) == getattr(before, name) for name in before.model_fields_set)
        assert type(after).model_validate_json(after.model_dump_json()) == after
    assert choice == choose(model, train, image, counts, hardware)


@given(users, shapes, censuses, machines)
def test_every_field_that_is_not_the_users_and_not_its_default_is_named_with_its_value_and_a_reason(
    fields: dict[str, Any], image: ImageShape, counts: list[int], hardware: Hardware
) -> None:
    model, train = configs(fields)

    choice = choose(model, train, image, counts, hardware)

    named = {field.name: field.value for field in choice.chosen}
    for section, before, after in (("model", model, choice.model), ("train", train, choice.train)):
        for name in type(after).model_fields:
            changed = getattr(after, name) != getattr(before, name)
            assert not changed or f"{section}.{name}" in named
            if f"{section}.{name}" in named:
                assert named[f"{section}.{name}"] == getattr(after, name)
                assert name not in before.model_fields_set
    assert all(field.why and "{" not in field.why and "\n" not in field.why for field in choice.chosen)
    assert set(named) <= set(RULES)


@given(shapes, censuses, st.floats(1, 512), st.floats(1, 512))
def test_more_cpus_never_mean_fewer_steps(
    image: ImageShape, counts: list[int], cpus: float, others: float
) -> None:
    fewer, more = (
        choose(ModelConfig(), TrainConfig(), image, counts, Hardware(cpus=each)).train.steps
        for each in sorted((cpus, others))
    )
    assert fewer <= more


@given(shapes, censuses, machines, st.integers(1, 1000))
def test_more_images_never_mean_fewer_steps(
    image: ImageShape, counts: list[int], hardware: Hardware, times: int
) -> None:
    few = choose(ModelConfig(), TrainConfig(), image, counts, hardware)
    many = choose(ModelConfig(), TrainConfig(), image, [count * times for count in counts], hardware)
    assert few.train.steps <= many.train.steps


@given(shapes, censuses, machines)
def test_training_is_expected_to_take_20_minutes_on_cpus_and_an_hour_on_gpus_at_most(
    image: ImageShape, counts: list[int], hardware: Hardware
) -> None:
    choice = choose(ModelConfig(), TrainConfig(), image, counts, hardware)

    rate = training_images_per_s(choice.model, choice.train, image, hardware)
    minutes = choice.train.steps * choice.train.batch_size / rate / 60
    assert minutes <= (60 if hardware.gpus else 20) or choice.train.steps == 1


def test_long_tailed_fashion_mnist_on_two_cpus_gets_the_recipe_that_was_measured_best() -> None:
    choice = chosen()

    assert (choice.model.backbone, choice.model.width) == ("dcgan", 48)
    train = choice.train
    assert (train.batch_size, train.learning_rate, train.label_temperature) == (64, 1e-3, 0.0)
    assert (train.diffaugment, train.diffaugment_probability) == (("translation",), 0.5)
    assert train.ada_target is None
    assert 300 < train.steps * train.batch_size / 1000 <= 700
    assert choice.warnings == ()


@pytest.mark.parametrize(("size", "channels", "gamma"), [(32, 1, 0.4), (64, 3, 2.0)])
def test_gamma_goes_through_both_values_that_are_known(size: int, channels: int, gamma: float) -> None:
    assert chosen(size, channels).train.gamma == gamma


def test_gradient_penalty_has_its_papers_weight_and_no_penalty_none() -> None:
    assert chosen(train__loss="wgan-gp").train.gamma == 10
    assert "train.gamma" not in {field.name for field in chosen(train__penalty="none").chosen}


def test_a_gpu_gets_the_stronger_backbone_from_64_px_on_and_larger_batches() -> None:
    large, small, on_cpus = chosen(64, 3, hardware=A_GPU), chosen(32, 3, hardware=A_GPU), chosen(64, 3)

    assert (large.model.backbone, large.train.batch_size) == ("r3gan", 256)
    assert (small.model.backbone, small.train.batch_size) == ("dcgan", 256)
    assert (on_cpus.model.backbone, on_cpus.train.batch_size) == ("dcgan", 64)
    assert chosen(64, 3, hardware=A_GPU, train__device="cpu").model.backbone == "dcgan"
    normalised = chosen(64, 3, hardware=A_GPU, model__generator_conditioning="normalisation")
    assert normalised.model.backbone == "resnet"


def test_the_rules_look_at_what_the_user_chose() -> None:
    slower = chosen(model__backbone="resnet")
    assert slower.train.steps < chosen().train.steps
    assert chosen(train__workers=100).train.batch_size == 400
    assert chosen(train__max_kimg=6.4).train.steps == 100
    assert chosen(train__max_time="5m").train.steps < chosen(train__max_time="2d").train.steps


def test_hundreds_of_images_are_augmented_as_much_as_they_call_for() -> None:
    few = chosen(64, 3, (300, 100, 40))

    assert few.train.ada_target == 0.6
    assert few.train.ada_kimg < few.train.steps * few.train.batch_size / 1000
    assert set(few.train.diffaugment) == {"brightness", "translation", "cutout"}


def test_whoever_sets_a_probability_or_no_augmentation_gets_no_adaptation() -> None:
    assert chosen(counts=(300, 40), train__diffaugment_probability=0.3).train.ada_target is None
    assert chosen(counts=(300, 40), train__diffaugment=()).train.ada_target is None
    fixed = chosen(counts=(300, 40), train__ada_target=None)
    assert (fixed.train.diffaugment_probability, fixed.train.diffaugment_ramp) == (0.9, 0.1)


def test_several_classes_get_a_light_classifier_beside_the_projection_of_small_networks() -> None:
    choice = chosen()
    assert choice.model.discriminator_conditioning == "projection+auxiliary"
    assert choice.train.auxiliary_weight == 0.1
    for other in (chosen(counts=(500,)), chosen(model__backbone="r3gan"), chosen(model__conditional=False)):
        assert other.model.discriminator_conditioning == "projection"
        assert other.train.auxiliary_weight == 1.0


def test_embedding_noise_is_for_mapping_networks_and_long_tails() -> None:
    assert chosen(model__backbone="style").train.embedding_noise == 0.75
    assert chosen(model__backbone="style", counts=(500, 400)).train.embedding_noise == 0
    assert chosen().train.embedding_noise == 0


def test_classes_of_fewer_than_20_images_are_warned_of_but_not_those_without_any() -> None:
    (warning,) = chosen(counts=(500, 19, 7, 0)).warnings
    assert "2 classes have fewer than 20 real images (7 in the rarest)" in warning
    assert chosen(counts=(500, 20, 0)).warnings == ()


def test_the_reason_for_the_steps_says_what_more_time_would_buy() -> None:
    (why,) = (field.why for field in chosen(128, 3).chosen if field.name == "train.steps")
    assert "on 2 CPUs" in why
    assert "train.max_time" in why


def test_preset_none_chooses_nothing() -> None:
    choice = chosen(model__preset="none", train__steps=7)
    assert (choice.chosen, choice.warnings) == ((), ())
    assert choice.train == TrainConfig(steps=7)


def test_fine_tuning_takes_the_earlier_networks_fewer_steps_and_half_the_rate() -> None:
    earlier = ModelConfig(backbone="resnet", latent_dim=32)
    beginning = chosen(model__backbone="resnet")

    tuned = chosen(earlier=earlier)

    assert tuned.model == earlier
    assert tuned.train.steps == pytest.approx(beginning.train.steps / 4, rel=0.1)
    assert tuned.train.learning_rate == beginning.train.learning_rate / 2
    assert {"model.backbone", "model.latent_dim"} <= {field.name for field in tuned.chosen}
    assert chosen(earlier=earlier, train__steps=9, train__learning_rate=0.1).train.steps == 9


def test_fine_tuning_with_other_networks_names_the_fields_to_leave_out() -> None:
    with pytest.raises(ConfigError, match=r"model\.width=8, and the earlier model has 48"):
        chosen(earlier=ModelConfig(), model__width=8)
    assert chosen(earlier=ModelConfig(), model__width=48).model.width == 48


def test_a_chosen_value_reads_as_yaml() -> None:
    by_name = {field.name: field for field in chosen().chosen}
    assert by_name["train.diffaugment"].text == "[translation]"
    assert by_name["model.backbone"].text == "dcgan"
    assert json.loads(by_name["train.learning_rate"].text) == 1e-3
