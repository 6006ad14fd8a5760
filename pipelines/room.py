"""Room on a cluster that is joined: what a stage cannot begin without, asked for and waited for.

Nodes may come with the work: an autoscaler starts them for what waits. Owns what each stage needs at least, how it is
asked for, and for how long. It is asked for by a placement group, which is given back once it has its place: unlike
`request_resources`, it ends with the driver that made it, however that ends, so no node is kept for nobody.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence

from ray.util.placement_group import placement_group, remove_placement_group

from augment.errors import RetryLaterError
from augment.gan.config import GenerateConfig, TrainConfig
from pipelines.cluster import Cluster, ray_errors
from pipelines.progress import log

__all__ = ["generation_needs", "training_needs", "with_room"]

Bundle = Mapping[str, float]
"""Resources that one process needs on one node."""

SAY_EVERY_S = 30.0
GENERATOR_CPUS = 0.5


def training_needs(train: TrainConfig) -> list[Bundle]:
    """A bundle a worker, of the least there may be; of workers that share out the CPUs, one CPU for a start."""
    least, _ = train.worker_range
    if train.device == "gpu":
        return [{"CPU": train.cpus_per_worker or 1.0, "GPU": 1.0}] * least
    return [{"CPU": train.cpus_per_worker}] * least if train.cpus_per_worker is not None else [{"CPU": 1.0}]


def generation_needs(generate: GenerateConfig) -> list[Bundle]:
    """A bundle a generator, of as many as are wanted, on GPUs; one CPU for a start elsewhere."""
    if generate.device == "gpu":
        return [{"CPU": GENERATOR_CPUS, "GPU": 1.0}] * (generate.actors or 1)
    return [{"CPU": 1.0}]


def with_room(cluster: Cluster, needs: Sequence[Bundle], *, what: str) -> Cluster:
    """The cluster, counted anew, once all of `needs` could be had at once; as it is where it was not joined.

    Raises RetryLaterError where they could not within its `wait_s`; `what` names the stage in messages.
    """
    if not cluster.joined or not cluster.wait_s:
        return cluster
    began_s = time.monotonic()
    with ray_errors(f"waiting for room for {what}"):
        group = placement_group([dict(bundle) for bundle in needs], strategy="PACK")
        try:
            while not group.wait(min(SAY_EVERY_S, max(0.1, began_s + cluster.wait_s - time.monotonic()))):
                waited_s, now = time.monotonic() - began_s, cluster.counted_anew()
                if waited_s >= cluster.wait_s:
                    raise RetryLaterError(
                        f"{what} needs {_in_words(needs)}, and the cluster has {now.gpus:g} GPU(s) and {now.cpus:g} "
                        f"CPU(s), not all of them free, after {cluster.wait_s:g} s (ray.wait_s); start nodes, raise the "
                        "autoscaler's limit or ask for less, and run again"
                    )
                log.info(
                    "%s: waiting for %s; the cluster has %g GPU(s) and %g CPU(s) after %.0f s (at most ray.wait_s=%g)",
                    what, _in_words(needs), now.gpus, now.cpus, waited_s, cluster.wait_s,
                )  # fmt: skip
        finally:
            remove_placement_group(group)
    return cluster.counted_anew()


def _in_words(needs: Sequence[Bundle]) -> str:
    """As in `4 × (1 GPU, 1 CPU)`."""
    counted = Counter(
        ", ".join(f"{bundle[name]:g} {name}" for name in ("GPU", "CPU") if name in bundle) for bundle in needs
    )
    return " and ".join(f"{count} × ({bundle})" for bundle, count in counted.items())
