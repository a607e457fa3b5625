"""A model cut in two at the freeze boundary answers like the whole one, and training its top trains the whole one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest

from models.backbones import BACKBONES
from models.backbones.spec import BACKBONE_LAYER, BackboneSpec
from models.backbones.tf_hub import hub_spec
from models.builder import build_model
from models.freezing import blocks_of, freeze, unfreeze_blocks
from models.splitting import side_by_side, split
from tests.conftest import TINY_SPEC
from tests.networks import enliven
from tests.test_tf_hub import write_reusable

NETWORKS = {
    "efficientnet_lite0": 64,
    "mobilenet": 32,
    "mobilenet_v2": 32,
    "densenet121": 32,
    "efficientnet_b0": 32,  # drops whole blocks while it trains, and begins with a Normalization layer
}
UNFROZEN = ("nothing", "one block", "a third", "everything")


class Case(NamedTuple):
    """A classifier, and images with its predictions to them."""

    model: keras.Model
    spec: BackboneSpec
    pixels: np.ndarray
    predictions: np.ndarray

    def unfreeze(self, how_much: str) -> None:
        blocks = len(blocks_of(self.model, self.spec))
        freeze(self.model)
        if how_much != "nothing":
            last = {"one block": 1, "a third": -(-blocks // 3), "everything": blocks}[how_much]
            unfreeze_blocks(self.model, last, backbone=self.spec)


def pixels_of(size: int, count: int = 8) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (count, size, size, 3)).astype(np.float32)


def make_case(spec: BackboneSpec, size: int, *, weights: str = "none", head: str = "linear") -> Case:
    keras.utils.set_random_seed(1)  # of few other seeds, the weights enlarge what float16 rounds off to above 0.02
    model = build_model(spec, num_classes=3, image_size=size, weights=weights, head=head)
    pixels = pixels_of(size)
    enliven(model, pixels)
    return Case(model, spec, pixels, answer(model, pixels))


def answer(model: keras.Model, inputs: np.ndarray) -> np.ndarray:
    return np.asarray(model(inputs, training=False))


def assert_close(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def operations_in(model: keras.Model) -> set[str]:
    """Names of all layers and operations, those in models inside it too."""
    names: set[str] = set()
    for one in model.operations:
        names |= operations_in(one) if isinstance(one, keras.Model) else {one.name}
    return names


@pytest.fixture(scope="module", params=NETWORKS)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    yield make_case(BACKBONES[request.param], NETWORKS[request.param])
    keras.backend.clear_session()


@pytest.fixture
def tiny() -> Case:
    return make_case(TINY_SPEC, 32)


# --- Of the table's backbones -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how_much", UNFROZEN)
def test_top_of_bottom_is_the_model(how_much: str, case: Case) -> None:
    case.unfreeze(how_much)
    bottom, top = split(case.model)
    activations = answer(bottom, case.pixels)

    assert activations.dtype == np.float32 and np.ptp(case.predictions) > 1e-3  # else all would be close
    assert_close(answer(top, activations), case.predictions, 1e-5)
    if bottom.weights:  # else nothing is kept
        assert_close(answer(top, activations.astype(np.float16).astype(np.float32)), case.predictions, 0.02)


@pytest.mark.parametrize("how_much", UNFROZEN)
def test_what_trains_is_in_the_top(how_much: str, case: Case) -> None:
    case.unfreeze(how_much)
    bottom, top = split(case.model)

    assert not bottom.trainable_weights
    assert {id(one) for one in top.trainable_weights} == {id(one) for one in case.model.trainable_weights}
    assert (not bottom.weights) == (how_much == "everything")  # then there is nothing to be saved


def test_a_frozen_backbone_is_cut_after_pooling(case: Case) -> None:
    case.unfreeze("nothing")
    bottom, top = split(case.model)
    assert bottom.output_shape == (None, case.spec.feature_width)
    assert [layer.name for layer in top.layers if layer.weights] == ["logits"]
    assert bottom.name == "head_pooling"


@pytest.mark.parametrize("how_much", ["one block", "a third"])
def test_the_top_holds_the_unfrozen_blocks_and_little_more(how_much: str, case: Case) -> None:
    """A block's beginning may lie within the cut's block, where two paths run side by side, but not within the one below."""
    case.unfreeze(how_much)
    _, top = split(case.model)
    blocks = blocks_of(case.model, case.spec)
    unfrozen = {"one block": 1, "a third": -(-len(blocks) // 3)}[how_much]
    below = {layer.name for layers in blocks[: -unfrozen - 1] for layer in layers}
    weighted = {layer.name for layer in top._flatten_layers() if layer.weights and not isinstance(layer, keras.Model)}
    assert {layer.name for layers in blocks[-unfrozen:] for layer in layers if layer.weights} <= weighted
    assert not weighted & below


def test_frozen_dropout_is_in_the_bottom_and_does_nothing_there() -> None:
    spec = BACKBONES["efficientnet_b0"]
    model = build_model(spec, num_classes=2, image_size=32, weights="none")
    dropouts = [
        layer.name for layer in model.get_layer(BACKBONE_LAYER).layers if isinstance(layer, keras.layers.Dropout)
    ]
    assert len(dropouts) > 5
    unfreeze_blocks(model, 3, backbone=spec)
    bottom, top = split(model)
    frozen = set(dropouts) & operations_in(bottom)
    assert len(frozen) > 5 and not frozen & operations_in(top)
    pixels = pixels_of(32, 2)
    np.testing.assert_array_equal(answer(bottom, pixels), answer(bottom, pixels))


# --- Training the top -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["linear", "mlp"])
@pytest.mark.parametrize("last", [0, 1, 2])
def test_training_the_top_trains_the_model_and_leaves_the_bottom(last: int, head: str) -> None:
    case = make_case(TINY_SPEC, 32, head=head)
    freeze(case.model)
    if last:
        unfreeze_blocks(case.model, last, backbone=TINY_SPEC)
    bottom, top = split(case.model)
    activations = answer(bottom, case.pixels)
    backbone = case.model.get_layer(BACKBONE_LAYER)
    statistics = [one for one in backbone.non_trainable_weights if one.name.startswith("moving")]
    left = {one.path: (one, one.numpy()) for one in [*bottom.weights, *statistics]}
    context = [(one, one.numpy()) for one in case.model.trainable_weights]

    top.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    top.train_on_batch(activations, np.arange(8) % 3)

    for path, (weight, before) in left.items():
        np.testing.assert_array_equal(weight.numpy(), before, err_msg=path)
    assert all(not np.array_equal(weight.numpy(), before) for weight, before in context)
    assert len(statistics) == 6
    predictions = answer(case.model, case.pixels)
    assert np.abs(predictions - case.predictions).max() > 1e-3
    assert_close(answer(top, answer(bottom, case.pixels)), predictions, 1e-5)


def test_unfrozen_normalization_is_above_the_cut(tiny: Case) -> None:
    unfreeze_blocks(tiny.model, 1, backbone=TINY_SPEC, train_batch_norm=True)
    bottom, top = split(tiny.model)
    before = [weight.numpy() for weight in bottom.weights]
    moving = tiny.model.get_layer(BACKBONE_LAYER).get_layer("block2_bn").moving_mean
    moving_before = moving.numpy()
    top.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    top.train_on_batch(answer(bottom, tiny.pixels / 2), np.arange(8) % 3)
    assert not np.array_equal(moving.numpy(), moving_before)
    for weight, old in zip(bottom.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), old)


def test_the_head_s_dropout_is_in_the_top(tiny: Case) -> None:
    freeze(tiny.model)
    bottom, top = split(tiny.model)
    activations = answer(bottom, tiny.pixels)
    assert not np.array_equal(top(activations, training=True), top(activations, training=True))


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_the_cut_of_a_frozen_backbone_is_the_same_for_every_head_and_dropout(head: str) -> None:
    cuts = set()
    for dropout in (0.0, 0.3):
        model = build_model(TINY_SPEC, num_classes=3, head=head, dropout=dropout, weights="none")
        freeze(model)
        bottom, _ = split(model)
        cuts.add((bottom.name, len(bottom.operations)))
    assert cuts == {("head_pooling", 4)}  # input, scaling, backbone, pooling


# --- Several bottoms --------------------------------------------------------------------------------------------------


def test_side_by_side_gives_what_each_bottom_gives(tiny: Case) -> None:
    bottoms = []
    for last in (2, 1, 0):
        freeze(tiny.model)
        if last:
            unfreeze_blocks(tiny.model, last, backbone=TINY_SPEC)
        bottoms.append(split(tiny.model)[0])
    expected = [answer(bottom, tiny.pixels) for bottom in bottoms]
    found = side_by_side(bottoms)(tiny.pixels, training=False)
    assert [one.shape for one in expected] == [(8, 16, 16, 4), (8, 8, 8, 8), (8, 8)]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


# --- A SavedModel, which is one layer ---------------------------------------------------------------------------------


@pytest.mark.parametrize("frozen", [True, False])
def test_a_hub_backbone_is_cut_above_or_below(frozen: bool, tmp_path: Path) -> None:
    spec = hub_spec(str(write_reusable(tmp_path / "hub")))
    case = make_case(spec, 32, weights="hub")
    freeze(case.model)
    if not frozen:
        unfreeze_blocks(case.model, 1, backbone=spec)
    bottom, top = split(case.model)
    assert_close(answer(top, answer(bottom, case.pixels)), case.predictions, 1e-5)
    assert not bottom.trainable_weights
    assert {id(one) for one in top.trainable_weights} == {id(one) for one in case.model.trainable_weights}
    assert bottom.output_shape == ((None, spec.feature_width) if frozen else (None, 32, 32, 3))
    assert bool(bottom.weights) == frozen
