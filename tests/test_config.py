"""The options of a run, as its folder records them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import MISSING, fields, replace
from pathlib import Path

import numpy as np
import pytest

import app
from app.config import RunConfig, RunOptions, TrainConfig, load_config, make_config, recorded
from app.config.plan import Plan
from app.config.shared import Options, by_heading, declarations, make
from app.interface.errors import UsageError
from app.training.engines import ENGINES
from app.verbs import VERBS
from data.sources import SOURCES
from models.heads import HEADS
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


# --- Types ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: app.train("x", image_size="96"), "image_size must be an integer, not '96'"),
        (lambda: app.train("x", image_size=96.0), "image_size must be an integer, not 96.0"),
        (lambda: app.train("x", fine_tune_epochs=True), "fine_tune_epochs must be an integer, not True"),
        (lambda: app.train("x", dropout="0.3"), "dropout must be a number, not '0.3'"),
        (lambda: app.train("x", dropout=False), "dropout must be a number, not False"),
        (lambda: app.train("x", dropout=10**400), "dropout must be a number, not 1000"),
        (lambda: app.train("x", flip="no"), "flip must be True or False, not 'no'"),
        (lambda: app.train("x", flip=1), "flip must be True or False, not 1"),
        (lambda: app.train("x", seed=None), "seed must be an integer, not None"),
        (lambda: app.train("x", formats=3), "formats must be a list of strings, not 3"),
        (lambda: app.train("x", formats=["onnx", 3]), "formats must be a list of strings, not ['onnx', 3]"),
        (lambda: app.train(5), "source must be a string, not 5"),
        (lambda: app.train(b"images"), "source must be a string, not b'images'"),
        (lambda: app.train(np.zeros((500, 500))), "source must be a string, not array("),
        (lambda: app.train(resume=3), "resume must be a string, not 3"),
        (lambda: app.evaluate(None), "run must be a string, not None"),
        (lambda: app.export("x", formats={"onnx"}), "formats must be a list of strings, not {'onnx'}"),
        (lambda: app.predict("x", "a.png", mean="127"), "mean must be a list of numbers, not '127'"),
        (lambda: app.predict(3, "a.png"), "model must be a string, not 3"),
        (lambda: app.export(3), "run must be a string, not 3"),
        (lambda: app.verify("x", model=3), "model must be a string, not 3"),
        (lambda: app.verify(3, model="x"), "files must be a list of strings, not 3"),
        (lambda: app.audit(3), "source must be a string, not 3"),
        (lambda: app.benchmark(3), "files must be a list of strings, not 3"),
        (lambda: app.benchmark(["x"], threads=[1, "2"]), "threads must be a list of integers, not [1, '2']"),
        (lambda: app.list_choices(3), "what must be a string, not 3"),
        (lambda: app.cache(3), "action must be a string, not 3"),
    ],
)
def test_a_value_of_another_type_is_one_short_sentence(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(UsageError) as raised:
        call()
    text = str(raised.value)
    assert text.startswith(sentence) and len(text) < 200 and "\n" not in text


def test_values_that_mean_the_same_are_taken() -> None:
    options = make_config(
        TrainConfig,
        source=Path("images"),
        output=Path("runs") / "one",
        image_size=np.int64(96),
        dropout=np.float32(0.5),
        max_drop=1,
        flip=np.bool_(False),
        formats=["onnx"],
        columns=np.array(["label=kind"]),
        backbone=np.str_("mobilenet_v2"),
        locales=Path("de.txt"),
    )
    expected = {"source": "images", "output": str(Path("runs") / "one"), "image_size": 96, "dropout": 0.5}
    expected |= {"max_drop": 1.0, "flip": False, "formats": ("onnx",), "columns": ("label=kind",)}
    expected |= {"backbone": "mobilenet_v2", "locales": ("de.txt",)}
    assert {name: getattr(options, name) for name in expected} == expected
    assert {name: type(getattr(options, name)) for name in expected} == {n: type(v) for n, v in expected.items()}


@pytest.mark.parametrize("kind", [verb.options for verb in VERBS.values()])
def test_every_default_is_of_its_declared_type(kind: type[Options]) -> None:
    defaults = {field.name: field.default for field in fields(kind) if field.default is not MISSING}
    required = {field.name: ["x"] if "tuple" in str(field.type) else "x" for field in fields(kind)}
    required = {name: value for name, value in required.items() if name not in defaults}
    made = vars(make(kind, defaults | required))
    assert {name: made[name] for name in defaults} == defaults


def test_a_damaged_config_is_a_sentence() -> None:
    with pytest.raises(UsageError, match="batch_size must be an integer, not 'many'"):
        load_config({"source": "images", "batch_size": "many"})


def test_help_names_the_rows_that_a_program_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = declarations(TrainConfig)
    monkeypatch.setitem(HEADS, "own_head", HEADS["linear"])
    monkeypatch.setitem(SOURCES, "own_source", replace(SOURCES["folder"], syntax="OWN_SOURCE"))
    assert texts["head"].option.text.endswith(", own_head")
    monkeypatch.setitem(ENGINES, "own_engine", ENGINES["tensorflow"])
    assert "OWN_SOURCE" in texts["source"].option.text
    assert "own_engine" in texts["engine"].option.text
    assert make_config(TrainConfig, source="images", engine="own_engine").engine == "own_engine"
