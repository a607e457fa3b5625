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
# # Graft: from labelled images to a file that a phone can run
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/graft/blob/main/notebooks/quickstart.ipynb)
#
# These cells call the functions behind `python -m app`. The first cell finds the checkout that this notebook lies in;
# on a computer of your own, choose the checkout's `.venv` as the kernel.
#
# In Colab, where there is no checkout yet, it clones Graft and installs the packages that Graft is pinned to. pip then replaces
# Colab's TensorFlow, Keras and the packages that they use, in this runtime only; **Runtime → Disconnect and delete runtime**
# brings Colab's versions back. Some of them, such as NumPy, are in use before the first cell runs: the cell then asks you to
# restart the session and run it again.

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
# **Data.** `sample:digits` comes with scikit-learn. For images of your own, name a folder that holds a folder of images for
# each class. The options are those of `python -m app train --help`; digits are not mirrored, since a mirrored digit is none.

# %%
SOURCE = "sample:digits"
OPTIONS = {"image_size": 96, "augment": "light", "flip": False, "unfreeze_blocks": 4}

# %% [markdown]
# **Audit.** What could spoil the training: damaged files, copies, small classes. Without `labels=False` it looks for wrong
# labels too.

# %%
from app import audit

audit(SOURCE, labels=False)

# %% [markdown]
# **Training.** First the head, on the frozen backbone; then the top of the backbone too. Then the test, the export, and the
# check that the exported files answer like the model.

# %%
from app import train

run = train(SOURCE, **OPTIONS)

# %% [markdown]
# **How it went.** The run sums itself up, and its plots show more: test images with predictions, mistakes first, and
# what the network saw in training.

# %%
run

# %%
from IPython.display import Image, display

display(Image(run.plots / "predictions.png"))

# %%
display(Image(run.plots / "augmentation.png"))

# %% [markdown]
# **Predictions** for image files. Here they are written first, since the digits are no files; name your own files or folders.

# %%
from app import predict
from data.sources import open_source

images = open_source(SOURCE)
folder = run.path / "examples"
folder.mkdir(exist_ok=True)
for number in range(0, len(images), 225):
    (folder / images.keys[number].replace("/", "-")).write_bytes(images.read(number))
predict(run.path, [folder])

# %% [markdown]
# **The file for the phone**, asked about the same images as a phone would ask it.

# %%
predict(run.export / "model_float32.tflite", [folder])

# %%
if in_colab:
    from google.colab import files

    files.download(str(run.export / "model_float32.tflite"))
