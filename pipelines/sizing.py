"""A plan that is measured: from a config to what its run will take, by a probe of this model on this hardware.

Owns the order: the hardware is found, the config settled for it, the trials run, and the forecast made of them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from augment.config import Config
from augment.gan.hardware import Hardware
from augment.planning.forecast import Forecast, forecast
from augment.types import AugmentPlan, ClassCounts
from pipelines.presets import Settled, local_hardware, settled
from pipelines.probe import Probed, probe
from pipelines.progress import Progress
from pipelines.site import site_of, work_of

__all__ = ["MeasuredPlan", "measured_plan"]


@dataclass(frozen=True)
class MeasuredPlan:
    """What was found: the settled config, what it was settled for, what was measured, and what follows."""

    preset: Settled
    hardware: Hardware
    probed: Probed
    forecast: Forecast


@dataclass(frozen=True)
class _Found:
    """The hardware of a job; a worker lives on one node."""

    hardware: Hardware
    cpus_per_node: float
    on_cluster: bool


def measured_plan(
    config: Config, plan: AugmentPlan, counts: ClassCounts, seconds: float, progress: Progress
) -> MeasuredPlan:
    """Measure for about `seconds` what the run of `config` needs, and foretell it.

    On the cluster that the config or RAY_ADDRESS names, else on this machine, without Ray. Raises what a run would
    raise at once: a source that can't be read, a store that can't be written to, GPUs that are not there.
    """
    with _found(config) as found:
        hardware = found.hardware
        most = config.train.worker_range[1] * found.cpus_per_node
        preset = settled(config, counts, hardware.model_copy(update={"cpus": min(hardware.cpus, most)}))
        site = site_of(
            preset.config,
            plan,
            hardware,
            cpus_per_node=found.cpus_per_node,
            on_cluster=found.on_cluster,
        )
        probed = probe(preset.config, plan, site, seconds, progress)
    work = work_of(preset.config, plan, counts)
    expected = forecast(
        work, site.machine, probed.read, probed.train, probed.generate, preset.config.cost.prices
    )
    return MeasuredPlan(preset, hardware, probed, expected)


@contextmanager
def _found(config: Config) -> Iterator[_Found]:
    """This machine's hardware; or the cluster's, which stays joined inside."""
    address = config.ray.address or os.environ.get("RAY_ADDRESS")
    if address in (None, "local"):
        hardware = local_hardware(config.ray)
        yield _Found(hardware, hardware.cpus, on_cluster=False)
        return
    from pipelines.cluster import ray_cluster

    with ray_cluster(config.ray) as cluster:
        hardware = Hardware(cpus=cluster.cpus, gpus=int(cluster.gpus))
        yield _Found(hardware, cluster.cpus_per_node, on_cluster=True)
