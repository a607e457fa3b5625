"""What a `.tflite` says of itself, what MediaPipe Tasks makes of it, and class names in other languages."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from mediapipe.tasks.metadata import metadata_schema_py_generated as metadata_schema
from PIL import Image

import app
from app.exporting.formats import FORMATS
from app.exporting.metadata import FILE_KEY, Description, read_locales, with_metadata
from app.exporting.self_description import describe_tflite, end_of_tflite
from app.interface.errors import UsageError
from app.prediction.label_files import read_label_file
from tests.conftest import Ended, contents
from tests.images import NAMES, coloured

Cli = Callable[..., Ended]
PHONE_FORMATS = [name for name, one in FORMATS.items() if one.is_for_phones]
ODD_NAMES = ("naïve café", "rose\u2028red ☕", "a,b;'\"<c>")
DESCRIPTION = Description(
    name="Früchte & mehr",
    text="Tells 3 classes apart.",
    version="1.2.3-beta",
    author="Zoë O'Brien",
    licence="CC-BY-4.0",
    class_names=("apple", "banana", "cherry"),
    locales={"de": ("Apfel", "Banane", "Kirsche"), "pt-BR": ("maçã", "banana", "cereja")},
    score_threshold=0.25,
)


@pytest.fixture(scope="module")
def plain(tiny_run: app.Run) -> bytes:
    """A `.tflite` that says nothing of itself."""
    file = (tiny_run.export / "model_float32.tflite").read_bytes()
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(file))
    model.metadata = []
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def read_metadata(file: bytes) -> dict[str, Any]:
    """The description in a `.tflite`: its main fields, the input's mean and std, and the label files by name.

    Raises:
        ValueError: there is none.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(file))
    for entry in model.metadata or []:
        if entry.name.decode() == FILE_KEY:
            packed = bytes(model.buffers[entry.buffer].data)
            metadata = metadata_schema.ModelMetadataT.InitFromObj(metadata_schema.ModelMetadata.GetRootAs(packed))
            break
    else:
        raise ValueError("the file has no metadata")
    (graph,) = metadata.subgraphMetadata
    (given,), (answer,) = graph.inputTensorMetadata, graph.outputTensorMetadata
    with zipfile.ZipFile(io.BytesIO(file)) as files:
        labels = {one.name.decode(): files.read(one.name.decode()).decode() for one in answer.associatedFiles}
    return {
        "name": metadata.name.decode(),
        "description": metadata.description.decode(),
        "version": metadata.version.decode(),
        "author": metadata.author.decode(),
        "license": metadata.license.decode(),
        "min_parser_version": metadata.minParserVersion.decode(),
        "mean": list(given.processUnits[0].options.mean),
        "std": list(given.processUnits[0].options.std),
        "color_space": given.content.contentProperties.colorSpace,
        "score_threshold": answer.processUnits[0].options.globalScoreThreshold,
        "locales": [(one.locale or b"").decode() for one in answer.associatedFiles],
        "labels": labels,
    }


def classify(file: bytes, **options: Any) -> list[Any]:
    """What an app gets that hands an image to MediaPipe Tasks, and tells it of the file only what is in `options`."""
    import mediapipe as mp
    from mediapipe.tasks.python import BaseOptions, vision

    base = BaseOptions(model_asset_buffer=file)
    with vision.ImageClassifier.create_from_options(
        vision.ImageClassifierOptions(base_options=base, **options)
    ) as classifier:
        image = coloured(2, 3, (50, 40), np.random.default_rng(0))
        (answer,) = classifier.classify(mp.Image(mp.ImageFormat.SRGB, image)).classifications
    return answer.categories


# --- What is in it ----------------------------------------------------------------------------------------------------


def test_every_field_comes_back(plain: bytes) -> None:
    found = read_metadata(with_metadata(plain, DESCRIPTION))
    assert found == {
        "name": "Früchte & mehr",
        "description": "Tells 3 classes apart.",
        "version": "1.2.3-beta",
        "author": "Zoë O'Brien",
        "license": "CC-BY-4.0",
        "min_parser_version": "1.0.0",
        "mean": [0.0],
        "std": [1.0],
        "color_space": 1,  # RGB
        "score_threshold": 0.25,
        "locales": ["", "de", "pt-BR"],
        "labels": {
            "labels.txt": "apple\nbanana\ncherry\n",
            "labels_de.txt": "Apfel\nBanane\nKirsche\n",
            "labels_pt-BR.txt": "maçã\nbanana\ncereja\n",
        },
    }


@pytest.mark.parametrize("name", PHONE_FORMATS)
def test_an_exported_file_tells_of_its_run(name: str, every_format: app.Run) -> None:
    found = read_metadata((every_format.export / FORMATS[name].file).read_bytes())
    assert found["name"] == "every format"  # the folder of the run
    assert "3 classes" in found["description"] and "tiny at 32 pixels" in found["description"]
    assert (found["author"], found["version"], found["license"]) == ("A. Author", "7", "Apache-2.0")
    assert found["score_threshold"] == 0.0
    assert found["locales"] == ["", "de"]
    assert found["labels"]["labels.txt"].splitlines() == list(every_format.class_names)
    assert found["labels"]["labels_de.txt"] == "Äpfel\nBananen\nKirschen\n"


@pytest.mark.parametrize("name", PHONE_FORMATS)
def test_the_normalisation_is_that_of_the_input(name: str, every_format: app.Run) -> None:
    file = every_format.export / FORMATS[name].file
    found = read_metadata(file.read_bytes())
    (given,) = Interpreter(str(file)).get_input_details()
    if given["dtype"] == np.float32:  # raw pixels: the model scales them itself
        assert (found["mean"], found["std"]) == ([0.0], [1.0])
        return
    scale, zero_point = given["quantization"]
    for level in (0, 100, 255):  # the type of the input scales them; its zero is a whole number
        assert (level - found["mean"][0]) / found["std"][0] == pytest.approx((level - zero_point) * scale, abs=scale)


def test_a_file_without_metadata_says_so(plain: bytes) -> None:
    with pytest.raises(ValueError, match="no metadata"):
        read_metadata(plain)


def test_label_files_are_a_zip_archive(every_format: app.Run) -> None:
    with zipfile.ZipFile(every_format.export / "model_float32.tflite") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["labels.txt", "labels_de.txt"]
        assert archive.read("labels.txt") == (every_format.export / "labels.txt").read_bytes()
        assert {one.compress_type for one in archive.infolist()} == {zipfile.ZIP_STORED}  # MediaPipe reads no other


def test_the_same_model_gives_the_same_bytes(plain: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    today = with_metadata(plain, DESCRIPTION)
    another_day = time.struct_time((2031, 2, 3, 4, 5, 6, 0, 34, 0))
    monkeypatch.setattr(time, "localtime", lambda *_: another_day)
    assert with_metadata(plain, DESCRIPTION) == today
    assert with_metadata(plain, replace(DESCRIPTION, version="1.2.4")) != today


def test_answers_stay_as_they_were(plain: bytes) -> None:
    predictions = []
    for file in (plain, with_metadata(plain, DESCRIPTION)):
        interpreter = Interpreter(model_content=file)
        pixels = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
        predictions.append(interpreter.get_signature_runner()(pixels=pixels)["probabilities"])
    np.testing.assert_array_equal(*predictions)


def test_names_of_any_kind_come_back(plain: bytes) -> None:
    file = with_metadata(plain, replace(DESCRIPTION, class_names=ODD_NAMES, locales={}, score_threshold=0.0))
    assert read_metadata(file)["labels"]["labels.txt"] == "".join(f"{name}\n" for name in ODD_NAMES)
    assert {one.index: one.category_name for one in classify(file)} == dict(enumerate(ODD_NAMES))


# --- What MediaPipe Tasks makes of it ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("locale", "names"), [*DESCRIPTION.locales.items(), ("fr", ("", "", ""))])
def test_a_client_shows_names_in_its_language(locale: str, names: tuple[str, ...], plain: bytes) -> None:
    found = classify(with_metadata(plain, replace(DESCRIPTION, score_threshold=0.0)), display_names_locale=locale)
    assert {one.index: one.category_name for one in found} == dict(enumerate(DESCRIPTION.class_names))
    assert {one.index: one.display_name or "" for one in found} == dict(enumerate(names))


def test_a_client_leaves_out_what_is_below_the_threshold(plain: bytes) -> None:
    scores = sorted(one.score for one in classify(with_metadata(plain, replace(DESCRIPTION, score_threshold=0.0))))
    assert len(scores) == 3
    for left, threshold in enumerate((scores[0] / 2, sum(scores[:2]) / 2, sum(scores[1:]) / 2, (1 + scores[2]) / 2)):
        file = with_metadata(plain, replace(DESCRIPTION, score_threshold=threshold))
        assert [one.score for one in classify(file)] == scores[left:][::-1]


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (127.5, 127.5), (10.0, 2.0)])
def test_a_client_normalises_as_the_file_says(mean: float, std: float, plain: bytes) -> None:
    found = classify(with_metadata(plain, replace(DESCRIPTION, mean=mean, std=std, score_threshold=0.0)))
    image = coloured(2, 3, (50, 40), np.random.default_rng(0))
    from data.image.resizing import load_pixels
    from tests.images import encode

    pixels = (load_pixels(encode(image), 32, "stretch", antialias=False).astype(np.float32) - mean) / std
    expected = Interpreter(model_content=plain).get_signature_runner()(pixels=pixels[None])["probabilities"][0]
    for one in found:
        assert one.score == pytest.approx(expected[one.index], abs=0.02)


# --- The option -------------------------------------------------------------------------------------------------------


def test_label_files_of_other_systems_are_read(tmp_path: Path) -> None:
    file = tmp_path / "a=b.txt"
    for encoded in ("Äpfel\r\nBananen\r\nKirschen\r\n".encode(), "Äpfel\nBananen\nKirschen".encode("utf-8-sig")):
        file.write_bytes(encoded)
        assert read_locales([f"de={file}"], 3) == {"de": ["Äpfel", "Bananen", "Kirschen"]}


WRONG = [
    ("labels_de.txt", "--locales takes LOCALE=FILE, such as de=labels_de.txt, not 'labels_de.txt'"),
    ("de=", "--locales takes LOCALE=FILE"),
    ("=german.txt", "--locales takes LOCALE=FILE"),
    ("../de=german.txt", "--locales takes LOCALE=FILE"),
    ("de=nowhere.txt", "nowhere.txt for the locale de"),
    ("de=.", "there is no label file"),
    ("de=two.txt", "two.txt names 2 classes, not 3: one a line, in label order"),
    ("de=four.txt", "four.txt names 4 classes, not 3"),
    ("de=empty.txt", "empty.txt names"),
    ("de=latin.txt", "latin.txt is not text in UTF-8"),
]


@pytest.fixture
def label_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with good and bad label files."""
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "german.txt").write_text("Apfel\nBanane\nKirsche\n")
    (folder / "two.txt").write_text("Apfel\nBanane\n")
    (folder / "four.txt").write_text("Apfel\nBanane\nKirsche\nZwetschge\n")
    (folder / "empty.txt").write_text("")
    (folder / "latin.txt").write_bytes("Äpfel\nBananen\nKirschen\n".encode("latin-1"))
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(("option", "text"), WRONG, ids=[option for option, _ in WRONG])
@pytest.mark.parametrize("verb", ["train", "export"])
def test_locales_that_cannot_be(
    verb: str, option: str, text: str, label_files: Path, fruit: Path, tiny_copy: app.Run, cli: Cli
) -> None:
    before = contents(label_files), contents(tiny_copy.path)
    what = (fruit, "--output", "run", "--weights", "none") if verb == "train" else (tiny_copy.path,)
    ended = cli(verb, *what, "--locales", option)
    assert ended.code == 2
    assert ended.err.startswith("Error: ") and text in ended.err and len(ended.err.splitlines()) == 1
    assert (contents(label_files), contents(tiny_copy.path)) == before


def test_a_notebook_gets_the_same_sentence(label_files: Path, tiny_copy: app.Run) -> None:
    with pytest.raises(UsageError, match=r"two\.txt names 2 classes, not 3"):
        app.export(str(tiny_copy.path), locales=("de=two.txt",))


def test_locales_are_found_again_from_another_folder(
    label_files: Path, tiny_copy: app.Run, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    ended = cli("export", tiny_copy.path, "--formats", "onnx", "--locales", "de=german.txt", "fr=german.txt")
    assert ended.code == 0, ended.err
    file = label_files / "german.txt"
    assert tiny_copy.options["locales"] == [f"de={file}", f"fr={file}"]
    monkeypatch.chdir("/")
    assert read_locales(tiny_copy.options["locales"], 3)["fr"] == ["Apfel", "Banane", "Kirsche"]
    assert {path.name for path in tiny_copy.export.glob("*.txt")} == {"labels.txt", "labels_de.txt", "labels_fr.txt"}


def test_names_of_the_class_folders_are_the_labels(every_format: app.Run) -> None:
    assert (every_format.export / "labels.txt").read_text().splitlines() == list(NAMES[:3])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_an_image_is_no_label_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    Image.new("RGB", (8, 8), "red").save(path, kind)
    with pytest.raises(UsageError, match=r"labels\.txt is not a text file"):
        read_label_file(path)


@pytest.mark.parametrize("content", [b"", b"TFL", b"no model at all" * 9])
def test_other_bytes_are_no_tflite(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    for read in (end_of_tflite, describe_tflite):
        with pytest.raises(UsageError, match=r"model\.tflite is not a \.tflite file"):
            read(path)
