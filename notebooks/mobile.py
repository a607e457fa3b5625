# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Mobile: a small file, and how to know that the app uses it right
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/graft/blob/main/notebooks/mobile.ipynb)
#
# From a trained model to a quantised file, its verification, and the predictions that LiteRT and MediaPipe Tasks make
# from it in Python, as an app does on Android and iOS. The first cell is that of [quickstart](quickstart.ipynb), where
# it is explained.

# %%
REPOSITORY = "https://github.com/OWNER/graft"  # ← for Colab: the address of Graft's repository

import os
import runpy
import subprocess
import sys
from pathlib import Path


class Stop(Exception):
    """Ends the cell with a sentence instead of a traceback."""

    def _render_traceback_(self):
        return [str(self)]


# The checkout that this notebook lies in, or the one that this cell clones in Colab, whose Files pane shows /content.
in_colab = "google.colab" in sys.modules
clone = next(folder for folder in (Path("/content"), Path.home()) if folder.is_dir()) / "graft"
places = [Path.cwd(), *Path.cwd().parents, clone]
checkout = next((place for place in places if (place / "notebooks" / "colab.py").is_file()), None)
if checkout is None:
    if not in_colab:
        raise Stop("There is no checkout of Graft here: clone the repository, and open this notebook in the clone.")
    if "/OWNER/" in REPOSITORY:
        raise Stop("Put the address of Graft's repository into the first line of this cell, then run the cell again.")
    command = ["git", "clone", "--quiet", "--depth", "1", REPOSITORY, str(clone)]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        raise Stop(f"git cannot clone {REPOSITORY}: {ended.stderr.strip()}")
    checkout = clone
os.chdir(checkout)
if in_colab and (problem := runpy.run_path("notebooks/colab.py")["prepare"]()):
    raise Stop(problem)

# %% [markdown]
# **A model**, quickly trained: the head only, and nothing exported yet.

# %%
from app import train

OPTIONS = {"image_size": 96, "augment": "light", "flip": False, "strategy": "feature_extraction"}
run = train("sample:digits", **OPTIONS, formats=[], verbose=0)
run.class_names

# %% [markdown]
# **Quantise and verify.** `quantize="auto"` looks for the smallest and fastest file that keeps the accuracy: full
# integer first, then with the layers that suffer most in float, then 8-bit weights, then float16. Each file predicts
# the test images in a fresh process, in LiteRT and through MediaPipe Tasks, and is compared with the Keras model. A
# file that fails is kept as `…_FAILED.tflite`, and the call ends with a `GateError`.

# %%
from app import export

exported = export(run, formats=["tflite_float32"], quantize="auto")

# %% [markdown]
# **Which file to take.** Sizes and accuracies are in the table above. Here is the time for an image on one thread of
# this machine. On a phone the milliseconds are different, and even the order can be; [Devices](../docs/devices.md) says
# which file suits which phone and accelerator.

# %%
from app import benchmark

files = [run.export_dir / one["file"] for one in exported["formats"].values()]
measured = benchmark(files, threads=[1], seconds=0.5)

# %% [markdown]
# **What an app gets** is the folder `export`: the model files, which hold the class names and the scaling; the class
# names as text, for clients that do not read metadata; and golden vectors for the tests of the app.

# %%
for path in sorted(run.export_dir.iterdir()):
    print(f"{path.name:<24}", f"{path.stat().st_size / 1e6:6.2f} MB" if path.is_file() else "folder")

# %% [markdown]
# **LiteRT in Python.** A golden vector is a test image with its exact input tensor and the predictions of each file. An
# app's test gives the tensor to the file, and compares; so do these lines.

# %%
import json

import numpy as np
from ai_edge_litert.interpreter import Interpreter

golden = run.export_dir / "golden"
expected = json.loads((golden / "expected.json").read_text())
file = min(files, key=lambda file: file.stat().st_size)

interpreter = Interpreter(str(file))
interpreter.allocate_tensors()
(given,), (returned,) = interpreter.get_input_details(), interpreter.get_output_details()
differences = []
for image, values in zip(expected["pictures"], expected["outputs"][file.name]["from_tensor"]):
    pixels = np.fromfile(golden / image["tensor"], np.uint8).reshape(given["shape"])
    interpreter.set_tensor(given["index"], pixels.astype(given["dtype"]))
    interpreter.invoke()
    differences.append(abs(interpreter.get_tensor(returned["index"])[0] - values).max())
allowed = expected["tolerances"][file.name]
print(f"{file.name}: off by {max(differences):.4f} at most; {allowed} is allowed.")

# %% [markdown]
# **MediaPipe Tasks in Python** takes an image of any size. It resizes and scales the image as the metadata of the file
# says, and names the classes. On Android, on iOS and on the web the classifier has the same options. With only the head
# trained, a mistake may be among the ten.

# %%
import mediapipe as mp
from mediapipe.tasks.python import BaseOptions, vision
from PIL import Image

os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where MediaPipe's C++ code logs; Python's warnings are still shown

base = BaseOptions(model_asset_buffer=file.read_bytes())
options = vision.ImageClassifierOptions(base_options=base, max_results=1)
with vision.ImageClassifier.create_from_options(options) as classifier:
    for image in expected["pictures"]:
        pixels = np.asarray(Image.open(golden / image["picture"]).convert("RGB"))
        answer = classifier.classify(mp.Image(mp.ImageFormat.SRGB, pixels))
        best = answer.classifications[0].categories[0]
        print(f"{image['label']} is called {best.category_name}, {best.score:.2f}")

# %% [markdown]
# **Verify again, later.** Perhaps the team of the app has converted or changed the file. `verify` compares any file with
# the run, on images of your choice. Here these are the golden images. They have no labels in this folder, so the
# predictions of the run stand in.

# %%
from app import verify

verified = verify([run.export_dir / "model_float32.tflite"], model=run, data=golden)

# %% [markdown]
# **In an app.** `export/integration.md` has the code for the recommended file, with imports and versions: MediaPipe Tasks
# and LiteRT, single images and live camera, and the tests with golden vectors.
#
# Android:
#
# 1. Put the model file into `app/src/main/assets/`, and the folder `golden` into `app/src/androidTest/assets/`.
# 2. Take the dependency, the Kotlin code and its test from `integration.md`.
# 3. Run the test on a phone. It gives each golden image to the classifier, and expects the outputs in `expected.json`.
#
# iOS:
#
# 1. Add the model file to the app's target, and the folder `golden` to the target of its tests, as a folder reference.
# 2. Take the pod, the Swift code and its test from `integration.md`.
# 3. Run the test on a phone.
#
# If such a test fails, the app prepares images differently than the model expects. This is the usual reason why a model
# does well in a notebook and badly in an app: a photo that was not turned upright, BGR instead of RGB, pixels that were
# scaled twice, or a crop.

# %%
if in_colab:
    import shutil

    from google.colab import files as colab_files

    colab_files.download(shutil.make_archive("runs/export", "zip", run.export_dir))
