import io

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch.nn import functional as F
from torchvision.models import get_model, mobilenet_v3_small, squeezenet1_1
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.transforms.functional import normalize

from augment.errors import ConfigError, InputError, IntegrityError
from augment.quality.classifier import fit_classifier
from augment.quality.feature_spaces import (
    CallableFeatures,
    ClassifierFeatures,
    TorchvisionFeatures,
    load_function,
)
from augment.types import sha256_hex
from tests.quality.common import striped_images

MODEL = "mobilenet_v3_small"


def images(n=5, size=40, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, channels), dtype=np.uint8)


def pth(state):
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return mobilenet_v3_small(num_classes=7).eval()


@pytest.fixture(scope="module")
def space(network):
    return TorchvisionFeatures(MODEL, pth(network.state_dict()))


# ---- torchvision --------------------------------------------------------------------------------------


def test_features_are_those_of_torchvisions_own_extractor(network, space):
    pixels = images()
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    x = F.interpolate(x, (224, 224), mode="bilinear", antialias=True)
    x = normalize(x, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.inference_mode():
        expected = create_feature_extractor(network, ["classifier.1"])(x)["classifier.1"].numpy()
    np.testing.assert_allclose(space.features(pixels), expected, rtol=1e-4, atol=1e-4)


def test_an_images_features_do_not_depend_on_its_company(space):
    pixels = images(34)
    together = space.features(pixels)
    assert together.shape == (34, 1024)
    np.testing.assert_array_equal(space.features(pixels[32:]), together[32:])
    np.testing.assert_array_equal(space.features(pixels[:1]), together[:1])


def test_grey_images_are_seen_as_colour_images_of_equal_channels(space):
    grey = images(2, channels=1)
    np.testing.assert_array_equal(space.features(grey), space.features(np.repeat(grey, 3, axis=3)))


def test_weights_may_be_a_pth_or_a_safetensors_file(network, space):
    other = TorchvisionFeatures(MODEL, save(network.state_dict()))
    np.testing.assert_array_equal(other.features(images()), space.features(images()))
    assert other.name != space.name  # another file
    assert space.name == f"torchvision:{MODEL}:{sha256_hex(pth(network.state_dict()))}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "width"),
    [("resnet18", 512), ("inception_v3", 2048), ("googlenet", 1024), ("vit_b_16", 768), ("swin_t", 768), ("convnext_tiny", 768),
     ("vgg11", 4096), ("densenet121", 1024), ("efficientnet_b0", 1280)],
)  # fmt: skip
def test_the_features_of_other_families_are_their_last_linear_layers_inputs(model, width):
    extra = {"init_weights": False} if model in ("inception_v3", "googlenet") else {}
    weights = pth(get_model(model, weights=None, num_classes=4, **extra).state_dict())
    assert TorchvisionFeatures(model, weights).features(images(2)).shape == (2, width)


def test_weights_that_run_code_are_refused(network):
    with pytest.raises(IntegrityError, match="without running code"):
        TorchvisionFeatures(MODEL, pth(network))
    with pytest.raises(IntegrityError, match="without running code"):
        TorchvisionFeatures(MODEL, b"no weights at all")


def test_weights_of_another_model_or_digest_are_refused(network):
    weights = pth(network.state_dict())
    with pytest.raises(IntegrityError, match=r"no fc\.weight: they are not those of torchvision's resnet18"):
        TorchvisionFeatures("resnet18", weights)
    with pytest.raises(IntegrityError, match="not those of torchvision's mobilenet_v3_large"):
        TorchvisionFeatures("mobilenet_v3_large", weights)
    with pytest.raises(IntegrityError, match="refusing to open"):
        TorchvisionFeatures(MODEL, weights, sha256="0" * 64)
    with pytest.raises(IntegrityError, match=r"save model\.state_dict"):
        TorchvisionFeatures(MODEL, pth({"epoch": 3}))


def test_models_that_do_not_exist_or_have_no_linear_layer_are_refused_by_name():
    with pytest.raises(ConfigError, match="no classification model 'resnet19'"):
        TorchvisionFeatures("resnet19", b"")
    with pytest.raises(ConfigError, match="squeezenet1_1 has no linear layer"):
        TorchvisionFeatures("squeezenet1_1", pth(squeezenet1_1(num_classes=2).state_dict()))


def test_torchs_own_generator_is_not_moved(network):
    weights, before = pth(network.state_dict()), torch.random.get_rng_state()
    TorchvisionFeatures(MODEL, weights)
    assert torch.equal(torch.random.get_rng_state(), before)


# ---- the user's classifier and function ---------------------------------------------------------------


def test_the_classifiers_features_are_its_pooled_ones_and_its_name_its_weights():
    pixels, labels = striped_images((20, 20))
    classifier = fit_classifier(pixels, labels, 2, seed=0, steps=2)
    space = ClassifierFeatures(classifier)
    np.testing.assert_array_equal(space.features(pixels), classifier.features(pixels))
    assert space.name == f"classifier:{sha256_hex(classifier.to_bytes())}"


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "augment_test_embedding.py").write_text(
        "import numpy as np\n"
        "def mean(pixels): return pixels.mean((1, 2))\n"
        "def flat(pixels): return pixels.mean((1, 2, 3))\n"
        "def nan(pixels): return np.full((len(pixels), 3), np.nan)\n"
        "def random_width(pixels): return np.zeros((len(pixels), len(pixels)))\n"
        "number = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "augment_test_embedding"


def test_a_users_function_is_called_by_its_name(module):
    space = CallableFeatures(f"{module}:mean")
    pixels = images(4)
    np.testing.assert_allclose(space.features(pixels), pixels.mean((1, 2)), rtol=1e-6)
    assert space.features(pixels).dtype == np.float32
    assert space.name == f"function:{module}:mean"


def test_what_a_users_function_gives_is_checked(module):
    with pytest.raises(InputError, match=r"flat gave float64 \[4\] for 4 images"):
        CallableFeatures(f"{module}:flat").features(images(4))
    with pytest.raises(InputError, match="nan gave numbers that are not finite"):
        CallableFeatures(f"{module}:nan").features(images(4))
    space = CallableFeatures(f"{module}:random_width")
    space.features(images(4))
    with pytest.raises(InputError, match=r"one F at every call"):
        space.features(images(3))


def test_functions_that_cannot_be_had_are_refused_with_the_cause(module):
    with pytest.raises(ConfigError, match="must read module:function"):
        load_function("embed")
    with pytest.raises(ConfigError, match="No module named 'no_such_module'; is it on PYTHONPATH"):
        load_function("no_such_module:embed")
    with pytest.raises(ConfigError, match="has no attribute 'median'"):
        load_function(f"{module}:median")
    with pytest.raises(ConfigError, match="is a int, not a function"):
        load_function(f"{module}:number")


def test_pixels_of_another_kind_are_refused(space, module):
    for broken in (images().astype(np.float32), images()[0], images(0), images()[..., :2]):
        with pytest.raises(InputError, match="needs uint8 images"):
            space.features(broken)
        with pytest.raises(InputError, match="needs uint8 images"):
            CallableFeatures(f"{module}:mean").features(broken)
