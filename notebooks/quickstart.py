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
# # Graft: from labelled pictures to a file that a phone can run
#
# These cells call the functions behind `python -m app`. First, go to the checkout; in Colab, where there is none yet, get it
# from the address of Graft's git repository and install what it needs.

# %%
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = ""  # for Colab: the address that you would give to `git clone`

if "google.colab" in sys.modules and not Path("graft").exists():
    subprocess.run(["git", "clone", "--quiet", REPOSITORY, "graft"], check=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "-r", "graft/requirements.txt"], check=True)
os.chdir(next(path for path in (Path("graft"), Path("."), Path("..")) if (path / "app" / "cli.py").exists()))

# %% [markdown]
# **Data.** `sample:digits` comes with scikit-learn. For pictures of your own, name a folder that holds a folder of pictures for
# each class. The options are those of `python -m app train --help`; digits are not mirrored, since a mirrored digit is none.

# %%
SOURCE = "sample:digits"
OPTIONS = {"image_size": 96, "augment": "light", "flip": False, "unfreeze_blocks": 4}

# %%
from data.sources import open_source

pictures = open_source(SOURCE)
print(f"{len(pictures)} pictures of {len(pictures.class_names)} classes: {', '.join(pictures.class_names)}")

# %% [markdown]
# **Training.** The head first, on the frozen backbone; then the top of the backbone too. Then the test, the export, and the
# proof that the exported files answer like the model.

# %%
from app import train

run = train(SOURCE, **OPTIONS)

# %% [markdown]
# **How it went.** Curves of both phases, the figures of the test split with a 95 % interval, and what is mistaken for what.

# %%
from IPython.display import Image, display

display(Image(run.plots / "curves.png"))

# %%
test = run.metrics["test"]
low, high = test["accuracy_ci95"]
print(
    f"accuracy {test['accuracy']:.3f} ({low:.3f} to {high:.3f}) of {test['n']} pictures, macro F1 {test['macro_f1']:.3f}"
)

# %%
display(Image(run.plots / "confusion.png"))

# %% [markdown]
# **Predictions** for test pictures: mistakes first, then those that the model was least sure of.

# %%
display(Image(run.plots / "predictions.png"))

# %% [markdown]
# **The file for the phone**, asked about one picture as a phone would ask it.

# %%
from app import predict

picture = run.path / "picture.png"
picture.write_bytes(pictures.encoded(0))
prediction = predict(run.export / "model_float32.tflite", [picture])[0]
print(f"{prediction.label} (the truth: {pictures.class_names[pictures.labels[0]]})")

# %%
for name, proof in run.parity["formats"].items():
    print(
        f"{name}: {run.export / proof['file']}, same top class as Keras for {proof['top1_agreement']:.1%} of the pictures"
    )
if "google.colab" in sys.modules:
    from google.colab import files

    files.download(str(run.export / "model_float32.tflite"))
