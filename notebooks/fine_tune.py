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
# **Data.** 40 images of each digit to train on; 269 to validate and 269 to test. Digits look unlike the photographs
# that the backbone was pretrained on, so fine-tuning has much to gain here. With images like photographs it gains less,
# and the head alone may do.

# %%
SOURCE = "sample:digits"
OPTIONS = {"image_size": 64, "augment": "light", "flip": False, "shots": 40, "fine_tune_epochs": 6, "formats": []}

# %% [markdown]
# **What to compare.** Feature extraction trains a new head on the frozen backbone. Two phases, the default, continue
# from there: they unfreeze the last blocks of the backbone, and train these and the head with a lower learning rate.
# How many blocks, and how low a rate? Without `fine_tune_learning_rate`, Graft takes 7e-4 for the last block alone and
# 3e-4 for more.

# %%
CHOICES = {
    "head only": {"strategy": "feature_extraction"},
    "1 block": {"unfreeze_blocks": 1},
    "4 blocks": {"unfreeze_blocks": 4},
    "4 blocks, rate 1e-5": {"unfreeze_blocks": 4, "fine_tune_learning_rate": 1e-5},
    "4 blocks, rate 1e-2": {"unfreeze_blocks": 4, "fine_tune_learning_rate": 1e-2},
}

# %% [markdown]
# **Training.** Each run also tests its model and writes the figures to its folder. They stay unread until the end:
# whoever chooses by test figures has no test left. `verbose=0` keeps the runs from printing them.

# %%
from app import train

runs = {}
for name, options in CHOICES.items():
    runs[name] = train(SOURCE, verbose=0, **OPTIONS, **options)
    print(f"{name:<22}validation accuracy {runs[name].metrics['validation']['accuracy']:.3f}")

# %% [markdown]
# **The course of each run.** A point is an epoch; each curve starts with the head, which is solved for in one epoch. A
# rate of 1e-5 hardly changes anything in so few epochs. A rate of 1e-2 destroys what the backbone knew.

# %%
import pandas

curves = pandas.DataFrame({name: run.history_frame()["val_accuracy"] for name, run in runs.items()})
axes = curves.plot(style="o-", xlabel="epochs after the head", ylabel="validation accuracy", figsize=(8, 4))

# %% [markdown]
# **The model that each run keeps** is that of its best epoch on validation. So the destructive rate did no harm in the
# end: this run kept the weights of its head phase. The intervals say how far such a figure may be off with so few
# images.

# %%
kept = pandas.DataFrame({name: run.metrics["validation"] for name, run in runs.items()}).T
low, high = zip(*kept["accuracy_ci95"])
kept.assign(low=low, high=high, phase=[run.metrics["best"]["phase"] for run in runs.values()])[
    ["accuracy", "low", "high", "phase"]
]

# %% [markdown]
# **More than chance?** All runs predict the same images, so the images on which two runs differ tell more than two
# overlapping intervals. If two models were equally good, either would be right alone equally often; the p-value says
# how likely a difference like this is then (McNemar's exact test). From about 0.05 up, call it chance.

# %%
import data
import numpy as np
from scipy.stats import binomtest

images = data.load(SOURCE, image_size=OPTIONS["image_size"], labels="integer").validation
labels = np.concatenate([some for _, some in images])
right = {
    name: runs[name].keras_model().predict(images, verbose=0).argmax(axis=1) == labels
    for name in ("head only", "1 block", "4 blocks")
}
for one, other in [("head only", "1 block"), ("head only", "4 blocks"), ("1 block", "4 blocks")]:
    alone = [int((right[one] & ~right[other]).sum()), int((right[other] & ~right[one]).sum())]
    p = binomtest(alone[0], sum(alone)).pvalue
    print(
        f"{one:<10} right alone {alone[0]:>2} times,  {other:<9}{alone[1]:>3} times:  p = {p:.4f}{'  chance' * (p > 0.05)}"
    )

# %% [markdown]
# **The test, once,** for the run with the best validation accuracy.

# %%
best = max(runs, key=lambda name: runs[name].metrics["validation"]["accuracy"])
print(best)
runs[best]

# %% [markdown]
# The test accuracy is usually a little below the validation accuracy that won, since the best of five is partly the
# luckiest of five. Its interval is what to tell others.
#
# **For images of your own**, start with the defaults: one run of `train("my_images")` trains the head, then the last
# block, and then deeper blocks where that takes seconds. Images unlike photographs (drawings, X-rays, digits) deserve a
# run with `unfreeze_blocks=4`, as here. A lower rate needs more epochs; a rate above 1e-3 rarely helps. [The page on
# training](../docs/training.md) describes the phases, and [performance](../docs/performance.md) has figures for
# photographs.
