"""The run folder: everything that the design names is there, is valid, and is the same for the same seed."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import keras
import pytest
from PIL import Image

import app
from app.evaluation.report import write_report
from app.interface.errors import UsageError
from tests.conftest import TINY, naming_folders
from tests.images import write_folder

HOSTILE = ("<script>alert(1)", "a|b `c` *d*", "$\\frac$", "ünïcødé ☕ 花", "{{ 7*7 }}", "[bold]red")
EPOCH = {"phase", "epoch", "seconds", "finished", "loss", "accuracy", "val_loss", "val_accuracy"}
SPLIT = {"n", "accuracy", "accuracy_ci95", "balanced_accuracy", "macro_f1", "log_loss", "ece", "classes", "confusion"}


def strict(text: str) -> Any:
    """Parse JSON by the letter: Python alone takes NaN and Infinity."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def splits(run: app.Run) -> list[dict[str, str]]:
    return list(csv.DictReader(run.splits.splitlines()))


def numbers(run: app.Run) -> list[dict[str, Any]]:
    return [{name: value for name, value in one.items() if name not in ("seconds", "finished")} for one in run.history]


# --- What is in it ----------------------------------------------------------------------------------------------------


def test_everything_is_there_and_nothing_is_left_over(finished_run: app.Run) -> None:
    found = {path.name for path in finished_run.path.iterdir()} - {"evaluations"}
    assert found == {
        *(
            "config.json",
            "environment.json",
            "classes.txt",
            "splits.csv",
            "test_predictions.csv",
            "history.jsonl",
            "history.csv",
            "metrics.json",
            "model.keras",
        ),
        *("plots", "model_card.md", "report.html", "export", "log.txt"),
    }
    assert not list(finished_run.path.rglob(".*"))  # a temporary name of something half written
    assert finished_run.is_finished


def test_checkpoints_are_kept_on_request(fruit: Path, tiny_backbone: str, tiny_run: app.Run, tmp_path: Path) -> None:
    options = {**TINY, "strategy": "feature_extraction", "formats": (), "keep_checkpoints": True}
    kept = app.train(str(fruit), output=str(tmp_path / "kept"), **options)
    assert {"start.keras", "state.json"} < {path.name for path in kept.checkpoints.iterdir()}
    assert not tiny_run.checkpoints.exists()


def test_checkpoints_that_outlived_the_end_of_a_run_do_no_harm(tiny_copy: app.Run) -> None:
    tiny_copy.checkpoints.mkdir()  # killed between the report and the removal, or in the middle of it
    (tiny_copy.checkpoints / "state.json").write_text("half a fi")
    assert tiny_copy.is_finished
    with pytest.raises(UsageError, match="is finished"):
        app.train(resume=str(tiny_copy.path))
    assert app.evaluate(str(tiny_copy.path))["n"] == 3


def test_what_is_passed_on_names_no_folder_of_this_machine(finished_run: app.Run, fruit: Path) -> None:
    assert naming_folders(finished_run, fruit) == []
    assert "trained on | `fruit`," in (finished_run.path / "model_card.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"source": "/home/somebody/images"}, {"source": "images"}),
        ({"source": "/home/somebody/a.zip", "test": "/home/somebody/b.csv"}, {"source": "a.zip", "test": "b.csv"}),
        ({"source": "https://host/a/set.zip"}, {"source": "https://host/a/set.zip"}),
        ({"source": "sample:digits"}, {"source": "sample:digits"}),
        ({"source": "a", "weights": "/home/somebody/my.h5"}, {"weights": "my.h5"}),
        ({"source": "a", "locales": ("de=/home/somebody/de.txt",)}, {"locales": "de=de.txt"}),
        ({"source": "a", "cache_folder": "/home/somebody/cache"}, {}),
    ],
)
def test_options_are_shown_without_their_folders(
    options: dict[str, Any], expected: dict[str, str], tiny_copy: app.Run
) -> None:
    path = tiny_copy.path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | options))
    write_report(tiny_copy)
    report = tiny_copy.report.read_text(encoding="utf-8")
    assert "/home/somebody" not in report
    for name, shown in expected.items():
        assert f"<th>{name}</th><td>{shown}</td>" in report


def test_the_model_loads_with_keras_alone(finished_run: app.Run) -> None:
    model = keras.saving.load_model(finished_run.model)  # as anybody would, without compile=False
    assert model.output_shape == (None, 3)
    assert getattr(model, "optimizer", None) is None  # two numbers for each weight, of no use to anybody


def test_json_files_are_valid(finished_run: app.Run) -> None:
    files = [*finished_run.path.rglob("*.json")]
    assert len(files) >= 4
    for file in files:
        assert strict(file.read_text(encoding="utf-8"))


def test_config_holds_every_option_as_resolved(finished_run: app.Run, fruit: Path) -> None:
    from dataclasses import fields

    from app.config import TrainConfig

    config = strict((finished_run.path / "config.json").read_text())
    assert set(config) == {field.name for field in fields(TrainConfig)} - {"resume", "output"}
    assert (config["source"], config["backbone"], config["weights"]) == (str(fruit), "efficientnet_lite0", "none")
    assert (config["image_size"], config["head_epochs"], config["fine_tune_epochs"]) == (32, 1, 1)
    unresolved = {name for name, value in config.items() if value is None}
    # The blocks say where training begins; the usual cache; no folds; all of train; one source, with a class a folder; the
    # likeliest class is answered.
    assert unresolved == {
        *("unfreeze_from", "cache_folder", "folds", "fold", "shots"),
        *("label_separator", "label_pattern", "image_folder", "image_suffix", "uncertain", "validation", "test"),
        *("background", "levels", "mixed_precision", "mlflow", "wandb"),
        *("positive", "target_precision", "target_recall"),
    }
    assert config["task"] == "single_label"
    assert config["unfreeze_blocks"] >= 1


def test_environment_tells_what_a_run_depends_on(finished_run: app.Run, tiny_run: app.Run) -> None:
    environment = finished_run.environment
    assert {"tensorflow", "keras", "numpy"} <= set(environment["packages"])
    assert environment["seed"] == 0
    assert re.fullmatch("[0-9a-f]{64}", environment["data_sha256"])
    assert re.fullmatch("[0-9a-f]{64}", environment["backbone_weights_sha256"])
    assert environment["data_sha256"] == tiny_run.environment["data_sha256"]
    assert environment["backbone_weights_sha256"] != tiny_run.environment["backbone_weights_sha256"]


def test_splits_name_every_image_once(finished_run: app.Run, fruit: Path) -> None:
    rows = splits(finished_run)
    assert sorted(row["path"] for row in rows) == sorted(
        path.relative_to(fruit).as_posix() for path in fruit.rglob("*.png")
    )
    assert all(row["label"] == row["path"].partition("/")[0] for row in rows)
    counts = Counter((row["label"], row["split"]) for row in rows)
    assert counts == {
        (label, split): count
        for label in ("apple", "banana", "cherry")
        for split, count in (("train", 6), ("validation", 1), ("test", 1))
    }


def test_classes_are_one_a_line_in_label_order(finished_run: app.Run) -> None:
    assert (finished_run.path / "classes.txt").read_text() == "apple\nbanana\ncherry\n"
    assert finished_run.class_names == ("apple", "banana", "cherry")


def test_history_has_one_object_an_epoch(finished_run: app.Run) -> None:
    lines = (finished_run.path / "history.jsonl").read_text().splitlines()
    history = [strict(line) for line in lines]
    assert [(one["phase"], one["epoch"]) for one in history] == [("head", 1), ("fine_tune", 1)]
    for one in history:
        assert set(one) == EPOCH
        assert one["seconds"] > 0
        assert 0 <= one["accuracy"] <= 1 and 0 <= one["val_accuracy"] <= 1


def test_history_is_a_table_too(finished_run: app.Run) -> None:
    rows = list(csv.DictReader((finished_run.path / "history.csv").read_text().splitlines()))
    assert [(one["phase"], int(one["epoch"]), float(one["val_loss"])) for one in rows] == [
        (one["phase"], one["epoch"], one["val_loss"]) for one in finished_run.history
    ]


def test_metrics_of_both_splits_and_the_seconds(finished_run: app.Run) -> None:
    metrics = finished_run.metrics
    assert set(metrics) == {"validation", "test", "best", "calibration", "advice", "seconds", "extraction"}
    for split in ("validation", "test"):
        one = metrics[split]
        assert set(one) == SPLIT
        assert one["n"] == 3 == sum(map(sum, one["confusion"]))
        correct = sum(one["confusion"][label][label] for label in range(3))
        assert one["accuracy"] == pytest.approx(correct / 3)
        assert list(one["classes"]) == ["apple", "banana", "cherry"]
    seconds = metrics["seconds"]
    assert {"total", "extract", "head", "fine_tune", "export"} <= set(seconds)
    assert seconds["total"] >= sum(value for name, value in seconds.items() if name != "total") - 1e-6


def test_the_best_epoch_is_the_one_that_was_saved(tiny_run: app.Run) -> None:
    accuracy, loss = max((one["val_accuracy"], -one["val_loss"]) for one in tiny_run.history)
    assert tiny_run.metrics["validation"]["accuracy"] == pytest.approx(accuracy, abs=1e-5)
    assert tiny_run.metrics["validation"]["log_loss"] == pytest.approx(-loss, abs=1e-3)
    others = [one["val_loss"] for one in tiny_run.history if one["val_loss"] != pytest.approx(-loss, abs=1e-3)]
    assert others  # so that another epoch's weights would have been noticed


@pytest.mark.parametrize("name", ["data", "augmentation", "curves", "confusion", "reliability", "predictions"])
def test_plots_are_images(name: str, finished_run: app.Run) -> None:
    with Image.open(finished_run.plots / f"{name}.png") as image:
        image.load()
        assert image.format == "PNG"
        assert min(image.size) > 100
        assert len(set(image.convert("L").resize((64, 64)).getdata())) > 3  # not blank


def test_the_report_holds_the_numbers_and_its_images(finished_run: app.Run) -> None:
    report = finished_run.report.read_text(encoding="utf-8")
    test = finished_run.metrics["test"]
    for text in (
        f"{100 * test['accuracy']:.1f} %",
        f"{test['macro_f1']:.3f}",
        f"{test['log_loss']:.3f}",
        f"{finished_run.metrics['validation']['log_loss']:.3f}",
        *(one["file"] for one in finished_run.parity["formats"].values()),
        "agrees",
        finished_run.environment["data_sha256"],
        *finished_run.class_names,
    ):
        assert text in report
    assert report.count('src="data:image/png;base64,') == 6
    assert not re.search(r'(?:src|href)="(?!data:)', report)  # one file, which needs no other and no network


def test_the_model_card_holds_the_numbers(finished_run: app.Run) -> None:
    card = (finished_run.path / "model_card.md").read_text(encoding="utf-8")
    test = finished_run.metrics["test"]
    assert f"| test | 3 | {test['accuracy']:.3f} |" in card
    for text in ("apple, banana, cherry", "efficientnet_lite0", "32 × 32", "[`saved_model`](export/saved_model)"):
        assert text in card
    assert "{{" not in card and "{%" not in card


# --- Hostile names ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hostile_run(tiny_backbone: str, tmp_path_factory: pytest.TempPathFactory) -> app.Run:
    folder = write_folder(tmp_path_factory.mktemp("hostile") / "<b>images", classes=len(HOSTILE), examples=3)
    for path, name in zip(sorted(folder.iterdir()), HOSTILE, strict=True):
        path.rename(folder / name)
    output = folder.parent / "<i>run"
    options = {**TINY, "strategy": "feature_extraction", "formats": ("tflite_float32",)}
    return app.train(str(folder), output=str(output), **options)


def test_names_are_escaped_in_the_report(hostile_run: app.Run) -> None:
    report = hostile_run.report.read_text(encoding="utf-8")
    for text in ("<script", "<b>images", "<i>run"):
        assert text not in report
    for text in ("&lt;script&gt;alert(1)", "{{ 7*7 }}", "&lt;b&gt;images", "ünïcødé ☕ 花"):
        assert text in report


def test_names_do_not_break_the_card_s_tables(hostile_run: app.Run) -> None:
    card = (hostile_run.path / "model_card.md").read_text(encoding="utf-8")
    rows = [line for line in card.split("\n") if "alert(1)" in line or "a\\|b" in line if line.startswith("|")]
    assert len(rows) == 2
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 6 for row in rows)


def test_names_come_back(hostile_run: app.Run) -> None:
    assert hostile_run.class_names == tuple(sorted(HOSTILE))


def test_names_come_back_in_answers(hostile_run: app.Run) -> None:
    source = hostile_run.options["source"]
    assert source is not None
    predictions = app.predict(str(hostile_run.export / "model_float32.tflite"), [source])
    assert set(predictions[0].probabilities) == set(HOSTILE)


# --- The same again ---------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_run(tiny_run: app.Run, fruit: Path, tmp_path: Path) -> None:
    again = app.train(str(fruit), output=str(tmp_path / "again"), formats=("tflite_float32",), **TINY)
    assert again.splits == tiny_run.splits
    assert numbers(again) == numbers(tiny_run)
    for split in ("validation", "test"):
        assert again.metrics[split] == tiny_run.metrics[split]
    assert (again.export / "model_float32.tflite").stat().st_size == (
        tiny_run.export / "model_float32.tflite"
    ).stat().st_size


def test_another_seed_gives_another_run(tiny_run: app.Run, fruit: Path, tmp_path: Path) -> None:
    other = app.train(str(fruit), output=str(tmp_path / "other"), formats=(), seed=1, **TINY)
    assert splits(other) != splits(tiny_run)
    assert numbers(other) != numbers(tiny_run)
    assert other.environment["seed"] == 1
    assert (other.parity["formats"], other.is_finished) == ({}, True)  # no formats: a run without exports
    assert "tflite" not in (other.path / "model_card.md").read_text() + (other.export / "integration.md").read_text()


def test_without_output_a_run_is_named_after_its_source(
    fruit: Path, tmp_path: Path, tiny_backbone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = {**TINY, "strategy": "feature_extraction", "formats": ()}
    runs = [app.train(str(fruit), **options) for _ in range(2)]
    assert [run.path for run in runs] == [Path("runs/fruit"), Path("runs/fruit-2")]
    assert {one["phase"] for one in runs[0].history} == {"head"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]
