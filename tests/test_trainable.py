"""Models that Graft did not build, in the form that it trains."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from models.backbones import find_backbone
from models.errors import ModelError
from models.freezing import blocks_of
from models.splitting import split
from models.trainable import trainable_model
from tests.classifiers import SIDE, Subclassed, dense, flat, network, on_network, sequential


def through_an_operation() -> keras.Model:
    pixels = keras.Input((SIDE, SIDE, 3))
    return keras.Model(pixels, keras.ops.softmax(dense()(keras.layers.GlobalAveragePooling2D()(pixels))), name="mine")


@pytest.mark.parametrize(
    ("model", "end"),
    [
        (lambda: on_network("softmax"), "softmax"),
        (lambda: on_network("linear"), "linear"),
        (flat, "softmax"),
        (lambda: sequential(dense(), keras.layers.Softmax()), "softmax"),
        (lambda: sequential(dense(name="logits"), keras.layers.Activation("softmax", name="probabilities")), "softmax"),
        (lambda: sequential(keras.Sequential([dense(5, "relu"), dense(3, "softmax", use_bias=False)])), "softmax"),
        (lambda: sequential(dense(1, "sigmoid")), "sigmoid"),
        (lambda: sequential(keras.layers.Dense(3), keras.layers.Activation("linear")), "linear"),
        (lambda: sequential(dense(3, "softmax"), dtype="uint8"), "softmax"),
        (lambda: sequential(dense(), keras.layers.Reshape((3,)), keras.layers.Activation("softmax")), "softmax"),
        (through_an_operation, "softmax"),
    ],
)
def test_the_copy_answers_as_the_model(model: Callable[[], keras.Model], end: str) -> None:
    given = model()
    units = given.output_shape[-1]
    task = "multi_label" if end == "sigmoid" and units > 1 else "single_label"
    found = trainable_model(given, task=task, num_classes=max(2, units))
    assert (found.end, found.model.layers[-1].name) == (end, "logits")
    pixels = np.random.default_rng(0).uniform(0, 255, (4, SIDE, SIDE, 3)).astype(np.float32).round()
    values, logits = given(pixels), found.model(pixels)
    predictions = keras.ops.softmax(logits) if end != "linear" else logits
    predictions = predictions[:, 1:] if units == 1 else predictions
    np.testing.assert_allclose(predictions, values, atol=1e-5)
    found.model.set_weights([0 * one for one in found.model.get_weights()])
    np.testing.assert_array_equal(given(pixels), values)  # the model has its weights still


def test_scaling_outside_of_the_model_becomes_its_first_layer() -> None:
    given = sequential(dense())
    found = trainable_model(given, task="single_label", num_classes=3, mean=[127.5], std=[2.0])
    pixels = np.random.default_rng(0).uniform(0, 255, (4, SIDE, SIDE, 3)).astype(np.float32)
    np.testing.assert_allclose(found.model(pixels), given((pixels - 127.5) / 2), atol=1e-5)


@pytest.mark.parametrize(("model", "layer"), [(on_network, "base"), (flat, "conv2")])
def test_a_named_backbone_is_a_layer_with_blocks(model: Callable[[], keras.Model], layer: str) -> None:
    given = model()
    found = trainable_model(given, task="single_label", num_classes=3, backbone_layer=layer).model
    assert [one.name for one in found.layers if one.weights] == ["backbone", "logits"]
    assert len(blocks_of(found, find_backbone("own:mine"))) == 3
    pixels = np.random.default_rng(0).uniform(0, 255, (4, SIDE, SIDE, 3)).astype(np.float32)
    np.testing.assert_allclose(keras.ops.softmax(found(pixels)), given(pixels), atol=1e-5)


def test_a_model_inside_that_trains_in_part_is_cut() -> None:
    given = on_network(frozen=False)
    given.get_layer("base").get_layer("conv0").trainable = False
    bottom, top = split(trainable_model(given, task="single_label", num_classes=3).model)
    assert bottom.name == "conv0" and not bottom.trainable_weights
    assert len(top.trainable_weights) == 6


@pytest.mark.parametrize("inside", [False, True])
def test_nothing_is_cached_above_random_layers(inside: bool) -> None:
    base, random = network(), keras.layers.RandomFlip(seed=0)
    base.trainable = False
    layers = [keras.Sequential([random]) if inside else random, base, keras.layers.GlobalAveragePooling2D(), dense()]
    given = keras.Sequential([keras.Input((SIDE, SIDE, 3)), *layers])
    bottom, _ = split(trainable_model(given, task="single_label", num_classes=3).model)
    assert not bottom.weights
    bottom, top = split(keras.Sequential([base, keras.layers.GlobalAveragePooling2D(name="pooling"), dense()]))
    assert bottom.name == "pooling" and len(top.weights) == 2


@pytest.mark.parametrize(
    ("model", "options", "sentence"),
    [
        (lambda: Subclassed(name="mine"), {}, "mine is a subclass of keras.Model"),
        (lambda: keras.Sequential([dense()], name="mine"), {}, "begin it with keras.Input"),
        (
            lambda: sequential(dense(4)),
            {},
            "gives 4 values, and the data has 3 classes; give it a last layer with 3 units",
        ),
        (lambda: sequential(dense(3, "relu")), {}, "does not tell logits from probabilities"),
        (lambda: sequential(dense(3), keras.layers.ReLU()), {}, "does not tell logits from probabilities"),
        (lambda: sequential(dense(3, "softmax"), keras.layers.Softmax()), {}, "ends with two activations"),
        (lambda: sequential(dense(3, "sigmoid")), {}, "ends with sigmoid, and the labels of this data need softmax"),
        (lambda: sequential(dense(), shape=(8, 12, 3)), {}, "only square ones"),
        (lambda: sequential(dense(), shape=(8, 8, 1)), {}, "must have one input of RGB images"),
        (
            lambda: sequential(dense(), shape=(None, None, 3)),
            {},
            "takes images of any size; give one with --image-size",
        ),
        (lambda: sequential(dense()), {"image_size": 20}, "takes images of 12 pixels, not 20"),
        (lambda: sequential(dense()), {"backbone_layer": "no"}, "has no layer 'no' below its last; it has rescaling"),
        (lambda: sequential(dense(trainable=False)), {}, "nothing of mine is trainable"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(
    model: Callable[[], keras.Model], options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ModelError, match=re.escape(sentence)):
        trainable_model(model(), task="single_label", num_classes=3, name="mine", **options)


def test_blocks_are_counted_by_the_names_of_known_networks() -> None:
    names = ["stem", "block1a_conv", "block1b_conv", "block2a_conv"]
    for known, count in ((names, 4), (["one", "two", "three"], 3)):
        layers = [keras.layers.Dense(4, name=name) for name in known]
        model = keras.Sequential([keras.Input((8,)), keras.Sequential(layers, name="backbone")])
        assert len(blocks_of(model, find_backbone("own:mine"))) == count
