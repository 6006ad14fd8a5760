"""The model of one command: as its name was begun, as what the config leaves open is settled, as a job is held to it.

Owns when a config and a source are still those of a model, and what a top-up may change. Trains nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from augment.config import Config
from augment.errors import ConfigError
from augment.gan.hardware import Hardware
from augment.gan.spec import TrainingSpec
from augment.store.models import ModelFolder, SourceRecord
from augment.types import ClassCounts
from pipelines.job_source import JobSource
from pipelines.presets import as_begun, begun_in, put_choices, settled
from pipelines.progress import log
from pipelines.training_identity import pin_training, training_spec

if TYPE_CHECKING:
    from pipelines.cluster import Cluster

__all__ = ["held_to_finished", "pin", "settled_config"]


def settled_config(
    config: Config, folder: ModelFolder, counts: Callable[[], ClassCounts], cluster: Callable[[], Cluster]
) -> Config:
    """The config with nothing left open: as its model was begun, else chosen for `counts` on `cluster`, and logged.

    Both are asked for only where it must be chosen.
    """
    begun = begun_in(folder)
    if begun is None:
        return _chosen(config, folder, counts(), cluster())
    log.info("preset: what the config leaves open is as in %s/training.json", folder.uri)
    return as_begun(config, begun)


def _chosen(config: Config, folder: ModelFolder, counts: ClassCounts, cluster: Cluster) -> Config:
    """For this data and cluster; stored beside the model."""
    from pipelines.precision import native_precision
    from pipelines.room import training_needs, with_room

    least, most = config.train.worker_range
    cluster = with_room(cluster, training_needs(config.train), what="training")
    cpus = min(cluster.cpus, most * cluster.cpus_per_node)  # a worker lives on one node
    hardware = Hardware(cpus=cpus, gpus=int(cluster.gpus))
    device = cluster.device_for(config.train.device, processes=least, field="train.device")
    new = settled(config, counts, hardware, native_precision=lambda: native_precision(cluster, device))
    for field in new.chosen:
        log.info("preset: %s: %s (%s)", field.name, field.text, field.why)
    for warning in new.warnings:
        log.warning("preset: %s", warning)
    put_choices(folder, new, hardware)
    return new.config


def pin(config: Config, folder: ModelFolder, source: SourceRecord) -> TrainingSpec:
    """The training of this model's name; ConfigError where the name was begun with something else."""
    spec = training_spec(config, source, folder)
    pin_training(folder, spec)
    return spec


def held_to_finished(
    config: Config, folder: ModelFolder, source: JobSource, cluster: Callable[[], Cluster]
) -> Config:
    """The settled config of a finished model, held to it; a top-up alone may have another source by now.

    Raises ConfigError where the config or the source's classes are not the model's, InputError where the source has
    changed.
    """
    config = settled_config(config, folder, source.counts, cluster)
    begun = begun_in(folder)
    if config.output.on_existing != "top-up" or begun is None:
        pin(config, folder, source.record())
        return config
    _refuse_other_classes(config.name, source, begun)
    known = source.known() or source.believe_decoded()  # the model stays that of the source before
    if known.decoded_sha256 != begun.data_sha256:
        log.warning(
            "train: the source has changed since model %s was trained; the model is used as it is (set `name` "
            "to something new for another one)",
            config.name,
        )
    trained_on = {"counts": begun.counts, "data_sha256": begun.data_sha256}
    pin_training(folder, training_spec(config, known, folder).model_copy(update=trained_on))
    return config


def _refuse_other_classes(name: str, source: JobSource, begun: TrainingSpec) -> None:
    """A model makes samples of the classes that it was trained on; labels and names must be these."""
    here, there = source.census().counts.classes, begun.classes
    if here != there:
        ours, theirs = ({(info.label, info.name) for info in classes} for classes in (here, there))
        raise ConfigError(
            f"the source's classes are not those that model `{name}` was trained on: new are "
            f"{sorted(ours - theirs) or 'none'}, gone are {sorted(theirs - ours) or 'none'}; set `name` to "
            "something new to train a model of them (train.start_from may begin with this one)"
        )
