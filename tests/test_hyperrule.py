"""Hyper-parameters that are derived from the data's size."""

from __future__ import annotations

from dataclasses import fields
from types import UnionType
from typing import get_args, get_origin, get_type_hints

import pytest

from app.config import RunConfig
from app.config.hyperrule import resolve, resolved
from app.config.plan import Plan
from app.exporting.formats import DEFAULT_FORMATS
from tests.plans import config_of, plan_of

SIZES = (2, 18, 200, 671, 3022, 50_000, 10_000_000)
COUNTS = ("image_size", "head_epochs", "fine_tune_epochs", "unfreeze_blocks", "views", "patience", "fine_tune_cycles")
DERIVED = (*COUNTS, "deeper_blocks", "fine_tune_learning_rate")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("blocks", [1, 2, 16, 60])
def test_every_option_gets_a_value_that_passes_its_check(size: int, blocks: int) -> None:
    plan = plan_of(size, blocks)
    resolved(config_of(), plan).check()
    for name in COUNTS:
        value = getattr(plan, name)
        assert isinstance(value, int) and value >= 1
    assert plan.unfreeze_blocks is not None and plan.unfreeze_blocks <= blocks
    assert plan.patience <= max(5, plan.fine_tune_epochs)


@pytest.mark.parametrize("options", [{}, {"unfreeze_from": "block9_conv"}, {"formats": ["onnx"], "levels": "0-4095"}])
@pytest.mark.parametrize("size", SIZES)
def test_a_plan_has_a_value_wherever_one_is_known(size: int, options: dict) -> None:
    types, plan = get_type_hints(Plan), plan_of(size, **options)
    for field in fields(Plan):
        kind = types[field.name]
        plain = tuple(get_origin(one) or one for one in (get_args(kind) if isinstance(kind, UnionType) else (kind,)))
        assert isinstance(getattr(plan, field.name), (*plain, *([int] if float in plain else []))), field.name
    assert not set(DERIVED) - {"unfreeze_blocks"} & {
        name for name, kind in types.items() if isinstance(kind, UnionType)
    }


def test_two_views_of_each_image_unless_told_otherwise() -> None:
    assert [plan_of(size).views for size in SIZES] == [2] * len(SIZES)


def test_larger_sets_need_no_more_epochs() -> None:
    for name in ("head_epochs", "fine_tune_epochs"):
        epochs = [getattr(plan_of(size), name) for size in SIZES]
        assert epochs == sorted(epochs, reverse=True)
        assert epochs[0] > epochs[-1]


def test_larger_batches_need_no_fewer_epochs() -> None:
    epochs = [plan_of(3022, batch_size=size).fine_tune_epochs for size in (8, 32, 256)]
    assert epochs == sorted(epochs)
    assert epochs[0] < epochs[-1]


@pytest.mark.parametrize("size", SIZES)
def test_what_the_user_gave_stays(size: int) -> None:
    given = {
        "image_size": 96,
        "head_epochs": 1,
        "fine_tune_epochs": 77,
        "unfreeze_blocks": 5,
        "views": 7,
        "patience": 9,
        "fine_tune_cycles": 2,
        "deeper_blocks": 6,
        "fine_tune_learning_rate": 0.02,
    }
    plan = plan_of(size, **given)
    assert {name: getattr(plan, name) for name in DERIVED} == given


@pytest.mark.parametrize(
    "much", [{"unfreeze_blocks": 16}, {"unfreeze_blocks": 4}, {"unfreeze_from": "block9_conv"}, {"blocks": 1}]
)
def test_much_of_a_backbone_learns_more_slowly_than_its_last_block(much: dict) -> None:
    assert plan_of(unfreeze_blocks=1).fine_tune_learning_rate == plan_of().fine_tune_learning_rate
    assert plan_of(**much).fine_tune_learning_rate < plan_of().fine_tune_learning_rate


def test_deeper_backbones_have_more_blocks_unfrozen() -> None:
    assert [plan_of(blocks=blocks).unfreeze_blocks for blocks in (1, 5, 16, 24, 60)] == [1, 1, 1, 2, 5]


@pytest.mark.parametrize(
    ("size", "options", "cycles", "deeper"),
    [
        (671, {}, 3, 4),
        (3022, {}, 3, 0),  # an epoch of four blocks would take half a minute
        (3022, {"image_size": 96}, 3, 4),
        (671, {"unfreeze_blocks": 2}, 3, 0),
        (671, {"unfreeze_from": "block9_conv"}, 3, 0),
        (671, {"fine_tune_epochs": 5}, 1, 0),  # so many were asked for
        (671, {"fine_tune_epochs": 5, "fine_tune_cycles": 2}, 2, 4),
        (671, {"fine_tune_cycles": 1}, 1, 0),
        (671, {"deeper_blocks": 0}, 3, 0),
        (671, {"blocks": 3}, 3, 0),  # a quarter of them is no more than the last one
        (671, {"blocks": 60}, 3, 15),
    ],
)
def test_fine_tuning_goes_on_and_deeper_where_that_takes_seconds(
    size: int, options: dict, cycles: int, deeper: int
) -> None:
    plan = plan_of(size, **options)
    assert (plan.fine_tune_cycles, plan.deeper_blocks) == (cycles, deeper)


def test_options_that_are_not_derived_stay() -> None:
    plan = plan_of(seed=7, dropout=0.4, backbone="vgg16")
    config = config_of(seed=7, dropout=0.4, backbone="vgg16")
    for field in fields(RunConfig):
        if field.name not in (*DERIVED, "formats", "quantize"):
            assert getattr(resolved(config, plan), field.name) == getattr(config, field.name)


def test_a_named_layer_takes_the_place_of_a_number_of_blocks() -> None:
    plan = plan_of(unfreeze_from="block9_conv")
    assert (plan.unfreeze_blocks, plan.unfreeze_from) == (None, "block9_conv")
    assert plan.unfrozen == "block9_conv"
    resolved(config_of(), plan).check()


def test_resolving_twice_changes_nothing() -> None:
    once = plan_of(671)
    assert resolve(resolved(config_of(), once), train_size=9, blocks=3, image_size=999) == once


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (DEFAULT_FORMATS, "auto")),
        ({"formats": ("onnx",)}, (("onnx",), "none")),
        ({"formats": ("onnx",), "quantize": "auto"}, (("onnx",), "auto")),
        ({"quantize": "none"}, (DEFAULT_FORMATS, "none")),
        ({"formats": ()}, ((), "none")),
    ],
)
def test_a_quantised_file_is_searched_for_unless_files_are_named(given: dict, expected: tuple) -> None:
    plan = plan_of(**given)
    assert (plan.formats, plan.quantize) == expected


def test_the_backbone_s_own_size() -> None:
    assert plan_of(image_size=260).image_size == 260
