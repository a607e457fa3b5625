"""Pretrained weights from a user's file: copies of Keras' downloads, checkpoints, whole saved models."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterator
from itertools import count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from models.errors import ModelError

if TYPE_CHECKING:  # the tables of backbones are read by `--help`, which must not import TensorFlow
    import h5py
    import keras

SUFFIXES = (".weights.h5", ".h5", ".keras")


class SavedLayer(NamedTuple):
    """A layer in a file. Its variables are array-likes, which are not read until their shapes are checked."""

    name: str
    variables: list[Any]


def load_local_weights(model: keras.Model, path: str) -> None:
    """Load every weight of a backbone from a local file.

    The formats are `.weights.h5` (Keras 3), `.h5` (weights or whole models in Keras 2's layout, such as the `*_notop.h5` that
    Keras itself downloads) and `.keras` (a saved model of the same network, or one that has it as a layer named
    "backbone", as Graft's do). A classifier on top of the network in the file is left out.

    Args:
        model: the backbone, a functional model. After an error it is unusable.
        path: the file.

    Raises:
        ModelError: the file is missing, damaged, of an unknown format or of another network.

    Examples:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
        >>> model.save_weights("ones.weights.h5")
        >>> model.set_weights([np.zeros((2, 1)), np.zeros(1)])
        >>> load_local_weights(model, "ones.weights.h5")
        >>> model.get_weights()[0].tolist()
        [[1.0], [1.0]]
        >>> load_local_weights(model, "apple.png")
        Traceback (most recent call last):
        models.errors.ModelError: The format of apple.png is unknown: pass a file whose name ends in .weights.h5, .h5, .keras.
    """
    file = Path(path)
    if not file.is_file():
        raise ModelError(f"There is no weights file {path}: pass one whose name ends in {', '.join(SUFFIXES)}.")
    if not file.name.endswith(SUFFIXES):
        raise ModelError(f"The format of {path} is unknown: pass a file whose name ends in {', '.join(SUFFIXES)}.")
    _forget_weights(model)
    try:
        if file.suffix == ".keras":
            _assign(model, _layers_of_keras_file(file))
        else:
            _load_hdf5(model, file)
        _check_complete(model)
    except Exception as error:  # the errors of h5py and Keras for a foreign file have no common class
        reason = re.split(r"\n|\. ", str(error))[0].rstrip(" .:") or type(error).__name__  # Keras writes paragraphs
        raise ModelError(
            f"The weights file {path} cannot be used: {reason}; pass a file saved from the same network."
        ) from error


def _forget_weights(model: keras.Model) -> None:
    """Mark every weight as not loaded, so that weights that a loader silently skips are found."""
    for variable in _float_weights(model):
        variable.assign(np.full(variable.shape, np.nan, variable.dtype))


def _check_complete(model: keras.Model) -> None:
    missing = [variable.path for variable in _float_weights(model) if np.isnan(variable.numpy()).any()]
    if missing:
        raise ModelError(f"it lacks {len(missing)} of {len(model.weights)} weights (or has NaN there), as {missing[0]}")


def _float_weights(model: keras.Model) -> Iterator[Any]:
    return (variable for variable in model.weights if variable.dtype.startswith("float"))


def _load_hdf5(model: keras.Model, path: Path) -> None:
    import h5py

    with h5py.File(path) as file:
        layers = _layers_of_hdf5(file.get("model_weights", file))
        if layers:
            _assign(model, layers)
            return
    if not path.name.endswith(".weights.h5"):
        raise ModelError("it is HDF5, but holds no layers as Keras saves them")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about skipped weights, which are an error here
        model.load_weights(path)  # Keras 3's own layout, which only Keras should read


def _layers_of_hdf5(group: h5py.Group) -> list[SavedLayer]:
    """Return the layers of a file in Keras 2's layout in the network's order; none if the file has Keras 3's layout."""
    names = _names(group, "layer_names")
    return [SavedLayer(name, [group[name][key] for key in _names(group[name], "weight_names")]) for name in names]


def _names(group: h5py.Group, attribute: str) -> list[str]:
    # HDF5 limits the size of an attribute, so Keras splits a long list into attribute0, attribute1, …
    chunks = takewhile(group.attrs.__contains__, (f"{attribute}{number}" for number in count()))
    keys = [attribute] if attribute in group.attrs else chunks
    names = [name for key in keys for name in group.attrs[key]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _layers_of_keras_file(path: Path) -> list[SavedLayer]:
    import keras

    if not zipfile.is_zipfile(path):
        raise ModelError("it is not a .keras archive, or is damaged")
    # Safe mode refuses code in the file. Without compiling, the optimizer is not loaded.
    saved = keras.saving.load_model(path, compile=False, safe_mode=True)
    network = next((layer for layer in saved.layers if layer.name == "backbone"), saved)
    return [SavedLayer(layer.name, layer.weights) for layer in network.layers]


def _assign(model: keras.Model, saved: list[SavedLayer]) -> None:
    """Assign layer by layer in the network's order, as Keras does with this layout.

    Names cannot be used: some depend on what was built before in the session (conv2d_12). What follows the network's last
    layer in the file is its classifier.
    """
    layers = [layer for layer in model.layers if layer.weights]
    saved = [layer for layer in saved if layer.variables]
    if len(saved) < len(layers):
        raise ModelError(f"it has {len(saved)} layers with weights, where the network has {len(layers)}")
    for layer, source in zip(layers, saved, strict=False):
        expected = [tuple(variable.shape) for variable in layer.weights]
        found = [tuple(variable.shape) for variable in source.variables]
        if found != expected:
            raise ModelError(f"its layer {source.name} has weights of shape {found}, where {layer.name} has {expected}")
        for variable, value in zip(layer.weights, source.variables, strict=True):
            variable.assign(np.asarray(value))
        if hasattr(layer, "finalize_state"):  # Normalization computes with copies of its weights, which this updates
            layer.finalize_state()
