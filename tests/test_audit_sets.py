"""`audit` of sets that are no usual ones: mirror images, nothing but contradictions, tiny classes, no labels at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import app
from data.errors import DataError
from data.sources import open_source
from tests.conftest import TINY, Ended
from tests.images import encode, smooth, write_folder

Cli = Callable[..., Ended]


def write_mirrored(root: Path, count: int = 6) -> Path:
    """Two classes; the second has the mirror images of the first."""
    for number in range(count):
        drawn = Image.fromarray(smooth(60, 50, number))
        for name, image in (("left", drawn), ("right", drawn.transpose(Image.Transpose.FLIP_LEFT_RIGHT))):
            (root / name).mkdir(parents=True, exist_ok=True)
            (root / name / f"{number}.png").write_bytes(encode(image))
    return root


def test_classes_of_mirror_images_are_cleaned_and_trained_with_no_flip(tmp_path: Path, cli: Cli, wide: None) -> None:
    source = write_mirrored(tmp_path / "signs")
    ended = cli("audit", source, "--no-labels", "--fix", tmp_path / "clean.csv")
    assert ended.code == 0 and "--no-flip" in ended.out and "with different labels" not in ended.out
    assert "12 of 12 images" in ended.out
    assert len(open_source(str(tmp_path / "clean.csv"))) == 12


def test_training_says_at_its_start_that_mirror_images_have_other_labels(
    tmp_path: Path, tiny_backbone: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise DataError("far enough")

    monkeypatch.setattr("app.job.fit.fit", stop)
    source = write_mirrored(tmp_path / "signs")
    said = []
    for flip in (True, False):
        with pytest.raises(DataError, match="far enough"):
            app.train(str(source), output=str(tmp_path / "run"), flip=flip, **TINY)
        said.append("left/0.png and right/0.png are turned or mirrored" in " ".join(capsys.readouterr().out.split()))
    assert said == [True, False]


@pytest.mark.parametrize("json", [False, True])
def test_findings_are_printed_where_no_list_can_be_written(tmp_path: Path, cli: Cli, wide: None, json: bool) -> None:
    source = write_folder(tmp_path / "set", classes=2, examples=3)
    for file in (source / "apple").iterdir():
        (source / "banana" / file.name).write_bytes(file.read_bytes())
    ended = cli("audit", source, "--no-labels", "--fix", tmp_path / "clean.csv", *(["--json"] if json else []))
    assert ended.code == 2 and "is not written, since nothing of class 'apple' would be left" in ended.err
    assert "the same image with different labels" in ended.out and not (tmp_path / "clean.csv").exists()


def test_a_class_that_is_nothing_but_contradictions_is_left_out_and_said(tmp_path: Path, cli: Cli, wide: None) -> None:
    source = write_folder(tmp_path / "set")
    (source / "copies").mkdir()
    (source / "copies" / "1.png").write_bytes((source / "apple" / "00.png").read_bytes())
    ended = cli("audit", source, "--no-labels", "--fix", tmp_path / "clean.csv")
    assert ended.code == 0 and "No image of class 'copies' is in the list" in ended.out
    assert open_source(str(tmp_path / "clean.csv")).class_names == ("apple", "banana", "cherry")


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("classes", [2, 8])
def test_classes_of_any_size_can_be_audited(count: int, classes: int, tmp_path: Path, cli: Cli, wide: None) -> None:
    ended = cli("audit", write_folder(tmp_path / "set", classes=classes, examples=count), "--no-labels")
    assert ended.code == 0 and "fewer than 20" in " ".join(ended.out.split())


# --- Images without labels ------------------------------------------------------------------------------------------------


@pytest.fixture
def loose(tmp_path: Path) -> Path:
    """Images in one folder, with a copy, and a file that is empty."""
    (tmp_path / "loose").mkdir()
    for number in range(12):
        (tmp_path / "loose" / f"{number:02d}.png").write_bytes(encode(smooth(60, 50, number)))
    (tmp_path / "loose" / "copy.png").write_bytes((tmp_path / "loose" / "03.png").read_bytes())
    (tmp_path / "loose" / "empty.png").write_bytes(b"")
    return tmp_path / "loose"


def test_a_folder_of_images_alone_is_audited_without_labels(loose: Path, tmp_path: Path, cli: Cli, wide: None) -> None:
    arguments = ("audit", loose, "--no-labels", "--output", tmp_path / "report", "--fix", tmp_path / "clean.csv")
    ended = cli(*arguments)
    assert ended.code == 0 and ended.err == ""
    for text in ("14 images without labels", "empty files", "copies of the same file", "there are none", "12 of 14"):
        assert text in ended.out
    assert (tmp_path / "clean.csv").read_text().splitlines()[:2] == ["path", "loose/00.png"]
    found = json.loads((tmp_path / "report" / "audit.json").read_text())
    assert (found["task"], found["classes"], found["pictures"]) == (None, [], 14)
    assert "without labels" in (tmp_path / "report" / "audit.html").read_text()


def test_a_list_beside_the_images_is_not_passed_over(loose: Path, cli: Cli) -> None:
    (loose / "labels.csv").write_text("path,label\n00.png,a\n", encoding="utf-8")
    assert "without labels" not in cli("audit", loose, "--no-labels").out


def test_folders_in_it_may_be_no_classes(loose: Path, cli: Cli, wide: None) -> None:
    (loose / "2024" / "05").mkdir(parents=True)
    (loose / "2024" / "05" / "00.png").write_bytes(encode(smooth(60, 50, 99)))
    assert "15 images without labels" in cli("audit", loose, "--unlabelled", "--no-labels").out
    assert cli("audit", loose / "00.png", "--unlabelled", "--no-labels").code == 2


def test_a_network_finds_outliers_without_labels(loose: Path, tiny_backbone: str) -> None:
    found = app.audit(str(loose), backbone=tiny_backbone, weights="none", image_size=32, engine="tensorflow")
    assert found.not_looked_at == ("labels were not looked at: there are none",) and len(found.suspects) == 0
