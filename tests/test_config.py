"""The options of a run, as its folder records them."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest

from app.config import RunConfig, RunOptions, TrainConfig, load_config, recorded
from app.config.plan import Plan
from app.config.shared import by_heading
from app.interface.errors import UsageError
from tests.plans import config_of


def written(config: RunConfig) -> dict[str, object]:
    """What a reader of `config.json` sees."""
    return json.loads(json.dumps(recorded(config)))


@pytest.mark.parametrize(
    "options", [{}, {"formats": (), "locales": ("de=a.txt",), "columns": ("label=kind",)}, {"views": 3, "flip": False}]
)
def test_options_are_read_as_they_were_written(options: dict[str, object]) -> None:
    config = config_of(**options)
    assert load_config(written(config)) == config


def test_config_holds_what_a_user_may_give_and_nothing_else() -> None:
    options = {field.name for field in fields(TrainConfig)} - {"resume", "output"}
    assert set(written(config_of())) == options
    assert {field.name for field in fields(Plan)} < options


def test_options_are_written_in_the_order_of_their_groups() -> None:
    headings = list(by_heading(RunConfig))
    assert headings == [title for title in by_heading(RunOptions) if title]
    assert list(written(config_of())) == [name for names in by_heading(RunConfig).values() for name in names]


def test_what_earlier_versions_did_not_write_has_its_default() -> None:
    config = load_config({"source": "images", "task": None, "head_epochs": 7})
    assert config == replace(config_of(), head_epochs=7)


def test_options_that_are_not_those_of_a_run_are_refused() -> None:
    with pytest.raises(UsageError, match=r"unknown option 'bach_size'. Did you mean 'batch_size'\?"):
        load_config({"source": "images", "bach_size": 3})
    with pytest.raises(UsageError, match=r"config\.json is damaged: it names no source"):
        load_config({"source": None})
