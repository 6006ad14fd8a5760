import json

import numpy as np
import pytest
import torch

from augment.errors import ConfigError
from augment.gan.generator import export_generator, frozen_generator, read_info
from augment.gan.networks import Condition
from augment.gan.training import train
from augment.seeds import normals, stream_id
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


def test_candidates_of_attempt_0_are_the_samples_as_they_are_without_attempts(exported):
    class_index, sample_index = indices(40)
    with opened(exported) as generate:
        counted = generate(SEED, class_index, sample_index, np.zeros(40, np.int64))
        np.testing.assert_array_equal(counted, generate(SEED, class_index, sample_index))
        row = generate.latents(SEED, np.array([1]), np.array([5]))
    # A stream for each label, not for each class index: what is published must never come out otherwise.
    np.testing.assert_array_equal(row, normals(SEED, stream_id("generate.latent", 10), 5, 1, row.shape[1]))


def test_every_attempt_at_a_sample_is_another_candidate(exported):
    attempt = np.arange(6)
    with opened(exported) as generate:
        z = generate.latents(SEED, np.full(6, 1), np.full(6, 5), attempt)
        pixels = generate(SEED, np.full(6, 1), np.full(6, 5), attempt)
    assert len(np.unique(z, axis=0)) == 6
    assert len({image.tobytes() for image in pixels}) == 6


def test_latents_of_different_attempts_are_independent(exported):
    with opened(exported) as generate:
        z_first, z_second = (
            generate.latents(SEED, np.full(4000, 2), np.arange(4000), np.full(4000, attempt))
            for attempt in (0, 1)
        )
    correlation = np.corrcoef(z_first.ravel(), z_second.ravel())[0, 1]
    assert abs(correlation) < 4 / np.sqrt(z_first.size)  # four standard errors of no correlation


def test_a_candidate_is_the_same_in_any_company(exported):
    class_index, sample_index = indices(60)
    attempt = np.random.default_rng(6).integers(0, 4, 60)
    with opened(exported) as generate:
        together = generate(SEED, class_index, sample_index, attempt)
        order = np.random.default_rng(7).permutation(60)
        for chosen in (order[:1], order[:7], order[7:40], order):
            alone = generate(SEED, class_index[chosen], sample_index[chosen], attempt[chosen])
            np.testing.assert_array_equal(alone, together[chosen])


def test_a_plan_of_other_classes_or_images_is_refused(exported):
    renamed = (*plan().classes[:2], ClassTarget(label=20, name="cape", real=3, target=30))
    with opened(exported) as generate:
        generate.check(plan())
        for wrong, message in (
            (plan(classes=renamed), "cape"),
            (plan(image=ImageShape(size=32, channels=3)), "size=32"),
        ):
            with pytest.raises(ConfigError, match=message):
                generate.check(wrong)


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


class Starved(torch.nn.Module):
    """A network that finds no memory in these of its forward passes."""

    def __init__(self, network, failing):
        super().__init__()
        self.network, self.failing, self.passes = network, failing, 0

    def forward(self, *args):
        self.passes += 1
        if self.passes in self.failing:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return self.network(*args)


def test_samples_that_do_not_fit_in_memory_at_once_are_drawn_in_halves_to_the_same_bits(exported, caplog):
    class_index_B, sample_index_B = indices(100)
    with opened(exported) as generate:
        expected = generate(SEED, class_index_B, sample_index_B)
        generate._network = Starved(generate._network, failing={3})
        with caplog.at_level("WARNING", logger="augment"):
            np.testing.assert_array_equal(generate(SEED, class_index_B, sample_index_B), expected)


def test_a_forward_pass_that_never_fits_in_memory_names_what_to_lower(exported):
    with opened(exported) as generate:
        generate._network = Starved(generate._network, failing=range(100))
        with pytest.raises(ConfigError, match=r"generate\.batch_size.*model\.width than 8"):
            generate(SEED, *indices(100))


def test_an_error_that_is_not_of_memory_is_not_tried_again(exported):
    class Wrong(torch.nn.Module):
        def forward(self, *args):
            raise RuntimeError("shapes cannot be multiplied")

    with opened(exported) as generate:
        generate._network = Wrong()
        with pytest.raises(RuntimeError, match="shapes"):
            generate(SEED, *indices(10))
