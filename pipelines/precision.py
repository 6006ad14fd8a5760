"""What `train.precision: auto` stands for on the devices that will train: one of them is asked.

Owns the question. What is native where is augment.gan.state's to know.
"""

import ray
import torch

from augment.gan.state import Precision, resolve_precision
from pipelines.cluster import Cluster, Device, ray_errors

__all__ = ["native_precision"]


def native_precision(cluster: Cluster, device: Device) -> Precision:
    """The precision that suits the cluster's devices of this kind; of several kinds, one speaks for all."""
    if device == "cpu" and cluster.scratch is not None:  # one node, and it is this one
        return _precision_here(device)
    ask = ray.remote(_precision_here)
    needs = {"num_gpus": 1} if device == "gpu" else {"num_cpus": 1}
    with ray_errors("asking a worker for its precision"):
        answer: Precision = ray.get(ask.options(**needs).remote(device))
    return answer


def _precision_here(device: Device) -> Precision:
    return resolve_precision("auto", torch.device("cuda" if device == "gpu" else "cpu"))
