"""Training on activations out of the cache is training the whole model, only faster."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from app import Run
from app.training import fitting
from app.training.activations import Extractor
from app.training.checkpoints import FitState, read_checkpoint
from app.training.fit_data import FitData
from app.training.fitting import fit
from app.training.linear import LinearHead, fit_linear_head
from app.training.phases import Phase
from data.cache.activations import ActivationCache
from data.checking import check_images, readable_only
from data.image.augmentation import AUGMENTATIONS
from data.image.transform import ImageTransform
from data.loading import Loader
from data.sources import open_source
from models.builder import build_model
from models.freezing import freeze, unfreeze_blocks
from models.splitting import split
from tests.augmented import with_augmentation
from tests.conftest import TINY_SPEC
from tests.images import write_folder
from tests.phases import make_phase

WEIGHTS = np.array([0.2, 1.0, 3.0], np.float32)  # of the images of each class
MAPS = 2 * 16 * 16 * 4  # bytes of an image's activations below the last two blocks of the tiny backbone


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> FitData:
    """30 images, unchanged, all 24 of a training epoch in one batch: then their order does not matter."""
    examples = open_source(str(write_folder(tmp_path_factory.mktemp("cached") / "images", examples=10)))
    examples = readable_only(examples, list(check_images(examples)), skip_unreadable=False)
    every = np.arange(len(examples))
    return FitData(
        loader=Loader(examples, ImageTransform(32, "stretch")),
        train=every[every % 5 != 0],
        validation=every[every % 5 == 0],
        batch_size=24,
        seed=0,
    )


def tiny_model(head: str = "linear") -> keras.Model:
    return build_model(TINY_SPEC, num_classes=3, head=head, dropout=0.0, weights="none")


in_steps = partial(make_phase, epochs=4, learning_rate=0.02, label_smoothing=0.1)
HEAD = in_steps(trainable=freeze)
DIRECT = in_steps(trainable=freeze, direct=True)


def fine_tune(last: int, *, train_batch_norm: bool = False) -> Phase:
    trainable = partial(unfreeze_blocks, blocks=last, backbone=TINY_SPEC, train_batch_norm=train_batch_norm)
    return in_steps("fine_tune", warmup_epochs=1, weight_decay=0.05, trainable=trainable)


def extractor(data: FitData, folder: Path, limit: float = 1e9) -> Extractor:
    """As a run has one: of its own, on a cache that others may have filled."""
    cache = ActivationCache(folder / "cache", int(limit))
    return Extractor(data.loader, cache, backbone="tiny", engine="tensorflow")


def new_run(folder: Path, name: str = "run") -> Run:
    return Run.create({}, output=str(folder / name))


def weigh(data: FitData, weighted: bool) -> FitData:
    """The same, with or without weights by class."""
    return replace(data, weights=WEIGHTS[data.loader.examples.labels.array] if weighted else None)


def pixels_of(data: FitData, members: np.ndarray) -> np.ndarray:
    return np.stack([data.loader.load(int(index)) for index in members]).astype(np.float32)


def records(run: Run) -> list[tuple[str, int]]:
    return [(one["phase"], one["epoch"]) for one in run.history]


# --- It is the same training ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True], ids=["alike", "weights"])
@pytest.mark.parametrize(
    ("head", "phase"),
    [
        ("linear", HEAD),
        ("mlp", HEAD),
        ("linear", fine_tune(1)),
        ("mlp", fine_tune(2)),
        ("linear", fine_tune(2, train_batch_norm=True)),
    ],
    ids=["head-linear", "head-mlp", "one-block", "two-blocks-mlp", "two-blocks-batch-norm"],
)
def test_cached_and_live_training_end_with_the_same_weights(
    head: str,
    phase: Phase,
    weighted: bool,
    data: FitData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Float16 is the only difference, and small beside what was learnt; Adam turns few weights the other way over it."""
    after_last: list[list[np.ndarray]] = []
    finish_phase = fitting._EpochEnd.finish_phase

    def note(end: fitting._EpochEnd) -> None:
        after_last.append(end.model.get_weights())
        finish_phase(end)

    monkeypatch.setattr(fitting._EpochEnd, "finish_phase", note)
    data, start = weigh(data, weighted), tiny_model(head)
    runs = [new_run(tmp_path, name) for name in ("live", "cached")]
    for run, one in zip(runs, (None, extractor(data, tmp_path)), strict=True):
        fit(tiny_model(head), [phase], data, run, one)

    for other, one in zip(runs[0].history, runs[1].history, strict=True):
        for name in ("loss", "val_loss"):
            assert one[name] == pytest.approx(other[name], abs=0.01), (one, other)
    start_weights, moved = start.get_weights(), 0
    for weight, before, other, one in zip(start.weights, start_weights, *after_last, strict=True):
        step = np.linalg.norm(other - before)
        assert np.linalg.norm(one - other) <= 0.1 * step, weight.path
        moved += bool(step)
    assert moved >= 2


@pytest.mark.parametrize("phases", [[DIRECT], [DIRECT, fine_tune(2)], [HEAD, fine_tune(1)]])
def test_the_best_weights_give_the_whole_model_the_accuracy_in_the_history(
    phases: list[Phase], data: FitData, tmp_path: Path
) -> None:
    run, model, fresh = new_run(tmp_path), tiny_model(), tiny_model()
    fit(model, phases, data, run, extractor(data, tmp_path))
    read_checkpoint(run, str(FitState.read(run).best_weights), fresh)
    for one, other in zip(model.get_weights(), fresh.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)

    logits = fresh(pixels_of(data, data.validation), training=False)
    labels = data.loader.examples.labels.array[data.validation]
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    best = max(run.history, key=lambda one: (one["val_accuracy"], -one["val_loss"]))
    assert float(np.mean(np.argmax(logits, axis=1) == labels)) == pytest.approx(best["val_accuracy"], abs=1e-5)
    assert float(loss(np.eye(3)[labels], logits)) == pytest.approx(best["val_loss"], abs=2e-3)


@pytest.mark.parametrize("train_batch_norm", [False, True])
def test_what_is_below_the_boundary_stays_as_it_was(train_batch_norm: bool, data: FitData, tmp_path: Path) -> None:
    model = tiny_model()
    phase = fine_tune(1, train_batch_norm=train_batch_norm)
    phase.trainable(model)
    bottom, _ = split(model)
    before = {weight.path: weight.numpy() for weight in bottom.weights}
    fit(model, [DIRECT, phase], data, new_run(tmp_path), extractor(data, tmp_path))
    assert sum("moving" in path for path in before) == 4
    for weight in bottom.weights:
        np.testing.assert_array_equal(weight.numpy(), before[weight.path], err_msg=weight.path)


# --- The head that is solved for --------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True], ids=["alike", "weights"])
def test_the_direct_head_is_a_minimum_of_the_whole_model_s_loss(
    weighted: bool, data: FitData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads: list[LinearHead] = []

    def spy(*arguments: object) -> LinearHead:
        heads.append(fit_linear_head(*arguments))  # type: ignore[arg-type]
        return heads[-1]

    monkeypatch.setattr("app.training.solvers.fit_linear_head", spy)
    data, model = weigh(data, weighted), tiny_model()
    fit(model, [DIRECT], data, new_run(tmp_path), extractor(data, tmp_path))

    pixels = pixels_of(data, data.train)
    labels = data.loader.examples.labels.array[data.train]
    weights = data.weights_of(data.train)
    freeze(model)
    features = np.asarray(split(model)[0](pixels, training=False))
    penalty = heads[0].penalty * float(features.var(axis=0).mean())  # it is meant for features of variance one
    logits_layer = model.get_layer("logits")
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1, reduction=None)

    def gradient() -> float:
        with tf.GradientTape() as tape:
            mean = tf.reduce_sum(weights * loss(np.eye(3)[labels], model(pixels, training=True))) / weights.sum()
            total = mean + penalty / 2 * tf.reduce_sum(logits_layer.kernel.value**2)
        parts = tape.gradient(total, [one.value for one in logits_layer.trainable_weights])
        return max(float(tf.reduce_max(tf.abs(part))) for part in parts)

    at_solution = gradient()
    logits_layer.set_weights([heads[0].kernel * 1.1, heads[0].bias])
    assert at_solution < 1e-3
    assert at_solution < gradient() / 5  # so that a small gradient says something


def test_the_direct_head_answers_in_the_whole_model_and_has_one_record(data: FitData, tmp_path: Path) -> None:
    run, model = new_run(tmp_path), tiny_model()
    fit(model, [DIRECT], data, run, extractor(data, tmp_path))
    assert records(run) == [("head", 1)]
    # Each class has a colour of its own, so whoever learnt anything knows them all.
    assert run.history[0]["val_accuracy"] == 1.0
    assert run.history[0]["loss"] < 0.8


def test_on_live_images_the_head_is_trained_by_epochs(data: FitData, tmp_path: Path) -> None:
    run = new_run(tmp_path)
    fit(tiny_model(), [DIRECT], data, run)
    assert records(run) == [("head", epoch) for epoch in range(1, 5)]


# --- Extraction -------------------------------------------------------------------------------------------------------


def test_one_pass_serves_all_phases(data: FitData, tmp_path: Path) -> None:
    data = replace(with_augmentation(data, AUGMENTATIONS["light"]), views=2)
    first = extractor(data, tmp_path)
    ran = []
    run_network = first._run
    first._run = lambda network, *rest: (ran.append(len(network.outputs)), run_network(network, *rest))  # type: ignore[method-assign]
    fit(tiny_model(), [DIRECT, fine_tune(2)], data, new_run(tmp_path), first)
    assert ran == [2]
    assert first.report["views"] == 2 * 24 + 6 and first.report["engine"] == "tensorflow" and first.seconds > 0


def test_a_second_fit_of_the_same_images_extracts_nothing(
    data: FitData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = replace(with_augmentation(data, AUGMENTATIONS["light"]), views=2)
    phases = [DIRECT, fine_tune(1)]
    runs = [new_run(tmp_path, name) for name in ("first", "second")]
    fit(tiny_model(), phases, data, runs[0], extractor(data, tmp_path))
    monkeypatch.setattr("app.training.activations.choose_engine", lambda *_: pytest.fail("it ran the network"))
    second = extractor(data, tmp_path)
    fit(tiny_model(), phases, data, runs[1], second)
    assert (second.report, second.seconds) == ({}, 0.0)
    figures = [[(one["loss"], one["val_loss"]) for one in run.history] for run in runs]
    assert figures[0] == figures[1]


@pytest.mark.parametrize(("augment", "expected"), [("none", 0), ("light", 2 * 6 + 6)])
def test_another_split_and_seed_extract_only_what_is_missing(
    augment: str, expected: int, data: FitData, tmp_path: Path
) -> None:
    data = replace(with_augmentation(data, AUGMENTATIONS[augment]), views=2)
    fit(tiny_model(), [DIRECT], data, new_run(tmp_path, "first"), extractor(data, tmp_path))
    every = np.arange(30)
    other = replace(data, seed=9, train=every[every % 5 != 1], validation=every[every % 5 == 1])
    second = extractor(other, tmp_path)
    fit(tiny_model("mlp"), [HEAD], other, new_run(tmp_path, "second"), second)
    assert second.report.get("views", 0) == expected  # six images changed places


def test_more_views_are_added_to_those_that_are_there(data: FitData, tmp_path: Path) -> None:
    for views, expected in ((1, 24 + 6), (3, 2 * 24)):
        more = replace(with_augmentation(data, AUGMENTATIONS["light"]), views=views)
        one = extractor(more, tmp_path)
        fit(tiny_model(), [DIRECT], more, new_run(tmp_path, f"{views} views"), one)
        assert one.report["views"] == expected


# --- No room ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("wide")
def test_without_room_a_phase_trains_live_and_says_so_once(
    data: FitData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full, run = extractor(data, tmp_path, limit=100), new_run(tmp_path)
    fit(tiny_model(), [DIRECT], data, run, full)
    said = [line for line in capsys.readouterr().out.splitlines() if "cache" in line]
    assert len(said) == 1
    assert said[0].startswith("Training phase head without the cache, which takes longer: the cache ")
    assert said[0].endswith(" MB.") and "its limit of 1e-07 GB" in said[0]
    assert records(run) == [("head", epoch) for epoch in range(1, 5)]
    assert full.report == {}


def test_fewer_views_are_kept_where_there_is_no_room_for_all(
    data: FitData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = replace(with_augmentation(data, AUGMENTATIONS["light"]), views=3)
    limited, run = extractor(data, tmp_path, limit=(2 * 24 + 6) * MAPS * 0.9), new_run(tmp_path)
    fit(tiny_model(), [fine_tune(2)], data, run, limited)
    assert limited.report["views"] == 24 + 6
    assert "without the cache" not in capsys.readouterr().out
    assert len(run.history) == 4


def test_a_later_phase_without_room_does_not_keep_the_first_from_the_cache(
    data: FitData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limited, run = extractor(data, tmp_path, limit=15 * MAPS), new_run(tmp_path)
    fit(tiny_model(), [DIRECT, fine_tune(2)], data, run, limited)
    said = [line for line in capsys.readouterr().out.splitlines() if "without the cache" in line]
    assert len(said) == 1 and "phase fine_tune" in said[0]
    assert records(run) == [("head", 1), *(("fine_tune", epoch) for epoch in range(1, 5))]


# --- Interruptions ----------------------------------------------------------------------------------------------------


def test_stopped_right_after_the_head_was_solved_for_it_is_not_noted_twice(
    data: FitData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(end: object) -> None:
        raise KeyboardInterrupt

    run, phases = new_run(tmp_path), [DIRECT, fine_tune(1)]
    with monkeypatch.context() as patch:
        patch.setattr(fitting._EpochEnd, "finish_phase", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(tiny_model(), phases, data, run, extractor(data, tmp_path))
    assert FitState.read(run).describe(phases).startswith("after epoch 1 of at most 4 of phase 1 (head)")
    fit(tiny_model(), phases, data, run, extractor(data, tmp_path))
    assert records(run) == [("head", 1), *(("fine_tune", epoch) for epoch in range(1, 5))]


@pytest.fixture(scope="module")
def whole(data: FitData, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A fit in two phases without a break, on activations out of the cache."""
    folder = tmp_path_factory.mktemp("whole")
    run = new_run(folder)
    fit(tiny_model(), [HEAD, fine_tune(1)], data, run, extractor(data, folder))
    return run


@pytest.mark.parametrize(("first_limit", "then_limit"), [(0, 0), (1e9, 1e9), (0, 1e9), (1e9, 0)])
def test_a_phase_goes_on_whether_or_not_the_cache_has_room_now(
    first_limit: float, then_limit: float, whole: Run, data: FitData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = fitting._EpochEnd.finish

    def stop_after(end: fitting._EpochEnd, epoch: int, *rest: Any, **options: Any) -> None:
        finish(end, epoch, *rest, **options)
        if (end.phase.name, epoch) == ("fine_tune", 2):
            raise KeyboardInterrupt

    def limited(limit: float, folder: Path) -> Extractor:
        return extractor(data, folder, limit)

    run, phases = new_run(tmp_path), [HEAD, fine_tune(1)]
    with monkeypatch.context() as patch:
        patch.setattr(fitting._EpochEnd, "finish", stop_after)
        with pytest.raises(KeyboardInterrupt):
            fit(tiny_model(), phases, data, run, limited(first_limit, tmp_path / "one"))
    fit(tiny_model(), phases, data, run, limited(then_limit, tmp_path / "other"))
    assert records(run) == records(whole)
    for one, other in zip(run.history, whole.history, strict=True):
        assert one["val_loss"] == pytest.approx(other["val_loss"], abs=5e-3)
