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
# # Fine-tuning: what each strategy and rate buys
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/graft/blob/main/notebooks/fine_tune.ipynb)
#
# Five runs on the same images, which differ in what they train and how fast. Validation chooses one of them, and only
# then the test figures are read. The first cell is that of [quickstart](quickstart.ipynb), where it is explained.

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
# **Data.** 80 images of each digit to train on; 269 to validate and 269 to test. Digits look unlike the photographs that
# the backbone was pretrained on, so fine-tuning has much to gain here. With images like photographs it gains less, and
# the head alone may do.

# %%
SOURCE = "sample:digits"
OPTIONS = {
    "image_size": 64,
    "augment": "light",
    "flip": False,
    "shots": 80,
    "batch_size": 16,
    "fine_tune_epochs": 6,
    "formats": [],
}

# %% [markdown]
# **What to compare.** Feature extraction trains a new head on the frozen backbone. Two phases, the default, continue from
# there: they unfreeze the last blocks of the backbone, and train these and the head at a low learning rate. How many
# blocks, and how low a rate? Without `fine_tune_learning_rate`, Graft takes 7e-4 for the last block alone, and 3e-4 for
# more.

# %%
CHOICES = {
    "head only": {"strategy": "feature_extraction"},
    "1 block": {"unfreeze_blocks": 1},
    "4 blocks": {"unfreeze_blocks": 4},
    "4 blocks, rate 1e-2": {"unfreeze_blocks": 4, "fine_tune_learning_rate": 1e-2},
}

# %% [markdown]
# **Training.** Each run also tests its model, and writes the figures to its folder. `verbose=0` keeps them from being
# printed, and they stay unread until the end: after a choice by test figures there is no test left.

# %%
from app import train

runs = {}
for name, options in CHOICES.items():
    runs[name] = train(SOURCE, **OPTIONS, **options, verbose=0)
    print(f"{name:<22}validation accuracy {runs[name].metrics['validation']['accuracy']:.3f}")

# %% [markdown]
# **Epoch by epoch.** Epoch 0 is the head, for which the best weights are computed directly. Fine-tuning costs accuracy at
# first, since it changes the features that the head was computed for. At the low rates, accuracy recovers within a few
# epochs and passes that of the head alone; a rate of 1e-2 destroys what the backbone has learned.

# %%
import pandas

pandas.set_option("display.precision", 3)
curves = pandas.DataFrame({name: run.history_frame()["val_accuracy"] for name, run in runs.items()})
axes = curves.plot(
    style="o-",
    xlabel="epoch of fine-tuning",
    ylabel="validation accuracy",
    figsize=(8, 4),
)

# %% [markdown]
# **What each run keeps** are the weights of its best epoch on validation. So the rate of 1e-2 did no lasting harm: that
# run kept the weights of the head phase. The 95 % intervals say how far an accuracy on so few images may be off.

# %%
kept = pandas.DataFrame({name: run.metrics["validation"] for name, run in runs.items()}).T
kept["phase"] = [run.metrics["best"]["phase"] for run in runs.values()]
kept[["accuracy", "accuracy_ci95", "phase"]]

# %% [markdown]
# **More than chance?** Even if intervals overlap, a difference can be real: all models predict the same images, and only
# the images on which two models disagree tell them apart. If both models were equally good, each would be the right one
# about as often as the other. The p-value is the probability of an outcome at least as uneven (McNemar's exact test). A
# difference counts as more than chance below 0.05, and since there are three comparisons, each gets a third of that.
#
# Each line counts the images on which only one of the two models is right.

# %%
import data
import numpy as np
from app.tasks.pairing import mcnemar

images = data.load(SOURCE, image_size=OPTIONS["image_size"], labels="integer").validation
labels = np.concatenate([batch for _, batch in images])
right = {
    name: runs[name].keras_model().predict(images, verbose=0).argmax(axis=1) == labels
    for name in ("head only", "1 block", "4 blocks")
}
for one, other in [("head only", "1 block"), ("head only", "4 blocks"), ("1 block", "4 blocks")]:
    found = mcnemar(right[one], right[other])
    first, second = found.only_right
    verdict = "more than chance" if found.p_value < 0.05 / 3 else "within chance"
    print(f"{one}: {first}, {other}: {second}, p = {found.p_value:.4f}, {verdict}")

# %% [markdown]
# **The test, once,** for the run with the best validation accuracy.

# %%
best = max(runs, key=lambda name: runs[name].metrics["validation"]["accuracy"])
print(best)
runs[best]

# %% [markdown]
# The test accuracy is often a little below the validation accuracy, since the best of several runs is partly the
# luckiest. The test accuracy and its interval are the figures to report.
#
# **For images of your own**, start with the defaults: `train("my_images")` trains the head, then the last block, and then
# deeper blocks if that takes seconds. For images unlike photographs, such as drawings, X-rays or digits, compare that on
# validation with `unfreeze_blocks=4`. The default rates suit most images; raise them with care.
# [Training](../docs/training.md) describes the phases, and [Performance](../docs/performance.md) has figures for
# photographs.
