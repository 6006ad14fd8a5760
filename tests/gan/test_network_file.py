"""What a generator's and a critic's file have in common."""

import json

import pytest
import torch

from augment.errors import IntegrityError
from augment.gan.critic import export_critic, frozen_critic, read_critic_info
from augment.gan.generator import export_generator, frozen_generator, read_info
from augment.gan.state import new_state
from augment.types import sha256_hex
from tests.gan.common import tiny_spec

CPU = torch.device("cpu")


def open_generator(data, sha256):
    return frozen_generator(data, sha256=sha256, device=CPU, batch_size=8)


def open_critic(data, sha256):
    return frozen_critic(data, sha256=sha256, device=CPU)


KINDS = {
    "generator": (export_generator, read_info, open_generator),
    "critic": (export_critic, read_critic_info, open_critic),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def state():
    return new_state(tiny_spec(), CPU)


@every_kind
def test_a_file_describes_itself_and_equal_states_give_equal_files(state, kind):
    export, read, _ = KINDS[kind]
    info, spec = read(export(state)), state.spec
    assert (info.model, info.image, info.classes, info.counts) == (
        spec.model, spec.image, spec.classes, spec.counts,
    )  # fmt: skip
    assert (info.seed, info.steps, info.kimg, info.data_sha256) == (spec.seed, 0, 0.0, spec.data_sha256)
    assert export(new_state(spec, CPU)) == export(state)


def test_a_generators_header_is_as_it_was_before_there_were_critics(state):
    """Another field would be another digest, and another run of the same job."""
    data = export_generator(state)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    assert list(header) == ["augment.generator"]
    assert sorted(json.loads(header["augment.generator"])) == [
        "classes", "counts", "data_sha256", "format_version", "image", "kimg", "model", "seed", "steps",
    ]  # fmt: skip


@every_kind
def test_a_wrong_digest_stops_before_the_file_is_parsed(state, kind):
    export, _, opened = KINDS[kind]
    data = export(state)
    with (
        pytest.raises(IntegrityError, match=f"the {kind}'s SHA-256 is .* refusing to open"),
        opened(b"rubbish" + data, sha256_hex(data)),
    ):
        pass


@every_kind
@pytest.mark.parametrize("data", [b"", b"\x08\0\0\0\0\0\0\0notajson", b"\x02\0\0\0\0\0\0\0{}"])
def test_a_file_of_something_else_is_an_integrity_error(kind, data):
    _, read, opened = KINDS[kind]
    with pytest.raises(IntegrityError, match=f"not a {kind} file of this project"):
        read(data)
    with pytest.raises(IntegrityError, match=f"not a {kind} file"), opened(data, sha256_hex(data)):
        pass


def test_a_generator_is_no_critic_and_a_critic_no_generator(state):
    with pytest.raises(IntegrityError, match="not a critic file"):
        read_critic_info(export_generator(state))
    with pytest.raises(IntegrityError, match="not a generator file"):
        read_info(export_critic(state))


@every_kind
def test_a_cut_off_file_is_an_integrity_error(state, kind):
    export, _, opened = KINDS[kind]
    cut = export(state)[:-4]
    with (
        pytest.raises(IntegrityError, match=f"{kind}'s weights do not fit"),
        opened(cut, sha256_hex(cut)),
    ):
        pass
