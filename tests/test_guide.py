"""`integration.md` and the model card in the export folder: what an app developer does who gets nothing else."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

import app
from app.exporting.choice import file_rows, measured_on, recommendation
from app.exporting.formats import FORMATS
from app.exporting.guide import write_guide
from app.exporting.self_description import tensors_of_tflite
from app.tasks import TASKS
from data.image.resizing import RESIZES, load_pixels
from models.builder import load_model, with_predictions
from tests.handmade import colour_classifier
from tests.test_docs import blocks, broken_links

TASK = TASKS["single_label"]
PAGES = ("model_card.md", "integration.md")


def guide(run: app.Run) -> str:
    return (run.export / "integration.md").read_text(encoding="utf-8")


# --- The pages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_links_work_in_a_folder_that_was_passed_on(page: str, every_format: app.Run, tmp_path: Path) -> None:
    copy = shutil.copytree(every_format.export, tmp_path / "passed on")
    assert broken_links(copy / page, (copy / page).read_text(encoding="utf-8")) == []


def test_the_card_of_the_run_folder_links_to_the_export(every_format: app.Run) -> None:
    card = every_format.path / "model_card.md"
    assert broken_links(card, card.read_text(encoding="utf-8")) == []
    assert "(export/model_float32.tflite)" in card.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_every_file_is_compared_by_what_was_measured(page: str, finished_run: app.Run) -> None:
    text, parity = (finished_run.export / page).read_text(encoding="utf-8"), finished_run.parity
    for one in parity["formats"].values():
        assert f"| {one['bytes'] / 1e6:.1f} MB | {one['speed']['best_ms']:.2f} | {one['accuracy']:.3f}" in text
    kept = parity["formats"][parity["quantization"]["kept"]]
    assert f"Take `{kept['file']}`, " in text and measured_on(parity) in text


def test_each_file_s_input_and_output_are_those_of_the_file(every_format: app.Run) -> None:
    text = guide(every_format)
    for name, one in FORMATS.items():
        (row,) = re.findall(rf"^\| `{re.escape(one.file)}` \| (.*) \| (.*) \|$", text, re.MULTILINE)
        if not one.is_for_phones:
            assert "float32 (any number, 32, 32, 3)" in row[0] and row[1] == "`probabilities`: float32", name
            continue
        interpreter = Interpreter(str(every_format.export / one.file))
        for tensor, (details,), shown in zip(
            tensors_of_tflite(every_format.export / one.file),
            (interpreter.get_input_details(), interpreter.get_output_details()),
            row,
            strict=True,
        ):
            assert shown.startswith(f"{np.dtype(details['dtype']).name} ({', '.join(map(str, details['shape']))})")
            if details["quantization"][0] and tensor is not None:
                assert (tensor.scale, tensor.zero_point) == pytest.approx(details["quantization"])
    assert "0.00390625" in text  # the probabilities of the file for the EdgeTPU
    assert "logits" not in text and "model.keras" not in text


def test_code_names_the_recommended_file_and_its_size(every_format: app.Run) -> None:
    text = guide(every_format)
    (file,) = re.findall(r"^Take `(.*?)`", text, re.MULTILINE)
    code = blocks(text, "kotlin", "swift", "js", "dart", "python")
    assert len(code) == 17
    for block in code:
        assert set(re.findall(r"model_\w+\.tflite", block)) <= {file} and "{{" not in block and "{%" not in block
    assert sum("32" in block for block in blocks(text, "kotlin", "swift", "dart", "python")) >= 4
    for language in ("kotlin", "swift", "js", "dart", "python"):
        whole = [block for block in blocks(text, language) if "import" in block]
        assert whole, f"no imports in {language}"


# --- The code -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def colour_run(tiny_run: app.Run, tmp_path_factory: pytest.TempPathFactory) -> app.Run:
    """A run whose model looks at the colours, so that it matters what of an image it sees."""
    run = app.Run(Path(shutil.copytree(tiny_run.path, tmp_path_factory.mktemp("runs") / "colours")))
    colour_classifier().save(run.model)
    app.export(str(run.path), formats=("tflite_float32",))
    return run


def printed(block: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, float]:
    """The name and the probability that a block of code prints."""
    capsys.readouterr()
    exec(block, {})
    name, _, share = capsys.readouterr().out.strip().rpartition(" ")
    return name, float(share)


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_python_does_what_it_says_from_a_copy_of_the_folder_alone(
    resize: str,
    colour_run: app.Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = colour_run.path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"resize": resize}))
    write_guide(colour_run, colour_run.export)
    by_mediapipe, by_litert, check_golden_vectors = blocks(guide(colour_run), "python")
    pixels = np.zeros((50, 90, 3), np.uint8)
    pixels[:, :30, 2], pixels[:, 30:60, 0], pixels[:, 60:, 1] = 200, 150, 150  # blue, red and green, from the left
    monkeypatch.chdir(shutil.copytree(colour_run.export, tmp_path / "passed on"))
    printed(by_mediapipe, capsys)  # as they are
    printed(by_litert, capsys)
    exec(check_golden_vectors, {})

    Image.fromarray(pixels).save("golden/0.png")
    model = with_predictions(load_model(colour_run.model))
    for block, antialias in ((by_mediapipe, False), (by_litert, True)):
        seen = {one: load_pixels(Path("golden/0.png").read_bytes(), 32, one, antialias=antialias) for one in RESIZES}
        expected = {one: np.asarray(model(seen[one][None].astype(np.float32)))[0] for one in RESIZES}
        assert min(np.abs(expected[one] - expected[resize]).max() for one in set(RESIZES) - {resize}) > 0.05
        name, share = printed(block, capsys)
        assert name == colour_run.class_names[expected[resize].argmax()]
        assert share == pytest.approx(expected[resize].max(), abs=0.02)


def test_python_of_a_file_with_bytes_at_both_ends(
    every_format: app.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = app.Run(Path(shutil.copytree(every_format.path, tmp_path / "run")))
    edge = {"tflite_edge": run.parity["formats"]["tflite_edge"]}
    (run.export / "parity.json").write_text(json.dumps(run.parity | {"formats": edge}))
    write_guide(run, run.export)
    monkeypatch.chdir(run.export)
    _, by_litert, check_golden_vectors = blocks(guide(run), "python")
    steps = 256 * printed(by_litert, capsys)[1]
    assert 256 / 3 - 1 <= steps <= 256 and steps == round(steps)
    exec(check_golden_vectors, {})


# --- The choice -----------------------------------------------------------------------------------------------------------


def parity(kept: str | None = None, **files: dict[str, Any]) -> dict[str, Any]:
    """`parity.json` with files of these sizes, times and tolerances."""
    formats = {
        name: {"file": f"{name}.tflite", "passed": True, "accuracy": 0.9, "accuracy_drop": 0.0, "tolerance": None}
        | figures
        for name, figures in files.items()
    }
    return {"formats": formats, "quantization": kept and {"kept": kept, "steps": []}}


def takes(size: float, milliseconds: float, busy: bool = False, **more: Any) -> dict[str, Any]:
    return {
        "bytes": size * 1e6,
        "speed": {"best_ms": milliseconds, "threads": 1, "processor": "CPU", "busy": busy},
    } | more


FLOAT = takes(14, 4, tolerance=1e-3)


@pytest.mark.parametrize(
    ("files", "text"),
    [
        (
            parity(exact=FLOAT, small=takes(4, 1)),
            "Take `small.tflite`, the smallest and fastest file for apps that agrees with the trained model: 4.0 MB, 1.00 ms "
            "per image, accuracy 0.900. Where every prediction must be that of the trained model, take `exact.tflite`: "
            "14.0 MB, 4.00 ms per image, accuracy 0.900.",
        ),
        (
            parity(exact=FLOAT, small=takes(4, 1, busy=True)),
            "Take `small.tflite`, the smallest file for apps that agrees",
        ),
        (parity(exact=FLOAT, small=takes(4, 5)), "Take `small.tflite`, the smallest file for apps that agrees"),
        (
            parity(exact=FLOAT),
            "Take `exact.tflite`, the only file for apps that agrees with the trained model: 14.0 MB",
        ),
        (
            parity(kept="large", large=takes(5, 2), small=takes(4, 1)),
            "Take `large.tflite`, which the search for a small",
        ),
        (parity(exact=FLOAT, bad=takes(4, 1, passed=False)), "Take `exact.tflite`, the only file"),
        (parity(old={"bytes": 4e6}), "the trained model: 4.0 MB, accuracy 0.900."),
        (parity(bad=takes(4, 1, passed=False)), ""),
    ],
)
def test_the_recommendation_follows_the_measurements(files: dict[str, Any], text: str) -> None:
    assert text in recommendation(TASK, files) and bool(text) == bool(recommendation(TASK, files))


def test_what_was_not_measured_is_not_invented() -> None:
    old = parity(old={"bytes": 4e6})
    assert file_rows(TASK, old) == [("old.tflite", "", "4.0 MB", "-", "0.900")] and measured_on(old) == ""
