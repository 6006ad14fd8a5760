"""Room on a cluster: what stages need, and when it is waited for. A cluster that grows is in test_nodes.py."""

from __future__ import annotations

from dataclasses import replace

import pytest
import ray

from augment.errors import RetryLaterError
from augment.gan.config import GenerateConfig, TrainConfig
from pipelines.cluster import Cluster
from pipelines.room import generation_needs, training_needs, with_room

HERE = Cluster(cpus=2, cpus_per_node=2, gpus=0, scratch=None)
JOINED = Cluster(cpus=1, cpus_per_node=1, gpus=7, scratch=None, joined=True, wait_s=0.5)


def test_training_needs_a_gpu_for_each_of_the_least_workers_where_it_is_to_have_gpus() -> None:
    assert training_needs(TrainConfig(device="gpu", workers=(2, 8))) == [{"CPU": 1.0, "GPU": 1.0}] * 2
    assert training_needs(TrainConfig(device="gpu", cpus_per_worker=4)) == [{"CPU": 4.0, "GPU": 1.0}]


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_elsewhere_it_needs_the_cpus_that_workers_are_to_reserve_or_one_to_share(device: str) -> None:
    config = {"device": device, "workers": 3}
    assert training_needs(TrainConfig.model_validate(config)) == [{"CPU": 1.0}]
    reserved = TrainConfig.model_validate(config | {"cpus_per_worker": 0.5})
    assert training_needs(reserved) == [{"CPU": 0.5}] * 3


def test_generation_needs_a_gpu_for_each_actor_that_was_asked_for() -> None:
    assert generation_needs(GenerateConfig(device="gpu", actors=3)) == [{"CPU": 0.5, "GPU": 1.0}] * 3
    assert generation_needs(GenerateConfig(device="gpu")) == [{"CPU": 0.5, "GPU": 1.0}]
    assert generation_needs(GenerateConfig()) == [{"CPU": 1.0}]


def test_a_cluster_started_here_is_taken_as_it_is_and_so_is_one_that_is_not_to_be_waited_for() -> None:
    needs = [{"GPU": 1.0}]
    assert with_room(HERE, needs, what="training") is HERE
    impatient = Cluster(cpus=1, cpus_per_node=1, gpus=0, scratch=None, joined=True)
    assert with_room(impatient, needs, what="training") is impatient


@pytest.mark.usefixtures("ray_and_s3")
def test_room_that_is_there_is_given_back_and_the_cluster_counted_anew() -> None:
    room = with_room(replace(JOINED, wait_s=120), [{"CPU": 2.0}], what="training")
    assert (room.cpus, room.gpus, room.joined) == (2, 0, True)
    ray.get(_takes_all.remote(), timeout=120)


@pytest.mark.usefixtures("ray_and_s3")
def test_room_that_does_not_come_is_exit_code_75_and_asked_for_no_longer() -> None:
    with pytest.raises(
        RetryLaterError,
        match=r"training needs 2 × \(1 GPU, 1 CPU\), and the cluster has 0 GPU\(s\) and 2 CPU\(s\).*after 0\.5 s \(ray\.wait_s\)",
    ):
        with_room(JOINED, [{"CPU": 1.0, "GPU": 1.0}] * 2, what="training")
    ray.get(_takes_all.remote(), timeout=120)


@ray.remote(num_cpus=2)
def _takes_all() -> None:
    """Runs where nothing is reserved."""
