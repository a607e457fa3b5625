"""Model files run in a process of their own: damaged ones, and those that crash it, are one sentence here."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import app
from app.exporting.formats import FORMATS
from app.exporting.process import ModelProcess, usual_client
from app.interface.errors import UsageError
from tests.conftest import Ended

Cli = Callable[..., Ended]
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def tflite(tiny_run: app.Run) -> Path:
    return tiny_run.export / "model_float32.tflite"


def is_sentence(text: str, file: Path) -> bool:
    """One line that names the file."""
    return str(file) in text and len(text.splitlines()) == 1 and "Traceback" not in text


# --- What is asked for ------------------------------------------------------------------------------------------------


def test_a_file_answers_as_often_as_it_is_asked(tflite: Path) -> None:
    with ModelProcess(tflite, threads=1) as model:
        assert model.input.height == 32
        first = model.predict(PIXELS)
        assert (first.shape, first.dtype) == ((2, 3), np.float32)
        np.testing.assert_array_equal(model.predict(PIXELS[:1]), first[:1])
        np.testing.assert_array_equal(model.predict(np.concatenate([PIXELS] * 50))[-2:], first)
        assert model.ask("peak_memory") > 1e6


def test_the_process_ends_with_its_owner(tflite: Path) -> None:
    with ModelProcess(tflite) as model:
        process = model._process
        assert process.poll() is None
    assert process.poll() is not None
    with pytest.raises(ZeroDivisionError), ModelProcess(tflite) as model:
        raise ZeroDivisionError
    assert model._process.poll() is not None


def test_a_question_that_cannot_be_answered_ends_nothing(tflite: Path) -> None:
    with ModelProcess(tflite) as model:
        with pytest.raises(UsageError, match="cannot be run"):
            model.predict(np.zeros((1, 5, 5, 3), np.uint8))
        with pytest.raises(UsageError, match="cannot be run"):
            model.predict_encoded([b"an image"], "stretch")  # LiteRT decodes none
        assert model.predict(PIXELS).shape == (2, 3)


def test_what_a_library_prints_is_no_answer(tflite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Python reads this file when it starts.
    (tmp_path / "sitecustomize.py").write_text(
        "import ai_edge_litert.interpreter as one\n"
        "made = one.Interpreter.__init__\n"
        "def noisy(*arguments, **options):\n"
        "    print('hello from Python', flush=True)\n"
        "    import os; os.write(1, b'hello from C')\n"
        "    made(*arguments, **options)\n"
        "one.Interpreter.__init__ = noisy\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with ModelProcess(tflite) as model:
        assert model.predict(PIXELS).shape == (2, 3)


@pytest.mark.parametrize("folder", ["it's a folder", "ünïcødé ☕", "-dash"])
def test_odd_folders_do_not_matter(folder: str, tflite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / folder).mkdir()
    shutil.copy(tflite, tmp_path / folder)
    monkeypatch.chdir(tmp_path)  # a path from here, and the process starts elsewhere
    with ModelProcess(Path(folder, tflite.name)) as model:
        assert model.predict(PIXELS).shape == (2, 3)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_its_client(name: str, every_format: app.Run) -> None:
    assert usual_client(every_format.export / FORMATS[name].file) in ("tensorflow", "litert", "onnxruntime")


# --- Foreign files ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def converted_by_others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same network with pixels of each type, made by TensorFlow's converter as its manual tells."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3), batch_size=1),
            layers.Rescaling(1 / 127.5, -1),
            layers.Conv2D(8, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    folder = tmp_path_factory.mktemp("others")
    model.export(folder / "saved_model", verbose=False)
    examples = np.random.default_rng(1).integers(0, 256, (20, 1, 16, 16, 3)).astype(np.float32)
    examples[::2] /= 8
    files = {}
    for kind in ("float32", "uint8", "int8"):
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved_model"))
        if kind != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([one] for one in examples)
            converter.inference_input_type = converter.inference_output_type = getattr(tf, kind)
        files[kind] = folder / f"{kind}.tflite"
        files[kind].write_bytes(converter.convert())
    return files


@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_integer_files_of_others_are_asked_in_their_own_numbers(
    kind: str, converted_by_others: dict[str, Path]
) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (6, 16, 16, 3), np.uint8)
    pixels[:3] //= 8  # dark images have other answers
    predictions = []
    for file in (converted_by_others["float32"], converted_by_others[kind]):
        with ModelProcess(file) as model:
            predictions.append(model.predict(pixels))
    assert np.abs(predictions[0][:3] - predictions[0][3:]).max() > 0.05
    assert predictions[1].dtype == np.float32
    np.testing.assert_allclose(predictions[1], predictions[0], atol=0.02)


# --- Damaged files ----------------------------------------------------------------------------------------------------


def cut(source: Path, path: Path, share: float = 0.5) -> None:
    path.write_bytes(source.read_bytes()[: int(share * source.stat().st_size)])


def garbage(source: Path, path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5000))


def nothing(source: Path, path: Path) -> None:
    path.write_bytes(b"")


def cut_graph(source: Path, path: Path) -> None:
    shutil.copytree(source, path)
    cut(source / "saved_model.pb", path / "saved_model.pb")


def cut_variables(source: Path, path: Path) -> None:
    shutil.copytree(source, path)
    (values,) = (source / "variables").glob("*.data*")
    cut(values, path / "variables" / values.name)


def no_variables(source: Path, path: Path) -> None:
    shutil.copytree(source, path)
    shutil.rmtree(path / "variables")


DAMAGES = [
    *[(name, damage) for name in ("tflite_float32", "tflite_int8", "onnx") for damage in (cut, garbage, nothing)],
    *[("saved_model", damage) for damage in (cut_graph, cut_variables, no_variables)],
]


@pytest.mark.parametrize(("name", "damage"), DAMAGES, ids=[f"{name}-{one.__name__}" for name, one in DAMAGES])
def test_a_damaged_file_is_one_sentence(
    name: str, damage: Callable[[Path, Path], None], every_format: app.Run, fruit: Path, tmp_path: Path, cli: Cli
) -> None:
    path = tmp_path / FORMATS[name].file
    damage(every_format.export / FORMATS[name].file, path)
    ended = cli("predict", path, fruit / "apple" / "00.png")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"Error: {path} cannot be ")
    assert is_sentence(ended.err, path)


def test_a_damaged_file_is_a_sentence_to_a_notebook(tflite: Path, tmp_path: Path) -> None:
    cut(tflite, tmp_path / "cut.tflite")
    for client in ("litert", "mediapipe"):
        with pytest.raises(UsageError, match="cannot be") as caught:
            ModelProcess(tmp_path / "cut.tflite", client)
        assert is_sentence(str(caught.value), tmp_path / "cut.tflite")


def spoil(file: bytes, random: np.random.Generator) -> bytes:
    """Cut a file somewhere, or change some of its bytes."""
    if random.random() < 0.3:
        return file[: random.integers(len(file))]
    spoilt = np.frombuffer(file, np.uint8).copy()
    # Few, since the loader's check finds the damage in most files that have more, and this is about those it lets through.
    places = random.integers(0, len(file), random.choice([1, 1, 2, 4]))
    spoilt[places] = random.integers(0, 256, len(places))
    return spoilt.tobytes()


def test_whatever_is_done_to_a_file_it_answers_or_is_one_sentence(tflite: Path, tmp_path: Path) -> None:
    random, whole = np.random.default_rng(0), tflite.read_bytes()
    files = [tmp_path / f"{number}.tflite" for number in range(30)]
    for file in files:
        file.write_bytes(spoil(whole, random))

    def ask(file: Path) -> str:
        try:
            with ModelProcess(file, threads=1) as model:
                assert model.predict(np.zeros((1, model.input.height, model.input.height, 3), np.uint8)).ndim == 2
        except UsageError as error:
            return str(error)
        return "answer"

    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(ask, files))
    for file, end in zip(files, ends, strict=True):
        assert end == "answer" or is_sentence(end, file)
    assert 5 < ends.count("answer") < 25


# --- Crashes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL", "SIGABRT"])
def test_a_process_that_is_ended_by_a_signal(name: str, tflite: Path) -> None:
    with ModelProcess(tflite) as model:
        os.kill(model._process.pid, getattr(signal, name))
        # More than a pipe holds.
        with pytest.raises(UsageError, match=f"was ended by {name}") as caught:
            model.predict(np.zeros((100, 32, 32, 3), np.uint8))
        assert is_sentence(str(caught.value), tflite)
        with pytest.raises(UsageError, match=f"was ended by {name}"):  # and it stays so
            model.predict(PIXELS)


CRASHES = {
    "os.kill(os.getpid(), signal.SIGSEGV)": "was ended by SIGSEGV",
    "os.write(1, b'half an ans'); os.kill(os.getpid(), signal.SIGKILL)": "was ended by SIGKILL",
    "sys.exit(7)": "ended with code 7",
    "os.write(1, b'what is that?'); sys.exit(0)": "ended with code 0",
    "1 / 0": "ended with code 1",
}


@pytest.mark.parametrize("code", CRASHES)
def test_a_process_that_ends_while_it_loads(
    code: str, tflite: Path, fruit: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, popen = [], subprocess.Popen

    def crash(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        started.append(popen([sys.executable, "-c", f"import os, signal, sys; {code}"], **options))
        return started[-1]

    monkeypatch.setattr("app.exporting.process.subprocess.Popen", crash)
    ended = cli("predict", tflite, fruit / "apple" / "00.png")
    assert (ended.code, ended.out) == (2, "")
    assert CRASHES[code] in ended.err and is_sentence(ended.err, tflite)
    assert [process.poll() is not None for process in started] == [True]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux to look at processes")
def test_a_process_ends_when_its_owner_is_killed(tflite: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from app.exporting.process import ModelProcess\n"
        "print(ModelProcess(Path(sys.argv[1]))._process.pid, flush=True); time.sleep(3600)"
    )
    root = Path(app.__file__).parents[1]
    with subprocess.Popen([sys.executable, "-c", code, str(tflite)], cwd=root, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        assert is_running(child)
        owner.kill()
    end = time.monotonic() + 300
    while is_running(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_running(child)  # its input has ended


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # ended, and nobody has asked how
