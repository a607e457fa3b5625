"""The table of `keras.applications`: each row's facts against the network that Keras builds."""

from __future__ import annotations

import functools
import gc
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest

from models.backbones.keras_applications import KERAS_APPLICATIONS, build
from models.backbones.spec import BackboneSpec
from models.errors import ModelError
from models.scaling import SCALINGS, apply_scaling

SLOW_FROM = 25_000_000  # parameters; rows change with Keras only, and the large networks take half of the time


@pytest.fixture
def _free_memory(_quick_collection: None) -> Iterator[None]:
    yield
    keras.backend.clear_session()
    gc.collect()


@pytest.fixture(scope="module")
def _quick_collection() -> Iterator[None]:
    """What is there before the first network is no garbage, and need not be looked through after each."""
    gc.freeze()
    yield
    gc.unfreeze()


def rows(*, mark_slow: bool) -> list:
    return [
        pytest.param(spec, id=name, marks=[pytest.mark.slow] if mark_slow and spec.parameters > SLOW_FROM else [])
        for name, spec in KERAS_APPLICATIONS.items()
    ]


def application_of(spec: BackboneSpec) -> str:
    assert isinstance(spec.builder, functools.partial)
    return spec.builder.args[0]


# --- The table --------------------------------------------------------------------------------------------------------


def test_every_application_has_one_row() -> None:
    applications = [name for name, member in vars(keras.applications).items() if inspect.isfunction(member)]
    assert sorted(map(application_of, KERAS_APPLICATIONS.values())) == sorted(applications)


def test_names_are_those_of_the_rows() -> None:
    for name, spec in KERAS_APPLICATIONS.items():
        assert spec.name == name
        assert name.replace("_", "") == application_of(spec).lower()
        assert spec.min_image_size <= spec.image_size


def test_reading_the_table_does_not_import_keras() -> None:
    code = (
        "import sys, models.backbones.keras_applications, models.backbones.local_weights\n"
        "sys.exit(bool({'keras', 'tensorflow', 'h5py'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


@pytest.mark.parametrize("spec", rows(mark_slow=False))
def test_scaling_is_what_keras_does_before_the_network(spec: BackboneSpec) -> None:
    family = sys.modules[getattr(keras.applications, application_of(spec)).__module__]
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 3, 4, 3)).astype("float32")
    expected = family.preprocess_input(pixels.copy())
    np.testing.assert_allclose(apply_scaling(pixels, spec.scaling), expected, rtol=1e-5, atol=2e-5)
    if spec.scaling == "none":
        np.testing.assert_array_equal(expected, pixels)


@pytest.mark.usefixtures("_free_memory")
@pytest.mark.parametrize("spec", rows(mark_slow=True))
def test_a_row_says_what_the_network_is(spec: BackboneSpec) -> None:
    size = spec.min_image_size
    model = spec.builder(image_size=size, weights=None)
    assert model.name == "backbone"
    assert model.input_shape == (None, size, size, 3)
    features = model(np.full((1, size, size, 3), 0.5, "float32"))
    assert features.shape == (1, *model.output_shape[1:])
    assert features.shape[-1] == spec.feature_width
    assert np.isfinite(features).all()
    assert model.count_params() == spec.parameters
    check_blocks(spec, model)
    check_scaling_inside(spec, model)
    with pytest.raises(ValueError, match="must be at least"):
        spec.builder(image_size=size - 1, weights=None)


def check_blocks(spec: BackboneSpec, model: keras.Model) -> None:
    """Blocks follow one another, each has weights, and none of them is found by an automatic name."""
    starts: list[str] = []
    with_weights = set()
    for layer in model.layers:
        match = re.search(spec.blocks, layer.name)
        if match:
            assert layer.name.rstrip("0123456789").replace("_", "") != type(layer).__name__.lower()
            if match.group() not in starts[-1:]:
                starts.append(match.group())
        if layer.weights and starts:
            with_weights.add(starts[-1])
    assert len(starts) >= 4
    assert len(set(starts)) == len(starts)
    assert with_weights == set(starts)


def check_scaling_inside(spec: BackboneSpec, model: keras.Model) -> None:
    inside = any(isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization) for layer in model.layers)
    assert inside == (spec.scaling == "none")


# --- The weights ------------------------------------------------------------------------------------------------------


@pytest.fixture
def file_utils() -> ModuleType:
    """The module through which the applications download."""
    from keras.src.utils import file_utils

    return file_utils


def test_a_failed_download_says_what_to_do(monkeypatch: pytest.MonkeyPatch, file_utils: ModuleType) -> None:
    def no_network(*args: object, **kwargs: object) -> None:
        raise Exception("URL fetch failure on https://example.org/a.h5: None -- [Errno -2] Name or service not known")

    monkeypatch.setattr(file_utils, "get_file", no_network)
    with pytest.raises(ModelError, match="--weights, or take --backbone efficientnet_lite0") as caught:
        build("MobileNetV2", 32, "imagenet")
    assert "Name or service not known" in str(caught.value)


def test_a_defect_is_not_taken_for_a_failed_download(monkeypatch: pytest.MonkeyPatch, file_utils: ModuleType) -> None:
    monkeypatch.setattr(file_utils, "get_file", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build("MobileNetV2", 32, "imagenet")


@pytest.mark.parametrize("application", ["MobileNetV3Small", pytest.param("NASNetMobile", marks=pytest.mark.slow)])
def test_downloaded_weights_work_at_any_size(
    application: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_utils: ModuleType
) -> None:
    path = tmp_path / "notop.h5"
    saved = build(application, 224, None)
    saved.save(path)
    monkeypatch.setattr(file_utils, "get_file", lambda *args, **kwargs: str(path))
    assert_same_weights(build(application, 64, "imagenet"), saved)
    assert_same_weights(build(application, 64, str(path)), saved)


@pytest.mark.parametrize("application", ["MobileNetV3Small", "ConvNeXtTiny", "InceptionV3"])
def test_a_local_file_with_the_classifier_will_do(application: str, tmp_path: Path) -> None:
    saved = getattr(keras.applications, application)(weights=None)
    saved.save(tmp_path / "a.h5")
    model = build(application, 75, str(tmp_path / "a.h5"))
    for variable, expected in zip(model.weights, saved.weights, strict=False):
        np.testing.assert_array_equal(variable.numpy(), expected.numpy(), err_msg=variable.path)


def test_a_local_file_of_another_network_is_refused(tmp_path: Path) -> None:
    build("MobileNetV3Small", 32, None).save(tmp_path / "a.h5")
    with pytest.raises(ModelError, match="pass a file saved from the same network"):
        build("MobileNetV2", 32, str(tmp_path / "a.h5"))


@pytest.mark.parametrize("application", [pytest.param("InceptionResNetV2", marks=pytest.mark.slow), "ConvNeXtTiny"])
def test_a_network_with_layers_of_its_own_comes_back(application: str, tmp_path: Path) -> None:
    saved = build(application, 75, None)
    saved.save(tmp_path / "a.keras")
    assert_same_weights(build(application, 75, str(tmp_path / "a.keras")), saved)


def assert_same_weights(model: keras.Model, expected: keras.Model) -> None:
    for variable, other in zip(model.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(variable.numpy(), other.numpy(), err_msg=variable.path)


# --- EfficientNet's normalization -------------------------------------------------------------------------------------

MEAN, STD = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], "float32")


@pytest.fixture
def keras_file(tmp_path: Path) -> Path:
    """A file as Keras offers it for download: the variance holds the standard deviation."""
    model = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(32, 32, 3))
    normalization = next(layer for layer in model.layers if isinstance(layer, keras.layers.Normalization))
    normalization.set_weights([MEAN, STD, np.array(0)])
    model.save(tmp_path / "efficientnetb0_notop.h5")
    return tmp_path / "efficientnetb0_notop.h5"


def stem_input(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """What reaches the first convolution, of pixels in [0, 255]."""
    padded = keras.Model(model.input, model.get_layer("stem_conv_pad").output)(pixels)
    return padded.numpy()[:, :-1, :-1]  # the stem pads below and at the right


def test_efficientnet_scales_alike_wherever_its_weights_come_from(
    keras_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_utils: ModuleType
) -> None:
    monkeypatch.setattr(file_utils, "get_file", lambda *args, **kwargs: str(keras_file))
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    expected = (pixels / 255 - MEAN) / STD
    downloaded = build("EfficientNetB0", 32, "imagenet")
    local = build("EfficientNetB0", 32, str(keras_file))
    np.testing.assert_allclose(stem_input(downloaded, pixels), expected, atol=1e-5)
    np.testing.assert_allclose(stem_input(local, pixels), expected, atol=1e-5)
    np.testing.assert_allclose(local(pixels), downloaded(pixels), rtol=1e-4, atol=1e-6)
    for saved, name in ((downloaded, "downloaded.keras"), (local, "local.keras")):
        saved.save(tmp_path / name)
        reloaded = keras.saving.load_model(tmp_path / name)
        np.testing.assert_allclose(stem_input(reloaded, pixels), expected, atol=1e-5)
        again = build(
            "EfficientNetB0", 32, str(tmp_path / name)
        )  # of these two, the first is to be mended, not the other
        np.testing.assert_allclose(stem_input(again, pixels), expected, atol=1e-5)


def test_the_scalings_named_are_known() -> None:
    assert {spec.scaling for spec in KERAS_APPLICATIONS.values()} <= set(SCALINGS)
