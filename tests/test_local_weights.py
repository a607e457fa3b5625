"""Local weights files: every format gives back every weight, and what does not fit is refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from models.backbones.local_weights import load_local_weights
from models.errors import ModelError

RANDOM = np.random.default_rng(0)


def network(*, classifier: bool = False, filters: int = 4, name: str = "backbone") -> keras.Model:
    """A small network with what the large ones have: automatic names, normalization of the input, a nested layer."""
    pixels = keras.Input((8, 8, 3))
    x = keras.layers.Normalization()(pixels)
    x = keras.layers.Conv2D(filters, 3, name="stem")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dropout(0.1)(x)
    x = keras.Sequential([keras.layers.LayerNormalization(), keras.layers.Conv2D(5, 1)])(x)
    if classifier:
        x = keras.layers.GlobalAveragePooling2D()(x)
        x = keras.layers.Dense(7)(keras.layers.Dense(6)(x))
    model = keras.Model(pixels, x, name=name)
    randomize(model)
    return model


def randomize(model: keras.Model) -> None:
    for variable in model.weights:
        if variable.dtype.startswith("float"):
            variable.assign(RANDOM.uniform(0.5, 1.5, variable.shape))
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def save_whole_model(saved: keras.Model, path: Path) -> None:
    saved.save(path)


def save_weights(saved: keras.Model, path: Path) -> None:
    saved.save_weights(path)


def save_graft_model(saved: keras.Model, path: Path) -> None:
    pixels = keras.Input((8, 8, 3))
    features = keras.layers.GlobalAveragePooling2D()(saved(keras.layers.Rescaling(1 / 255)(pixels)))
    keras.Model(pixels, keras.layers.Dense(3)(features)).save(path)


FORMATS = [
    pytest.param(save_weights, "a.weights.h5", id="keras 3 weights"),
    pytest.param(save_whole_model, "a.h5", id="keras 2 layout"),
    pytest.param(save_whole_model, "a.keras", id="keras model"),
    pytest.param(save_graft_model, "a.keras", id="graft model"),
]


@pytest.mark.parametrize(("save", "file"), FORMATS)
def test_every_weight_comes_back(save: Callable[[keras.Model, Path], None], file: str, tmp_path: Path) -> None:
    saved, model = network(), network()
    save(saved, tmp_path / file)
    load_local_weights(model, str(tmp_path / file))
    assert_same_network(model, saved)


@pytest.mark.parametrize(("save", "file"), FORMATS[:3])
def test_a_classifier_is_left_out(save: Callable[[keras.Model, Path], None], file: str, tmp_path: Path) -> None:
    saved, model = network(classifier=True, name="classifier"), network()
    save(saved, tmp_path / file)
    load_local_weights(model, str(tmp_path / file))
    headless = keras.Model(saved.input, saved.get_layer(index=len(model.layers) - 1).output)
    assert_same_network(model, headless)


def test_a_frozen_network_comes_back(tmp_path: Path) -> None:
    saved, model = network(), network()
    saved.trainable = False
    save_whole_model(saved, tmp_path / "a.h5")
    load_local_weights(model, str(tmp_path / "a.h5"))
    assert_same_network(model, saved)


def test_reads_lists_of_names_that_keras_has_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from keras.src.legacy.saving import legacy_h5_format

    saved, model = network(), network()
    monkeypatch.setattr(legacy_h5_format, "HDF5_OBJECT_HEADER_LIMIT", 100)  # bytes; 64512 in earnest
    save_whole_model(saved, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        assert "layer_names1" in file["model_weights"].attrs
    load_local_weights(model, str(tmp_path / "a.h5"))
    assert_same_network(model, saved)


def assert_same_network(model: keras.Model, expected: keras.Model) -> None:
    for variable, other in zip(model.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(variable.numpy(), other.numpy(), err_msg=variable.path)
    # The outputs as well: Normalization computes with copies of its weights.
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(model(pixels), expected(pixels), rtol=1e-5)


# --- What is refused --------------------------------------------------------------------------------------------------


def assert_refused(path: Path, match: str, model: keras.Model | None = None) -> None:
    with pytest.raises(ModelError, match=match) as caught:
        load_local_weights(model or network(), str(path))
    text = str(caught.value)
    assert str(path) in text
    assert "pass" in text  # the fix
    assert "\n" not in text


def test_refuses_a_missing_file(tmp_path: Path) -> None:
    assert_refused(tmp_path / "a.h5", "no weights file")


def test_refuses_an_unknown_format(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(b"")
    assert_refused(path, r"unknown.*\.weights\.h5, \.h5, \.keras")


@pytest.mark.parametrize("file", ["a.weights.h5", "a.h5", "a.keras"])
@pytest.mark.parametrize("content", [b"", b"<html>404</html>" * 100], ids=["empty", "web page"])
def test_refuses_what_is_not_the_format(file: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / file).write_bytes(content)
    assert_refused(tmp_path / file, "cannot be used")


@pytest.mark.parametrize(("save", "file"), FORMATS)
def test_refuses_a_cut_file(save: Callable[[keras.Model, Path], None], file: str, tmp_path: Path) -> None:
    path = tmp_path / file
    save(network(), path)
    path.write_bytes(path.read_bytes()[:-2000])
    assert_refused(path, "cannot be used")


@pytest.mark.parametrize("file", ["a.weights.h5", "a.h5"])
def test_refuses_hdf5_of_another_kind(file: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / file, "w") as content:
        content["pictures"] = np.zeros(3)
    assert_refused(tmp_path / file, "cannot be used")


@pytest.mark.parametrize(("save", "file"), FORMATS)
def test_refuses_other_shapes(save: Callable[[keras.Model, Path], None], file: str, tmp_path: Path) -> None:
    save(network(filters=8), tmp_path / file)
    assert_refused(tmp_path / file, "cannot be used")


@pytest.mark.parametrize(("save", "file"), FORMATS[:3])
def test_refuses_a_smaller_network(save: Callable[[keras.Model, Path], None], file: str, tmp_path: Path) -> None:
    save(network(), tmp_path / file)
    assert_refused(tmp_path / file, "cannot be used", model=network(classifier=True))


def test_refuses_a_loader_that_passes_over_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    save_weights(model, tmp_path / "a.weights.h5")
    monkeypatch.setattr(type(model), "load_weights", lambda self, path: None)
    assert_refused(tmp_path / "a.weights.h5", "lacks", model=model)


def test_refuses_code_in_a_keras_file(tmp_path: Path) -> None:
    pixels = keras.Input((8, 8, 3))
    keras.Model(pixels, keras.layers.Lambda(lambda x: x + 1)(pixels)).save(tmp_path / "a.keras")
    assert_refused(tmp_path / "a.keras", "cannot be used")


def test_does_not_read_what_has_a_wrong_shape(tmp_path: Path) -> None:
    save_whole_model(network(), tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        layer = file["model_weights"]["stem"]
        kernel = layer.attrs["weight_names"][0]
        del layer[kernel]
        layer.create_dataset(kernel, shape=(10**6, 10**6), chunks=(1000, 1000), compression="gzip")  # 4 TB of zeros
    assert_refused(tmp_path / "a.h5", "its layer stem")
