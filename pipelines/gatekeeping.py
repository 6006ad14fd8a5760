"""Ray tasks: the quality gates of a run, calibrated on its real images once and kept beside the model.

Owns where they are computed and what a user sees meanwhile. What they are known by is pipelines.gates_identity's, what
a gate is, augment.quality's; who must pass them, augment.sampling's.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import ray
import torch

from augment.config import Config
from augment.gan.critic import frozen_critic
from augment.objects import open_store
from augment.quality.calibration import calibrate
from augment.store.models import GatesRecord, ModelFolder, ModelRecord
from augment.types import AugmentPlan
from pipelines.board import new_board, watching
from pipelines.cluster import Cluster, Device, ray_errors
from pipelines.gates_identity import GatesIdentity, gates_identity
from pipelines.ingest import DecodedImages
from pipelines.progress import Progress

__all__ = ["calibrated_gates"]

_MOST_THREADS = 8  # more don't help with so small networks


def calibrated_gates(
    config: Config,
    folder: ModelFolder,
    plan: AugmentPlan,
    images: Callable[[], DecodedImages],
    data_sha256: str,
    model: ModelRecord | None,
    *,
    cluster: Callable[[], Cluster],
    progress: Progress,
) -> GatesRecord:
    """The gates of this run, found or calibrated now; `images` and `cluster` are asked for only then.

    Raises InputError where the images are too few to calibrate by, ConfigError where the discriminator is to judge
    and none was kept.
    """
    identity = gates_identity(config, plan, data_sha256, model)
    if (known := folder.gates(identity.digest)) is not None:
        return known
    there = cluster()
    device = there.device_for("auto", processes=1, field="gates")
    cpus = max(1, min(_MOST_THREADS, int(there.cpus_per_node)))
    decoded, board = images(), new_board()
    task = _calibrate.options(num_cpus=min(cpus, there.cpus_per_node), num_gpus=int(device == "gpu"))
    with progress.stage("gates", total=identity.limits.folds * identity.limits.steps, unit="steps") as stage:

        def show(event: tuple[str, int, int]) -> None:
            what, done, total = event
            if what == "classifiers":
                stage.advance_to(done)
            else:
                stage.advance_to(stage.done, f"{what} {done} of {total}")

        with ray_errors("calibrating the gates"), watching(board, show):
            record = ray.get(
                task.remote(
                    decoded.pixels, decoded.class_index, identity.to_json(), folder.store.uri, folder.name,
                    model.critic_key if model and identity.critic_sha256 else None, device, cpus, board,
                )
            )  # fmt: skip
    return GatesRecord.model_validate_json(record)


@ray.remote
def _calibrate(
    pixels_NHWC: npt.NDArray[np.uint8],
    class_index_N: npt.NDArray[np.int64],
    identity_json: bytes,
    store_uri: str,
    name: str,
    critic_key: str | None,
    device: Device,
    threads: int,
    board: Any,
) -> bytes:
    """Calibrate, store, and return the record: alone on its CPUs, since nothing is generated yet."""
    torch.set_num_threads(threads)
    identity = GatesIdentity.model_validate_json(identity_json)
    computes_on = torch.device("cuda" if device == "gpu" else "cpu")
    keeper = calibrate(
        pixels_NHWC,
        class_index_N,
        identity.class_count,
        identity.limits,
        identity.seed,
        lambda what, done, total: board.post.remote((what, done, total)),
        judged_classes=identity.judged,
        horizontal_flip=identity.horizontal_flip,
        vertical_flip=identity.vertical_flip,
        device=computes_on,
    )
    store = open_store(store_uri)
    if critic_key is not None and identity.critic_sha256 is not None:
        judged = np.flatnonzero(np.isin(class_index_N, _array(identity.judged)))
        data = store.get(critic_key)
        with frozen_critic(data, sha256=identity.critic_sha256, device=computes_on) as critic:
            scores_N = critic(pixels_NHWC[judged], class_index_N[judged])
        keeper = keeper.with_discriminator(scores_N, class_index_N[judged])
    return ModelFolder(store, name).put_gates(keeper.to_bytes(), identity.digest).to_json()


def _array(indices: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.array(indices, np.int64)
