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
# # Custom: your own `tf.data`, head and `fit`, and a verified file at the end
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/graft/blob/main/notebooks/custom.ipynb)
#
# Keras does the training here, and Graft lends the pieces: images as `tf.data`, a pretrained backbone, freezing that
# BatchNormalization survives, the export, and the check of exported files. The first cell is that of
# [quickstart](quickstart.ipynb), where it is explained.

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
# **Data.** `data.load` checks and splits a source as `train` does, and gives a `tf.data.Dataset` for each split:
# batches of pixels from 0 to 255 and one-hot labels, for training in another order in each epoch. What you do with them
# is up to you. Here, training images are shifted a little.

# %%
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where TensorFlow's C++ code logs; Python's warnings are still shown

import keras

import data
import models
from app import GateError, Run, evaluate, export, verify

SOURCE = "sample:digits"
images = data.load(SOURCE, image_size=64)
shift = keras.layers.RandomTranslation(0.08, 0.08, fill_mode="nearest", seed=0)
train_images = images.train.map(lambda pixels, labels: (shift(pixels, training=True), labels))
images.train.element_spec

# %% [markdown]
# **Head.** A head is a function from the backbone's features to logits. Graft's own heads average the features over the
# image; this one keeps their places, since a stroke at the top means something else than a stroke at the bottom. A row
# in the table gives it a name.

# %%
from keras import layers
from models.heads import HEADS, Head


def in_place(features, *, num_classes, layer, dropout, seed):
    narrow = layers.Conv2D(128, 1, activation="relu")(features)
    kept = layers.Dropout(dropout, seed=seed)(layers.Flatten()(narrow))
    return layers.Dense(num_classes, dtype="float32", name=layer)(kept)


HEADS["in_place"] = Head("one dense layer on all places of the feature maps", in_place)

# %% [markdown]
# **Model.** From pixels to logits, with pretrained weights and the scaling that they need inside. It is a plain Keras
# model.

# %%
keras.utils.set_random_seed(0)
model = models.build_model("efficientnet_lite0", num_classes=10, image_size=64, head="in_place")
loss = keras.losses.CategoricalCrossentropy(from_logits=True)
[(layer.name, layer.output.shape) for layer in model.layers]

# %% [markdown]
# **Fit**, as in [Keras' guide](https://keras.io/guides/transfer_learning/): first the head, on the frozen backbone;
# then the last blocks too, at a lower rate. `freeze` and `unfreeze_blocks` keep BatchNormalization in inference mode
# inside `fit`, which `backbone(x, training=False)` does not do in Keras 3.

# %%
models.freeze(model)
model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
model.fit(train_images, validation_data=images.validation, epochs=3, verbose=2, shuffle=False)
Path("runs").mkdir(exist_ok=True)
model.save("runs/head_only.keras")

# %%
models.unfreeze_blocks(model, blocks=4)
model.compile(keras.optimizers.Adam(2e-4), loss, metrics=["accuracy"])
history = model.fit(train_images, validation_data=images.validation, epochs=3, verbose=2, shuffle=False)

# %% [markdown]
# **Export.** `export` takes the Keras model, and a source with images of its classes. It makes a run folder and checks
# the file like the files of `train`: a fresh process loads it, and its predictions are compared with the model's.

# %%
parity = export(model, data=SOURCE, formats=["tflite_float32"], output="runs/custom")
run = Run.open("runs/custom")
run

# %% [markdown]
# **Test.** The run has the same splits as `data.load`. So its test images were used neither for training nor for
# choosing.

# %%
tested = evaluate(run)

# %% [markdown]
# **A file of another converter.** This one is made by TensorFlow's converter itself, with 8-bit weights. `verify`
# compares it with the model, on the test images of the run. A quantised file may differ a little, as long as it loses no
# more accuracy than `max_drop`, in points.

# %%
import tensorflow as tf

tf.get_logger().setLevel("ERROR")
models.with_predictions(model).export("runs/saved_model", verbose=False)
converter = tf.lite.TFLiteConverter.from_saved_model("runs/saved_model")
converter.optimizations = [tf.lite.Optimize.DEFAULT]
Path("runs/mine.tflite").write_bytes(converter.convert())
verified = verify(["runs/mine.tflite"], model=run, max_drop=2)

# %% [markdown]
# **A file that does not agree** is an error, a `GateError` that says by how much. It finds what is easily overlooked,
# such as a file from before the last training: here the model of the first phase.

# %%
try:
    verify(["runs/head_only.keras"], model=run)
except GateError as error:
    print(error)

# %% [markdown]
# [Extending](../docs/extending.md) shows the other rows that you can add: backbones, strategies, sources, augmentations
# and formats. With a head in the table, `train(SOURCE, head="in_place")` works too. [mobile](mobile.ipynb) shows what
# an app does with the files.
