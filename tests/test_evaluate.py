"""`evaluate`: a run's figures again, and those for other images of the same classes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import app
from app.interface.errors import UsageError
from data.errors import DataError
from tests.conftest import Ended
from tests.images import write_folder


def move_source(run: app.Run, source: Path) -> None:
    path = run.path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"source": str(source)}))


def test_the_test_split_gives_the_run_s_own_figures(tiny_copy: app.Run) -> None:
    found = app.evaluate(str(tiny_copy.path))
    expected = tiny_copy.metrics["test"]
    assert set(found) == set(expected)
    for name, value in expected.items():
        if isinstance(value, float):
            assert found[name] == pytest.approx(value, abs=1e-6)
        elif name != "accuracy_ci95":
            assert found[name] == value
    saved = json.loads((tiny_copy.path / "evaluations" / "test.json").read_text())
    assert saved == {"source": tiny_copy.options["source"], **found}


def test_an_evaluation_does_not_replace_an_earlier_one(tiny_copy: app.Run) -> None:
    for _ in range(2):
        app.evaluate(str(tiny_copy.path))
    assert sorted(path.name for path in (tiny_copy.path / "evaluations").iterdir()) == ["test-2.json", "test.json"]


def test_what_is_printed(tiny_copy: app.Run, cli: Callable[..., Ended]) -> None:
    ended = cli("evaluate", tiny_copy.path)
    assert (ended.code, ended.err) == (0, "")
    test = tiny_copy.metrics["test"]
    low, high = test["accuracy_ci95"]
    rows = [re.split(r"\s{2,}", line.strip()) for line in ended.out.splitlines()]
    assert [str(test["n"]), f"{test['accuracy']:.3f}", f"{low:.3f} – {high:.3f}"] in [row[:3] for row in rows]
    for name, one in test["classes"].items():
        assert [name, str(one["n"]), *(f"{one[key]:.3f}" for key in ("precision", "recall", "f1"))] in rows
    assert str(tiny_copy.path / "evaluations" / "test.json") in ended.out


def test_other_images_may_have_fewer_classes_with_other_labels(tiny_copy: app.Run, tmp_path: Path) -> None:
    source = write_folder(tmp_path / "other", classes=3, examples=4, seed=5)
    shutil.rmtree(source / "apple")  # banana and cherry would be 0 and 1 here, but are the model's 1 and 2
    found = app.evaluate(str(tiny_copy.path), str(source))
    predictions = app.predict(str(tiny_copy.path), [str(source)])
    right = [Path(one.path).parent.name == one.label for one in predictions]
    assert found["n"] == 8
    assert found["accuracy"] == pytest.approx(sum(right) / 8)
    assert [sum(row) for row in found["confusion"]] == [0, 4, 4]
    assert {name: one["n"] for name, one in found["classes"].items()} == {"apple": 0, "banana": 4, "cherry": 4}
    present = [found["classes"][name]["recall"] for name in ("banana", "cherry")]
    assert found["balanced_accuracy"] == pytest.approx(sum(present) / 2)
    assert (tiny_copy.path / "evaluations" / "other.json").is_file()


def test_unknown_classes_are_named(tiny_copy: app.Run, tmp_path: Path) -> None:
    source = write_folder(tmp_path / "other", classes=5, examples=3)
    with pytest.raises(UsageError, match=r"does not know \(damson, elder\); it knows apple, banana, cherry"):
        app.evaluate(str(tiny_copy.path), str(source))
    assert not (tiny_copy.path / "evaluations").exists()


def test_unreadable_images_stop_it_unless_skipped(tiny_copy: app.Run, tmp_path: Path) -> None:
    source = write_folder(tmp_path / "other", examples=3)
    (source / "apple" / "01.png").write_bytes(b"text")
    with pytest.raises(DataError, match=r"apple/01\.png"):
        app.evaluate(str(tiny_copy.path), str(source))
    assert app.evaluate(str(tiny_copy.path), str(source), skip_unreadable=True)["n"] == 8


def test_moved_images_are_missed(tiny_copy: app.Run, fruit: Path, tmp_path: Path) -> None:
    move_source(tiny_copy, tmp_path / "gone")
    with pytest.raises(DataError, match="there is no folder"):
        app.evaluate(str(tiny_copy.path))
    fewer = Path(shutil.copytree(fruit, tmp_path / "fewer"))
    (fewer / "apple" / "00.png").unlink()
    move_source(tiny_copy, fewer)
    with pytest.raises(DataError, match=r"no longer in .*apple/00\.png"):
        app.evaluate(str(tiny_copy.path))
    shutil.copytree(fruit, fewer, dirs_exist_ok=True)
    assert app.evaluate(str(tiny_copy.path))["accuracy"] == tiny_copy.metrics["test"]["accuracy"]


def test_images_that_came_later_are_left_out(tiny_copy: app.Run, fruit: Path, tmp_path: Path) -> None:
    more = Path(shutil.copytree(fruit, tmp_path / "more"))
    shutil.copy(more / "apple" / "00.png", more / "banana" / "later.png")
    move_source(tiny_copy, more)
    assert app.evaluate(str(tiny_copy.path))["confusion"] == tiny_copy.metrics["test"]["confusion"]


def test_one_class_can_be_evaluated(tiny_copy: app.Run, tmp_path: Path) -> None:
    source = write_folder(tmp_path / "other", classes=1, examples=4, seed=5)
    assert app.evaluate(str(tiny_copy.path), str(source))["classes"]["apple"]["n"] == 4


def test_a_list_may_have_other_columns_than_the_run_s(tiny_copy: app.Run, tmp_path: Path) -> None:
    source = write_folder(tmp_path / "other", classes=2, examples=2, seed=5)
    rows = [f"{path.relative_to(source)};{path.parent.name}" for path in sorted(source.rglob("*.png"))]
    (tmp_path / "list.csv").write_text("\n".join(["foto;sorte", *rows]))
    found = app.evaluate(
        str(tiny_copy.path),
        str(tmp_path / "list.csv"),
        columns=("path=foto", "label=sorte"),
        image_folder=str(source),
    )
    assert found["n"] == 4
    with pytest.raises(UsageError, match="say how OTHER_SOURCE is read"):
        app.evaluate(str(tiny_copy.path), columns=("path=foto",))
