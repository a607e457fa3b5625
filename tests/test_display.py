"""What a run, an audit and predictions show of themselves in a notebook."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import app
from app import Prediction, Predictions, Run
from data.labels import MULTI_LABEL, REGRESSION
from tests.images import coloured, encode, write_folder

HOSTILE = "<script>alert(1)</script>"
VOID = {"img", "br"}


class Page(HTMLParser):
    """The text and images of HTML whose tags are all closed again."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.images: list[bytes] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "style", "link", "iframe")
        if tag == "img":
            self.images.append(base64.b64decode((dict(attrs)["src"] or "").partition(",")[2]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def shown(thing: Run | app.Audit | Prediction | Predictions) -> Page:
    """What a notebook shows; it must be whole, fit any theme, and need no other file."""
    html = thing._repr_html_()
    assert not re.search(r'(?:src|href)="(?!data:)|url\(|https?://', html)
    assert not re.search(
        r"background(?:-color)?:(?! (?:currentColor|transparent))|(?<!-)\bcolor:(?! #[0-9a-f]{6}\">●)", html
    )
    return Page(html)


def sizes(page: Page) -> list[tuple[int, int]]:
    return [Image.open(io.BytesIO(one)).size for one in page.images]


def words(page: Page) -> str:
    return " ".join(page.text.split())


# --- Run --------------------------------------------------------------------------------------------------------------


def test_a_run_shows_its_figures_its_files_and_its_plots(tiny_run: Run) -> None:
    page = shown(tiny_run)
    test, verification = tiny_run.metrics["test"], tiny_run.parity["formats"]["tflite_float32"]
    low, high = test["accuracy_ci95"]
    expected = ["single_label", "tiny at 32 px", "fruit", f"{test['accuracy']:.3f}", f"{low:.3f} – {high:.3f}"]
    expected += [
        "model_float32.tflite",
        f"{verification['bytes'] / 1e6:.1f} MB",
        "agrees",
        str(tiny_run.report),
        "finished",
    ]
    assert not [text for text in expected if text not in words(page)]
    assert len(page.images) == 3
    assert max(width for width, _ in sizes(page)) < Image.open(tiny_run.plots / "curves.png").width


def test_a_run_does_not_tell_where_its_source_lies(tiny_run: Run, fruit: Path) -> None:
    assert str(fruit.parent) not in shown(tiny_run).text


def test_repr_is_the_path_and_the_state(tiny_copy: Run, tmp_path: Path) -> None:
    assert repr(tiny_copy) == f"Run({str(tiny_copy.path)!r}, finished)"
    tiny_copy.report.unlink()
    assert repr(tiny_copy) == f"Run({str(tiny_copy.path)!r}, unfinished)"
    assert repr(Run(tmp_path / "none")) == f"Run({str(tmp_path / 'none')!r}, missing)"


def _interrupt(run: Run) -> None:
    run.report.unlink()
    (run.path / "metrics.json").unlink()
    shutil.rmtree(run.export)
    shutil.rmtree(run.plots)


def _interrupt_at_once(run: Run) -> None:
    _interrupt(run)
    (run.path / "history.jsonl").unlink()


def _fail(run: Run) -> None:
    parity = run.parity
    one = parity["formats"]["tflite_float32"]
    one |= {"passed": False, "failures": ["answers otherwise than the model"]}
    (run.export / "parity.json").write_text(json.dumps(parity))


def _break(run: Run) -> None:
    (run.path / "metrics.json").write_text('{"test"')


def _belong_to_another_version(run: Run) -> None:
    (run.path / "metrics.json").write_text("{}")


def _lose_plots(run: Run) -> None:
    (run.plots / "curves.png").write_bytes(b"no image")


@pytest.mark.parametrize(
    ("happen", "expected"),
    [
        (_interrupt, "unfinished"),
        (_interrupt, "last finished epoch is 1 of the phase fine_tune. Continue with train(resume="),
        (_interrupt_at_once, "No epoch is finished yet"),
        (_fail, "FAILED"),
        (_fail, "model_float32.tflite: answers otherwise than the model"),
        (_break, "metrics.json is damaged"),
        (_belong_to_another_version, "another version of Graft"),
        (_lose_plots, "damaged"),
        (lambda run: shutil.rmtree(run.path), "There is no run in this folder."),
    ],
)
def test_a_run_that_is_not_whole_shows_what_there_is(
    happen: Callable[[Run], None], expected: str, tiny_copy: Run
) -> None:
    happen(tiny_copy)
    assert expected in words(shown(tiny_copy))


def test_names_of_a_run_are_escaped(tiny_copy: Run) -> None:
    config = json.loads((tiny_copy.path / "config.json").read_text())
    (tiny_copy.path / "config.json").write_text(json.dumps(config | {"source": f"sample:{HOSTILE}"}))
    hostile = Run(tiny_copy.path.rename(tiny_copy.path.with_name("<i>run")))
    page = shown(hostile)
    assert f"sample:{HOSTILE}" in page.text and "<i>run" in page.text


# --- Audit ------------------------------------------------------------------------------------------------------------


def test_an_audit_shows_its_findings_beside_images(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "<b>fruit", classes=2, examples=8)
    shutil.copy(folder / "apple" / "01.png", folder / "banana" / f"{HOSTILE[:8]}copy.png")
    (folder / "banana" / "empty.png").write_bytes(b"")
    audit = app.audit(str(folder), labels=False)
    page = shown(audit)
    for finding in audit.findings:
        assert finding.title in page.text and finding.severity in page.text and finding.advice in page.text
    assert "labelled apple and banana" in page.text and "<script>copy.png" in page.text
    assert str(folder) in page.text and "18 images, 2 classes" in page.text
    assert len(page.images) >= 2  # of the contradiction; the empty file has none
    assert repr(audit).startswith(f"Audit({str(folder)!r}, 18 images: 1 empty files") and len(repr(audit)) < 1000


def test_an_audit_shows_itself_when_its_images_are_gone(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "fruit", classes=2, examples=8)
    shutil.copy(folder / "apple" / "01.png", folder / "banana" / "copy.png")
    audit = app.audit(str(folder), labels=False)
    shutil.rmtree(folder)
    page = shown(audit)
    assert "labelled apple and banana" in page.text and page.images == []


def test_an_audit_without_findings_says_so(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("left", "right"):
        (tmp_path / "noise" / name).mkdir(parents=True)
        for number in range(30):
            pixels = random.integers(0, 255, (96, 96, 3), np.uint8)
            (tmp_path / "noise" / name / f"{number}.png").write_bytes(encode(pixels))
    audit = app.audit(str(tmp_path / "noise"), labels=False)
    assert audit.findings == ()
    assert "Nothing was found" in shown(audit).text


# --- Predictions ------------------------------------------------------------------------------------------------------


@pytest.fixture
def image(tmp_path: Path) -> str:
    """A wide image that EXIF turns upright."""
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = coloured(0, 3, (200, 100), np.random.default_rng(0))
    Image.fromarray(pixels).resize((200, 100)).save(path, exif=exif)
    return str(path)


@pytest.mark.parametrize(
    ("predictions", "labels", "task", "expected"),
    [
        ({"cat": 0.7, "dog": 0.2, "cow": 0.06, "pig": 0.04}, ("cat",), "single_label", "cat 70.0% dog 20.0% cow 6.0%"),
        ({"yes": 0.6, "no": 0.4}, ("no",), "single_label", "no 40.0% yes 60.0%"),  # by a threshold
        ({"red": 0.9, "big": 0.8, "old": 0.1}, ("red", "big"), MULTI_LABEL, "red 90.0% big 80.0% old 10.0%"),
        ({"red": 0.2, "big": 0.1}, (), MULTI_LABEL, "none red 20.0% big 10.0%"),
        ({"width": 12.3456, "height": -1e-7}, (), REGRESSION, "width 12.35 height -1e-07"),
        ({HOSTILE: 0.7, "{{ 7*7 }}": 0.3}, (HOSTILE,), "single_label", f"{HOSTILE} 70.0% {{{{ 7*7 }}}} 30.0%"),
    ],
)
def test_a_prediction_shows_the_answer_first_beside_its_image(
    predictions: dict[str, float], labels: tuple[str, ...], task: str, expected: str, image: str
) -> None:
    page = shown(Prediction(image, predictions, labels, task))
    spaced = re.sub(r"(?<=[\w>}%])(?=\d+\.\d%)", " ", words(page))
    assert expected.replace(" ", "") in spaced.replace(" ", "") and "turned.jpg" in page.text
    assert sizes(page) == [(64, 128)]  # upright


def test_the_answer_is_in_bold(image: str) -> None:
    html = Prediction(image, {"yes": 0.6, "no": 0.4}, ("no",))._repr_html_()
    bold = re.findall(r"font-weight: bold.*?overflow-wrap: anywhere\">(\w+)<", html, re.DOTALL)
    assert bold == ["no"]


def test_many_predictions_are_cut_short(image: str) -> None:
    page = shown(Predictions([Prediction(image, {"cat": 1.0}, ("cat",))] * 144))
    assert len(page.images) == 24 and "… and 120 more" in page.text


def test_images_that_are_gone_do_not_matter(tmp_path: Path) -> None:
    page = shown(Predictions([Prediction(str(tmp_path / "gone.png"), {"cat": 1.0}, ("cat",))]))
    assert page.images == [] and "no image" in page.text and "cat" in page.text
    assert "No predictions." in shown(Predictions()).text


def test_predictions_are_a_list(tiny_run: Run, fruit: Path) -> None:
    found = app.predict(str(tiny_run.export / "model_float32.tflite"), [str(fruit / "apple")])
    assert found == list(found) and len(found) == 8
    assert isinstance(found[2:4], Predictions) and found[2:4] == [found[2], found[3]]
    assert len(shown(found[2:4]).images) == 2
    assert repr(found[0]) == f"Prediction({found[0].path!r}: {found[0].label} {found[0].outputs[found[0].label]:.1%})"


def test_importing_app_does_not_import_what_only_notebooks_need() -> None:
    code = (
        "import sys, app; print('jinja2' in sys.modules, 'app.runs.display' in sys.modules, 'IPython' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["False"] * 3
