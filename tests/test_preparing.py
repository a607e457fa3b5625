"""Images that show nothing as they are decoded: found, said, and read as options say, by every verb alike."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import app
from app.interface.sources import open_readable
from data.auditing.lost import ON_BLACK, ON_WHITE, VISIBLE, background_for, deep_ones, levels_for
from data.auditing.statistics import statistics_of
from data.errors import DataError
from data.image.decoding import UnreadableImage, decode
from data.image.preparing import PLAIN, Preparation
from tests.conftest import TINY, Ended
from tests.images import coloured, encode, smooth
from tests.raw_files import packed, tiff

Cli = Callable[..., Ended]
WHITE = Preparation.parse("white", None)
TWELVE_BITS = Preparation.parse(None, "0-4095")
VALUES = np.linspace(0, 4095, 1200).reshape(30, 40).astype(np.uint16)


def drawing(level: int, kind: str = "RGBA", number: int = 0) -> bytes:
    """A square of one level of grey on transparent ground of the same level."""
    alpha = np.zeros((32, 32), np.uint8)
    alpha[4 + number % 8 : 20, 6:24] = 255
    image = Image.merge("LA", [Image.new("L", (32, 32), level), Image.fromarray(alpha)])
    if kind == "P":
        indices = Image.fromarray((alpha > 0).astype(np.uint8), "P")
        indices.putpalette([level] * 6)
        return encode(indices, transparency=0)
    return encode(image.convert(kind))


def in_colour(values: np.ndarray, suffix: str, alpha: bool = False) -> bytes:
    channels = [values] * 3 + ([np.full_like(values, 65535)] if alpha else [])
    return cv2.imencode(suffix, np.dstack(channels))[1].tobytes()


DEEP = {
    "grey.png": encode(VALUES),
    "grey.tif": encode(VALUES, "TIFF"),
    "colour.png": in_colour(VALUES, ".png"),
    "colour.tiff": in_colour(VALUES, ".tiff"),
    "colour with alpha.png": in_colour(VALUES, ".png", alpha=True),
}


# --- One image ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P"])
def test_a_background_shows_what_is_drawn_in_transparency(kind: str) -> None:
    encoded = drawing(0, kind)
    assert np.asarray(decode(encoded)).max() == 0
    seen = np.asarray(decode(WHITE(encoded)))
    assert seen[0, 0].tolist() == [255] * 3 and seen[12, 12].tolist() == [0] * 3


def test_a_background_is_any_colour() -> None:
    blue = Preparation.parse("#0000ff", None)(drawing(0))
    assert np.asarray(decode(blue))[0, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize("encoded", DEEP.values(), ids=list(DEEP))
def test_levels_stretch_what_is_nearly_black(encoded: bytes) -> None:
    assert np.asarray(decode(encoded)).max() == 15
    expected = np.rint(VALUES / 4095 * 255)
    assert np.abs(np.asarray(decode(TWELVE_BITS(encoded)))[..., 0] - expected).max() <= 1


def test_a_file_of_12_bits_needs_no_levels() -> None:
    """Only one of 16 bits does not say that it holds 12."""
    encoded = tiff(40, 30, packed(VALUES, 12), channels=1, bits=12)
    expected = VALUES >> 4
    assert (np.asarray(decode(encoded))[..., 0] == expected).all()
    assert levels_for(statistics_about(encoded)) is None
    assert np.abs(np.asarray(decode(TWELVE_BITS(encoded)))[..., 0] - expected.astype(float)).max() <= 1


def test_levels_make_fractions_readable() -> None:
    encoded = encode((VALUES / 4095).astype(np.float32), "TIFF")
    with pytest.raises(UnreadableImage, match="--levels"):
        decode(encoded)
    assert np.asarray(decode(Preparation.parse(None, "0-1")(encoded))).max() == 255


def test_what_is_beyond_the_levels_is_cut_off() -> None:
    seen = np.asarray(decode(Preparation.parse(None, "1000-2000")(encode(VALUES))))[..., 0]
    assert (seen[VALUES < 1000] == 0).all() and (seen[VALUES > 2000] == 255).all()


def test_an_image_on_its_side_is_turned_once() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    encoded = encode(VALUES, exif=exif)
    assert np.asarray(decode(TWELVE_BITS(encoded))).shape == np.asarray(decode(encoded)).shape == (40, 30, 3)


@pytest.mark.parametrize("prepare", [PLAIN, WHITE, TWELVE_BITS])
def test_what_no_option_concerns_stays_the_same_file(prepare: Preparation) -> None:
    for encoded in (encode(smooth(40, 30)), encode(smooth(40, 30), "JPEG"), tiff(40, 30, smooth(40, 30).tobytes())):
        assert prepare(encoded) is encoded


@pytest.mark.parametrize(
    ("background", "levels", "reason"),
    [
        ("whitish", None, "no colour"),
        (None, "4095", "no range"),
        (None, "5-5", "no range"),
        (None, "1.2.3-4", "no range"),
    ],
)
def test_options_that_make_no_sense_are_refused(background: str | None, levels: str | None, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        Preparation.parse(background, levels)


# --- What is found --------------------------------------------------------------------------------------------------------


def statistics_about(*files: bytes) -> np.ndarray:
    return np.array([statistics_of(file, f"{number:064x}") for number, file in enumerate(files)])


@pytest.mark.parametrize(
    ("encoded", "hidden"),
    [
        (drawing(0), ON_WHITE),
        (drawing(0, "LA"), ON_WHITE),
        (drawing(255), ON_BLACK),
        (encode(np.dstack([smooth(32, 32), np.full((32, 32, 1), 128, np.uint8)])), VISIBLE),
        (encode(smooth(32, 32)), VISIBLE),
        (encode(np.zeros((32, 32, 4), np.uint8)), VISIBLE),  # nothing on any ground
    ],
)
def test_a_drawing_in_transparency_alone_is_found(encoded: bytes, hidden: int) -> None:
    assert statistics_about(encoded)["hidden"].tolist() == [hidden]


def test_the_background_is_one_on_which_all_can_be_seen() -> None:
    assert background_for(statistics_about(drawing(0))) == "white"
    assert background_for(statistics_about(drawing(255))) == "black"
    assert background_for(statistics_about(drawing(0), drawing(255))) == "gray"
    assert background_for(statistics_about(encode(smooth(32, 32)))) is None


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        (VALUES, "0-4095"),
        (VALUES // 4, "0-1023"),
        (VALUES + 20_000, "20003-24091"),  # as of a thermal camera
        (VALUES * 16, None),  # all 16 bits
    ],
)
def test_the_range_of_values_that_is_used_is_found(values: np.ndarray, levels: str | None) -> None:
    statistics = statistics_about(encode(values.astype(np.uint16)), encode(smooth(32, 32)))
    assert levels_for(statistics) == levels
    assert deep_ones(statistics).tolist() == [levels is not None, False]


# --- All verbs ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def icons(tmp_path: Path) -> Path:
    """Two classes that only transparency tells apart."""
    for name, box in (("tall", (2, 12, 30, 18)), ("wide", (12, 2, 18, 30))):
        (tmp_path / "icons" / name).mkdir(parents=True)
        for number in range(8):
            pixels = np.zeros((32, 32, 4), np.uint8)
            pixels[box[0] : box[2], box[1] : box[3] - number % 3, 3] = 255 - number
            (tmp_path / "icons" / name / f"{number}.png").write_bytes(encode(pixels))
    return tmp_path / "icons"


def test_audit_names_them_and_what_to_do(icons: Path, cli: Cli, wide: None) -> None:
    ended = cli("audit", icons, "--no-labels")
    assert "images that are in one colour without their transparency" in ended.out
    assert "can be seen with --background white" in ended.out
    assert "in one colour" not in cli("audit", icons, "--no-labels", "--background", "white").out


def test_audit_names_few_bits(tmp_path: Path, cli: Cli, wide: None) -> None:
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(3):
            (tmp_path / "set" / name / f"{number}.png").write_bytes(encode(np.roll(VALUES, 90 * number)))
    assert "--levels 0-4095" in cli("audit", tmp_path / "set", "--no-labels").out
    assert "16 bits" not in cli("audit", tmp_path / "set", "--no-labels", "--levels", "0-4095").out


def test_it_is_said_when_training_starts(icons: Path, capsys: pytest.CaptureFixture[str], wide: None) -> None:
    open_readable(str(icons), skip_unreadable=False)
    said = capsys.readouterr().out
    assert "16 images are in one colour without transparency" in said and "give --background white" in said
    open_readable(str(icons), skip_unreadable=False, preparation=WHITE)
    assert "Warning" not in capsys.readouterr().out


def test_a_run_keeps_its_background(icons: Path, tiny_backbone: str, tmp_path: Path, cli: Cli, wide: None) -> None:
    options = {**TINY, "strategy": "feature_extraction", "augment": "none", "formats": ("tflite_float32",)}
    run = app.train(str(icons), output=str(tmp_path / "run"), background="white", **options)
    assert run.options["background"] == "white" and run.parity["passed"]

    image = str(icons / "tall" / "0.png")
    on_white = tmp_path / "0.png"
    on_white.write_bytes(encode(decode(WHITE(Path(image).read_bytes()))))
    elsewhere = tmp_path / "elsewhere.tflite"  # without its run, by what is packed into it
    shutil.copy(run.export / "model_float32.tflite", elsewhere)
    for model in (run.path, run.export / "model_float32.tflite", elsewhere):
        seen, same, black = (
            app.predict(str(model), [path], **chosen)[0].probabilities
            for path, chosen in ((image, {}), (str(on_white), {}), (image, {"background": "black"}))
        )
        assert seen == same != black
    ended = cli("evaluate", run.path)
    assert ended.code == 0 and "Warning" not in ended.out and "changed" not in ended.out
    assert cli("export", run.path, "--formats", "tflite_float32").code == 0


def test_images_with_and_without_a_background_have_rows_of_their_own(icons: Path) -> None:
    plain, _ = open_readable(str(icons), skip_unreadable=False)
    on_white, _ = open_readable(str(icons), skip_unreadable=False, preparation=WHITE)
    assert not set(plain.digests or ()) & set(on_white.digests or ())


@pytest.mark.parametrize("suffix", [".tif", pytest.param(".tiff", marks=pytest.mark.slow)])
def test_a_folder_of_tiff_is_trained_on_and_predicted(suffix: str, tiny_backbone: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for label, name in enumerate("ab"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(6):
            image = encode(coloured(label, 2, (40, 30), random), "TIFF", compression="tiff_lzw")
            (tmp_path / "set" / name / f"{number}{suffix}").write_bytes(image)
    options = {**TINY, "strategy": "feature_extraction", "formats": ("tflite_float32",)}
    run = app.train(str(tmp_path / "set"), output=str(tmp_path / "run"), **options)
    assert run.parity["passed"] and len(app.predict(str(run.path), [str(tmp_path / "set")])) == 12
