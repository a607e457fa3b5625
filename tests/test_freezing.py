"""What trains and what does not, shown by the weights before and after a real `fit`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

import app
from models.backbones import BACKBONES
from models.backbones.spec import BACKBONE_LAYER
from models.builder import build_model
from models.errors import ModelError
from models.freezing import blocks_of, freeze, unfreeze_blocks, unfreeze_from
from models.heads import OUTPUTS
from models.identity import model_name, spec_of
from models.splitting import split
from tests.conftest import TINY_SPEC
from tests.test_tf_hub import write_reusable

HEAD = {"logits/kernel", "logits/bias"}
STATISTICS = ("moving_mean", "moving_variance")


@pytest.fixture
def model() -> keras.Model:
    return build_model(TINY_SPEC, num_classes=3, dropout=0.0, weights="none")


def moved_by_fit(model: keras.Model) -> set[str]:
    """Train for an epoch, as the fit does; gives "layer/variable" of every weight that is not what it was."""
    random = np.random.default_rng(0)
    pixels = random.uniform(0, 255, (16, 32, 32, 3)).astype(np.float32)
    before = {(layer.name, one.name): one.numpy() for layer in _layers(model) for one in layer.weights}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss)
    model.fit(pixels, random.integers(0, 3, 16), batch_size=8, epochs=1, verbose=0)
    return {
        f"{layer.name}/{one.name}"
        for layer in _layers(model)
        for one in layer.weights
        if not np.array_equal(before[layer.name, one.name], one.numpy())
    }


def _layers(model: keras.Model) -> list[keras.layers.Layer]:
    backbone = model.get_layer(BACKBONE_LAYER)
    return [*backbone.layers, *(layer for layer in model.layers if layer is not backbone and "seed" not in layer.name)]


def block(number: int, *, batch_norm: bool) -> set[str]:
    """What moves where a block trains."""
    normalization = {f"block{number}_bn/{name}" for name in ("gamma", "beta", *STATISTICS)}
    return {f"block{number}_conv/kernel"} | (normalization if batch_norm else set())


def test_without_a_policy_everything_moves(model: keras.Model) -> None:
    every = set.union(*(block(number, batch_norm=True) for number in range(3)))
    assert moved_by_fit(model) == HEAD | every  # so that the tests below can fail


def test_frozen_means_frozen(model: keras.Model) -> None:
    freeze(model)
    assert moved_by_fit(model) == HEAD


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("last", [1, 2, 3, 99])
def test_the_last_blocks_train_and_nothing_below(last: int, batch_norm: bool, model: keras.Model) -> None:
    freeze(model)
    boundary = unfreeze_blocks(model, last, backbone=TINY_SPEC, train_batch_norm=batch_norm)
    first = max(0, 3 - last)
    assert boundary == (f"block{first}_conv")
    expected = set.union(*(block(number, batch_norm=batch_norm) for number in range(first, 3)))
    assert moved_by_fit(model) == HEAD | expected


@pytest.mark.parametrize("batch_norm", [False, True])
def test_training_begins_at_the_layer_named(batch_norm: bool, model: keras.Model) -> None:
    unfreeze_from(model, "block1_bn", train_batch_norm=batch_norm)
    normalization = block(1, batch_norm=batch_norm) - {"block1_conv/kernel"}
    assert moved_by_fit(model) == HEAD | normalization | block(2, batch_norm=batch_norm)


def test_freezing_again_freezes(model: keras.Model) -> None:
    unfreeze_blocks(model, 3, backbone=TINY_SPEC, train_batch_norm=True)
    assert moved_by_fit(model) > HEAD
    freeze(model)
    assert moved_by_fit(model) == HEAD


def test_a_boundary_can_move_up_again(model: keras.Model) -> None:
    unfreeze_blocks(model, 3, backbone=TINY_SPEC, train_batch_norm=True)
    unfreeze_blocks(model, 1, backbone=TINY_SPEC)
    assert moved_by_fit(model) == HEAD | block(2, batch_norm=False)


def test_the_head_s_own_normalization_always_trains() -> None:
    model = build_model(TINY_SPEC, num_classes=3, head="mlp", dropout=0.0, weights="none")
    freeze(model)
    moved = moved_by_fit(model)
    assert {f"head_normalization/{name}" for name in STATISTICS} <= moved
    assert not [name for name in moved if name.startswith("block")]


def test_an_unknown_layer_is_named(model: keras.Model) -> None:
    with pytest.raises(ModelError, match=r"no layer 'block9'; it has .*block0_conv"):
        unfreeze_from(model, "block9")


def test_the_default_backbone_with_the_default_policy() -> None:
    spec = BACKBONES["efficientnet_lite0"]
    model = build_model(spec, num_classes=3, image_size=32, dropout=0.0, weights="none")
    boundary = unfreeze_blocks(model, 2, backbone=spec)
    names = [layer.name for layer in model.get_layer(BACKBONE_LAYER).layers]
    above = set(names[names.index(boundary) :])
    moved = moved_by_fit(model) - HEAD
    assert moved
    assert {name.partition("/")[0] for name in moved} <= above
    assert not [name for name in moved if name.endswith((*STATISTICS, "gamma", "beta"))]
    kernels = {
        layer.name for layer in model.get_layer(BACKBONE_LAYER).layers if layer.name in above and "conv" in layer.name
    }
    assert {name.partition("/")[0] for name in moved} == kernels


@pytest.mark.parametrize(
    "name", ["efficientnet_lite0", "mobilenet", "mobilenet_v2", "mobilenet_v3_small", "vgg16", "resnet50_v2"]
)
def test_blocks_cover_every_weight_once(name: str) -> None:
    model = build_model(BACKBONES[name], num_classes=2, image_size=32, weights="none")
    blocks = blocks_of(model, BACKBONES[name])
    assert len(blocks) >= 4
    assert all(any(layer.weights for layer in layers) for layers in blocks)
    in_blocks = [layer.name for layers in blocks for layer in layers]
    assert len(in_blocks) == len(set(in_blocks))
    weighted = [layer.name for layer in model.get_layer(BACKBONE_LAYER).layers if layer.weights]
    assert [name for name in in_blocks if name in weighted] == weighted


# --- The backbone of a model ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", OUTPUTS)
def test_every_backbone_is_found_by_the_name_of_its_model(task: str) -> None:
    for name, spec in BACKBONES.items():
        assert spec_of(keras.Sequential(name=model_name(spec, task))) is BACKBONES[name]


def test_the_model_of_a_run_needs_no_row(tiny_run: app.Run) -> None:
    loaded, other = (keras.models.load_model(tiny_run.model) for _ in range(2))
    assert unfreeze_blocks(loaded, 2) == unfreeze_blocks(other, 2, backbone=TINY_SPEC) == "block1_conv"
    assert [one.path for one in loaded.trainable_weights] == [one.path for one in other.trainable_weights]
    assert split(loaded)[0].name == "block0_relu"


def test_a_saved_model_of_tf_hub_is_one_block(tmp_path: Path) -> None:
    model = build_model(f"hub:{write_reusable(tmp_path / 'vectors')}", num_classes=2)
    frozen = len(model.trainable_weights)
    freeze(model)
    assert len(model.trainable_weights) == 2
    unfreeze_blocks(model)
    assert len(model.trainable_weights) == frozen > 2


def test_a_backbone_that_is_not_in_the_table_must_be_named() -> None:
    unlisted = replace(TINY_SPEC, name="mine")
    model = build_model(unlisted, num_classes=2, weights="none")
    with pytest.raises(
        ModelError, match=r"backbone of the model 'mine_single_label' is not in models\.BACKBONES; name it"
    ):
        unfreeze_blocks(model)
    assert unfreeze_blocks(model, 1, backbone=unlisted) == "block2_conv"


@pytest.mark.parametrize("function", [freeze, unfreeze_blocks])
def test_a_model_without_a_backbone_is_refused(function: Callable[[keras.Model], object]) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="hidden")], name="mine")
    with pytest.raises(ModelError, match="the model 'mine' has no layer 'backbone'; build it with"):
        function(model)
