"""The table of formats: what cannot be exported is said by `list`, and before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import app
from app.exporting.formats import FORMATS, check_exportable
from app.interface.errors import UsageError
from data.labels import LABELS, REGRESSION
from models.backbones import BACKBONES
from tests.conftest import Ended
from tests.squares import write_squares

Cli = Callable[..., Ended]


@pytest.mark.parametrize("task", LABELS)
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_holds_every_backbone(name: str, task: str) -> None:
    """`tests/test_every_backbone.py`, opt-in, exports them all."""
    for backbone in BACKBONES:
        if task == REGRESSION and name == "tflite_edge":
            continue
        check_exportable([name], backbone=backbone, task=task)


def test_numbers_are_refused_before_training(tmp_path: Path, tiny_backbone: str, cli: Cli) -> None:
    source = write_squares(tmp_path / "squares") / "numbers.csv"
    ended = cli(
        *("train", source, "--columns", "label=brightness", "--task", "regression", "--output", tmp_path / "run"),
        *("--backbone", tiny_backbone, "--weights", "none", "--formats", "tflite_edge"),
    )
    assert ended.code == 2
    assert "tflite_edge cannot hold a model for regression: numbers need more than 256 steps" in ended.err
    assert not (tmp_path / "run").exists()


def test_a_backbone_that_a_format_cannot_hold_is_refused(
    tiny_copy: app.Run, fruit: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS, "onnx", replace(FORMATS["onnx"], cannot={"ti[mn]y": "it has no such operation"}))
    with pytest.raises(
        UsageError, match=r"onnx cannot hold tiny: it has no such operation\. Leave it out of --formats"
    ):
        app.export(str(tiny_copy.path), formats=("onnx",))
    with pytest.raises(UsageError, match="onnx cannot hold tiny"):
        app.train(str(fruit), output=str(tmp_path / "run"), backbone="tiny", weights="none", formats=("onnx",))
    assert not (tmp_path / "run").exists()
    assert "ti[mn]y: it has no such operation" in " ".join(cli("list", "formats").out.split())


def test_the_list_says_what_a_format_cannot_hold(cli: Cli) -> None:
    assert "regression: numbers need more than 256 steps" in " ".join(cli("list", "formats").out.split())
