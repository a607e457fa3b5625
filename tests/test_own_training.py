"""`train` with a Keras model, a loss, an optimizer, metrics and callbacks of the caller."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import app
from app.job.given import Given
from app.runs.folder import RunFolder
from app.runs.keras_record import write_record
from app.tasks import TASKS
from app.training.fit_data import FitData
from app.training.fitting import fit
from app.training.keras_objects import KerasObjects, keras_objects
from data.errors import DataError
from data.image.transform import ImageTransform
from data.loading import Loader
from data.sources import open_source
from models.errors import ModelError
from models.heads import end_activation
from models.trainable import trainable_model
from tests.classifiers import SIDE, Doubling, Unregistered, dense, flat, on_network, sequential
from tests.conftest import TINY, Ended
from tests.phases import make_phase

Cli = Callable[..., Ended]
OPTIONS = {"batch_size": 8, "augment": "light", "formats": (), "verbose": 0}
Focal = keras.losses.CategoricalFocalCrossentropy


def figures(run: app.Run) -> list[dict[str, Any]]:
    return [{name: one for name, one in row.items() if name not in ("seconds", "finished")} for row in run.history]


# --- What is given, and what it is at odds with -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "options", "sentence"),
    [
        ({"model": "mine.keras"}, {}, "model must be a Keras model, not 'mine.keras'"),
        ({"model": on_network}, {"backbone": "mobilenet_v2"}, "backbone= is about a network that Graft builds"),
        ({"model": on_network}, {"weights": "imagenet"}, "weights= is about a network that Graft builds"),
        ({"model": on_network}, {"head": "mlp"}, "head= is about a network that Graft builds"),
        ({"model": on_network}, {"dropout": 0.2}, "dropout= is about a network that Graft builds"),
        ({"model": on_network}, {"strategy": "two_phase"}, "say with backbone_layer= which layer of model= that is"),
        (
            {"model": on_network},
            {"unfreeze_blocks": 2},
            "unfreeze_blocks= is about a backbone; say with backbone_layer=",
        ),
        ({"model": on_network, "backbone_layer": 3}, {}, "backbone_layer must be a string, not 3"),
        ({"mean": [127.5]}, {}, "mean is about a model of your own; give it with model="),
        ({"loss": 3}, {}, "loss must be a keras.losses.Loss, the name of one, or a function"),
        ({"loss": "no_such_loss"}, {}, "loss must be a keras.losses.Loss, the name of one, or a function"),
        ({"loss": "sparse_categorical_crossentropy"}, {}, "targets here are one-hot; use CategoricalCrossentropy"),
        ({"loss": "mse"}, {"label_smoothing": 0.2}, "label_smoothing= is about Graft's own loss"),
        ({"metrics": [3]}, {}, "metrics must be a list of keras.metrics.Metric, names of them, or functions"),
        (
            {"metrics": [keras.metrics.SparseCategoricalAccuracy]},
            {},
            "targets here are one-hot; use CategoricalAccuracy",
        ),
        ({"optimizer": 0.1}, {}, "optimizer must be a keras.optimizers.Optimizer or the name of one, not 0.1"),
        ({"optimizer": "sgd"}, {"head_learning_rate": 0.1}, "head_learning_rate= is about Graft's own optimizer"),
        (
            {"callbacks": [print]},
            {},
            "callbacks must be a list of keras.callbacks.Callback, not <built-in function print>",
        ),
    ],
    ids=lambda one: one if isinstance(one, str) else "-".join(one),
)
def test_what_is_wrong_or_at_odds_is_one_sentence(
    given: dict[str, Any], options: dict[str, Any], sentence: str
) -> None:
    if callable(given.get("model")):
        given = given | {"model": given["model"]()}
    with pytest.raises(app.UsageError, match=re.escape(sentence)):
        app.train("images", **given, **options)


def test_own_models_are_of_classes(tmp_path: Path) -> None:
    examples = type("Examples", (), {"task": "regression", "source": "list.csv"})()
    with pytest.raises(DataError, match="holds numbers; models of your own are trained if they predict classes"):
        Given(model=on_network()).resolved(None, examples)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("objects", "sentence"),
    [
        (
            {"loss": lambda targets, logits: keras.ops.reshape(logits, (7,))},
            "loss <lambda> fails for targets and values, both float32 (3, 3)",
        ),
        ({"loss": lambda targets, logits: logits / 0.0}, "gives no finite number"),
        ({"metrics": ["mse", keras.metrics.Mean(name="loss")]}, "two metrics have the name 'loss'"),
        ({"metrics": [keras.metrics.CategoricalAccuracy(name="accuracy")]}, "two metrics have the name 'accuracy'"),
    ],
)
def test_objects_are_tried_out(objects: dict[str, Any], sentence: str) -> None:
    found = keras_objects(**objects)
    assert found is not None
    with pytest.raises(app.UsageError, match=re.escape(sentence)):
        found.fitted_to(TASKS["single_label"], 3)


def test_keras_own_losses_get_logits() -> None:
    for given in ("categorical_crossentropy", "CategoricalCrossentropy", Focal(gamma=3.0)):
        found = keras_objects(loss=given)
        assert found is not None and found.loss.from_logits
    assert found.loss.gamma == 3.0


def test_accuracy_is_the_metric_of_the_task() -> None:
    found = keras_objects(metrics=["accuracy"])
    assert found is not None
    assert found.fitted_to(TASKS["single_label"], 3).metrics == ()
    (metric,) = found.fitted_to(TASKS["multi_label"], 3).metrics
    assert isinstance(metric, keras.metrics.BinaryAccuracy)


def test_where_nothing_is_fitted_in_steps_objects_are_refused() -> None:
    found, solved = keras_objects(loss="mse", callbacks=[keras.callbacks.Callback()]), make_phase(direct=True)
    assert found is not None
    with pytest.raises(
        app.UsageError, match=r"loss= and callbacks= would change nothing: .* solved for in closed form"
    ):
        found.check_phases([solved], cached=True)
    found.check_phases([solved], cached=False)
    KerasObjects(metrics=(keras.metrics.Mean(),)).check_phases([solved], cached=True)


# --- Fits -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def fitting(fruit: Path, tmp_path: Path) -> Callable[..., RunFolder]:
    """Fits a small model in two phases of three epochs each with objects."""

    def call(**objects: Any) -> RunFolder:
        loader, every = Loader(open_source(str(fruit)), ImageTransform(8, "stretch")), np.arange(24)
        data = FitData(loader, train=every[::2], validation=every[1::2], batch_size=12, seed=0)
        run = RunFolder.create({}, output=str(tmp_path / "run"))
        found = keras_objects(**objects)
        assert found is not None
        write_record(run, found.record())
        found = found.fitted_to(TASKS["single_label"], 3)
        phases = found.applied([make_phase("head", epochs=3), make_phase("fine_tune", epochs=3)], run)
        layers = [keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D(), dense(name="logits")]
        fit(keras.Sequential(layers), phases, data, run)
        return run

    return call


def test_stopping_ends_a_phase(fitting: Callable[..., RunFolder]) -> None:
    class Stop(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = epoch == 1

    run = fitting(callbacks=[Stop()])
    assert [(one["phase"], one["epoch"]) for one in run.history] == [
        *(("head", 1), ("head", 2), ("fine_tune", 1), ("fine_tune", 2)),
    ]


def test_a_callback_that_fails_is_named(fitting: Callable[..., RunFolder], tmp_path: Path) -> None:
    failing = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: 1 // (1 - epoch))
    sentence = (
        "the callback LambdaCallback failed in on_epoch_begin: ZeroDivisionError: .* Correct it, and continue after the last "
        rf"epoch with: train\(resume='{tmp_path / 'run'}', callbacks=\.\.\.\)"
    )
    with pytest.raises(app.UsageError, match=sentence) as found:
        fitting(callbacks=[failing])
    (note,) = found.value.__notes__
    assert "1 // (1 - epoch)" in note


def test_metrics_get_predictions_and_may_be_vectors(fitting: Callable[..., RunFolder]) -> None:
    def highest(targets: Any, predictions: Any) -> Any:
        return keras.ops.max(keras.ops.sum(predictions, axis=1) + 0 * targets[:, 0])

    run = fitting(metrics=[highest, keras.metrics.F1Score(name="f1"), keras.metrics.AUC(name="auc")])
    for row in run.history:
        assert row["highest"] == pytest.approx(1, abs=1e-5) == row["val_highest"]
        assert len(row["val_f1"]) == 3 and 0 <= row["auc"] <= 1
    table = (run.path / "history.csv").read_text().splitlines()
    assert {"highest", "val_highest", "f1", "auc", "val_auc"} <= set(table[0].split(","))


def test_the_optimizer_is_copied_for_each_phase(fitting: Callable[..., RunFolder]) -> None:
    given, used = keras.optimizers.SGD(0.25, momentum=0.5), []
    given.exclude_from_weight_decay(var_names=["bias"])
    note = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: used.append(note.model.optimizer))
    fitting(optimizer=given, callbacks=note, loss="mse")
    first, second = used
    assert first is not second and given not in used and not given.built
    for one in used:
        assert (float(one.learning_rate), one.momentum) == (0.25, 0.5)
        assert one._exclude_from_weight_decay_pattern.pattern == "bias"
        assert int(one.iterations) == 3


# --- Runs -------------------------------------------------------------------------------------------------------------


def test_a_model_with_probabilities_is_trained_exported_and_predicts(fruit: Path, tmp_path: Path) -> None:
    """The frozen network runs once per image; only the head trains, and the given model stays as it is."""
    given = on_network()
    before = [one.copy() for one in given.get_weights()]
    run = app.train(
        fruit, model=given, output=tmp_path / "run", fine_tune_epochs=4, **OPTIONS | {"formats": "tflite_float32"}
    )
    assert all(map(np.array_equal, before, given.get_weights())) and given.layers[-1].name == "out"
    assert [row["phase"] for row in run.history] == ["fit"] * 4
    options = run.options
    assert (options["backbone"], options["head"], options["strategy"]) == ("own:on_network", "own", "one_phase")
    assert (options["image_size"], options["fine_tune_learning_rate"]) == (SIDE, options["head_learning_rate"])
    assert run.metrics["extraction"]["views"] == 2 * 18 + 3  # all that is cached
    trained = run.keras_model(logits=True)
    assert end_activation(trained) == "linear"
    after = trained.get_layer("base").get_weights()
    assert all(map(np.array_equal, given.get_layer("base").get_weights(), after))
    assert run.parity["passed"]
    by_run, by_file = (
        app.predict(one, [fruit / "apple"], verbose=0) for one in (run, run.export_dir / "model_float32.tflite")
    )
    assert [one.label for one in by_run] == [one.label for one in by_file]
    assert "(0 parameters)" not in (run.path / "model_card.md").read_text()


def test_a_model_with_logits_is_trained_on_datasets(tmp_path: Path) -> None:
    """All of it trains, so that nothing is cached, and each epoch has views of its own."""
    labels = np.arange(18) % 3
    images = np.random.default_rng(0).integers(0, 100, (18, 16, 16, 3), dtype=np.uint8)
    images[np.arange(18), ..., labels] += 120
    dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(5)
    given, names = sequential(dense(kernel_initializer="zeros")), ["red", "green", "blue"]
    common = {"class_names": names, "metrics": [keras.metrics.AUC(name="auc")], "optimizer": keras.optimizers.Adam(0.5)}
    run = app.train(dataset, model=given, output=tmp_path / "run", fine_tune_epochs=2, **common, **OPTIONS)
    assert {"auc", "val_auc"} <= set(run.history_frame().columns)
    assert run.metrics["test"]["accuracy"] == 1.0 and "extraction" not in run.metrics
    assert app.evaluate(run, verbose=0)["accuracy"] == 1.0


class Noting(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Notes the epochs that it sees, and stops the program before one."""

    def __init__(self, stops_before: int = 0) -> None:
        super().__init__()
        self.stops_before, self.seen = stops_before, 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.seen += 1
        if self.seen == self.stops_before:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    return {
        "loss": Focal(gamma=1.0),
        "optimizer": keras.optimizers.SGD(0.05, momentum=0.9),
        "metrics": [keras.metrics.TopKCategoricalAccuracy(2, name="top2")],
    }


@pytest.fixture(scope="module")
def in_two_phases(
    fruit: Path, objects: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., app.Run]:
    """Trains a model with a named backbone and with objects of all kinds."""
    folder, epochs = tmp_path_factory.mktemp("runs"), {"head_epochs": 2, "fine_tune_epochs": 2}

    def call(name: str, callback: Noting) -> app.Run:
        options = {"model": flat(), "backbone_layer": "conv2", "callbacks": [callback], "output": folder / name}
        return app.train(fruit, **options, **objects, **epochs, **OPTIONS)

    return call


def test_a_run_with_objects_is_resumed_with_them_only(
    in_two_phases: Callable[..., app.Run], objects: dict[str, Any], cli: Cli
) -> None:
    callback = Noting()
    whole = in_two_phases("whole", callback)
    assert [row["phase"] for row in whole.history] == ["head", "head", "fine_tune", "fine_tune"] and callback.seen == 4
    assert {"top2", "val_top2"} <= set(whole.history[0])
    record = json.loads((whole.path / "keras_objects.json").read_text())
    assert record["optimizer"]["config"]["momentum"] == 0.9 and record["loss"]["config"]["gamma"] == 1.0
    assert record["callbacks"] == [{"name": "Noting"}]

    with pytest.raises(app.Interrupted):
        in_two_phases("stopped", Noting(stops_before=4))
    stopped = app.Run(whole.path.parent / "stopped")
    assert len(stopped.history) == 3
    refused = cli("train", "--resume", stopped.path)
    assert refused.code == 2
    assert "began with loss=CategoricalFocalCrossentropy, optimizer=SGD, metrics=[TopKCategoricalAccuracy]" in " ".join(
        refused.err.split()
    )
    for changed, sentence in (
        ({"optimizer": "adam"}, "began with optimizer=SGD, not Adam"),
        ({"loss": Focal(gamma=2.0)}, "began with loss=CategoricalFocalCrossentropy of other settings"),
        ({"metrics": None}, r"continue it in Python: train\(resume="),
        ({"model": flat()}, "has its model; leave out model= to resume it"),
    ):
        with pytest.raises(app.UsageError, match=sentence):
            app.train(resume=stopped, callbacks=[Noting()], **objects | changed)
    app.train(resume=stopped, callbacks=[Noting()], **objects)
    assert figures(stopped) == figures(whole)
    assert all(map(np.array_equal, stopped.keras_model().get_weights(), whole.keras_model().get_weights()))


def test_a_solved_head_has_the_figures_of_the_own_loss(fruit: Path, tiny_backbone: str, tmp_path: Path) -> None:
    objects = {"loss": "mse", "metrics": ["mae"], "optimizer": keras.optimizers.SGD(1e-3)}
    options = {name: value for name, value in TINY.items() if name not in ("cache_limit", "label_smoothing")}
    run = app.train(fruit, output=tmp_path / "run", **objects, **options, formats=(), verbose=0)
    head, fine_tune = run.history
    assert (head["phase"], fine_tune["phase"]) == ("head", "fine_tune")
    assert {"mean_absolute_error", "val_mean_absolute_error"} <= set(head) & set(fine_tune)
    assert fine_tune["val_loss"] == pytest.approx(head["val_loss"], rel=0.5)  # at so low a rate nothing moves


def test_folds_begin_with_the_same_model(fruit: Path, tmp_path: Path) -> None:
    """Stopped in its first fold, a run has the model for the second."""
    common = {"folds": 2, "shots": 3, "fine_tune_epochs": 1, "keep_checkpoints": True, **OPTIONS}
    with pytest.raises(app.Interrupted, match=r"train\(resume='.*', callbacks=\.\.\.\)"):
        app.train(fruit, model=on_network(), output=tmp_path / "run", callbacks=[Noting(stops_before=1)], **common)
    run, callback = app.Run(tmp_path / "run"), Noting()
    with pytest.raises(app.UsageError, match=r"began with callbacks=\[Noting\], which its folder cannot hold"):
        app.train(resume=run)
    app.train(resume=run, callbacks=[callback])
    assert run.is_finished and callback.seen == 2
    first, second = (app.Run(run.path / f"fold-{number}") for number in (1, 2))
    assert first.starting_model.read_bytes() == second.starting_model.read_bytes() == run.starting_model.read_bytes()


def test_what_no_file_brings_back_is_refused(fruit: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be saved and loaded again: .*register_keras_serializable"):
        app.train(fruit, model=sequential(Unregistered(), dense()), output=tmp_path / "run", **OPTIONS)
    assert not (tmp_path / "run").exists()
    found = trainable_model(sequential(Doubling(), dense()), task="single_label", num_classes=3)
    assert [type(layer).__name__ for layer in found.model.layers][3] == "Doubling"
