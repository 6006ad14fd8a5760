import numpy as np
import pytest
import torch

from augment.errors import InputError
from augment.gan.batches import RealImages
from augment.gan.checkpoint import restore
from augment.gan.critic import export_critic, frozen_critic, read_critic_info
from augment.gan.generator import export_generator, frozen_generator, read_info
from augment.gan.losses import LOSSES
from augment.gan.networks import Condition
from augment.gan.snapshots import MemorySnapshots
from augment.gan.state import new_state
from augment.gan.supervision import ClassScore, Evaluation
from augment.gan.training import train
from augment.types import sha256_hex
from tests.gan.common import tiny_images, tiny_spec
from tests.gan.networks.common import VARIANTS

CPU = torch.device("cpu")
CLASSES = 3


def opened(data):
    return frozen_critic(data, sha256=sha256_hex(data), device=CPU)


def candidates(count, *, size=16, channels=1):
    rng = np.random.default_rng(4)
    pixels = rng.integers(0, 256, (count, size, size, channels), dtype=np.uint8)
    return pixels, rng.integers(0, CLASSES, count)


def awake(settings, **changes):
    """A state whose discriminator uses every layer, as after training: those that begin at zero say nothing."""
    state = new_state(tiny_spec(model=settings, **changes), CPU)
    stream = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in state.discriminator.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=stream))
    return state


def test_a_score_is_the_discriminators_logit_of_the_image_as_one_of_its_class():
    state = awake({"backbone": "resnet", "width": 8})
    pixels, class_index = candidates(40)
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        logits = state.discriminator.eval()(x, Condition(torch.from_numpy(class_index))).logits_B
    with opened(export_critic(state)) as critic:
        scores = critic(pixels, class_index)
        others = critic(pixels, (class_index + 1) % CLASSES)
    assert (scores.dtype, scores.shape) == (np.float32, (40,))
    np.testing.assert_allclose(scores, logits.numpy(), rtol=1e-4, atol=1e-5)
    assert (scores != others).all()


def test_where_the_class_direction_undoes_psi_a_score_is_the_bias():
    """f(x, y) = yᵀVφ(x) + ψ(φ(x)), Miyato & Koyama 2018, eq. 4."""
    state = awake({})
    head = state.discriminator.head
    with torch.no_grad():
        head.class_direction.weight[1] = -head.psi
        head.bias.fill_(-1.25)
    pixels, _ = candidates(9)
    with opened(export_critic(state)) as critic:
        np.testing.assert_array_equal(critic(pixels, np.full(9, 1)), np.full(9, -1.25, np.float32))
        assert (critic(pixels, np.full(9, 2)) != -1.25).all()


@pytest.mark.parametrize("size", [16, 28])
@pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS.keys())
def test_a_score_does_not_depend_on_order_neighbours_or_threads_to_the_last_bit(settings, size):
    data = export_critic(awake(settings, size=size))
    pixels, class_index = candidates(70, size=size)
    order = np.random.default_rng(5).permutation(70)
    threads = torch.get_num_threads()
    try:
        with opened(data) as critic:
            expected = critic(pixels, class_index)
            for block, thread_count in ((70, 1), (1, 2), (33, 3), (37, 16)):
                torch.set_num_threads(thread_count)
                asked = order[: 5 * block]
                for chosen in np.array_split(asked, -(-len(asked) // block)):
                    np.testing.assert_array_equal(
                        critic(pixels[chosen], class_index[chosen]), expected[chosen]
                    )
    finally:
        torch.set_num_threads(threads)
    assert len(np.unique(expected)) > 60


def test_no_image_has_no_score():
    with opened(export_critic(awake({}))) as critic:
        scores = critic(np.empty((0, 16, 16, 1), np.uint8), np.empty(0, np.int64))
    assert (scores.shape, scores.dtype) == ((0,), np.float32)


@pytest.mark.parametrize(
    ("model", "looks"),
    [({}, True), ({"discriminator_conditioning": "auxiliary"}, False), ({"conditional": False}, False)],
    ids=["projection", "auxiliary", "unconditional"],
)
def test_which_discriminators_look_at_the_class(model, looks):
    pixels, class_index = candidates(8)
    with opened(export_critic(awake(model))) as critic:
        same = critic(pixels, class_index) == critic(pixels, (class_index + 1) % CLASSES)
    assert (not same.any()) if looks else same.all()


def test_its_file_says_by_which_loss_it_was_trained():
    for loss in ("relativistic", "hinge"):
        assert read_critic_info(export_critic(new_state(tiny_spec(loss=loss), CPU))).loss == loss


def test_the_relativistic_loss_leaves_the_level_of_a_classs_scores_open():
    """So scores compare within a class alone; the other losses hold the level."""
    real, fake = torch.linspace(-1, 2, 6), torch.linspace(1, -3, 6)
    for name, loss in LOSSES.items():
        here, there = loss.discriminator(real, fake), loss.discriminator(real + 3, fake + 3)
        assert torch.isclose(here, there) == (name in ("relativistic", "wgan-gp"))


def test_images_or_classes_of_another_kind_are_refused():
    pixels, class_index = candidates(4)
    with opened(export_critic(awake({}))) as critic:
        with pytest.raises(InputError, match=r"uint8 images \[B, 16, 16, 1\], not uint8 \[4, 8, 16, 1\]"):
            critic(pixels[:, ::2], class_index)
        with pytest.raises(InputError, match="not float64"):
            critic(pixels / 255, class_index)
        with pytest.raises(InputError, match=r"4 images have \[3\] class indices"):
            critic(pixels, class_index[:3])
        for wrong in (-1, 3):
            with pytest.raises(InputError, match=f"{wrong}.* knows 0 to 2"):
                critic(pixels, np.full(4, wrong))


def test_the_critic_is_of_the_best_measured_step_as_the_generator_is():
    def evaluate(state):
        frechet = {2: 3.0, 4: 2.0}.get(state.step, 9.0)
        return Evaluation(step=state.step, classes=(ClassScore(name="bag", frechet=frechet),))

    spec, snapshots = tiny_spec(steps=6, log_every=2, evaluate_every=2), MemorySnapshots()
    state = train(spec, tiny_images(spec), snapshots=snapshots, evaluate=evaluate)
    stored = new_state(spec, CPU)
    restore(stored, snapshots.best())

    assert read_critic_info(export_critic(state)).steps == 4
    assert export_critic(state) == export_critic(stored)
    assert read_info(export_generator(state)).steps == 4
    last = new_state(spec, CPU)
    restore(last, snapshots.latest())
    assert export_critic(last) != export_critic(stored)


def striped(each):
    """Three classes of noisy stripes, one after the other: RealImages."""
    class_index = np.repeat(np.arange(CLASSES), each)
    wave = np.broadcast_to(np.where(np.arange(16) // 2 % 2, 200, 50), (16, 16))
    patterns = np.stack([wave, wave.T, np.full((16, 16), 200)])
    noise = np.random.default_rng(0).integers(0, 40, (len(class_index), 16, 16))
    return RealImages((patterns[class_index] + noise).astype(np.uint8)[..., None], class_index)


def test_after_some_training_real_images_score_above_generated_ones():
    images = striped(16)
    spec = tiny_spec(counts=(16, 16, 16), steps=60, warm_up_steps=0, model={"width": 8})
    state = train(spec, images)
    made = export_generator(state)
    with frozen_generator(made, sha256=sha256_hex(made), device=CPU, batch_size=32) as generate:
        generated = generate(1, images.class_index_N, np.arange(48))
    with opened(export_critic(state)) as critic:
        real = critic(images.pixels_NHWC, images.class_index_N).reshape(CLASSES, 16)
        fake = critic(generated, images.class_index_N).reshape(CLASSES, 16)
    assert (real > fake.mean(1, keepdims=True)).mean() > 0.9
