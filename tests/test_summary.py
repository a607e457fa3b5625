"""What is said of exported files: the same in the terminal, the report and the card, and nothing that contradicts it."""

from __future__ import annotations

from typing import Any

import pytest

import app
from app.evaluation.report import write_report
from app.exporting.summary import print_exports
from data.files import write_json

# A loss of 2 of 269 test images through MediaPipe, which the rule of `app.exporting.parity` lets pass as chance.
CHANCE = {"accuracy": 0.978, "accuracy_drop": 2 / 269, "accuracy_drop_ci95": [-0.007, 0.022], "within_chance": True}
FAILURE = "loses 0.7 points of accuracy; at most 0.5 allowed (--max-drop)"


def said(run: app.Run, capsys: pytest.CaptureFixture[str], **changes: Any) -> tuple[str, str, str]:
    """The terminal, the report and the card of a run whose `parity.json` is changed first."""
    write_json(run.export / "parity.json", run.parity | changes)
    write_report(run)
    capsys.readouterr()
    print_exports(run)
    card = run.path / "model_card.md"
    return capsys.readouterr().out, run.report.read_text(encoding="utf-8"), card.read_text(encoding="utf-8")


def formats_of(run: app.Run, **changes: Any) -> dict[str, Any]:
    ((name, figures),) = run.parity["formats"].items()
    return {name: figures | changes}


def test_a_loss_that_was_let_pass_says_why(tiny_copy: app.Run, capsys: pytest.CaptureFixture[str]) -> None:
    texts = said(tiny_copy, capsys, formats=formats_of(tiny_copy, mediapipe=CHANCE))
    for text in texts:
        assert "0.978 (-0.7, within chance)" in text
        assert "agrees" in text
    terminal, *pages = texts
    assert "Within chance: MediaPipe loses more than the 0.5 points of --max-drop" in terminal
    for page in pages:
        assert "a quantised file may lose 0.5 points of accuracy (--max-drop), or more where so few images" in page
        assert "Through MediaPipe Tasks, a larger loss fails a file only beyond chance" in page


def test_without_such_a_loss_there_is_no_word_of_it(tiny_copy: app.Run, capsys: pytest.CaptureFixture[str]) -> None:
    none = CHANCE | {"accuracy": 0.983, "accuracy_drop": 0.002, "within_chance": False}
    for text in said(tiny_copy, capsys, formats=formats_of(tiny_copy, mediapipe=none)):
        assert "0.983 (-0.2)" in text and "ithin chance" not in text


def test_a_share_that_is_not_all_is_not_called_all(tiny_copy: app.Run, capsys: pytest.CaptureFixture[str]) -> None:
    failures = ["another answer than the Keras model for 1 of 5000 images"]
    changes = {"top1_agreement": 0.9998, "passed": False, "failures": failures}
    for text in said(tiny_copy, capsys, formats=formats_of(tiny_copy, **changes)):
        assert "99.98%" in text and "100.0%" not in text


def step(what: str, file: str, *failures: str) -> dict[str, Any]:
    return {"format": "any", "what": what, "file": file, "accuracy": 0.9, "accuracy_drop": 0.0, "failures": failures}


MIXED = "model_int8_mixed.tflite"
SEARCHES = {
    "the third": [
        step("full integer", "model_int8.tflite", FAILURE),
        step("integer but for 3 of 68 layers", MIXED, FAILURE),
        step("integer but for 9 of 68 layers", MIXED),
    ],
    "the last, for want of another": [
        step("full integer", "model_int8.tflite", FAILURE),
        step("16-bit weights", "model_float16.tflite", FAILURE),
    ],
    "the first": [step("full integer", "model_int8.tflite")],
}


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize("kept", SEARCHES)
def test_what_was_tried_is_not_taken_for_what_was_kept(
    kept: str, tiny_copy: app.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    *refused, last = steps = SEARCHES[kept]
    ((name, figures),) = tiny_copy.parity["formats"].items()
    quantization = {"kept": name, "steps": steps, "layers": []}
    terminal, *pages = said(
        tiny_copy, capsys, quantization=quantization, formats={name: figures | {"file": last["file"]}}
    )
    lines = terminal.splitlines()
    not_kept = [line for line in lines if line.startswith("Not kept: ")]
    assert not_kept == [f"Not kept: {one['what']}, {FAILURE}." for one in refused]
    assert f"exported  {tiny_copy.export / last['file']}" in lines
    reason = f", the last to try, though it {FAILURE}" if last["failures"] else ""
    assert [line for line in lines if line.startswith("Kept: ")] == (
        [f"Kept: {last['what']} ({last['file']}){reason}."] if refused else []
    )
    for page in pages:
        after = page.partition("that were tried and not kept")[2]
        assert [one["what"] in after for one in refused] == [True] * len(refused)
        assert last["what"] not in after


@pytest.mark.usefixtures("wide")
def test_what_was_left_out_of_a_check_is_said_everywhere(
    tiny_copy: app.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    left_out = [{"check": "the encoded signature", "pictures": 2, "of": 3, "reason": "it refuses a JPEG in CMYK"}]
    for text in said(tiny_copy, capsys, formats=formats_of(tiny_copy, left_out=left_out)):
        assert "Left out of the check of the encoded signature: 2 of 3 test images; it refuses a JPEG in CMYK" in text
        assert "left out" in text


@pytest.mark.usefixtures("wide")
def test_too_few_images_are_named_as_the_reason(tiny_copy: app.Run, capsys: pytest.CaptureFixture[str]) -> None:
    more = {"pictures": 500, "accuracy": 1.0, "keras_accuracy": 1.0, "accuracy_drop": 0.0}
    changes = {"accuracy_drop": 1 / 3, "accuracy_drop_ci95": [-0.2, 0.8], "within_chance": True, "more": more}
    for text in said(tiny_copy, capsys, formats=formats_of(tiny_copy, **changes)):
        assert "too few images to tell" in text and "agrees" not in text.partition("Exported")[2].partition("How")[0]
        assert (
            "Not enough images to tell: model_float32.tflite loses 33.3 points of accuracy on 3 test images (95 % interval "
            "-20.0 to 80.0), 0.0 on 500 of training and validation; it is kept." in text
        )


def test_strict_agreement_is_beside_the_other(tiny_copy: app.Run, capsys: pytest.CaptureFixture[str]) -> None:
    changes = {"top1_agreement": 1.0, "strict_top1_agreement": 0.96, "top5_agreement": 0.5}
    for text in said(tiny_copy, capsys, formats=formats_of(tiny_copy, **changes)):
        assert "100.0% (strictly 96.0%, top 5 50.0%)" in " ".join(text.split())


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize(("step", "is_said"), [(0.2, True), (1e-4, False)])
def test_numbers_that_float32_hardly_tells_apart_are_named(
    step: float, is_said: bool, tiny_copy: app.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in said(tiny_copy, capsys, formats=formats_of(tiny_copy, resolution=step)):
        assert ("float32 goes from one to the next in 0.2 standard deviations. Subtract a constant" in text) == is_said
