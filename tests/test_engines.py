"""Engines: each gives what Keras gives, and the fastest of those that do is chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from app.interface.errors import UsageError
from app.training import engines
from app.training.engines import (
    ENGINES,
    TOLERANCE,
    Choice,
    Engine,
    Forward,
    choose_engine,
    disagreement,
    engine_choices,
)
from models.backbones import find_backbone
from models.backbones.tf_hub import hub_spec
from models.builder import build_model
from models.freezing import freeze
from models.splitting import split
from tests.test_tf_hub import write_reusable

SIZE = 32
EXACT = 1e-4  # what engines that compute in float32 may be away
FLOAT32 = ("tensorflow", "litert")
INSTALLED = [
    pytest.param(name, marks=pytest.mark.skipif(not engine.is_installed, reason=f"{name} is not installed"))
    for name, engine in ENGINES.items()
]


def examples(count: int) -> np.ndarray:
    """Uint8 (count, SIZE, SIZE, 3): noise about a colour, each about another."""
    random = np.random.default_rng(count)
    colours = random.uniform(30, 220, (count, 1, 1, 3))
    return np.clip(colours + random.normal(0, 25, (count, SIZE, SIZE, 3)), 0, 255).astype(np.uint8)


def build_network() -> keras.Model:
    """Three outputs of unlike shapes, not in the order in which they are computed."""
    layers = keras.layers
    features = pixels = keras.Input((SIZE, SIZE, 3))
    features = layers.Rescaling(1 / 127.5, offset=-1)(features)
    ends = []
    for block, width in enumerate((6, 10)):
        kernel = keras.initializers.HeNormal(seed=block)
        features = layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False, kernel_initializer=kernel)(
            features
        )
        features = layers.BatchNormalization(name=f"bn{block}")(features)
        features = layers.Activation("relu6")(features)
        ends.append(features)
    model = keras.Model(pixels, [layers.GlobalAveragePooling2D()(features), ends[0], ends[1]])
    random = np.random.default_rng(0)
    for block in range(2):
        layer = model.get_layer(f"bn{block}")
        layer.set_weights([random.uniform(0.5, 1.5, one.shape) for one in layer.get_weights()])
    return model


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return build_network()


@pytest.fixture(scope="module")
def chosen(network: keras.Model) -> Callable[[str], Choice]:
    """An engine made ready for the network, once."""
    ready: dict[str, Choice] = {}

    def choose(name: str) -> Choice:
        if name not in ready:
            ready[name] = choose_engine(name, network, examples(16))
        return ready[name]

    return choose


def by_keras(network: keras.Model, pixels: np.ndarray) -> list[np.ndarray]:
    predictions = network(pixels.astype(np.float32), training=False)
    return [np.asarray(one) for one in (predictions if isinstance(predictions, list) else [predictions])]


# --- What they answer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", INSTALLED)
@pytest.mark.parametrize("count", [1, 3, 17])
def test_it_gives_what_keras_gives_for_any_number_of_images(
    name: str, count: int, network: keras.Model, chosen: Callable[[str], Choice]
) -> None:
    found = chosen(name).forward(examples(count))
    expected = by_keras(network, examples(count))

    assert [one.shape for one in found] == [(count, 10), (count, 16, 16, 6), (count, 8, 8, 10)]
    assert all(one.dtype == np.float32 for one in found)
    for one, other in zip(found, expected, strict=True):
        assert disagreement(one, other) < (EXACT if name in FLOAT32 else TOLERANCE)


@pytest.mark.parametrize("name", INSTALLED)
def test_an_image_gives_the_same_in_any_company(name: str, chosen: Callable[[str], Choice]) -> None:
    forward, pixels = chosen(name).forward, examples(17)
    together = forward(pixels)
    shuffled = forward(pixels[::-1])
    alone = forward(pixels[5:6])
    for one, other, single in zip(together, shuffled, alone, strict=True):
        np.testing.assert_allclose(one, other[::-1], atol=1e-5)
        np.testing.assert_allclose(one[5:6], single, atol=1e-5)


@pytest.mark.parametrize("name", INSTALLED)
def test_answers_stay_as_they_are_when_others_are_asked_for(name: str, chosen: Callable[[str], Choice]) -> None:
    first = chosen(name).forward(examples(3))
    copies = [one.copy() for one in first]
    chosen(name).forward(255 - examples(3))
    for one, copy in zip(first, copies, strict=True):
        np.testing.assert_array_equal(one, copy)


@pytest.mark.parametrize("name", INSTALLED)
def test_a_real_backbone(name: str) -> None:
    keras.utils.set_random_seed(0)
    model = build_model(find_backbone("efficientnet_lite0"), num_classes=3, image_size=SIZE, weights="none")
    freeze(model)
    features, _ = split(model)
    choice = choose_engine(name, features, examples(4))
    (found,), (expected,) = choice.forward(examples(3)), by_keras(features, examples(3))

    assert choice.name == name and choice.rate > 0
    assert disagreement(found, expected) < (EXACT if name in FLOAT32 else TOLERANCE)


@pytest.mark.parametrize("name", FLOAT32)
def test_a_backbone_of_tf_hub(name: str, tmp_path: Path) -> None:
    """Its variables are not Keras' own."""
    model = build_model(hub_spec(str(write_reusable(tmp_path / "hub"))), num_classes=3, image_size=SIZE, weights="hub")
    freeze(model)
    features, _ = split(model)
    (found,), (expected,) = (
        choose_engine(name, features, examples(4)).forward(examples(3)),
        by_keras(features, examples(3)),
    )
    assert disagreement(found, expected) < EXACT


# --- Which one is chosen ----------------------------------------------------------------------------------------------


def row(prepare: Callable[[Any], Forward], module: str = "numpy") -> Engine:
    return Engine("made up for a test", module, "made-up-engine", prepare)


class Clock:
    """What engines are compared by: only an answer of `slow` moves it on, and each look a very little."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 1e-9
        return self.now


CLOCK = Clock()


def slow(seconds: float, change: Callable[[np.ndarray], np.ndarray] = lambda rows: rows) -> Engine:
    """TensorFlow that takes so many seconds by `CLOCK`, and its predictions changed."""

    def prepare(graph: Any) -> Forward:
        forward = ENGINES["tensorflow"].prepare(graph)

        def rested(pixels: np.ndarray) -> list[np.ndarray]:
            CLOCK.now += seconds
            return [change(one) for one in forward(pixels)]

        return rested

    return row(prepare)


def refusing(graph: Any) -> Forward:
    raise RuntimeError("the operation 'Nod' is not known\nsome stack of the converter\nand more of it")


def failing(graph: Any) -> Forward:
    def forward(pixels: np.ndarray) -> list[np.ndarray]:
        raise MemoryError("out of tiles")

    return forward


def saying_nothing(graph: Any) -> Forward:
    raise ValueError


def one_output_only(graph: Any) -> Forward:
    forward = ENGINES["tensorflow"].prepare(graph)
    return lambda pixels: forward(pixels)[:1]


OTHERS = {
    "far": slow(0, lambda rows: rows * (1 + 2 * TOLERANCE)),
    "mixed_up": slow(0, lambda rows: rows[::-1]),
    "not_a_number": slow(0, lambda rows: np.where(rows == rows.max(), np.nan, rows)),
    "flat": slow(0, lambda rows: rows.reshape(len(rows), -1)),
    "short": row(one_output_only),
    "refusing": row(refusing),
    "failing": row(failing),
    "silent": row(saying_nothing),
}


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> dict[str, Engine]:
    """Made-up engines beside a TensorFlow that takes its time, by a clock that the load of the machine does not move."""
    monkeypatch.setattr(engines, "time", CLOCK)
    made_up = {"tensorflow": slow(0.1), "slower": slow(0.3)}
    monkeypatch.setattr(engines, "ENGINES", made_up)
    return made_up


def test_auto_takes_one_that_agrees_with_tensorflow(network: keras.Model) -> None:
    choice = choose_engine("auto", network, examples(16))

    assert choice.name in engine_choices() and ENGINES[choice.name].is_installed
    for one, other in zip(choice.forward(examples(5)), by_keras(network, examples(5)), strict=True):
        assert disagreement(one, other) < TOLERANCE


def test_auto_takes_the_fastest(table: dict[str, Engine], network: keras.Model) -> None:
    assert choose_engine("auto", network, examples(4)).name == "tensorflow"
    table["fast"] = slow(0, lambda rows: rows * (1 + TOLERANCE / 2))  # as far away as may be
    table["middling"] = slow(0.05)
    choice = choose_engine("auto", network, examples(4))

    assert choice.name == "fast"
    assert choice.rate > 4 / 0.1  # which TensorFlow has at most
    np.testing.assert_allclose(
        choice.forward(examples(2))[0], by_keras(network, examples(2))[0] * (1 + TOLERANCE / 2), rtol=1e-4
    )


@pytest.mark.parametrize("other", OTHERS)
def test_auto_passes_over_a_fast_one_that_fails_or_is_wrong(
    other: str, table: dict[str, Engine], network: keras.Model
) -> None:
    table |= {other: OTHERS[other], "right": slow(0.01)}
    assert choose_engine("auto", network, examples(4)).name == "right"


def test_auto_passes_over_what_is_not_installed(table: dict[str, Engine], network: keras.Model) -> None:
    table["absent"] = replace(slow(0), module="graft_made_up_module")
    assert choose_engine("auto", network, examples(4)).name == "tensorflow"


def on_gpu(seconds: float, *, on_cpu: float) -> Engine:
    """TensorFlow that takes so many seconds by `CLOCK`, depending on where it is called."""

    def prepare(graph: Any) -> Forward:
        forward = ENGINES["tensorflow"].prepare(graph)

        def rested(pixels: np.ndarray) -> list[np.ndarray]:
            CLOCK.now += on_cpu if context.context().device_name.endswith("CPU:0") else seconds
            return forward(pixels)

        return rested

    return row(prepare)


def test_auto_prepares_no_other_engine_where_a_gpu_is_far_ahead(
    table: dict[str, Engine], network: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(graph: Any) -> Forward:
        raise AssertionError("a conversion takes seconds")

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [f"a {kind}"])
    table.clear()
    table |= {"tensorflow": on_gpu(0.01, on_cpu=0.1), "other": row(prepare)}
    choice = choose_engine("auto", network, examples(4))
    assert choice.name == "tensorflow" and choice.rate == pytest.approx(4 / 0.01)


def test_auto_measures_all_engines_where_a_gpu_is_slow(
    table: dict[str, Engine], network: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [f"a {kind}"])
    table |= {"tensorflow": on_gpu(0.05, on_cpu=0.1), "faster": slow(0.04)}
    assert choose_engine("auto", network, examples(4)).name == "faster"
    table["faster"] = slow(0.06)
    assert choose_engine("auto", network, examples(4)).name == "tensorflow"


def test_the_one_asked_for_is_taken_however_slow(table: dict[str, Engine], network: keras.Model) -> None:
    choice = choose_engine("slower", network, examples(4))
    assert choice.name == "slower" and choice.rate == pytest.approx(4 / 0.3)
    assert choose_engine("tensorflow", network, examples(4)).name == "tensorflow"


@pytest.mark.parametrize("other", OTHERS)
def test_the_one_asked_for_is_refused_in_a_sentence_if_it_fails_or_is_wrong(
    other: str, table: dict[str, Engine], network: keras.Model
) -> None:
    table[other] = OTHERS[other]
    with pytest.raises(UsageError) as caught:
        choose_engine(other, network, examples(4))
    text = str(caught.value)

    assert text.startswith(f"--engine {other} cannot be used here: ")
    assert text.endswith("Choose another, or leave it out")
    assert "\n" not in text and ": ." not in text


def test_how_far_an_engine_is_away_is_said(table: dict[str, Engine], network: keras.Model) -> None:
    table["far"] = OTHERS["far"]
    with pytest.raises(UsageError, match=r"its activations are 20\.0% from TensorFlow's, and may be 10%\. "):
        choose_engine("far", network, examples(4))


def test_what_is_not_installed_is_said_with_what_to_install(table: dict[str, Engine], network: keras.Model) -> None:
    table["absent"] = row(refusing, module="graft_made_up_module")
    with pytest.raises(UsageError, match=r"^--engine absent is not installed: pip install made-up-engine$"):
        choose_engine("absent", network, examples(4))


# --- How far they are away --------------------------------------------------------------------------------------------


def test_disagreement_is_a_part_of_what_is_expected() -> None:
    expected = np.random.default_rng(0).normal(5, 2, (4, 3)).astype(np.float32)

    assert disagreement(expected, expected) == 0
    assert disagreement(1.05 * expected, expected) == pytest.approx(0.05, rel=1e-4)
    assert disagreement(1e6 * 1.05 * expected, 1e6 * expected) == pytest.approx(0.05, rel=1e-4)
    assert disagreement(-expected, expected) == pytest.approx(2)
    assert disagreement(np.zeros_like(expected), expected) == pytest.approx(1)


def test_disagreement_of_what_cannot_be_compared_is_infinite() -> None:
    ones = np.ones((4, 3), np.float32)
    for found in (ones[:, :2], ones[:3], ones.ravel(), np.where(np.eye(4, 3), np.nan, ones), ones * np.inf):
        assert disagreement(found, ones) == float("inf")
    assert disagreement(ones, ones * np.nan) == float("inf")


def test_disagreement_with_nothing_but_zeros() -> None:
    zeros = np.zeros((4, 3), np.float32)
    assert disagreement(zeros, zeros) == 0
    assert disagreement(zeros + np.float32(1e-3), zeros) > TOLERANCE
