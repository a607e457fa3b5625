"""Exported files in old runtimes from pip: the oldest runtime that each file names is the oldest that takes it.

Opt-in (`-m runtimes`): each runtime is installed into an environment of its own, for the Python that it was made for.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import NamedTuple

import numpy as np
import pytest

import app
from app.exporting.formats import FORMATS

PHONE_FORMATS = [name for name, one in FORMATS.items() if one.is_for_phones]
ASK = """
import json, sys
import numpy as np
from tflite_runtime.interpreter import Interpreter

folder, files = sys.argv[1], sys.argv[2:]
expected = json.load(open(folder + "/golden/expected.json", encoding="utf-8"))
found = {}
for name in files:
    try:
        interpreter = Interpreter(folder + "/" + name)
        interpreter.allocate_tensors()
    except Exception as error:
        found[name] = str(error)
        continue
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero_point = answer["quantization"]
    found[name] = []
    for one in expected["pictures"]:
        tensor = np.fromfile(folder + "/golden/" + one["tensor"], np.uint8).reshape([1] + expected["shape"])
        interpreter.set_tensor(given["index"], tensor.astype(given["dtype"]))
        interpreter.invoke()
        row = interpreter.get_tensor(answer["index"])[0].astype(np.float64)
        found[name].append(((row - zero_point) * scale if scale else row).tolist())
json.dump(found, sys.stdout)
"""


class OldRuntime(NamedTuple):
    """`tflite-runtime` of a version, and the Python that it has wheels for."""

    version: str
    python: str


OLD_RUNTIMES = [OldRuntime("2.7.0", "3.8"), OldRuntime("2.14.0", "3.11")]


@pytest.fixture(scope="module", params=OLD_RUNTIMES, ids=lambda one: one.version)
def asked(request: pytest.FixtureRequest, every_format: app.Run, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What each file answers in an old runtime, or why it is not loaded, by format; `version` is the runtime's."""
    runtime: OldRuntime = request.param
    python = shutil.which(f"python{runtime.python}")
    if python is None or subprocess.run([python, "--version"], capture_output=True, check=False).returncode:
        pytest.skip(f"tflite-runtime {runtime.version} needs Python {runtime.python}")
    folder = tmp_path_factory.mktemp("old") / "venv"
    subprocess.run([python, "-m", "venv", folder], check=True)
    packages = [f"tflite-runtime=={runtime.version}", "numpy<2"]
    subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *packages], check=True)
    files = {name: FORMATS[name].file for name in PHONE_FORMATS}
    ended = subprocess.run(
        [folder / "bin" / "python", "-c", ASK, every_format.export, *files.values()],
        capture_output=True,
        check=True,
        text=True,
    )
    predictions = json.loads(ended.stdout)
    return {"version": runtime.version} | {name: predictions[file] for name, file in files.items()}


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


@pytest.mark.runtimes
@pytest.mark.parametrize("name", PHONE_FORMATS)
def test_a_file_runs_where_it_says(name: str, asked: dict, every_format: app.Run) -> None:
    least = every_format.parity["formats"][name]["min_runtime_version"]
    if numbers(asked["version"]) < numbers(least):
        assert isinstance(asked[name], str) and "version" in asked[name], "it runs in older runtimes than it says"
        return
    assert not isinstance(asked[name], str), asked[name]
    expected = json.loads((every_format.export / "golden" / "expected.json").read_text(encoding="utf-8"))
    file = FORMATS[name].file
    written = np.array(expected["outputs"][file]["from_tensor"])
    assert np.abs(np.array(asked[name]) - written).max() <= expected["tolerances"][file]


@pytest.mark.runtimes
def test_no_file_for_phones_needs_more_than_the_last_old_runtime(every_format: app.Run) -> None:
    for name in PHONE_FORMATS:
        least = every_format.parity["formats"][name]["min_runtime_version"]
        assert numbers(least) <= numbers("2.14.0"), name
