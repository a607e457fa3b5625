"""The loop of a phase, on a model that is small enough to train in an instant."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from app import Run
from app.interface.errors import UsageError
from app.training import fitting
from app.training.checkpoints import FitState, read_checkpoint
from app.training.fit_data import FitData
from app.training.fitting import fit, improves
from app.training.strategies import STRATEGIES
from data.image.augmentation import AUGMENTATIONS
from data.image.transform import ImageTransform
from data.loading import Loader
from data.sources import open_source
from models.backbones import find_backbone
from tests.images import write_folder
from tests.phases import make_phase
from tests.plans import plan_of


def tiny_model(classes: int = 3) -> keras.Model:
    keras.utils.set_random_seed(0)
    pixels = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 255)(pixels)
    x = keras.layers.Dropout(0.1, seed=1)(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(pixels, keras.layers.Dense(classes, name="logits")(x))


phase = partial(make_phase, epochs=6)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create({}, output=str(tmp_path / "run"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> FitData:
    examples = open_source(str(write_folder(tmp_path_factory.mktemp("fit") / "images", examples=10)))
    every = np.arange(len(examples))
    return FitData(
        loader=Loader(examples, ImageTransform(16, "stretch", AUGMENTATIONS["light"])),
        train=every[every % 5 != 0],
        validation=every[every % 5 == 0],
        batch_size=5,
        seed=0,
    )


def accuracy_and_loss(model: keras.Model, data: FitData) -> tuple[float, float]:
    pixels = np.stack([data.loader.load(index) for index in data.validation]).astype(np.float32)
    labels = data.loader.examples.labels.array[data.validation]
    logits = model(pixels, training=False)
    loss = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))
    return float(np.mean(np.argmax(logits, axis=1) == labels)), float(loss)


def test_ends_with_the_weights_that_were_best_on_validation(run: Run, data: FitData) -> None:
    model = tiny_model()
    fit(model, [phase(learning_rate=0.5)], data, run)  # a rate at which validation goes up and down
    best = max((one["val_accuracy"], -one["val_loss"]) for one in run.history)
    accuracy, loss = accuracy_and_loss(model, data)
    assert accuracy == pytest.approx(best[0], abs=1e-5)
    assert loss == pytest.approx(-best[1], rel=1e-3)


def test_a_second_phase_that_only_harms_is_not_kept(run: Run, data: FitData) -> None:
    def spoil(model: keras.Model) -> None:
        model.layers[-1].set_weights([-weights for weights in model.layers[-1].get_weights()])

    model = tiny_model()
    fit(model, [phase(), phase(name="fine_tune", learning_rate=1e-9, epochs=2, trainable=spoil)], data, run)
    best = max((one["val_accuracy"], -one["val_loss"]) for one in run.history if one["phase"] == "head")
    assert accuracy_and_loss(model, data)[1] == pytest.approx(-best[1], rel=1e-3)


def test_a_loss_that_is_no_number_stops_with_advice(run: Run, data: FitData) -> None:
    def spoil(model: keras.Model) -> None:
        model.layers[-1].set_weights([weights * np.nan for weights in model.layers[-1].get_weights()])

    with pytest.raises(UsageError, match="lower --fine-tune-learning-rate"):
        fit(tiny_model(), [phase(name="fine_tune", trainable=spoil)], data, run)


def test_a_phase_ends_early_when_validation_gets_no_better(run: Run, data: FitData) -> None:
    fit(tiny_model(), [phase(learning_rate=1e-12, epochs=9, patience=2)], data, run)
    assert len(run.history) == 3  # the first, and two that were not better


def test_images_count_by_their_weights(run: Run, data: FitData) -> None:
    """With a weight of zero on two classes, everything looks like the third."""
    model = tiny_model()
    weights = data.loader.examples.labels.has(2).astype(np.float32)
    fit(model, [phase(epochs=12)], replace(data, weights=weights), run)
    pixels = np.stack([data.loader.load(index) for index in data.train]).astype(np.float32)
    read_checkpoint(run, str(FitState.read(run).weights), model)
    assert set(np.argmax(model(pixels), axis=1)) == {2}


def test_history_has_every_epoch_of_both_phases(run: Run, data: FitData) -> None:
    fit(tiny_model(), [phase(epochs=2), phase(name="fine_tune", epochs=3)], data, run)
    assert [(one["phase"], one["epoch"]) for one in run.history] == [
        ("head", 1),
        ("head", 2),
        ("fine_tune", 1),
        ("fine_tune", 2),
        ("fine_tune", 3),
    ]


def test_a_finished_fit_is_not_run_again(run: Run, data: FitData) -> None:
    first, again = tiny_model(), tiny_model()
    fit(first, [phase()], data, run)
    history = run.history
    fit(again, [phase()], data, run)
    assert run.history == history
    for one, other in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("spoilt", ["cut off", "another kind", "gone"])
def test_a_damaged_checkpoint_is_named_in_a_sentence(spoilt: str, run: Run, data: FitData) -> None:
    fit(tiny_model(), [phase()], data, run)
    path = run.checkpoints / str(FitState.read(run).best_weights)
    content = path.read_bytes()
    path.unlink() if spoilt == "gone" else path.write_bytes(
        content[:-50] if spoilt == "cut off" else b"\x89HDF" + content
    )
    with pytest.raises(UsageError, match=rf"{path.name} is damaged, or of another version of Graft; start a new run$"):
        fit(tiny_model(), [phase()], data, run)


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "one_phase"])  # which knows no backbone
def test_every_strategy_starts_with_the_head_on_the_frozen_backbone(name: str) -> None:
    spec = find_backbone("efficientnet_lite0")
    phases = STRATEGIES[name].phases(plan_of(size=100, strategy=name), spec)
    assert phases[0].name == "head"
    assert len({one.name for one in phases}) == len(phases)


# --- Going on while validation improves -------------------------------------------------------------------------------


def test_a_phase_goes_on_while_validation_improves(run: Run, data: FitData) -> None:
    fit(tiny_model(), [phase(epochs=2, cycles=3)], data, run)
    assert [one["epoch"] for one in run.history] == [1, 2, 3, 4, 5, 6]  # and no further


def test_a_phase_that_no_longer_improves_ends_with_its_cycle(run: Run, data: FitData) -> None:
    fit(tiny_model(), [phase(learning_rate=1e-12, epochs=2, cycles=3)], data, run)
    assert len(run.history) == 2


@pytest.mark.parametrize(("learning_rate", "phases"), [(0.05, ["head", "deeper"]), (1e-12, ["head"])])
def test_more_layers_are_only_tried_while_validation_improves(
    learning_rate: float, phases: list[str], run: Run, data: FitData
) -> None:
    first = phase(learning_rate=learning_rate, epochs=2)
    fit(tiny_model(), [first, phase(name="deeper", epochs=1, goes_on=True)], data, run)
    assert list(dict.fromkeys(one["phase"] for one in run.history)) == phases


def test_a_fit_that_goes_on_ends_where_it_would_have_ended_without_a_break(
    run: Run, data: FitData, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    phases = [phase(epochs=2, cycles=3), phase(name="deeper", epochs=2, cycles=2, goes_on=True)]
    monkeypatch.setattr(fitting, "improves", lambda history: len(history) < 10)
    unbroken = tiny_model()
    fit(unbroken, phases, data, run)
    assert len(run.history) == 10

    for broken_after in range(1, len(run.history)):
        again = Run.create({}, output=str(tmp_path / f"broken-{broken_after}"))
        write_state = FitState.write

        def stop(state: FitState, one: Run, limit: int = broken_after, write: Any = write_state) -> None:
            write(state, one)
            if len(one.history) == limit:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(FitState, "write", stop)
            with pytest.raises(KeyboardInterrupt):
                fit(tiny_model(), phases, data, again)
        model = tiny_model()
        best, _ = fit(model, phases, data, again)
        assert [(one["phase"], one["epoch"], one["val_loss"]) for one in again.history] == [
            (one["phase"], one["epoch"], one["val_loss"]) for one in run.history
        ]
        assert best["epoch"] == max(run.history, key=lambda one: (one["val_accuracy"], -one["val_loss"]))["epoch"]
        for found, expected in zip(model.get_weights(), unbroken.get_weights(), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([1.0, 0.9, 0.8], True),
        ([1.0, 0.8, 0.795], False),  # by less than a hundredth
        ([1.0, 0.8, 0.9], False),  # rising again
        ([0.7, 0.9, 0.8], False),  # it was better before
        ([0.9, 0.8], True),
        ([0.9], False),  # nothing to compare with
    ],
)
def test_what_counts_as_improving(losses: list[float], expected: bool) -> None:
    assert improves([{"val_loss": loss} for loss in losses]) == expected
