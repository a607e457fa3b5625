"""`compare`: which images count, the verdicts, the tables, the page, and what old or unlike runs are told."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import pytest

import app
from app.comparing.figures import draw_all
from app.comparing.runs import open_runs, share
from app.runs.tested import FILE, read_test_predictions, write_test_predictions
from app.tasks import TASKS
from data.labels import LABELS, MULTI_LABEL, REGRESSION
from data.splits import read_rows
from tests.conftest import Ended

Cli = Callable[..., Ended]
Copy = Callable[..., app.Run]


@pytest.fixture(autouse=True)
def narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def copy(tiny_run: app.Run, tmp_path: Path) -> Copy:
    """Make a run of the 24 images of `fruit`, all of them in its test split, that has the last `wrong` of them wrong.

    Options are those of its `config.json`. `rows` changes its `splits.csv` before anything is predicted.
    """

    def make(
        name: str, wrong: Sequence[int] = (), rows: Callable[[list[dict[str, str]]], None] = len, **options: object
    ):
        run = app.Run(Path(shutil.copytree(tiny_run.path, tmp_path / name)))
        lines = [row | {"split": "test"} for row in read_rows(run.splits)]
        rows(lines)
        write_rows(run, lines)
        run.write_options(run.options | options)
        labels = [run.class_names.index(row["label"]) for row in lines if row["split"] == "test"]
        predicted = [(label + (place in wrong)) % 3 for place, label in enumerate(labels)]
        write_predictions(run, 0.8 * np.eye(3)[predicted] + 0.2 / 3)
        return run

    return make


def write_rows(run: app.Run, rows: list[dict[str, str]]) -> None:
    with open(run.path / "splits.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_predictions(run: app.Run, predictions: np.ndarray) -> None:
    """Store predictions for the test images, and the metrics that go with them."""
    tested = [row for row in read_rows(run.splits) if row["split"] == "test"]
    predictions = predictions.astype(np.float32)
    write_test_predictions(run, [row["path"] for row in tested], predictions)
    labels = LABELS[run.task].parse([row["label"] for row in tested], run.class_names)
    measured = TASKS[run.task].measure(predictions, labels.array, run.class_names, run.thresholds)
    run.write_metrics(run.metrics | {"test": measured})


def test_a_run_keeps_its_test_predictions_with_all_digits(tiny_run: app.Run) -> None:
    tested = [row for row in read_rows(tiny_run.splits) if row["split"] == "test"]
    labels = LABELS[tiny_run.task].parse([row["label"] for row in tested], tiny_run.class_names)
    predictions = read_test_predictions(tiny_run)
    assert predictions is not None and predictions.dtype == np.float32
    measured = TASKS[tiny_run.task].measure(predictions, labels.array, tiny_run.class_names, tiny_run.thresholds)
    assert measured == tiny_run.metrics["test"]


# --- What is said -----------------------------------------------------------------------------------------------------


def test_a_better_run_is_named_with_the_difference_and_its_significance(copy: Copy, cli: Cli) -> None:
    worse, better = copy("worse", wrong=range(9)), copy("better", wrong=[8], seed=5)
    ended = cli("compare", worse.path, better.path)
    assert (ended.code, ended.err) == (0, "")
    assert max(map(len, ended.out.splitlines())) <= 80
    words = " ".join(ended.out.split())
    # 8 images that only the second has right, none that only the first has: p = 2 / 2^8
    assert "better is better than worse by 33.3 points in accuracy on 24 images" in words
    assert "p = 0.0078" in words and "0 : 8" in words
    assert re.search(r"what differs +worse +better", ended.out) and re.search(r"seed +0 +5", ended.out)
    assert "dropout" not in ended.out and "The same in all: backbone tiny" in words
    (pair,) = app.compare(better, worse, verbose=0).pairs  # the other way round: the same finding
    assert pair.verdict == app.compare(worse, better, verbose=0).pairs[0].verdict
    assert pair.paired.difference == pytest.approx(-1 / 3) and pair.paired.only_right == (8, 0)


def test_a_difference_within_chance_is_no_difference(copy: Copy) -> None:
    found = app.compare(copy("one", wrong=[0, 1]), copy("two", wrong=[2]), verbose=0)
    assert found.verdicts[0].startswith("No difference beyond chance between one and two: two leads by 4.2 points")
    assert "Only one of them is right on 3 images; it takes 6" in found.verdicts[0]
    assert [one.path for one in found.differing] == ["apple/00.png", "apple/01.png", "apple/02.png"]
    assert found.differing[0].label == "apple" and found.differing[0].right == (False, True)
    assert found.differing[0].predictions == ("banana: 87%", "apple: 87%")


def test_several_pairs_are_corrected(copy: Copy) -> None:
    runs = [copy(name, wrong=wrong) for name, wrong in (("a", range(6)), ("b", []), ("c", [0]), ("d", [1]))]
    three = app.compare(*runs[:3], verbose=0)
    assert [(pair.first, pair.second) for pair in three.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    first = three.pairs[0]  # 6 to 0: p = 2 / 2^6, which three comparisons take beyond 0.05
    assert first.paired.p_value == 0.03125 and first.p_corrected == 3 * 0.03125
    assert not first.is_significant and "p = 0.031, corrected 0.094" in first.verdict
    four = app.compare(*runs, verbose=0)
    assert [(pair.first, pair.second) for pair in four.pairs] == [("a", "b"), ("a", "c"), ("a", "d")]


def test_json_is_all_of_standard_output(copy: Copy, cli: Cli) -> None:
    ended = cli("compare", copy("one", wrong=[0]).path, copy("two").path, "--json")
    found = json.loads(ended.out)
    assert [run["name"] for run in found["runs"]] == ["one", "two"]
    assert found["runs"][1]["test"]["accuracy"] == 1.0 and found["runs"][0]["exports"]["tflite_float32"]["bytes"] > 0
    (pair,) = found["pairs"]
    assert pair["method"] == "McNemar exact" and pair["only_right"] == [0, 1] and pair["p_value"] == 1.0
    assert found["examples"] == [
        {"path": "apple/00.png", "label": "apple", "predictions": ["banana: 87%", "apple: 87%"], "right": [False, True]}
    ]


def test_numbers_and_several_labels_are_compared_by_a_bootstrap(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    random, rated = np.random.default_rng(0), {"task": REGRESSION}

    def numbered(rows: list[dict[str, str]]) -> None:
        for place, row in enumerate(rows):
            row["label"] = str(place)

    exact, rough = copy("exact"), copy("rough")
    for run, spread in ((exact, 0.5), (rough, 5.0)):
        rows = read_rows(run.splits)
        numbered(rows)
        (run.path / "classes.txt").write_text("weight\n", encoding="utf-8")
        write_rows(run, rows)
        run.write_options(run.options | rated)
        run.write_history([one | {"r2": 0.5, "val_r2": 0.5} for one in run.history])
        write_predictions(run, np.arange(24.0)[:, None] + spread * random.normal(size=(24, 1)))
    found = app.compare(rough, exact, verbose=0)
    assert re.match(r"exact is better than rough by [\d.]+ in mean absolute error on 24 images", found.verdicts[0])
    assert found.pairs[0].paired.difference < 0 and found.pairs[0].different is None
    assert len(found.differing) == 24 and set(found.differing[0].right) == {None}
    assert list(found.figures) == ["metric", "loss", "differences"]
    tags = []
    for name, wrong in (("few", [0]), ("many", range(12))):
        run = copy(name)
        run.write_options(run.options | {"task": MULTI_LABEL})
        run.write_thresholds(np.full(3, 0.5))
        labels = np.repeat(np.arange(3), 8)
        labels[list(wrong)] = (labels[list(wrong)] + 1) % 3
        write_predictions(run, np.eye(3)[labels] * 0.8 + 0.1 * random.random((24, 3)))
        tags.append(run)
    found = app.compare(*tags, verbose=0)
    assert "few is better than many by" in found.verdicts[0] and "mean average precision" in found.verdicts[0]
    assert len(found.differing) == 11


# --- Which images count -----------------------------------------------------------------------------------------------


def test_only_shared_images_that_no_run_was_trained_on_count(copy: Copy, cli: Cli) -> None:
    def others(rows: list[dict[str, str]]) -> None:
        for place, row in enumerate(rows):
            row["path"] = f"moved/{row['path']}"  # the files are known by their digests
            row["split"] = "train" if place < 4 else "validation" if place < 6 else "test"
        rows[7]["label"] = "cherry"

    found = app.compare(copy("one"), copy("two", rows=others), verbose=0)
    (pair,) = found.pairs
    assert pair.n == 17 and pair.left_out == {"trained_on": 4, "relabelled": 1, "unshared": 2, "repeated": 0}
    assert found.notes == (
        "one and two are compared on the 17 test images that they share; left out: 4 that one of them was trained on, "
        "1 with different labels, 2 in the test split of one of them only.",
    )


def test_an_image_that_a_run_tested_and_trained_on_does_not_count(copy: Copy) -> None:
    def leaking(rows: list[dict[str, str]]) -> None:
        rows.append(rows[0] | {"path": "again.png", "split": "train"})

    shared = share(open_runs([str(copy("one").path), str(copy("two", rows=leaking).path)]))
    assert len(shared) == 23 and shared.trained_on == 1


def test_a_repeated_file_counts_once(copy: Copy) -> None:
    def repeating(rows: list[dict[str, str]]) -> None:
        rows += [rows[0] | {"path": "again.png"}, rows[1] | {"path": "once more.png"}]

    found = app.compare(copy("one", rows=repeating), copy("two", rows=repeating), verbose=0)
    assert found.pairs[0].n == 24 and found.pairs[0].left_out["repeated"] == 2
    assert found.notes == (
        "one and two are compared on the 24 test images that they share; left out: 2 that repeat another file.",
    )


def test_runs_without_digests_are_matched_by_path(copy: Copy) -> None:
    def old(rows: list[dict[str, str]]) -> None:
        for row in rows:
            del row["sha256"]
        rows[0]["path"] = "elsewhere.png"

    assert app.compare(copy("one"), copy("two", rows=old), verbose=0).pairs[0].n == 23


def test_classes_may_be_in_another_order(copy: Copy) -> None:
    one, two = copy("one", wrong=[0]), copy("two", wrong=[0])
    (two.path / "classes.txt").write_text("cherry\napple\nbanana\n", encoding="utf-8")
    predictions = read_test_predictions(one)
    assert predictions is not None
    write_predictions(two, predictions[:, [2, 0, 1]])
    found = app.compare(one, two, verbose=0)
    assert found.pairs[0].paired.scores == (23 / 24, 23 / 24) and found.differing == ()
    assert "they predict the same" in found.verdicts[0]


def test_a_run_without_predictions_predicts_again(tiny_copy: app.Run, tiny_run: app.Run) -> None:
    (tiny_copy.path / FILE).unlink()
    found = app.compare(tiny_run, tiny_copy, verbose=0)
    assert found.runs[1].predictions == pytest.approx(found.runs[0].predictions, abs=1e-5)
    assert found.notes == ("copy: without stored predictions, so the test images were predicted again.",)
    assert not (tiny_copy.path / FILE).exists()  # a comparison reads runs only


# --- What is refused --------------------------------------------------------------------------------------------------


def all_trained(rows: list[dict[str, str]]) -> None:
    for place, row in enumerate(rows):
        row["split"] = "test" if place == 0 else "train"


def other_images(rows: list[dict[str, str]]) -> None:
    for row in rows:
        row["sha256"] = row["sha256"][::-1]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            all_trained,
            r"share one test image \(23 are training images of another\); train them on the same images with",
        ),
        (other_images, r"one and \S+two share no test image; train them on the same images with the same --seed,"),
    ],
)
def test_runs_that_share_nothing(copy: Copy, rows: Callable[[list[dict[str, str]]], None], expected: str) -> None:
    with pytest.raises(app.UsageError, match=expected):
        app.compare(copy("one"), copy("two", rows=rows), verbose=0)


def test_runs_that_cannot_be_compared(copy: Copy, cli: Cli, tmp_path: Path) -> None:
    one, two = copy("one"), copy("two")

    def refusal(*words: str | PathLike[str]) -> str:
        ended = cli("compare", *map(os.fspath, words))
        assert ended.code == 2 and ended.out == "" and ended.err.startswith("Error: ")
        return ended.err

    assert "name at least two runs to compare" in refusal(one)
    assert "one is named twice; name each run once" in refusal(one, two, f"{tmp_path}/two/../one")
    assert "no_run is not a run folder" in refusal(one, tmp_path / "no_run")
    folds = app.Run.create(one.options | {"folds": 2}, output=str(tmp_path / "folds"))
    assert "it holds a run for each fold; name one of them" in refusal(one, folds)
    assert "--output must be a .html file, not page.pdf" in refusal(one, two, "--output", "page.pdf")
    (tmp_path / "mine.html").write_text("<p>mine</p>")
    assert "mine.html is there already and is no page of compare" in refusal(
        one, two, "--output", tmp_path / "mine.html"
    )
    assert (tmp_path / "mine.html").read_text() == "<p>mine</p>"
    (two.path / FILE).write_text("path,apple,banana,cherry\napple/00.png,1\n", encoding="utf-8")
    assert "test_predictions.csv is damaged" in refusal(one, two)
    two.report.unlink()
    assert "two has no report.html: it is not finished" in refusal(one, two)
    (one.path / "classes.txt").write_text("apple\nbanana\nfig\n", encoding="utf-8")
    two.report.touch()
    assert "have different classes (only in" in refusal(two, one) and "cherry" in refusal(two, one)
    two.write_options(two.options | {"task": REGRESSION})
    assert "compare runs of the same task" in refusal(one, two)


# --- What is shown ----------------------------------------------------------------------------------------------------


def test_the_page_needs_nothing_else(copy: Copy, cli: Cli, tmp_path: Path, fruit: Path) -> None:
    one, two = copy("one", wrong=range(8)), copy("two <b>", seed=2)
    page = tmp_path / "page.html"
    ended = cli("compare", one.path, two.path, "--output", page)
    assert ended.code == 0 and str(page) in "".join(ended.out.split())
    text = page.read_text(encoding="utf-8")
    assert "two &lt;b&gt; is better than one by 33.3 points" in text and "<b>;" not in text
    assert text.index("is better than") < text.index("<table>")  # verdicts first
    assert all(address.startswith("data:") for address in re.findall(r'(?:src|srcset|href)="([^"]*)"', text))
    assert "<script" not in text and "prefers-color-scheme: dark" in text
    assert text.count("data:image/jpeg") == 8 and text.count("data:image/png") == 6  # light and dark
    assert "apple/00.png" in text and "✗ banana: 87%" in text and "✓ apple: 87%" in text
    assert str(fruit.parent) not in text and len(text) < 1_000_000
    assert not list(tmp_path.glob(".*"))
    two.write_options(two.options | {"seed": 3})
    assert cli("compare", one.path, two.path, "--output", page).code == 0  # a page of ours is replaced
    assert page.read_text(encoding="utf-8") != text


def test_a_page_without_its_images_says_so(copy: Copy, tmp_path: Path) -> None:
    runs = [copy(name, wrong=wrong, source=str(tmp_path / "gone")) for name, wrong in (("one", [0]), ("two", []))]
    app.compare(*runs, output=tmp_path / "page.html", verbose=0)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "The images themselves cannot be read any more." in text and "apple/00.png" in text


def test_curves_of_all_runs_are_in_the_same_axes(copy: Copy) -> None:
    found = app.compare(copy("one"), copy("two", wrong=[0]), verbose=0)
    for name, key in (("metric", "val_accuracy"), ("loss", "val_loss")):
        (axes,) = found.figures[name].axes
        lines = {line.get_label(): line for line in axes.lines}
        for run in found.runs:
            assert list(lines[run.name].get_ydata()) == [one[key] for one in run.run.history]
        assert sum(line.get_linestyle() == "--" for line in axes.lines) == 2  # where fine-tuning begins
    dark = draw_all(found.runs, found.pairs, dark=True)["loss"]
    assert dark.get_facecolor() != found.figures["loss"].get_facecolor()


def test_a_comparison_shows_itself_in_a_notebook(copy: Copy) -> None:
    found = app.compare(copy("one", wrong=[0]), copy("two", seed=4), verbose=0)
    shown = found._repr_html_()
    assert found.verdicts[0] in shown and "seed" in shown and shown.count("data:image/png") == 3
    assert shown.count("data:image/jpeg") == 1
    assert repr(found).startswith("Comparison(one, two: No difference beyond chance")
