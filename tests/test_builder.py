"""The builder: raw pixels in, logits out, for every head and scaling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from models.backbones import BACKBONES
from models.backbones.spec import BACKBONE_LAYER, BackboneSpec
from models.builder import build_model, load_model, reseed, with_predictions
from models.errors import ModelError
from models.heads import HEADS
from models.scaling import SCALINGS, apply_scaling
from tests.conftest import TINY_SPEC

PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
# One of each kind of scaling or output, of those that are built quickly.
QUICK = [TINY_SPEC, *(BACKBONES[name] for name in ("efficientnet_lite0", "vgg16", "mobilenet", "mobilenet_v3_small"))]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("spec", QUICK, ids=lambda spec: spec.name)
def test_from_pixels_to_logits(spec: BackboneSpec, head: str) -> None:
    model = build_model(spec, num_classes=5, image_size=32, head=head, weights="none")
    assert model.input_shape == (None, 32, 32, 3)
    assert model.output_shape == (None, 5)
    assert model.layers[-1].name == "logits" and model.layers[-1].activation is keras.activations.linear
    backbone = model.get_layer(BACKBONE_LAYER)
    assert backbone.count_params() == spec.parameters
    assert backbone.output_shape[-1] == spec.feature_width
    logits = np.asarray(model(PIXELS))
    assert logits.dtype == np.float32 and logits.shape == (2, 5)
    assert np.isfinite(logits).all()
    assert not np.array_equal(logits[0], logits[1])  # the pixels reach the head


def test_native_size_unless_asked() -> None:
    model = build_model("mobilenet_v3_small", num_classes=2, weights="none")
    assert model.input_shape == (None, 224, 224, 3)


def test_pretrained_unless_asked() -> None:
    def weights(given: str | None) -> list[np.ndarray]:
        model = build_model("efficientnet_lite0", num_classes=2, image_size=32, weights=given)
        return model.get_layer(BACKBONE_LAYER).get_weights()

    pretrained = BACKBONES["efficientnet_lite0"].builder(image_size=32, weights="imagenet").get_weights()
    assert all(np.array_equal(one, other) for one, other in zip(weights(None), pretrained, strict=True))
    assert not np.array_equal(weights("none")[0], pretrained[0])
    with pytest.raises(ModelError, match="tiny has no pretrained weights"):
        build_model(TINY_SPEC, num_classes=2)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"backbone": "mobilnet_v2"}, "unknown backbone 'mobilnet_v2'.* Did you mean mobilenet_v2"),
        ({"head": "deep"}, "there is no head 'deep'; choose from linear, mlp"),
        ({"task": "both"}, "there is no task 'both'; choose from single_label, multi_label, regression"),
        ({"num_classes": 0}, "num_classes must be a whole number above 0, not 0"),
        ({"num_classes": ["a", "b"]}, r"num_classes must be a whole number above 0, not \['a', 'b'\]"),
        ({"dropout": 1}, "dropout must be from 0 to below 1, not 1"),
        ({"image_size": "96"}, "the image size is a whole number of pixels, such as 32, not '96'"),
        ({"weights": "nowhere.h5"}, "there are no weights 'nowhere.h5' for tiny: neither a file nor one of none"),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_one_sentence(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ModelError, match=text):
        build_model(**{"backbone": TINY_SPEC, "num_classes": 2, "weights": "none"} | options)


def test_a_size_that_the_backbone_cannot_take() -> None:
    with pytest.raises(ModelError, match="tiny cannot take images of 7 pixels; its smallest size is 8"):
        build_model(TINY_SPEC, num_classes=2, image_size=7, weights="none")


@pytest.mark.parametrize("head", HEADS)
def test_the_seed_decides_the_head(head: str) -> None:
    def kernels(seed: int) -> list[np.ndarray]:
        model = build_model(TINY_SPEC, num_classes=3, head=head, seed=seed, weights="none")
        return [layer.get_weights()[0] for layer in model.layers if isinstance(layer, keras.layers.Dense)]

    for first, again, other in zip(kernels(1), kernels(1), kernels(2), strict=True):
        np.testing.assert_array_equal(first, again)
        assert not np.allclose(first, other)


@pytest.mark.parametrize("head", HEADS)
def test_dropout_works_in_training_only(head: str) -> None:
    model = build_model(TINY_SPEC, num_classes=3, head=head, dropout=0.5, weights="none")
    model.get_layer(BACKBONE_LAYER).trainable = False  # BatchNormalization aside
    assert model.get_layer("head_dropout").rate == 0.5
    np.testing.assert_array_equal(model(PIXELS, training=False), model(PIXELS, training=False))
    predictions = [np.asarray(model(PIXELS, training=True)) for _ in range(4)]
    assert any(not np.allclose(predictions[0], other) for other in predictions[1:])


def test_reseeding_repeats_what_is_random() -> None:
    model = build_model(TINY_SPEC, num_classes=3, dropout=0.5, weights="none")
    model.get_layer(BACKBONE_LAYER).trainable = False

    def predictions(seed: int) -> np.ndarray:
        reseed(model, seed)
        return np.stack([model(PIXELS, training=True) for _ in range(3)])

    first = predictions(7)
    np.testing.assert_array_equal(predictions(7), first)
    assert not np.allclose(predictions(8), first)


def test_probabilities_share_the_weights() -> None:
    model = build_model(TINY_SPEC, num_classes=4, weights="none")
    predictor = with_predictions(model)
    expected = keras.ops.softmax(model(PIXELS))
    np.testing.assert_allclose(predictor(PIXELS), expected, atol=1e-6)
    np.testing.assert_allclose(np.sum(predictor(PIXELS), axis=1), 1, atol=1e-6)
    model.get_layer("logits").bias.assign([0.0, 50.0, 0.0, 0.0])
    assert np.argmax(predictor(PIXELS), axis=1).tolist() == [1, 1]
    assert predictor.get_layer("probabilities").dtype == "float32"


@pytest.mark.parametrize("head", HEADS)
def test_a_saved_model_reloads_with_equal_outputs(head: str, tmp_path: Path) -> None:
    model = build_model(BACKBONES["efficientnet_lite0"], num_classes=3, image_size=32, head=head, weights="none")
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(PIXELS), model(PIXELS), rtol=1e-5, atol=1e-5)
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04garbage", b"x" * 1000])
def test_what_is_no_model_is_one_sentence(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(data)
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        load_model(path)
    assert str(caught.value).count(str(path)) == 1
    assert "\n" not in str(caught.value)


def test_code_in_a_model_is_not_run(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Lambda(lambda x: x * 2)])
    model.save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match="cannot be loaded as a Keras model"):
        load_model(tmp_path / "model.keras")


# --- Scaling ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", [0, 127.5, 255]),
        ("unit", [0, 0.5, 1]),
        ("tf", [-1, 0, 1]),
        ("lite", [-127 / 128, 0.5 / 128, 1]),
        ("torch", [(0 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (1 - 0.406) / 0.225]),
        ("caffe", [255 - 103.939, 127.5 - 116.779, 0 - 123.68]),  # BGR
    ],
)
def test_scalings_by_hand(name: str, expected: list[float]) -> None:
    pixel = np.array([[[[0.0, 127.5, 255.0]]]], np.float32)
    np.testing.assert_allclose(np.asarray(apply_scaling(pixel, name))[0, 0, 0], expected, rtol=1e-5, atol=1e-5)


def test_every_scaling_was_checked() -> None:
    (mark,) = test_scalings_by_hand.pytestmark  # type: ignore[attr-defined]
    assert {name for name, _ in mark.args[1]} == set(SCALINGS)


@pytest.mark.parametrize("name", SCALINGS)
def test_scaling_is_inside_the_model(name: str, tmp_path: Path) -> None:
    inputs = keras.Input((4, 4, 3))
    keras.Model(inputs, apply_scaling(inputs, name)).save(tmp_path / "scaling.keras")
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 4, 4, 3)).astype(np.float32)
    np.testing.assert_allclose(load_model(tmp_path / "scaling.keras")(pixels), apply_scaling(pixels, name), rtol=1e-6)
