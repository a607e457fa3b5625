"""`audit` as a person calls it: what it prints, what it writes, and that train listens to it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import app
from app.auditing.labels import LABEL_CHECKS, LabelAudit
from app.auditing.out_of_fold import cross_validate
from app.interface.sources import open_readable
from app.verbs.audit import _not_evaluated
from data.auditing.findings import find_all
from data.errors import DataError
from data.examples import Examples
from data.labels import LABELS, MULTI_LABEL, REGRESSION, SINGLE_LABEL
from data.sources import open_source
from data.sources.options import SourceOptions
from tests.conftest import TINY, Ended, contents
from tests.images import coloured, encode, smooth, write_folder

Cli = Callable[..., Ended]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of 8 with a copy, a copy in the other class, and a file that is empty."""
    root = write_folder(tmp_path / "Bilder äöü", classes=2, examples=8)
    (root / "apple" / "copy.png").write_bytes((root / "apple" / "00.png").read_bytes())
    (root / "banana" / "copy.png").write_bytes((root / "apple" / "01.png").read_bytes())
    (root / "banana" / "empty.png").write_bytes(b"")
    return root


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    """Splits of its own, with an image that is in train and, mirrored and encoded again, in test."""
    for number, split in enumerate(("train", "validation", "test")):
        write_folder(tmp_path / "set" / split, classes=2, examples=4, seed=number)
    image = Image.fromarray(smooth(60, 50))
    (tmp_path / "set" / "train" / "apple" / "one.png").write_bytes(encode(image))
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    (tmp_path / "set" / "test" / "apple" / "other.jpg").write_bytes(encode(mirrored, "JPEG", quality=70))
    return tmp_path / "set"


def test_the_table_names_what_was_found(folder: Path, cli: Cli) -> None:
    ended = cli("audit", folder, "--no-labels")

    assert ended.code == 0 and ended.err == ""
    for text in (
        "empty files",
        "copies of the same file",
        "with different labels",
        "apple/copy.png",
        "--skip-unreadable",
    ):
        assert text in ended.out


def test_json_is_all_that_standard_output_holds(folder: Path, cli: Cli) -> None:
    ended = cli("audit", folder, "--no-labels", "--json")
    found = json.loads(ended.out)

    assert ended.code == 0 and "checking" in ended.err
    assert set(found) == {"source", "sha256", "task", "classes", "pictures", "findings", "not_looked_at"}
    assert (found["source"], found["task"], found["pictures"]) == (str(folder), "single_label", 19)
    for finding in found["findings"]:
        assert set(finding) == {"name", "title", "severity", "count", "advice", "examples"}
        assert finding["count"] == len(finding["examples"])
        assert all(set(case) == {"pictures", "note"} for case in finding["examples"])
    examples = {finding["name"]: finding["examples"] for finding in found["findings"]}
    assert examples["empty"] == [{"pictures": ["banana/empty.png"], "note": "the file is empty"}]
    assert examples["contradictions"] == [
        {"pictures": ["apple/01.png", "banana/copy.png"], "note": "labelled apple and banana"}
    ]


def test_the_page_is_one_file_with_its_images(folder: Path, tmp_path: Path, cli: Cli) -> None:
    (folder / "apple" / "<b>&.png").write_bytes((folder / "apple" / "02.png").read_bytes())
    before = contents(folder)
    ended = cli("audit", folder, "--no-labels", "--output", tmp_path / "new" / "report", "--json")
    page = (tmp_path / "new" / "report" / "audit.html").read_text(encoding="utf-8")

    assert contents(folder) == before
    assert json.loads((tmp_path / "new" / "report" / "audit.json").read_text(encoding="utf-8")) == json.loads(ended.out)
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)|https?:|<script|<link""", page)
    assert page.count("data:image/jpeg;base64,") >= 6
    for text in ("apple/&lt;b&gt;&amp;.png", "labelled apple and banana", "banana/empty.png"):
        assert text in page
    assert "<b>&" not in page


def test_a_set_without_faults_gets_a_page_too(tmp_path: Path, cli: Cli) -> None:
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(24):
            pixels = np.clip(smooth(64, 64, int(random.integers(10**6))) + random.normal(0, 12, (64, 64, 1)), 0, 255)
            (tmp_path / "set" / name / f"{number}.png").write_bytes(encode(pixels.astype(np.uint8)))
    ended = cli("audit", tmp_path / "set", "--no-labels", "--output", tmp_path / "report")

    assert "Nothing was found" in ended.out
    assert "Nothing was found" in (tmp_path / "report" / "audit.html").read_text(encoding="utf-8")


# --- The list -------------------------------------------------------------------------------------------------------------


def test_the_list_opens_again_without_what_was_wrong(folder: Path, tmp_path: Path, cli: Cli) -> None:
    before = contents(folder)
    (tmp_path / "lists").mkdir()
    ended = cli("audit", folder, "--no-labels", "--fix", tmp_path / "lists" / "clean.csv")
    assert ended.code == 0 and "15 of 19 images" in ended.out and contents(folder) == before

    cleaned = open_source(str(tmp_path / "lists" / "clean.csv"))
    names = {Path(key).parts[-2:] for key in cleaned.keys}
    assert len(names) == 15
    assert not names & {("apple", "copy.png"), ("apple", "01.png"), ("banana", "copy.png"), ("banana", "empty.png")}
    assert all(cleaned.labels.text(index) == Path(key).parts[-2] for index, key in enumerate(cleaned.keys))
    assert cleaned.read(0) == (folder / "apple" / "00.png").read_bytes()
    readable, _ = open_readable(str(tmp_path / "lists" / "clean.csv"), skip_unreadable=False)
    assert len(set(readable.duplicates.tolist())) == 15  # type: ignore[union-attr]


def test_the_list_keeps_the_splits_and_mends_leakage(leaking: Path, tmp_path: Path, cli: Cli) -> None:
    assert cli("audit", leaking, "--no-labels", "--fix", tmp_path / "clean.csv").code == 0
    cleaned = open_source(str(tmp_path / "clean.csv"))

    splits = dict(zip(cleaned.keys, cleaned.given_splits or (), strict=True))
    assert splits["set/test/apple/other.jpg"] == "test" and "set/train/apple/one.png" not in splits
    assert all(Path(key).parts[1] == split for key, split in splits.items()) and len(splits) == 25


def test_splits_that_were_kept_apart_come_into_one_list(folder: Path, tmp_path: Path, cli: Cli) -> None:
    other = write_folder(tmp_path / "other", classes=2, examples=3, seed=9)
    (other / "apple" / "leak.png").write_bytes((folder / "apple" / "03.png").read_bytes())
    ended = cli("audit", folder, "--test", other, "--no-labels", "--fix", tmp_path / "clean.csv")
    assert ended.code == 0 and "several splits" in ended.out

    cleaned = open_source(str(tmp_path / "clean.csv"))
    splits = dict(zip(cleaned.keys, cleaned.given_splits or (), strict=True))
    assert splits["other/apple/leak.png"] == "test" and splits["other/banana/00.png"] == "test"
    assert f"{folder.name}/apple/03.png" not in splits and splits[f"{folder.name}/apple/04.png"] == "train"


def test_lists_of_every_task_open_again(folder: Path, tmp_path: Path, cli: Cli) -> None:
    names = [path.relative_to(tmp_path).as_posix() for path in sorted(folder.rglob("0*.png"))]
    several = "".join(f"{name},{'a|b' if number % 2 else 'b'},{number}\n" for number, name in enumerate(names))
    (tmp_path / "several.csv").write_text(f"path,label,group\n{several}", encoding="utf-8")
    numbers = "".join(f"{name},{number}.5,{-number}\n" for number, name in enumerate(names))
    (tmp_path / "numbers.csv").write_text(f"path,height,width\n{numbers}", encoding="utf-8")
    columns = ("--columns", "label=height,width")

    for list_name, options in (("several", ()), ("numbers", columns)):
        ended = cli("audit", tmp_path / f"{list_name}.csv", *options, "--no-labels", "--fix", tmp_path / "clean.csv")
        assert ended.code == 0, ended.err
        chosen = SourceOptions(columns={"label": "height,width"} if options else {})
        before = open_source(str(tmp_path / f"{list_name}.csv"), chosen)
        after = open_source(str(tmp_path / "clean.csv"), chosen)
        assert (after.task, after.keys, after.groups) == (before.task, before.keys, before.groups)
        assert after.labels == before.labels


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["no/such/folder"], "no folder"),
        (["{folder}", "--fix", "clean.txt"], "must be a .csv file"),
        (["{folder}", "--fix", "{folder}/no/clean.csv"], "there is no folder"),
        (["{folder}", "--drop-suspects"], "--fix"),
        (["{folder}", "--fix", "a.csv", "--drop-suspects", "--no-labels"], "--no-labels"),
        (["{folder}", "--output", "{folder}/apple/00.png"], "is a file"),
        (["{folder}", "--backbone", "efficientnet_lite9"], "Did you mean"),
        (["{folder}", "--resize", "stretchh"], "Did you mean 'stretch'"),
        (["sample:digits", "--no-labels", "--fix", "{folder}/digits.csv"], "no files of their own"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_one_sentence(arguments: list[str], expected: str, folder: Path, cli: Cli) -> None:
    before = contents(folder)
    ended = cli("audit", *(one.format(folder=folder) for one in arguments))

    assert ended.code == 2 and expected in ended.err and "Traceback" not in ended.err
    assert contents(folder) == before


def test_a_set_without_a_readable_image_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match="2 images cannot be read"):
        app.audit(str(tmp_path), labels=False)


def test_a_list_may_not_be_overwritten_by_its_own_cleaning(folder: Path, tmp_path: Path, cli: Cli) -> None:
    assert cli("audit", folder, "--no-labels", "--fix", tmp_path / "clean.csv").code == 0
    ended = cli("audit", tmp_path / "clean.csv", "--no-labels", "--fix", tmp_path / "clean.csv")
    assert ended.code == 2 and "overwrite" in ended.err


# --- Labels ---------------------------------------------------------------------------------------------------------------


def test_wrong_labels_are_found_by_a_network(tmp_path: Path, tiny_backbone: str) -> None:
    folder = write_folder(tmp_path / "fruit", classes=3, examples=20)
    random = np.random.default_rng(5)
    wrong = {"apple/wrong.png": 1, "banana/wrong.png": 2, "cherry/wrong.png": 0}
    for name, label in wrong.items():
        (folder / name).write_bytes(encode(coloured(label, 3, (40, 30), random)))
    found = app.audit(
        str(folder),
        backbone=tiny_backbone,
        weights="none",
        image_size=32,
        engine="tensorflow",
        fix=str(tmp_path / "clean.csv"),
        drop_suspects=True,
    )

    assert found.label_quality is not None and found.label_quality.shape == (63,)
    keys = found.reading.examples.keys
    assert {keys[index] for index in np.argsort(found.label_quality)[:3]} == set(wrong)
    (noise,) = [one for one in found.findings if one.name == "label_noise"]
    suspects = {case.keys[0] for case in noise.cases}
    assert suspects and suspects <= set(wrong)
    assert noise.cases[0].note.startswith("labelled ") and "looks like" in noise.cases[0].note
    cleaned = {key.removeprefix("fruit/") for key in open_source(str(tmp_path / "clean.csv")).keys}
    assert cleaned == set(keys) - suspects


def test_train_finds_the_features_of_an_audit(fruit: Path, tiny_backbone: str, tmp_path: Path) -> None:
    shared = {"backbone": tiny_backbone, "weights": "none", "cache_folder": str(tmp_path / "cache")}
    app.audit(str(fruit), **shared)
    run = app.train(
        str(fruit),
        output=str(tmp_path / "run"),
        formats=("tflite_float32",),
        **{**TINY, **shared, "cache_limit": 1, "augment": "none", "strategy": "feature_extraction"},
    )
    assert "extraction" not in run.metrics  # for there was nothing to be extracted


class Features:
    """Rows in memory, in place of the cache's."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values.astype(np.float16)

    def take(self, positions: np.ndarray) -> np.ndarray:
        return self.values[positions]


TRUE = np.arange(120) % 3
WRONG = [4, 50, 77]


def labels_of(task: str) -> np.ndarray:
    given = TRUE.copy()
    given[WRONG] = (given[WRONG] + 1) % 3
    if task == SINGLE_LABEL:
        return given
    if task == MULTI_LABEL:
        return np.stack([given == 0, given == 1, given != 0], axis=1).astype(np.float32)
    return np.stack([100.0 * given, given - 5.0], axis=1).astype(np.float32)


def evaluated(task: str, labels: np.ndarray, duplicates: np.ndarray | None = None) -> LabelAudit:
    random = np.random.default_rng(0)
    values = np.eye(3)[TRUE].repeat(4, axis=1) + random.normal(0, 0.1, (120, 12))
    values[110] = 5 * random.normal(size=12)  # unlike all others
    names = ("a", "b", "c")[: labels.shape[1] if labels.ndim > 1 else 3]
    keys = tuple(f"{number}.png" for number in range(120))
    every = np.arange(120) if duplicates is None else duplicates
    examples = Examples("memory", keys, LABELS[task](labels, names), lambda _: b"", duplicates=every)
    features = Features(values)
    return LabelAudit(examples, features, cross_validate(examples, features))  # type: ignore[arg-type]


@pytest.mark.parametrize("task", [SINGLE_LABEL, MULTI_LABEL, REGRESSION])
def test_wrong_labels_of_every_task_come_first(task: str) -> None:
    one = evaluated(task, labels_of(task))
    found = {finding.name: finding for finding in find_all(LABEL_CHECKS, one)}

    assert set(np.argsort(one.quality)[:4]) >= set(WRONG)
    suspects = {int(case.keys[0].removesuffix(".png")) for case in found["label_noise"].cases}
    assert len(suspects & set(WRONG)) >= 2 and suspects <= {*WRONG, 110}
    assert found["outliers"].cases[0].keys == ("110.png",)


def test_a_copy_does_not_confirm_a_wrong_label() -> None:
    together = np.arange(120)
    together[[5, 8]] = together[[2, 2]]  # images of one class
    labels = labels_of(SINGLE_LABEL)
    labels[[2, 5, 8]] = 0
    one = evaluated(SINGLE_LABEL, labels, together)
    assert {2, 5, 8} <= set(one.suspects.tolist())


def test_labels_that_turning_tells_apart_are_no_suspects() -> None:
    one = evaluated(SINGLE_LABEL, labels_of(SINGLE_LABEL))
    of_c = np.flatnonzero(one.examples.labels.has(2))
    together = np.arange(120)
    together[1:40:3] = together[0:39:3]  # of a and b
    mirrored = LabelAudit(
        replace(one.examples, duplicates=together, upright=np.arange(120)), one.features, one.out_of_fold
    )
    assert set(np.flatnonzero(~mirrored.told_by_turning)) == set(of_c)
    assert set(mirrored.suspects) == set(one.suspects) & set(of_c)
    assert "turning or mirroring" in _not_evaluated(mirrored)[0] and _not_evaluated(one) == ()


def test_classes_with_too_few_images_are_not_evaluated() -> None:
    labels = TRUE.copy()
    labels[labels == 2] = 0
    labels[:3] = 2
    one = evaluated(SINGLE_LABEL, labels)
    assert np.isnan(one.quality[:3]).all() and not np.isnan(one.quality[3:]).any()


def test_too_few_images_give_no_prediction_and_no_error() -> None:
    labels = np.where(np.arange(120) < 4, 1, 0)
    one = evaluated(SINGLE_LABEL, labels)
    assert one.out_of_fold is None and one.suspects.tolist() == [] and np.isnan(one.quality).all()
    assert "label_noise" not in {finding.name for finding in find_all(LABEL_CHECKS, one)}


# --- Train ----------------------------------------------------------------------------------------------------------------


def test_opening_a_source_says_what_repeats(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readable, _ = open_readable(str(folder), skip_unreadable=True)

    text = " ".join(capsys.readouterr().out.split())
    assert "2 images show the same as others, once with another label (apple/01.png and banana/copy.png)" in text
    assert f"python -m app audit {shlex.quote(str(folder))} tells more" in text
    assert readable.duplicates is not None and readable.duplicates.dtype == np.int64
    groups = readable.duplicates.tolist()
    assert groups[readable.keys.index("apple/copy.png")] == groups[0] and len(set(groups)) == 16


def test_train_refuses_an_image_in_two_splits(leaking: Path, tmp_path: Path, cli: Cli) -> None:
    ended = cli("train", leaking, "--output", tmp_path / "run")

    assert ended.code == 2 and not (tmp_path / "run").exists()
    for text in ("test/apple/other.jpg in test", "train/apple/one.png in train", "--fix", "--allow-leakage"):
        assert text in ended.err


def test_train_allows_it_on_request(leaking: Path, tmp_path: Path, cli: Cli) -> None:
    missing = tmp_path / "missing.txt"  # which is looked at after the images
    ended = cli("train", leaking, "--output", tmp_path / "run", "--allow-leakage", "--locales", f"de={missing}")
    assert ended.code == 2 and str(missing) in ended.err
