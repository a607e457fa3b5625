"""Every row of the table of findings finds what is planted, names it, and finds nothing among sound images."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from app.interface.sources import read_source
from data.auditing.checks import CHECKS
from data.auditing.cleaning import worth_keeping
from data.auditing.duplicates import find_duplicates
from data.auditing.findings import SEVERITIES, AuditData, Finding, find_all
from data.auditing.groups import Conflicts, find_conflicts
from data.auditing.shortcuts import shortcuts
from data.auditing.statistics import statistics_of
from data.labels import LABELS, MULTI_LABEL, REGRESSION, SINGLE_LABEL, MultiLabel, Regression
from data.sources.options import SourceOptions
from tests.conftest import contents
from tests.images import encode, smooth

CLASSES = ("apple", "banana")


def photograph(seed: int, width: int = 96, height: int = 72) -> Image.Image:
    """An image with large shapes, as photographs have, and with fine ones."""
    noise = np.random.default_rng(seed).normal(0, 12, (height, width, 1))
    return Image.fromarray(np.clip(smooth(width, height, seed) + noise, 0, 255).astype(np.uint8))


def as_jpeg(image: Image.Image, **options: object) -> bytes:
    return encode(image, "JPEG", **{"quality": 90, **options})


@pytest.fixture(scope="session")
def sound_files() -> dict[str, bytes]:
    """Two classes of 24 photographs each, without fault."""
    names = [f"{name}/{number:02d}.jpg" for name in CLASSES for number in range(24)]
    return {name: as_jpeg(photograph(seed)) for seed, name in enumerate(names)}


@pytest.fixture
def folder(sound_files: dict[str, bytes], tmp_path: Path) -> Path:
    for name, encoded in sound_files.items():
        write(tmp_path / "images" / name, encoded)
    return tmp_path / "images"


def write(path: Path, encoded: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded)


def found_in(folder: Path) -> dict[str, Finding]:
    reading = read_source(str(folder), SourceOptions(cache_folder=str(folder.parent / "cache")))
    return {finding.name: finding for finding in find_all(CHECKS, reading.audit_data)}


# --- Plants: each changes a folder and says what should be named ----------------------------------------------------------

Plant = Callable[[Path], set[str]]


def replaced(name: str, encoded: bytes) -> Plant:
    """An image in place of a sound one."""

    def plant(folder: Path) -> set[str]:
        (folder / name).write_bytes(encoded)
        return {name}

    return plant


def truncated(folder: Path) -> set[str]:
    file = folder / "apple/05.jpg"
    file.write_bytes(file.read_bytes()[:-300])
    return {"apple/05.jpg"}


def copied(*names: str) -> Plant:
    """The first image of all, under other names."""

    def plant(folder: Path) -> set[str]:
        for name in names:
            write(folder / name, (folder / "apple/00.jpg").read_bytes())
        return {"apple/00.jpg", *names}

    return plant


def encoded_anew(folder: Path) -> set[str]:
    write(folder / "apple/again.jpg", as_jpeg(photograph(0), quality=50))
    return {"apple/00.jpg", "apple/again.jpg"}


def in_two_splits(folder: Path) -> set[str]:
    for split in ("train", "test"):
        for name in CLASSES:
            for number in range(12) if split == "train" else range(12, 24):
                write(
                    folder.with_name("x") / split / name / f"{number}.jpg",
                    (folder / name / f"{number:02d}.jpg").read_bytes(),
                )
    for name in CLASSES:
        for file in (folder / name).iterdir():
            file.unlink()
        (folder / name).rmdir()
    for split in ("train", "test"):
        (folder.with_name("x") / split).rename(folder / split)
    write(folder / "test/apple/leak.jpg", as_jpeg(photograph(3).transpose(Image.Transpose.ROTATE_90), quality=70))
    return {"test/apple/leak.jpg", "train/apple/3.jpg"}


def mirrored_class(folder: Path) -> set[str]:
    for number in range(8):
        mirrored = photograph(number).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        (folder / f"banana/{number:02d}.jpg").write_bytes(as_jpeg(mirrored))
    return {f"{name}/{number:02d}.jpg" for name in CLASSES for number in range(8)}


def small_class(count: int, label: str = "cherry") -> Plant:
    def plant(folder: Path) -> set[str]:
        names = {f"{label}/{number:02d}.jpg" for number in range(count)}
        for number, name in enumerate(sorted(names)):
            write(folder / name, as_jpeg(photograph(100 + number)))
        return names

    return plant


def class_in_another_format(folder: Path) -> set[str]:
    files = sorted((folder / "banana").iterdir())
    for number, file in enumerate(files):
        file.unlink()
        write(file.with_suffix(".png"), encode(photograph(200 + number)))
    # Some stand for each class: what is not of the one class of two is of the other.
    return {
        f"{name}/{number:02d}.{suffix}" for name, suffix in (("apple", "jpg"), ("banana", "png")) for number in range(8)
    }


def animation() -> bytes:
    file = io.BytesIO()
    photograph(50).save(file, "GIF", save_all=True, append_images=[photograph(51)])
    return file.getvalue()


def exif(orientation: int) -> Image.Exif:
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def darkened(image: Image.Image, factor: float, offset: int = 0) -> Image.Image:
    return image.point(lambda level: int(level * factor) + offset)


def in_transparency_alone(image: Image.Image) -> bytes:
    ground = Image.new("L", image.size)
    return encode(Image.merge("LA", [ground, image.convert("L")]))


PLANTS: dict[str, Plant] = {
    "unreadable": replaced("banana/03.jpg", b"these are words, and no image"),
    "truncated": truncated,
    "empty": replaced("apple/07.jpg", b""),
    "leakage": in_two_splits,
    "contradictions": copied("banana/copy.jpg"),
    "orientations": mirrored_class,
    "exact_duplicates": copied("apple/copy.jpg", "apple/copy of it.jpg"),
    "near_duplicates": encoded_anew,
    "spellings": small_class(5, "Banana_"),
    "few_examples": small_class(5),
    "imbalance": small_class(1),
    "shortcuts": class_in_another_format,
    "hidden": replaced("apple/01.jpg", in_transparency_alone(photograph(1))),
    "deep": replaced("apple/01.jpg", encode(np.asarray(photograph(1).convert("L"), np.uint16) * 16)),
    "blurred": replaced("apple/01.jpg", as_jpeg(photograph(1).filter(ImageFilter.GaussianBlur(6)))),
    "dark": replaced("apple/01.jpg", as_jpeg(darkened(photograph(1), 0.2))),
    "bright": replaced("apple/01.jpg", as_jpeg(darkened(photograph(1), 0.03, 247))),
    "tiny": replaced("apple/01.jpg", as_jpeg(photograph(1, 24, 20))),
    "aspect_ratio": replaced("apple/01.jpg", as_jpeg(photograph(1, 300, 60))),
    "animated": replaced("apple/01.jpg", animation()),
    "rotated": replaced("apple/01.jpg", as_jpeg(photograph(1, 72, 96), exif=exif(6))),
    "not_rgb": replaced("apple/01.jpg", as_jpeg(photograph(1).convert("L"))),
}


def test_every_row_is_planted() -> None:
    assert set(PLANTS) == set(CHECKS)


def test_nothing_is_found_among_sound_images(folder: Path) -> None:
    assert found_in(folder) == {}


@pytest.mark.parametrize("name", PLANTS)
def test_what_is_planted_is_found_and_named(name: str, folder: Path) -> None:
    planted = PLANTS[name](folder)
    before = contents(folder)
    found = found_in(folder)

    assert {key for case in found[name].cases for key in case.keys} == planted
    assert contents(folder) == before  # images are only read
    assert all(one.count == len(one.cases) > 0 for one in found.values())
    assert all(one.severity in SEVERITIES and one.advice.endswith(".") for one in found.values())


def test_the_worst_comes_first(folder: Path) -> None:
    for number, factor in enumerate((0.2, 0.05, 0.15)):
        (folder / f"apple/0{number}.jpg").write_bytes(as_jpeg(darkened(photograph(number), factor)))
    cases = found_in(folder)["dark"].cases
    assert [case.keys for case in cases] == [("apple/01.jpg",), ("apple/02.jpg",), ("apple/00.jpg",)]


# --- Duplicates -----------------------------------------------------------------------------------------------------------

ORIGINAL = photograph(7, 180, 120)
SAME: dict[str, bytes] = {
    "PNG": encode(ORIGINAL),
    "quality 40": as_jpeg(ORIGINAL, quality=40),
    "WebP": encode(ORIGINAL, "WEBP", quality=60),
    "half as large": as_jpeg(ORIGINAL.resize((90, 60))),
    "twice as large": as_jpeg(ORIGINAL.resize((360, 240))),
    "squared": as_jpeg(ORIGINAL.resize((128, 128))),
    "turned by EXIF": as_jpeg(ORIGINAL, exif=exif(8)),
    **{turn.name: as_jpeg(ORIGINAL.transpose(turn).resize((100, 100)), quality=60) for turn in Image.Transpose},
}
OTHERS: dict[str, bytes] = {
    "another": as_jpeg(photograph(8, 180, 120)),
    "in other colours": as_jpeg(Image.merge("RGB", ORIGINAL.split()[::-1])),
    "in grey": as_jpeg(ORIGINAL.convert("L")),
    "half of it": as_jpeg(ORIGINAL.crop((0, 0, 90, 120))),
    "negative": as_jpeg(ORIGINAL.point(lambda level: 255 - level)),
    "one colour": as_jpeg(Image.new("RGB", (180, 120), (128, 128, 128))),
}


def statistics_about(files: list[bytes]) -> np.ndarray:
    return np.array([statistics_of(file, f"{number:064x}") for number, file in enumerate(files)])


@pytest.mark.parametrize("name", SAME)
def test_changed_copies_show_the_same(name: str) -> None:
    exact, _, shown = find_duplicates(statistics_about([OTHERS["another"], as_jpeg(ORIGINAL), SAME[name]]))
    assert exact.tolist() == [0, 1, 2] and shown.tolist() == [0, 1, 1]


@pytest.mark.parametrize("name", OTHERS)
def test_other_images_do_not(name: str) -> None:
    assert find_duplicates(statistics_about([as_jpeg(ORIGINAL), OTHERS[name]])).shown.tolist() == [0, 1]


def test_blank_images_are_duplicates_only_if_their_files_are() -> None:
    blank = [encode(Image.new("RGB", (50, 50), colour)) for colour in ("white", "white", "black")]
    statistics = statistics_about(blank)
    assert find_duplicates(statistics).shown.tolist() == [0, 1, 2]
    statistics["sha256"][1] = statistics["sha256"][0]
    assert find_duplicates(statistics).shown.tolist() == [0, 0, 2]


def test_every_turn_finds_every_other() -> None:
    turned = [as_jpeg(ORIGINAL.transpose(turn)) for turn in Image.Transpose]
    found = find_duplicates(statistics_about(turned))
    assert set(found.shown.tolist()) == {0}
    assert len(set(found.upright.tolist())) == len(turned)


def test_groups_in_any_order_and_number() -> None:
    """More than are compared at once, so that groups reach over blocks."""
    random = np.random.default_rng(0)
    files = [as_jpeg(photograph(number, 48, 48)) for number in range(6)]
    which = random.integers(0, 6, 300)
    statistics = statistics_about(files)[which]
    statistics["sha256"] = [f"{number:064x}".encode() for number in range(300)]
    shown = find_duplicates(statistics).shown

    first = {one: int(np.flatnonzero(which == one)[0]) for one in range(6)}
    assert shown.tolist() == [first[one] for one in which]


def test_no_images_have_no_duplicates() -> None:
    assert find_duplicates(statistics_about([as_jpeg(ORIGINAL)])[:0]).shown.tolist() == []


# --- Classes that turning or mirroring tells apart -------------------------------------------------------------------------

LEFT_RIGHT = [photograph(number) for number in range(4)]


def conflicts_of(images: list[Image.Image], labels: np.ndarray, folder: Path, task: str = SINGLE_LABEL) -> Conflicts:
    examples = read_source(str(folder)).examples.subset(range(len(images)))
    examples = replace(examples, labels=LABELS[task](labels, examples.class_names))
    duplicates = find_duplicates(statistics_about([as_jpeg(image) for image in images]))
    return find_conflicts(examples, duplicates.upright, duplicates.shown)


@pytest.mark.parametrize(
    "turn", [Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180]
)
@pytest.mark.parametrize("task", [SINGLE_LABEL, MULTI_LABEL, REGRESSION])
def test_a_class_of_mirror_images_is_no_contradiction(turn: Image.Transpose, task: str, folder: Path) -> None:
    images = [*LEFT_RIGHT, *(image.transpose(turn) for image in LEFT_RIGHT)]
    labels = np.repeat([0, 1], 4)
    if task == MULTI_LABEL:
        labels = np.eye(2, dtype=np.float32)[labels]
    elif task == REGRESSION:  # an angle, which a mirror turns round
        labels = np.array([[1, 2, 3, 4, -1, -2, -3, -4]], np.float32).T
    found = conflicts_of(images, labels, folder, task)
    assert found.contradictions == []
    assert [one.tolist() for one in found.orientations] == [[0, 4], [1, 5], [2, 6], [3, 7]]
    assert found.alike.tolist() == list(range(8))


def test_a_copy_in_the_wrong_class_is_one_among_mirror_images_too(folder: Path) -> None:
    images = [*LEFT_RIGHT, *(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in LEFT_RIGHT), LEFT_RIGHT[0]]
    found = conflicts_of(images, np.array([0] * 4 + [1] * 5), folder)
    assert [one.tolist() for one in found.contradictions] == [[0, 8]]


def test_one_mirror_image_with_another_label_is_a_contradiction(folder: Path) -> None:
    images = [*(photograph(number) for number in range(8)), LEFT_RIGHT[0].transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    found = conflicts_of(images, np.array([0] * 4 + [1] * 5), folder)
    assert [one.tolist() for one in found.contradictions] == [[0, 8]] and found.orientations == []


# --- What stays -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "splits", "suspects", "stay"),
    [
        ([0, 0, 1, 1, 1, 0], None, (), [0, 2, 4, 5]),
        ([0, 1, 1, 1, 1, 0], None, (), [2, 4, 5]),  # the first two contradict each other
        ([0, 0, 1, 1, 1, 0], ("train", "test", "train", "validation", "test", "test"), (), [1, 3, 4, 5]),
        ([0, 0, 1, 1, 1, 0], None, (5, 0), [1, 2, 4]),
        ([0, 0, 1, 1, 1, 0], None, (0, 1), [2, 4, 5]),
    ],
    ids=["copies", "contradictions", "splits", "suspects", "suspected copies"],
)
def test_what_stays(
    labels: list[int], splits: tuple[str, ...] | None, suspects: tuple[int, ...], stay: list[int], folder: Path
) -> None:
    examples = read_source(str(folder)).examples.subset(range(6))
    examples = replace(examples, labels=replace(examples.labels, array=np.array(labels)), given_splits=splits)
    assert worth_keeping(examples, np.array([0, 0, 2, 2, 4, 5]), suspects).tolist() == stay


# --- Tasks ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def audit_data(folder: Path) -> AuditData:
    return read_source(str(folder)).audit_data


def test_classes_of_several_labels_are_counted(audit_data: AuditData) -> None:
    labels = np.zeros((48, 2), np.float32)
    labels[:, 0], labels[:3, 1] = 1, 1
    examples = replace(audit_data.examples, labels=MultiLabel(labels, audit_data.examples.class_names))
    found = {one.name: one for one in find_all(CHECKS, replace(audit_data, examples=examples))}
    assert [case.note for case in found["few_examples"].cases] == ["class 'banana': 3 images"]


def test_a_number_that_the_size_gives_away(audit_data: AuditData) -> None:
    statistics = audit_data.statistics.copy()
    statistics["width"] = np.arange(100, 148)
    labels = np.stack([np.arange(48), np.random.default_rng(0).normal(size=48)], axis=1).astype(np.float32)
    examples = replace(audit_data.examples, labels=Regression(labels, ("age", "chance")))

    ((name, note),) = shortcuts(examples, statistics)
    assert name == "" and note.startswith("'age': the size in pixels alone explains")
    assert "few_examples" not in {one.name for one in find_all(CHECKS, replace(audit_data, examples=examples))}
