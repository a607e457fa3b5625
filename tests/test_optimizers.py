"""The optimizer: its schedule, and which weights decay."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from models.optimizers import warmup_cosine_adamw


def rates(*, steps: int, **options: float) -> list[float]:
    optimizer = warmup_cosine_adamw(learning_rate=0.1, steps=steps, **options)  # type: ignore[arg-type]
    schedule = optimizer._learning_rate
    return [float(schedule(step)) for step in range(steps + 1)]


def test_warm_up_rises_in_a_line_and_then_a_cosine_falls_to_zero() -> None:
    found = rates(steps=30, warmup_steps=10)
    np.testing.assert_allclose(found[:11], np.linspace(0, 0.1, 11), atol=1e-7)
    expected = [0.05 * (1 + math.cos(math.pi * step / 20)) for step in range(21)]
    np.testing.assert_allclose(found[10:], expected, atol=1e-7)


def test_without_warm_up_the_peak_comes_first() -> None:
    found = rates(steps=20)
    assert found[0] == pytest.approx(0.1)
    assert found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx(0, abs=1e-9)


def test_each_cycle_has_half_the_rates_of_the_one_before() -> None:
    optimizer = warmup_cosine_adamw(learning_rate=0.1, steps=10, warmup_steps=2, cycles=3)
    found = [float(optimizer._learning_rate(step)) for step in range(30)]
    first = np.array(rates(steps=10, warmup_steps=2)[:10])
    np.testing.assert_allclose(found, np.concatenate([first, first / 2, first / 4]), atol=1e-7)


@pytest.mark.parametrize(("steps", "warmup_steps"), [(1, 0), (1, 1), (5, 5)])
def test_short_phases_have_sound_rates(steps: int, warmup_steps: int) -> None:
    found = rates(steps=steps, warmup_steps=warmup_steps)
    assert all(0 <= rate <= 0.1 + 1e-6 for rate in found)
    assert max(found) > 0


def after_steps(gradient: float, *, steps: int = 1, **options: float) -> dict[str, np.ndarray]:
    """Variables that begin at 1 after steps with one gradient for all."""
    names = ("kernel", "depthwise_kernel", "bias", "gamma", "beta")
    variables = [keras.Variable(np.ones((2, 2), "float32"), name=name) for name in names]
    optimizer = warmup_cosine_adamw(learning_rate=0.1, steps=1000, **options)  # type: ignore[arg-type]
    for _ in range(steps):
        optimizer.apply([np.full((2, 2), gradient, "float32")] * len(variables), variables)
    return {name: variable.numpy() for name, variable in zip(names, variables, strict=True)}


def test_kernels_decay_and_nothing_else() -> None:
    found = after_steps(0.0, weight_decay=0.5)
    for name in ("kernel", "depthwise_kernel"):
        np.testing.assert_allclose(found[name], 1 - 0.1 * 0.5, atol=1e-6)
    for name in ("bias", "gamma", "beta"):
        np.testing.assert_array_equal(found[name], 1)


def test_no_decay_unless_asked() -> None:
    for value in after_steps(0.0).values():
        np.testing.assert_array_equal(value, 1)


def test_gradients_are_clipped_to_a_norm_of_one() -> None:
    optimizer = warmup_cosine_adamw(learning_rate=0.1, steps=10)
    assert optimizer.global_clipnorm == 1.0
    variable = keras.Variable(np.ones((4,), "float32"), name="kernel")
    optimizer.apply([np.full((4,), 1e6, "float32")], [variable])
    assert np.isfinite(variable.numpy()).all()
    momentum = next(one for one in optimizer.variables if "momentum" in one.path)
    np.testing.assert_allclose(momentum.numpy(), 0.1 * 0.5, rtol=1e-4)  # (1 - beta_1) of a gradient of norm 1


def test_a_step_goes_downhill() -> None:
    assert (after_steps(1.0)["kernel"] < 1).all()
    assert (after_steps(-1.0)["kernel"] > 1).all()


def test_the_first_step_of_a_warm_up_is_small() -> None:
    gentle = abs(1 - after_steps(1.0, steps=2, warmup_steps=100)["kernel"]).max()
    rough = abs(1 - after_steps(1.0, steps=2)["kernel"]).max()
    assert 0 < gentle < rough / 50


def test_on_one_device_it_steps_as_keras_adamw() -> None:
    """A long gradient, which is clipped, then a short one."""
    ours = warmup_cosine_adamw(learning_rate=0.1, steps=10, weight_decay=0.01)
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    usual = keras.optimizers.AdamW(schedule, weight_decay=0.01, global_clipnorm=1.0)
    results = []
    for optimizer in (ours, usual):
        variables = [keras.Variable([1.0, 2.0], name="kernel"), keras.Variable([[3.0]], name="kernel")]
        for gradients in ([[3.0, 4.0], [[12.0]]], [[0.1, 0.2], [[0.3]]]):
            optimizer.apply([keras.ops.convert_to_tensor(one) for one in gradients], variables)
        results.append([variable.numpy() for variable in variables])
    for found, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(found, expected)
