"""MixUp and CutMix: pairs are mixed, labels in the shares of their images, and a seed and a step decide."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from app.interface.errors import UsageError
from app.training.fitting import check_mixing
from app.training.mixing import mixed
from app.training.phases import Phase
from models.builder import build_model
from models.freezing import freeze, unfreeze_blocks
from tests.conftest import TINY_SPEC
from tests.phases import make_phase

EXAMPLES = 6
MAP = (8, 5, 2)
FEATURES = (7,)
BOTH = {"mixup": 0.4, "cutmix": 1.0}
Pair = tuple[np.ndarray, np.ndarray]


def mix(shape: tuple[int, ...], *, mixup: float = 0.0, cutmix: float = 0.0, seed: int = 3, step: int = 0) -> Pair:
    """Of examples of `shape`, each of a class of its own: inputs, (EXAMPLES, *shape, EXAMPLES), one-hot everywhere, and labels.

    The last axis of the inputs shows of which examples each value is made, in which shares.
    """
    labels = tf.eye(EXAMPLES)
    places = tf.reshape(labels, (EXAMPLES, *(1 for _ in shape[:-1]), EXAMPLES))
    inputs = tf.tile(places, (1, *shape[:-1], 1))
    options = {"mixup": mixup, "cutmix": cutmix, "seed": seed, "step": tf.constant(step, tf.int64)}
    mixed_inputs, mixed_labels = mixed(inputs, labels, **options)
    assert mixed_inputs.shape == inputs.shape and mixed_inputs.dtype == inputs.dtype
    return mixed_inputs.numpy(), mixed_labels.numpy()


def alike(one: Pair, other: Pair) -> bool:
    return all((a == b).all() for a, b in zip(one, other, strict=True))


def is_cut(inputs: np.ndarray) -> bool:
    """Whether each value is of one example."""
    return set(np.unique(inputs)) == {0.0, 1.0}


# --- Both -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [MAP, FEATURES])
def test_nothing_asked_for_changes_nothing(shape: tuple[int, ...]) -> None:
    inputs, labels = mix(shape)
    assert (labels == np.eye(EXAMPLES)).all() and (inputs.reshape(EXAMPLES, -1, EXAMPLES)[:, 0] == labels).all()


@pytest.mark.parametrize("options", [{"mixup": 0.4}, {"cutmix": 1.0}, BOTH])
@pytest.mark.parametrize("parameter", [0.1, 1.0, 10.0])
def test_each_label_has_the_share_of_its_example_in_the_inputs(options: dict[str, float], parameter: float) -> None:
    shares = set()
    for step in range(20):
        inputs, labels = mix(MAP, **dict.fromkeys(options, parameter), step=step)
        np.testing.assert_allclose(inputs.mean(axis=(1, 2)), labels, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(labels.sum(axis=0), 1, rtol=1e-5)  # each example is a partner once
        assert (labels >= 0).all() and (np.count_nonzero(labels, axis=1) <= 2).all()
        shares.add(round(float(np.diag(labels).min()), 4))
    assert len(shares) > 5


@pytest.mark.parametrize("options", [{"mixup": 0.4}, {"cutmix": 1.0}, BOTH])
def test_a_seed_and_a_step_decide_what_is_mixed(options: dict[str, float]) -> None:
    first = mix(MAP, **options, seed=3, step=7)
    assert alike(first, mix(MAP, **options, seed=3, step=7))
    assert not alike(first, mix(MAP, **options, seed=3, step=9))
    assert not alike(first, mix(MAP, **options, seed=4, step=7))


def test_with_both_each_batch_draws_one_of_them() -> None:
    cut = [is_cut(mix(MAP, **BOTH, step=step)[0]) for step in range(60)]
    assert 15 < sum(cut) < 45


@pytest.mark.parametrize("labels", [[[1.0, 1, 0], [0, 0, 1]], [[-3.5, 0.25, 7], [4, 5, 6]]])
@pytest.mark.parametrize("options", [{"mixup": 0.4}, {"cutmix": 1.0}])
def test_labels_of_any_task_are_mixed(options: dict[str, float], labels: list[list[float]]) -> None:
    inputs = tf.reshape(tf.constant([0.0, 1.0]), (2, 1, 1, 1)) * tf.ones((2, 9, 9, 1))
    for step in range(10):
        given = {"mixup": 0.0, "cutmix": 0.0} | options
        mixed_inputs, found = mixed(inputs, tf.constant(labels), **given, seed=0, step=tf.constant(step, tf.int64))
        share = mixed_inputs.numpy().mean(axis=(1, 2))  # of the second example
        np.testing.assert_allclose(found, (1 - share) * labels[0] + share * labels[1], rtol=1e-4, atol=1e-5)


# --- CutMix -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(32, 32, 3), (7, 7, 4), (3, 2, 1), (1, 1, 5)])
def test_a_box_of_one_example_is_put_into_another(shape: tuple[int, ...]) -> None:
    for step in range(30):
        inputs, _ = mix(shape, cutmix=1.0, step=step)
        assert is_cut(inputs)
        for number, one in enumerate(inputs):
            cut = one[..., number] == 0
            rows, columns = cut.any(axis=1), cut.any(axis=0)
            assert (cut == np.outer(rows, columns)).all()
            assert all((np.diff(np.flatnonzero(places)) == 1).all() for places in (rows, columns))


def test_the_box_may_be_anywhere_and_of_any_size() -> None:
    cuts = np.stack([mix((16, 16, 1), cutmix=1.0, step=step)[0][0, ..., 0] for step in range(400)]) == 0
    often = cuts.mean(axis=0)
    assert often.min() > 0.05 and often.max() < 0.5
    assert np.abs(often - often[::-1]).max() < 0.1 and np.abs(often - often[:, ::-1]).max() < 0.1
    areas = cuts.mean(axis=(1, 2))
    assert (areas < 0.1).sum() > 30 and (areas > 0.6).sum() > 20


def test_features_have_no_place_for_a_box() -> None:
    inputs, labels = mix(FEATURES, cutmix=1.0)
    assert (inputs == np.eye(EXAMPLES)).all() and (labels == np.eye(EXAMPLES)).all()
    assert alike(mix(FEATURES, **BOTH), mix(FEATURES, mixup=BOTH["mixup"]))


# --- Where there is nothing to mix --------------------------------------------------------------------------------------


HEAD = make_phase(trainable=freeze)
DIRECT = make_phase(trainable=freeze, direct=True)
FINE_TUNE = make_phase("fine_tune", trainable=lambda model: unfreeze_blocks(model, 1, backbone=TINY_SPEC))


@pytest.mark.parametrize(
    ("phases", "options", "refusal"),
    [
        ([DIRECT], {"mixup": 0.2}, "--mixup would change nothing: .* is solved for"),
        ([DIRECT], BOTH, "--mixup and --cutmix would change nothing: .* is solved for"),
        ([HEAD], {"cutmix": 1.0}, "--cutmix would change nothing: .* has no room for a box"),
        ([HEAD], {"mixup": 0.2}, None),
        ([HEAD], BOTH, None),
        ([DIRECT, FINE_TUNE], {"cutmix": 1.0}, None),
        ([DIRECT, FINE_TUNE], {"mixup": 0.2}, None),
        ([DIRECT], {}, None),
    ],
)
def test_what_would_be_asked_for_in_vain_is_refused(
    phases: list[Phase], options: dict[str, float], refusal: str | None
) -> None:
    model = build_model(TINY_SPEC, num_classes=3, weights="none")
    given = {"mixup": 0.0, "cutmix": 0.0} | options
    check_mixing(model, phases, **given, cached=False)
    if refusal is None:
        check_mixing(model, phases, **given, cached=True)
    else:
        with pytest.raises(UsageError, match=refusal):
            check_mixing(model, phases, **given, cached=True)
