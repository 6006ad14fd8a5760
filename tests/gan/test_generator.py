import json

import numpy as np
import pytest
import torch

from augment.errors import ConfigError, IntegrityError
from augment.gan.generator import export_generator, frozen_generator, read_info
from augment.gan.networks import Condition
from augment.gan.training import train
from augment.types import AugmentPlan, ClassTarget, ImageShape, sha256_hex
from tests.gan.common import tiny_images, tiny_spec

CPU = torch.device("cpu")
SEED = 11


@pytest.fixture(scope="module", params=["dcgan", "resnet"])
def state(request):
    spec = tiny_spec(channels=3, model={"backbone": request.param, "width": 8}, steps=4)
    return train(spec, tiny_images(spec))


@pytest.fixture(scope="module")
def exported(state):
    return export_generator(state)


def opened(data, batch_size=32):
    return frozen_generator(data, sha256=sha256_hex(data), device=CPU, batch_size=batch_size)


def plan(**changes):
    fields = {
        "seed": SEED,
        "image": ImageShape(size=16, channels=3),
        "classes": (
            ClassTarget(label=0, name="bag", real=12, target=12),
            ClassTarget(label=10, name="boot", real=5, target=45),
            ClassTarget(label=20, name="coat", real=3, target=30),
        ),
        "shard_rows": 25,
        "batch_size": 16,
    }
    return AugmentPlan(**fields | changes)


def indices(count, classes=3):
    rng = np.random.default_rng(4)
    return rng.integers(0, classes, count), rng.integers(0, 10_000, count)


def test_the_file_describes_itself(state, exported):
    info = read_info(exported)
    assert (info.model, info.image, info.classes) == (state.spec.model, state.spec.image, state.spec.classes)
    assert (info.steps, info.kimg, info.format_version) == (4, 0.032, 1)
    header = json.loads(exported[8 : 8 + int.from_bytes(exported[:8], "little")])
    assert header["__metadata__"]


def test_equal_states_give_equal_files(state, exported):
    assert export_generator(state) == exported


def test_a_generator_makes_what_the_average_makes(state, exported):
    with opened(exported) as generate:
        z = torch.from_numpy(generate.latents(SEED, np.array([1]), np.array([5])))
        pixels = generate(SEED, np.array([1]), np.array([5]))
    with torch.no_grad():
        x = state.ema(z, Condition(torch.tensor([1]))).image_BCHW[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(pixels[0], np.clip((x + 1) * 127.5, 0, 255), atol=0.51)


def test_a_wrong_digest_stops_before_the_file_is_parsed(exported):
    with (
        pytest.raises(IntegrityError, match="refusing to open"),
        frozen_generator(b"rubbish" + exported, sha256=sha256_hex(exported), device=CPU, batch_size=8),
    ):
        pass


@pytest.mark.parametrize("data", [b"", b"\x08\0\0\0\0\0\0\0notajson", b"\x02\0\0\0\0\0\0\0{}"])
def test_a_file_of_another_kind_is_an_integrity_error(data):
    with pytest.raises(IntegrityError, match="not a generator file"), opened(data):
        pass


def test_a_cut_off_file_is_an_integrity_error(exported):
    with pytest.raises(IntegrityError, match="do not fit"), opened(exported[:-4]):
        pass


def test_samples_do_not_depend_on_batch_size_order_neighbours_or_threads(exported):
    class_index, sample_index = indices(100)
    with opened(exported, batch_size=64) as generate:
        expected = generate(SEED, class_index, sample_index)
    order = np.random.default_rng(5).permutation(100)
    threads = torch.get_num_threads()
    try:
        for batch_size, block, thread_count in ((1, 100, 1), (7, 1, 2), (256, 37, 3), (512, 100, 16)):
            torch.set_num_threads(thread_count)
            with opened(exported, batch_size=batch_size) as generate:
                asked = order[: 10 * block]
                for chosen in np.array_split(asked, -(-len(asked) // block)):
                    got = generate(SEED, class_index[chosen], sample_index[chosen])
                    np.testing.assert_array_equal(got, expected[chosen])
    finally:
        torch.set_num_threads(threads)


def test_samples_differ_by_index_class_and_seed(exported):
    with opened(exported) as generate:
        pixels = generate(SEED, np.array([0, 0, 1]), np.array([0, 1, 0]))
        other = generate(SEED + 1, np.array([0]), np.array([0]))
    images = [*pixels, *other]
    assert all(not np.array_equal(images[i], images[j]) for i in range(4) for j in range(i))


def test_latents_are_standard_normal_and_belong_to_the_label_not_to_the_class_index(exported):
    with opened(exported) as generate:
        z = generate.latents(SEED, np.full(4000, 2), np.arange(4000))
    assert z.std() == pytest.approx(1, abs=0.02)
    assert z.mean() == pytest.approx(0, abs=0.02)


def test_the_shards_of_a_plan_together_are_its_samples_whatever_their_size(exported):
    with opened(exported) as generate:
        by_size = {}
        for shard_rows in (25, 70, 1):
            a_plan = plan(shard_rows=shard_rows)
            blocks = [generate.generate_block(a_plan, shard) for shard in a_plan.shards()]
            by_size[shard_rows] = [
                np.concatenate([getattr(block, name) for block in blocks])
                for name in ("pixels_BHWC", "class_index_B", "sample_index_B")
            ]
    pixels, class_index, sample_index = by_size[25]
    assert pixels.shape == (67, 16, 16, 3)
    assert pixels.dtype == np.uint8
    assert np.bincount(class_index, minlength=3).tolist() == [0, 40, 27]
    assert sample_index[:40].tolist() == list(range(40))
    for others in (by_size[70], by_size[1]):
        for ours, theirs in zip(by_size[25], others, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_any_row_of_a_shard_can_be_made_again_by_its_own_forward_pass(exported):
    with opened(exported) as generator:
        for shard_rows, rows in (
            (25, (0, 7, 24)),
            (67, (31, 32, 66)),
        ):  # of whole passes, and of a padded one
            spec = plan(shard_rows=shard_rows).shard(0)
            block = generator.generate_block(plan(shard_rows=shard_rows), spec)
            for row in rows:
                again = generator.generate_row(plan(shard_rows=shard_rows), spec, row)
                assert np.array_equal(again, block.pixels_BHWC[row])


def test_a_plan_of_other_classes_or_images_is_refused(exported):
    renamed = (*plan().classes[:2], ClassTarget(label=20, name="cape", real=3, target=30))
    with opened(exported) as generate:
        for wrong, message in (
            (plan(classes=renamed), "cape"),
            (plan(image=ImageShape(size=32, channels=3)), "size=32"),
        ):
            with pytest.raises(ConfigError, match=message):
                generate.generate_block(wrong, wrong.shard(0))


def test_generating_needs_no_gradient_and_leaves_no_trace_in_torchs_random_stream(exported):
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    with opened(exported) as generate:
        generate(SEED, np.array([0]), np.array([0]))
    assert torch.equal(torch.rand(2), expected)


def test_inference_is_deterministic_float32_on_a_gpu_too_and_the_settings_are_put_back(exported):
    cudnn = torch.backends.cudnn
    before = (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32)
    with opened(exported):
        assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == (
            True,
            False,
            True,
            False,
        )
    assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == before


def test_the_callers_number_of_threads_is_left_as_it_was(exported):
    before = torch.get_num_threads()
    with opened(exported) as generate:
        generate(SEED, np.array([0]), np.array([0]))
    assert torch.get_num_threads() == before
