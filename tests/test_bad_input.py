"""Bad input: exit code 2, one clear sentence with the fix, no traceback, nothing written, nothing left behind."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import app
from app.config import TrainConfig, make_config
from app.interface.errors import UsageError
from models.errors import ModelError
from tests.conftest import Ended, contents
from tests.images import coloured, encode, write_folder

Refused = Callable[..., str]
NO_WEIGHTS = ("--weights", "none", "--image-size", "32")


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Ended]) -> Refused:
    """Carry out a command line that must be refused, in a folder that must stay as it is; gives the sentence."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object, lines: int = 1) -> str:
        before = contents(tmp_path)
        ended = cli(*arguments)
        assert ended.code == 2, ended
        assert ended.err.startswith("Error: ")
        assert len(ended.err.splitlines()) == lines
        assert "Traceback" not in ended.err + ended.out
        assert contents(tmp_path) == before
        return ended.err

    return call


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """A folder of images that a test may spoil."""
    return write_folder(tmp_path / "images", classes=2, examples=4)


# --- Sources ----------------------------------------------------------------------------------------------------------


def test_an_empty_folder(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no images; Graft needs a folder of images for each class" in refused("train", "empty")


def test_images_without_class_folders(examples: Path, refused: Refused) -> None:
    sentence = refused("train", examples / "apple")
    assert "give the folder above it" in sentence


def test_a_class_folder_without_images(examples: Path, refused: Refused) -> None:
    (examples / "cherry").mkdir()
    assert "cherry holds no images; add some or remove the folder" in refused("train", examples)


def test_one_class_only(examples: Path, refused: Refused) -> None:
    shutil.rmtree(examples / "banana")
    sentence = refused("train", examples)
    assert "one class only ('apple')" in sentence and "at least one more class" in sentence


def test_a_file_instead_of_a_folder(examples: Path, refused: Refused) -> None:
    sentence = refused("train", examples / "apple" / "00.png")
    assert "it is one image; give a folder with a folder of images for each class" in sentence


def test_a_missing_path_offers_the_nearest(examples: Path, refused: Refused) -> None:
    sentence = refused("train", "imges")
    assert "there is no folder imges" in sentence and "Did you mean images?" in sentence


def test_a_class_with_one_image(examples: Path, refused: Refused) -> None:
    for image in sorted((examples / "apple").iterdir())[1:]:
        image.unlink()
    sentence = refused("train", examples)
    assert "class 'apple' has 1 image, but needs 3" in sentence and "add images" in sentence


@pytest.mark.parametrize("source", ["sample:digit", "smaple:digits"])
def test_sources_that_do_not_exist_offer_the_nearest(source: str, refused: Refused) -> None:
    assert "Did you mean sample:digits?" in refused("train", source)


def test_an_unknown_kind_of_source(refused: Refused) -> None:
    assert "Known sources: a folder, FILE.csv, " in refused("train", "zzz:something")


def test_no_source(refused: Refused) -> None:
    assert "name the images to train on" in refused("train")


# --- Images ---------------------------------------------------------------------------------------------------------


def png_of_ten_gigapixels() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def truncated_jpeg() -> bytes:
    whole = encode(coloured(0, 2, (200, 150), np.random.default_rng(0)), "JPEG")
    return whole[: len(whole) // 2]


UNREADABLE = {
    "truncated.jpg": (truncated_jpeg(), "truncated or damaged"),
    "text.jpg": (b"This is not an image.\n" * 20, "not an image in a known format"),
    "gigapixels.png": (png_of_ten_gigapixels(), "its header announces more than 179 million pixels"),
    "empty.png": (b"", "the file is empty"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_unreadable_image_is_named(name: str, examples: Path, refused: Refused) -> None:
    data, fault = UNREADABLE[name]
    (examples / "apple" / name).write_bytes(data)
    sentence = refused("train", examples, lines=3)
    assert f"apple/{name}: {fault}" in sentence
    assert "--skip-unreadable" in sentence


def test_all_unreadable_images_are_named_at_once(examples: Path, refused: Refused) -> None:
    for name, (data, _) in UNREADABLE.items():
        (examples / "banana" / name).write_bytes(data)
    sentence = refused("train", examples, lines=2 + len(UNREADABLE))
    for name in UNREADABLE:
        assert f"banana/{name}" in sentence


def test_skipping_cannot_save_a_class_without_readable_images(examples: Path, refused: Refused) -> None:
    for image in (examples / "apple").iterdir():
        image.write_bytes(b"no image")
    assert "no image of class 'apple' can be read" in refused("train", examples, "--skip-unreadable")


# --- Options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (
            ("--backbone", "efficientnet_lite00"),
            ("unknown backbone", "Did you mean efficientnet_lite0", "list backbones"),
        ),
        (("--backbone", "MobileNet_V2"), ("Did you mean mobilenet_v2",)),
        (("--backbone", "zzz"), ("unknown backbone 'zzz'", "list backbones")),
        (("--backbone", "xception", "--weights", "none", "--image-size", "40"), ("40 pixels", "smallest size is 71")),
        (("--image-size", "31"), ("31 pixels", "smallest size is 32")),
        (("--image-size", "0"), ("--image-size must be above 0",)),
        (("--image-size", "100000"), ("--image-size must be above 0 and at most 2,048, not 100000",)),
        (("--head", "linea"), ("--head cannot be 'linea'. Did you mean 'linear'?",)),
        (("--resize", "crpo"), ("Did you mean 'crop'?",)),
        (("--augment", "lihgt"), ("Did you mean 'light'?",)),
        (("--mixup", "-0.1"), ("--mixup must be from 0 to 10, not -0.1",)),
        (("--cutmix", "11"), ("--cutmix must be from 0 to 10, not 11.0",)),
        (("--cutmix", "nan"), ("--cutmix must be from 0",)),
        (("--strategy", "two_phases"), ("Did you mean 'two_phase'?",)),
        (("--strategy", "magic"), ("Choose from two_phase, feature_extraction",)),
        (("--formats", "saved_modle"), ("Did you mean 'saved_model'?",)),
        (("--dropout", "1"), ("--dropout must be from 0 to below 1, not 1.0",)),
        (("--dropout", "-0.1"), ("--dropout",)),
        (("--dropout", "nan"), ("--dropout",)),
        (("--label-smoothing", "1"), ("--label-smoothing must be from 0 to below 1, not 1.0",)),
        (("--label-smoothing", "nan"), ("--label-smoothing",)),
        (("--batch-size", "0"), ("--batch-size must be above 0",)),
        (("--batch-size", "-4"), ("--batch-size must be above 0",)),
        (("--batch-size", "99999999999999999999"), ("--batch-size", "at most 1,000,000")),
        (("--head-epochs", "0"), ("--head-epochs must be above 0",)),
        (("--head-epochs", "1000000000000"), ("--head-epochs",)),
        (("--fine-tune-epochs", "-1"), ("--fine-tune-epochs must be above 0",)),
        (("--patience", "0"), ("--patience must be above 0",)),
        (("--unfreeze-blocks", "0"), ("--unfreeze-blocks must be above 0",)),
        (("--head-learning-rate", "0"), ("--head-learning-rate must be above 0",)),
        (("--head-learning-rate", "nan"), ("--head-learning-rate must be above 0",)),
        (("--head-learning-rate", "inf"), ("--head-learning-rate must be above 0 and at most 1, not inf",)),
        (("--fine-tune-learning-rate", "-1e-3"), ("--fine-tune-learning-rate must be above 0",)),
        (("--fine-tune-learning-rate", "1e30"), ("--fine-tune-learning-rate",)),
        (("--weight-decay", "-1"), ("--weight-decay must be a number from 0 up, not -1.0",)),
        (("--weight-decay", "nan"), ("--weight-decay",)),
        (("--weight-decay", "inf"), ("--weight-decay",)),
        (("--validation-fraction", "0"), ("--validation-fraction must be above 0 and at most 1, not 0.0",)),
        (("--validation-fraction", "nan"), ("--validation-fraction",)),
        (("--test-fraction", "-0.5"), ("--test-fraction must be above 0",)),
        (("--test-fraction", "0.9"), ("leave nothing to train on",)),
        (("--cache-limit", "-1"), ("--cache-limit must be a number from 0 up, not -1.0",)),
        (("--cache-limit", "nan"), ("--cache-limit",)),
        (("--cache-limit", "inf"), ("--cache-limit",)),
        (("--seed", "-1"), ("--seed must be from 0",)),
        (("--seed", "99999999999"), ("--seed must be from 0",)),
        (("--unfreeze-blocks", "2", "--unfreeze-from", "top_conv"), ("say the same thing; give one of them",)),
        (("--weights", "nowhere.h5"), ("no weights 'nowhere.h5'", "neither a file nor one of imagenet, none")),
        (("--backbone", "efficientnet_lite4"), ("has no pretrained weights", "--weights")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) and str(value[0]).startswith("--") else "",
)
def test_options_that_cannot_be(
    arguments: tuple[str, ...], texts: tuple[str, ...], examples: Path, refused: Refused
) -> None:
    sentence = refused("train", examples, *arguments)
    for text in texts:
        assert text in sentence


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("list", "backbone"), "there is no list 'backbone'. Did you mean 'backbones'?"),
        (("list", "zzz"), "Choose from tasks, backbones"),
        (("cache", "claer"), "the cache cannot 'claer'. Did you mean 'clear'?"),
        (("cache", "zzz"), "Choose from show, clear"),
        (("evaluate", "run", "--batch-size", "0"), "--batch-size must be above 0"),
        (("predict", "run", "image.jpg", "--top", "0"), "--top must be above 0"),
        (("predict", "run", "image.jpg", "--resize", "padd"), "Did you mean 'pad'?"),
        (("predict", "run", "image.jpg", "--batch-size", "-1"), "--batch-size must be above 0"),
        (("export", "run", "--formats", "saved_modle"), "Did you mean 'saved_model'?"),
    ],
    ids=str,
)
def test_options_of_the_other_verbs(arguments: tuple[str, ...], text: str, refused: Refused) -> None:
    assert text in refused(*arguments)


def test_a_notebook_gets_the_same_sentences() -> None:
    with pytest.raises(UsageError, match=r"Did you mean 'mlp'\?"):
        app.train("images", head="mpl")
    with pytest.raises(ModelError, match="unknown backbone"):
        app.train("images", backbone="zzz")


@pytest.mark.parametrize("value", [0.3, 1, 0.999999])
def test_learning_rates_that_can_be(value: float) -> None:
    assert make_config(TrainConfig, head_learning_rate=value).head_learning_rate == value


# --- What shows itself only when the model is built -------------------------------------------------------------------


def test_a_hub_folder_that_is_missing(examples: Path, refused: Refused) -> None:
    sentence = refused("train", examples, "--output", "run", "--backbone", "hub:nowhere")
    assert "nowhere" in sentence and "SavedModel" in sentence


@pytest.mark.parametrize("name", ["garbage.h5", "garbage.weights.h5", "garbage.keras", "garbage.txt"])
def test_weights_that_are_garbage(name: str, examples: Path, tmp_path: Path, refused: Refused) -> None:
    (tmp_path / name).write_bytes(bytes(range(256)) * 100)
    options = ("--backbone", "mobilenet", "--image-size", 32, "--weights", name)
    assert name in refused("train", examples, "--output", "run", *options)


def test_imagenet_weights_without_a_network(examples: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    from keras.src.utils import file_utils

    def no_network(*arguments: object, **options: object) -> None:
        raise Exception("URL fetch failure on https://example.org/a.h5: None -- Name or service not known")

    monkeypatch.setattr(file_utils, "get_file", no_network)
    sentence = refused("train", examples, "--output", "run", "--backbone", "mobilenet", "--image-size", 32)
    assert "could not be downloaded" in sentence and "--backbone efficientnet_lite0" in sentence


def test_a_layer_to_unfreeze_that_is_missing(examples: Path, refused: Refused, tiny_backbone: str) -> None:
    options = ("--backbone", tiny_backbone, "--weights", "none", "--head-epochs", 1, "--unfreeze-from", "nothing")
    assert "the backbone has no layer 'nothing'" in refused("train", examples, "--output", "run", *options)


def test_no_parent_folder_is_left_behind(examples: Path, refused: Refused) -> None:
    refused("train", examples, "--output", "a/b/run", "--backbone", "hub:nowhere")
    refused("train", examples, "--backbone", "hub:nowhere")  # into runs/


def test_an_empty_output_folder_stays(examples: Path, tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "run").mkdir()
    refused("train", examples, "--output", "run", "--backbone", "hub:nowhere")


# --- Output -----------------------------------------------------------------------------------------------------------


def test_an_output_folder_that_holds_a_run(examples: Path, tiny_copy: app.Run, refused: Refused) -> None:
    sentence = refused("train", examples, "--output", tiny_copy.path)
    assert "already holds a run" in sentence and "--output" in sentence


def test_an_output_folder_that_holds_other_files(examples: Path, tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("precious")
    assert "thesis is a folder that is not empty; choose another --output" in refused(
        "train", examples, "--output", "thesis"
    )


def test_an_output_that_is_a_file(examples: Path, tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "file").write_text("precious")
    assert "file is a file; choose another --output" in refused("train", examples, "--output", "file")


def test_an_output_that_cannot_be_made(examples: Path, tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "file").write_text("precious")
    sentence = refused("train", examples, "--output", "file/run")
    assert "cannot make the run folder file/run" in sentence and "--output" in sentence


def test_names_that_are_too_long(examples: Path, refused: Refused) -> None:
    name = "n" * 300
    for arguments in (
        ("train", examples, "--output", name),
        ("train", name),
        ("evaluate", name),
        ("export", name),
        ("predict", name, examples),
        ("train", "--resume", name),
    ):
        assert name in refused(*arguments)


# --- Resuming ---------------------------------------------------------------------------------------------------------


def test_resuming_what_is_no_run(examples: Path, refused: Refused) -> None:
    assert "is not a run folder: it has no config.json" in refused("train", "--resume", examples)
    assert "is not a run folder" in refused("train", "--resume", "nowhere")


def test_resuming_a_finished_run(tiny_copy: app.Run, refused: Refused) -> None:
    assert "is finished; there is nothing to resume" in refused("train", "--resume", tiny_copy.path)


@pytest.mark.parametrize("more", [("--seed", "3"), ("--output", "elsewhere"), ("images",), ("--head", "mlp")])
def test_resuming_with_other_options(more: tuple[str, ...], tiny_copy: app.Run, refused: Refused) -> None:
    assert "give it alone" in refused("train", "--resume", tiny_copy.path, *more)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"sauce": "images"}',
        "[]",
        "3",
    ],
)
def test_resuming_a_run_with_damaged_options(text: str, tiny_copy: app.Run, refused: Refused) -> None:
    tiny_copy.report.unlink()
    (tiny_copy.path / "config.json").write_text(text)
    refused("train", "--resume", tiny_copy.path)


def test_resuming_when_the_images_are_gone(tiny_copy: app.Run, tmp_path: Path, refused: Refused) -> None:
    tiny_copy.report.unlink()
    path = tiny_copy.path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"source": str(tmp_path / "gone")}))
    assert "there is no folder" in refused("train", "--resume", tiny_copy.path)


# --- Other verbs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["evaluate", "export"])
def test_a_run_that_is_none(verb: str, examples: Path, refused: Refused) -> None:
    assert "is not a run folder" in refused(verb, examples)
    assert "is not a run folder" in refused(verb, "nowhere")


@pytest.mark.parametrize("verb", ["evaluate", "export"])
def test_a_run_that_is_not_finished(verb: str, tiny_copy: app.Run, refused: Refused) -> None:
    tiny_copy.model.unlink()
    tiny_copy.report.unlink()
    sentence = refused(verb, tiny_copy.path)
    assert "it is not finished" in sentence and f"--resume {tiny_copy.path}" in sentence
