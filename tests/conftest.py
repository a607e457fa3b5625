"""Runs that many tests look at, each trained once, and the command line called in this process."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import app
from app.cli import main
from app.exporting.formats import FORMATS
from app.runs.locking import FolderLock, Held
from models.backbones import BACKBONES
from models.backbones.spec import BackboneSpec
from tests.images import write_folder
from tests.squares import write_squares

if TYPE_CHECKING:  # pytest's first process, which runs no test, reads this file too, and need not start TensorFlow
    import keras

WATCH_THE_NETWORK = """
import os, socket
path = os.path.join(os.environ["WATCH"], str(os.getpid()))
open(path + ".started", "w").close()
def refuse(*arguments, **options):
    with open(path + ".network", "a") as file:
        file.write(f"{arguments}\\n")
    raise OSError("no network in this test")
socket.getaddrinfo = socket.create_connection = socket.socket.connect = refuse
"""
TINY = {
    "backbone": "tiny",
    "weights": "none",
    "augment": "light",
    "cache_limit": 0,  # a head that is solved for would be too sure of images as simple as these
    "head_epochs": 1,
    "fine_tune_epochs": 1,
    "batch_size": 8,
    "label_smoothing": 0.0,  # the validation loss is then the log loss of the metrics
}


def build_tiny(image_size: int, weights: str | None) -> keras.Model:
    """Three blocks of convolution and BatchNormalization: a backbone that is built and traced in no time."""
    import keras

    features = pixels = keras.Input((image_size, image_size, 3))
    for block, width in enumerate((4, 8, 8)):
        features = keras.layers.Conv2D(
            width,
            3,
            strides=2,
            padding="same",
            use_bias=False,
            name=f"block{block}_conv",
            kernel_initializer=keras.initializers.HeNormal(seed=block),
        )(features)
        features = keras.layers.BatchNormalization(name=f"block{block}_bn")(features)
        features = keras.layers.ReLU(name=f"block{block}_relu")(features)
    return keras.Model(pixels, features, name="backbone")


TINY_SPEC = BackboneSpec(
    name="tiny",
    builder=build_tiny,
    image_size=32,
    min_image_size=8,
    feature_width=8,
    parameters=1052,
    scaling="tf",
    weights=(),
    weights_source="none",
    licence="Apache-2.0",
    paper="",
    blocks=r"^block\d",
)


# The longest files start first, since a process takes whole files: else one of them runs alone at the end. Those that need
# the same of the larger runs are apart: else one process waits while the other trains it.
LONGEST = (
    *("notebook_fine_tune", "notebook_quickstart", "notebook_mobile", "notebook_custom", "notebook"),
    *("keras_applications", "resume", "foreign_models", "task_runs", "predict", "cli", "foreign_shapes"),
    *("export_again", "preparing", "benchmark", "interrupted", "cached_training", "predictor", "evaluate", "parity"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONGEST)))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Import what tests need with the collector paused, which leaves it alone afterwards: see `import_keras`."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def cache_folder() -> Iterator[Path]:
    """One cache of activations for all tests and the processes that they start, instead of the user's own."""
    with tempfile.TemporaryDirectory(prefix="graft-tests-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAFT_CACHE", folder)
        yield Path(folder)


@pytest.fixture(scope="session")
def tiny_backbone() -> Iterator[str]:
    """The name of a backbone that is in the table for the tests only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "tiny", TINY_SPEC)
        yield "tiny"


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that is made by the first of the processes that share the tests to need it; the others wait for it."""
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    room = (factory.getbasetemp().parent if is_worker else factory.getbasetemp()) / f"of {name}"
    room.mkdir(exist_ok=True)
    while True:
        try:
            with FolderLock(room).held():
                if not (room / "made").exists():
                    shutil.rmtree(room / name, ignore_errors=True)
                    make(room / name)
                    (room / "made").touch()
                return room / name
        except Held:
            time.sleep(0.2)


@pytest.fixture(scope="session")
def fruit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three classes with eight images each. Nobody changes it."""
    return made_once(tmp_path_factory, "fruit", write_folder)


class Process(NamedTuple):
    """A run that a process of its own made, and what that process and its children wrote and asked of the network."""

    run: app.Run
    code: int
    out: str
    err: str
    network: str
    processes: int


@pytest.fixture(scope="session")
def finished_process(fruit: Path, tmp_path_factory: pytest.TempPathFactory) -> Process:
    """`python -m app train` with the default backbone and both exports."""
    path = made_once(tmp_path_factory, "finished", lambda path: train_in_a_process(fruit, path))
    figures = json.loads((path.parent / "process.json").read_text(encoding="utf-8"))
    return Process(app.Run(path), **figures)


def train_in_a_process(fruit: Path, path: Path) -> None:
    """Write a run, and beside it what `Process` has of it."""
    watch = path.parent / "watch"
    watch.mkdir()
    (watch / "sitecustomize.py").write_text(WATCH_THE_NETWORK)  # Python reads it when it starts
    options = {"weights": "none", "image-size": 32, "head-epochs": 1, "fine-tune-epochs": 1, "augment": "light"}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    ended = subprocess.run(
        [sys.executable, "-m", "app", "train", str(fruit), "--output", str(path), *words],
        cwd=Path(app.__file__).parents[1],
        env={name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
        | {"PYTHONPATH": str(watch), "WATCH": str(watch), "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    figures = {
        "code": ended.returncode,
        "out": ended.stdout,
        "err": ended.stderr,
        "network": "".join(path.read_text() for path in watch.glob("*.network")),
        "processes": len(list(watch.glob("*.started"))),
    }
    (path.parent / "process.json").write_text(json.dumps(figures), encoding="utf-8")


@pytest.fixture(scope="session")
def finished_run(finished_process: Process) -> app.Run:
    """A run of the default backbone with both exports. Tests read it; those that write take a copy."""
    assert finished_process.code == 0, finished_process.err
    return finished_process.run


@pytest.fixture(scope="session")
def tiny_run(fruit: Path, tiny_backbone: str, tmp_path_factory: pytest.TempPathFactory) -> app.Run:
    """A run of the tiny backbone with a `.tflite`. Tests read it; those that write take `tiny_copy`."""

    def make(path: Path) -> None:
        app.train(str(fruit), output=str(path), formats=("tflite_float32",), **TINY)

    return app.Run(made_once(tmp_path_factory, "tiny", make))


@pytest.fixture
def tiny_copy(tiny_run: app.Run, tmp_path: Path) -> app.Run:
    """A copy of `tiny_run` to write to."""
    return app.Run(Path(shutil.copytree(tiny_run.path, tmp_path / "copy")))


@pytest.fixture(scope="session")
def every_format(tiny_run: app.Run, tmp_path_factory: pytest.TempPathFactory) -> app.Run:
    """A copy of `tiny_run` that was exported in every format of the table, with German names. Tests read it."""

    def make(path: Path) -> None:
        shutil.copytree(tiny_run.path, path)
        german = path.parent / "german.txt"
        german.write_text("Äpfel\nBananen\nKirschen\n", encoding="utf-8")
        # So small a network may honestly lose an image of three when it is quantised.
        options = {"author": "A. Author", "model_version": "7", "locales": (f"de={german}",), "max_drop": 100.0}
        app.export(str(path), formats=tuple(FORMATS), **options)

    return app.Run(made_once(tmp_path_factory, "every format", make))


@pytest.fixture
def colour_copy(tiny_copy: app.Run) -> app.Run:
    """A run, to write to, whose model is `tests.handmade.colour_classifier` and always right; nothing is exported of it."""
    from tests.handmade import colour_classifier

    shutil.rmtree(tiny_copy.export)
    colour_classifier().save(tiny_copy.model)
    return tiny_copy


@pytest.fixture
def brittle_copy(tiny_copy: app.Run) -> app.Run:
    """The same, but full integer leaves nothing of its predictions."""
    from tests.handmade import colour_classifier

    shutil.rmtree(tiny_copy.export)
    colour_classifier(stretch=1000.0).save(tiny_copy.model)
    return tiny_copy


class Ended(NamedTuple):
    """How a command line ended, with what it wrote, to file descriptors too."""

    code: int
    out: str
    err: str


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A console so wide that a row of a table and a sentence are one line each, however long the paths of the test are."""
    monkeypatch.setenv("COLUMNS", "1000")


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Carry out a command line in this process; on a slow machine, too, no stage says how far it is before it ends."""
    monkeypatch.setattr("app.interface.console.bars.PIPE_SECONDS", 1e6)

    def call(*arguments: object) -> Ended:
        capfd.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as ended:  # tyro's way to end
            code = int(ended.code or 0)
        return Ended(code, *capfd.readouterr())

    return call


def contents(folder: Path) -> dict[str, str]:
    """Every file (as a hash) and folder under a folder, to compare before and after."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
    }


def naming_folders(run: app.Run, source: Path) -> list[Path]:
    """Those files of a run that are passed on and name a folder of this machine, which they are not to do."""
    files = [run.path / "model_card.md", run.report]
    files += [path for folder in (run.export, run.plots) for path in folder.rglob("*") if path.is_file()]
    folders = [str(one).encode() for one in (source.parent, run.path.parent, Path(app.__file__).parent)]
    return [path for path in files if any(folder in path.read_bytes() for folder in folders)]


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See `tests.squares`; tests only read it."""
    return write_squares(tmp_path_factory.mktemp("images") / "squares")


# --- Model files of other makers -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def foreign_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dark red, a green and a blue image, wider than high."""
    from tests.foreign import write_colours

    return write_colours(tmp_path_factory.mktemp("colours"))


@pytest.fixture(scope="module")
def foreign_file() -> bytes:
    """A float `.tflite` of pixels from -1 to 1 that says nothing of itself."""
    from tests.foreign import convert, network

    return convert(network())


@pytest.fixture
def told(foreign_file: bytes, tmp_path: Path) -> Path:
    """The same with its normalisation, its labels and their German names."""
    from tests.foreign import TEXT, with_foreign_metadata, write

    labels = {"": TEXT, "de": b"rot\ngr\xc3\xbcn\nblau"}
    return write(tmp_path / "told.tflite", with_foreign_metadata(foreign_file, labels=labels))
