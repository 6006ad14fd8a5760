"""What an actor of generation opens: keys and references that are small to send, and what they become there."""

from contextlib import ExitStack
from dataclasses import dataclass

import ray
import torch

from augment.gan.critic import frozen_critic
from augment.gan.generator import FrozenGenerator, frozen_generator
from augment.objects import open_store
from augment.quality.gates import GateKeeper
from augment.recipes.contract import RealImages
from augment.sampling.candidates import Candidates, Real
from augment.sampling.gated import Scores
from augment.types import ClassInfo, RunPlan
from pipelines.cluster import Device
from pipelines.ingest import DecodedImages

__all__ = ["SamplerInputs", "opened"]


@dataclass(frozen=True)
class SamplerInputs:
    """Where everything lies that makes a run's samples; None for what this run does not need."""

    run: RunPlan
    store_uri: str
    generator_key: str | None
    gates_key: str | None
    critic_key: str | None
    images: DecodedImages | None
    keep_rejected: int
    ends_at: float | None = None  # seconds since 1970: from then on no shard is begun any more


def opened(
    inputs: SamplerInputs, device: Device, stack: ExitStack
) -> tuple[Candidates, GateKeeper | None, Scores | None]:
    """Candidates, gates and the discriminator, for as long as `stack` is open; every digest is checked."""
    run, store = inputs.run, open_store(inputs.store_uri)
    computes_on = torch.device("cuda" if device == "gpu" else "cpu")
    generator: FrozenGenerator | None = None
    if inputs.generator_key is not None and run.generator_sha256 is not None:
        opening = frozen_generator(
            store.get(inputs.generator_key),
            sha256=run.generator_sha256,
            device=computes_on,
            batch_size=run.plan.batch_size,
        )
        generator = stack.enter_context(opening)
    keeper: GateKeeper | None = None
    if inputs.gates_key is not None and run.gates is not None:
        data = store.get(inputs.gates_key)
        keeper = GateKeeper.from_bytes(data, sha256=run.gates.sha256, device=computes_on)
    scores: Scores | None = None
    if inputs.critic_key is not None and run.gates is not None and run.gates.critic_sha256 is not None:
        data = store.get(inputs.critic_key)
        scores = stack.enter_context(frozen_critic(data, sha256=run.gates.critic_sha256, device=computes_on))
    return Candidates(run, generator, _real(inputs, keeper)), keeper, scores


def _real(inputs: SamplerInputs, keeper: GateKeeper | None) -> Real | None:
    if inputs.images is None:
        return None
    found = inputs.images
    pixels_NHWC, class_index_N, names_N = ray.get([found.pixels, found.class_index, found.names])
    classes = tuple(ClassInfo(label=target.label, name=target.name) for target in inputs.run.plan.classes)
    features_NF = None
    if keeper is not None and (inputs.run.recipes.smote or {}).get("space") == "features":
        features_NF = keeper.parts.ensemble.look(pixels_NHWC).features_ENF[0]
    return Real(RealImages(pixels_NHWC, class_index_N, classes), names_N, features_NF)
