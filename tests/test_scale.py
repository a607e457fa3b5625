"""`python -m benchmarks.scale`: the sets that it makes, its arithmetic, and bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.repetition import repeated
from benchmarks.scale import COLUMNS, Figures, cells, extrapolated, main, measure, write_images
from data.auditing.duplicates import find_duplicates
from data.checking import check_images, statistics_among
from data.sources.folder import open_folder
from tests.images import write_folder

LARGEST = Figures(20_000, 400.0, 150.0, 10.0, 200.0, 4, 3 * 10**9, 10**9, 0.812)


def test_a_million_images_take_as_many_times_as_much_and_no_more_memory() -> None:
    million = extrapolated(LARGEST)
    assert million == Figures(1_000_000, 20_000.0, 7_500.0, 500.0, 10_000.0, 4, 150 * 10**9, 10**9, None)
    assert cells(million) == ("1,000,000", "20,000", "7,500", "500", "10,000", "4", "150.00", "1,000", "")
    assert len(cells(LARGEST)) == len(COLUMNS) and cells(LARGEST)[-1] == "0.812"


def test_repeated_images_are_others_and_keep_their_classes(tmp_path: Path) -> None:
    write_folder(tmp_path / "few", classes=2, examples=3)
    few = open_folder(str(tmp_path / "few"))
    write_images(repeated(few, 20), tmp_path / "many", classes=few.class_names)
    many = open_folder(str(tmp_path / "many"))

    assert len(many) == 20 and many.class_names == few.class_names
    assert many.labels.counts().tolist() == few.labels.taken(np.arange(20) % 6).counts().tolist()
    assert len(np.unique(find_duplicates(statistics_among(list(check_images(many)))).exact)) == 20


@pytest.mark.parametrize("arguments", [["nowhere"], ["nowhere", "--images", "0"]])
def test_bad_input_is_one_sentence(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("Error: ") and error.count("\n") == 1


def test_an_option_that_train_does_not_know_ends_before_anything_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["nowhere", "--fine-tune-epoch", "1"])
    assert ended.value.code == 2
    assert "--fine-tune-epochs" in capsys.readouterr().err  # the likely fix


@pytest.mark.slow
def test_a_run_is_measured(tmp_path: Path) -> None:
    write_folder(tmp_path, classes=2, examples=12)
    figures = measure(open_folder(str(tmp_path)), 30, ["--fine-tune-epochs", "2"])
    assert figures.examples == 30 and 0 < figures.extraction < figures.seconds
    assert figures.disk > 30 * 1280 * 2 and figures.memory > 10**8 and figures.epochs == 2
