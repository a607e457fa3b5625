"""`docs/coming-from.md` counts the lines of its blocks, and archives like those of its tutorials are read as it says."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from app.config import RunConfig
from app.job.splits import choose_splits
from data.sources import open_source
from data.sources.options import SourceOptions
from tests.images import write_folder
from tests.test_docs import DOCS, blocks, read

PAGE = read(DOCS / "coming-from.md")
CLAIMED = {tool: int(lines) for tool, lines in re.findall(r"^\| (\w[\w ]*?) \| (\d+) \|", PAGE, re.MULTILINE)}
SECTIONS = {"KerasHub": "Keras and KerasHub"}
CLASSES = ("apple", "banana", "cherry")


def first_block(tool: str) -> str:
    """The code of a tool for the task of the page."""
    if tool == "Graft":
        return blocks(PAGE, "python")[0]
    section = PAGE.partition(f"\n## {SECTIONS.get(tool, tool)}\n")[2].partition("\n## ")[0]
    return blocks(section, "text")[0]


@pytest.mark.parametrize("tool", CLAIMED)
def test_the_lines_are_those_of_the_page(tool: str) -> None:
    assert CLAIMED[tool] == len([line for line in first_block(tool).splitlines() if line.strip()])


def splits_in(archive: str) -> Counter[str]:
    """How many images `train` puts into each split."""
    examples = open_source(archive)
    assert examples.class_names == CLASSES
    _, splits = choose_splits(examples, RunConfig(source=archive, task=examples.task))
    return Counter(map(str, splits))


def test_a_zip_with_training_and_validation_folders_keeps_its_validation(tmp_path: Path) -> None:
    for split, examples in (("train", 20), ("validation", 4)):
        write_folder(tmp_path / "in" / "cats_and_dogs" / split, examples=examples, seed=examples)
    (tmp_path / "in" / "cats_and_dogs" / "vectorize.py").touch()
    splits = splits_in(shutil.make_archive(str(tmp_path / "pets"), "zip", tmp_path / "in"))
    assert splits["validation"] == 3 * 4 and splits["test"] and splits.total() == 3 * 24


def test_a_tgz_of_class_folders_is_split_into_three(tmp_path: Path) -> None:
    write_folder(tmp_path / "in" / "flower_photos", examples=20)
    (tmp_path / "in" / "flower_photos" / "LICENSE.txt").write_text("CC BY 2.0")
    archive = shutil.make_archive(str(tmp_path / "flowers"), "gztar", tmp_path / "in")
    renamed = Path(archive).rename(tmp_path / "flower_photos.tgz")
    assert set(splits_in(str(renamed))) == {"train", "validation", "test"}


def test_the_breed_is_found_in_the_file_name(tmp_path: Path) -> None:
    (pattern,) = re.findall(r'label_pattern=r"([^"]+)"', PAGE)
    for image in write_folder(tmp_path / "in").rglob("*.png"):
        (tmp_path / "pets").mkdir(exist_ok=True)
        shutil.copy(image, tmp_path / "pets" / f"{image.parent.name}_{int(image.stem) + 100}.jpg")
    options = SourceOptions(label_pattern=pattern)
    assert open_source(str(tmp_path / "pets"), options).class_names == CLASSES
