"""`precision: auto` means what the devices that train can do, asked of one of them."""

from __future__ import annotations

import pytest
import torch

from augment.gan.state import resolve_precision
from pipelines.cluster import Cluster
from pipelines.precision import native_precision


def test_a_cluster_of_this_machine_alone_needs_no_worker_to_be_asked() -> None:
    here = Cluster(cpus=2, cpus_per_node=2, gpus=0, scratch="/somewhere")

    assert native_precision(here, "cpu") == resolve_precision("auto", torch.device("cpu"))


@pytest.mark.usefixtures("ray_and_s3")
def test_on_another_cluster_a_worker_answers() -> None:
    elsewhere = Cluster(cpus=2, cpus_per_node=2, gpus=0, scratch=None)

    assert native_precision(elsewhere, "cpu") == resolve_precision("auto", torch.device("cpu"))
