"""Presets in a job: chosen once, and from then on as the model was begun, whatever machine goes on with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from augment.config import Config, RayConfig, load_config
from augment.errors import ConfigError, IntegrityError
from augment.gan.config import ModelConfig
from augment.gan.hardware import Hardware
from augment.gan.spec import TrainingSpec
from augment.objects import open_store
from augment.store.models import ModelFolder
from augment.types import ClassCounts, ClassInfo
from pipelines import presets
from pipelines.presets import (
    CHOICES_FILE,
    Settled,
    as_begun,
    begun_in,
    chosen_in,
    local_hardware,
    put_choices,
    settled,
)

COUNTS = ClassCounts(
    classes=(ClassInfo(label=0, name="bag"), ClassInfo(label=1, name="boot")), counts=(5000, 50)
)
LAPTOP, SERVER = Hardware(cpus=2), Hardware(cpus=64, gpus=4)

Load = Callable[..., Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """A config of two addresses, and what `--set` adds."""
    path = tmp_path / "job.yaml"
    path.write_text(f"source: {{uri: {tmp_path / 'in'}}}\noutput: {{uri: {tmp_path / 'out'}}}\n")
    return lambda *overrides: load_config(path, overrides)


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    return ModelFolder(open_store(str(tmp_path / "out")), "augment")


def begin(config: Config, hardware: Hardware = LAPTOP, *, precision: str = "bf16") -> Settled:
    return settled(config, COUNTS, hardware, native_precision=lambda: precision)  # type: ignore[arg-type, return-value]


def spec_of(config: Config) -> TrainingSpec:
    """As a job makes it."""
    return TrainingSpec(
        model=config.model, train=config.train, image=config.image.shape, classes=COUNTS.classes,
        counts=COUNTS.counts, seed=config.seed, data_sha256="0" * 64,
    )  # fmt: skip


def stored(config: Config) -> TrainingSpec:
    """The same, once it has been through the store."""
    return TrainingSpec.model_validate_json(spec_of(config).to_json())


def test_another_machine_goes_on_with_what_the_first_one_chose(load: Load) -> None:
    begun = stored(begin(load()).config)
    chosen_anew = spec_of(begin(load(), SERVER, precision="fp32").config)

    assert begun.differences(chosen_anew)
    assert spec_of(as_begun(load(), begun)).differences(begun) == []


def test_a_field_that_the_user_set_otherwise_is_found(load: Load) -> None:
    begun = stored(begin(load("train.gamma=0.4")).config)

    again = spec_of(as_begun(load("train.gamma=0.7", "model.width=16"), begun))

    assert again.differences(begun) == ["model.width: 48 there, 16 here", "train.gamma: 0.4 there, 0.7 here"]
    assert spec_of(as_begun(load("train.gamma=0.4"), begun)).differences(begun) == []


def test_how_a_model_is_made_is_asked_anew_each_time_and_the_cadence_stays(load: Load) -> None:
    begun = stored(begin(load("train.workers=2", "train.device=cpu", "train.log_every=10")).config)

    again = as_begun(load(), begun)

    assert (again.train.workers, again.train.device) == (1, "auto")
    assert again.train.log_every == 10  # the best snapshot depends on where a run is looked at
    assert spec_of(again).differences(begun) == []


@pytest.mark.parametrize("preset", ["auto", "none"])
def test_a_stored_precision_is_never_auto_and_is_kept_on_another_device(load: Load, preset: str) -> None:
    config = load(f"model.preset={preset}")
    begun = stored(begin(config, precision="fp16").config)

    assert begun.train.precision == "fp16"
    assert as_begun(config, begun).train.precision == "fp16"
    explicit = load(f"model.preset={preset}", "train.precision=fp32")
    assert begin(explicit).config.train.precision == "fp32"
    assert as_begun(explicit, begun).train.precision == "fp32"


def test_without_the_preset_the_defaults_are_held_against_what_was_begun(load: Load) -> None:
    begun = stored(begin(load("model.preset=none", "train.gamma=0.3")).config)

    again = spec_of(as_begun(load("model.preset=none"), begun))

    assert again.differences(begun) == ["train.gamma: 0.3 there, 2.0 here"]


def test_what_was_chosen_is_stored_with_the_hardware_it_was_for(load: Load, folder: ModelFolder) -> None:
    new = begin(load("train.steps=7"))

    assert chosen_in(folder) == ()
    put_choices(folder, new, LAPTOP)

    document = json.loads(folder.artefact(CHOICES_FILE))
    chosen = {field.name: field.value for field in chosen_in(folder)}
    assert document["hardware"] == {"cpus": 2.0, "gpus": 0}
    assert chosen["model.backbone"] == new.config.model.backbone
    assert chosen["train.precision"] == "bf16"
    assert "train.steps" not in chosen


def test_fine_tuning_takes_the_networks_of_the_model_it_starts_from(load: Load, folder: ModelFolder) -> None:
    folder.pin_training(spec_of(begin(load("model.latent_dim=24")).config).to_json())

    config = begin(load("name=next", f"train.start_from={folder.uri}"), SERVER).config

    assert config.model == begin(load("model.latent_dim=24")).config.model
    begun = stored(config)
    assert spec_of(as_begun(load("name=next"), begun)).train.start_from == folder.uri
    with pytest.raises(ConfigError, match=r"model\.latent_dim=64"):
        begin(load(f"train.start_from={folder.uri}", "model.latent_dim=64"))


def test_a_start_that_is_no_begun_model_is_refused(load: Load, folder: ModelFolder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.start_from=.*no model was begun there"):
        begin(load(f"train.start_from={folder.uri}"))
    with pytest.raises(ConfigError, match=r"train\.start_from=.*names no model"):
        begin(load(f"train.start_from={tmp_path}"))


def test_damaged_records_are_integrity_errors(folder: ModelFolder) -> None:
    assert begun_in(folder) is None
    folder.pin_training(b"{}")
    folder.put_artefact(CHOICES_FILE, b"[]")
    with pytest.raises(IntegrityError, match=r"training\.json"):
        begun_in(folder)
    with pytest.raises(IntegrityError, match=r"choices\.json"):
        chosen_in(folder)


def test_this_machine_has_its_cpus_or_as_many_as_ray_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets.shutil, "which", lambda name: None)

    assert local_hardware(RayConfig(num_cpus=3)) == Hardware(cpus=3, gpus=0)
    assert local_hardware(RayConfig()).cpus >= 1


@pytest.mark.parametrize(("visible", "gpus"), [(None, 2), ("0", 1), ("0,1,2", 2), ("", 0), ("-1", 0)])
def test_gpus_are_those_that_the_driver_names_and_cuda_would_show(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, visible: str | None, gpus: int
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: H200 (UUID: GPU-a)'\necho 'GPU 1: H200 (UUID: GPU-b)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    assert local_hardware(RayConfig()).gpus == gpus


def test_the_defaults_of_a_config_without_preset_are_those_of_the_classes(load: Load) -> None:
    config = begin(load("model.preset=none")).config
    assert config.model == ModelConfig(preset="none")
