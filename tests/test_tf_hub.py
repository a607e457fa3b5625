"""`hub:` backbones, with SavedModels that these tests write: nothing is downloaded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from models.backbones.tf_hub import HubLayer, hub_spec
from models.errors import ModelError

SIZE, WIDTH, CLASSES = 32, 6, 3


class Extractor(tf.Module):
    """A convolution, BatchNormalization and a mean, in the Reusable SavedModel interface of TensorFlow Hub."""

    def __init__(self) -> None:
        super().__init__()
        values = tf.random.stateless_normal((3, 3, 3, WIDTH), seed=(1, 2))
        self.kernel = tf.Variable(values, name="conv/kernel")
        self.gamma = tf.Variable(tf.ones(WIDTH), name="norm/gamma")
        self.mean = tf.Variable(tf.fill([WIDTH], 0.1), name="norm/mean", trainable=False)
        self.variance = tf.Variable(tf.fill([WIDTH], 1.5), name="norm/variance", trainable=False)
        self.steps = tf.Variable(7, name="steps", dtype=tf.int64, trainable=False)  # read by no function

    def forward(self, images: tf.Tensor, training: bool) -> tf.Tensor:
        maps = tf.nn.conv2d(images, self.kernel, strides=2, padding="SAME")
        mean, variance = self.mean, self.variance
        if training:
            mean, variance = tf.nn.moments(maps, axes=[0, 1, 2])
            self.mean.assign(0.9 * self.mean + 0.1 * mean)
            self.variance.assign(0.9 * self.variance + 0.1 * variance)
        maps = tf.nn.batch_normalization(maps, mean, variance, None, self.gamma, 1e-3)
        return tf.reduce_mean(tf.nn.relu(maps), axis=[1, 2])


def write_reusable(folder: Path, *, size: int | None = None, listed: bool = True) -> Path:
    module = Extractor()
    holder = tf.train.Checkpoint(parts=module)
    if listed:
        holder.variables = [module.kernel, module.gamma, module.mean, module.variance, module.steps]
        holder.trainable_variables = [module.kernel, module.gamma]

    @tf.function
    def call(images: tf.Tensor, training: bool = False) -> tf.Tensor:
        return module.forward(images, training)

    for training in (True, False):
        call.get_concrete_function(tf.TensorSpec((None, size, size, 3)), training=training)
    holder.__call__ = call
    tf.saved_model.save(holder, str(folder))
    return folder


def write_function(folder: Path, spec: tf.TensorSpec, function: Callable) -> Path:
    """Write a SavedModel whose `__call__` is one function without a `training` argument."""
    holder = tf.train.Checkpoint(scale=tf.Variable(2.0))
    holder.__call__ = tf.function(lambda images: function(holder.scale * images), input_signature=[spec])
    tf.saved_model.save(holder, str(folder))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reusable(tmp_path_factory.mktemp("hub") / "extractor")


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.random((8, SIZE, SIZE, 3), np.float32), generator.integers(0, CLASSES, 8)


def make_model(layer: HubLayer) -> keras.Model:
    inputs = keras.Input((SIZE, SIZE, 3))
    backbone = keras.Model(inputs, layer(inputs), name="backbone")
    outputs = keras.layers.Dense(CLASSES, activation="softmax")(backbone(inputs))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    return model


def train(model: keras.Model, data: tuple[np.ndarray, np.ndarray]) -> None:
    model.fit(*data, batch_size=4, epochs=2, verbose=0)


def values(layer: HubLayer) -> dict[str, np.ndarray]:
    return {variable.name: variable.numpy() for variable in layer.variables}


def changed(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    return {name for name in before if not np.array_equal(before[name], after[name])}


# The layer.


def test_answers_like_the_saved_model(folder: Path, data) -> None:
    expected = tf.saved_model.load(str(folder))(data[0], training=False)
    np.testing.assert_allclose(HubLayer(folder)(data[0]), expected, atol=1e-6)


@pytest.mark.parametrize("listed", [True, False])
def test_variables_appear_as_the_saved_model_says(tmp_path: Path, listed: bool) -> None:
    layer = HubLayer(write_reusable(tmp_path / "hub", listed=listed))
    assert {v.name for v in layer.trainable_variables} == {"conv_kernel", "norm_gamma"}
    assert {v.name for v in layer.non_trainable_variables} == {"norm_mean", "norm_variance"}


def test_weights_share_the_memory_of_the_saved_model(folder: Path, data) -> None:
    layer = HubLayer(folder)
    before = layer(data[0])
    layer.set_weights([2 * weight for weight in layer.get_weights()])
    assert not np.allclose(before, layer(data[0]))


def test_fine_tuning_changes_the_weights_but_not_the_statistics(folder: Path, data) -> None:
    layer = HubLayer(folder)
    model, before = make_model(layer), values(layer)
    assert len(model.trainable_variables) == 4
    train(model, data)
    assert changed(before, values(layer)) == {"conv_kernel", "norm_gamma"}


@pytest.mark.parametrize("at_construction", [True, False])
@pytest.mark.parametrize("batch_norm_training", [True, False])
def test_frozen_means_frozen(folder: Path, data, at_construction: bool, batch_norm_training: bool) -> None:
    layer = HubLayer(folder, trainable=not at_construction, batch_norm_training=batch_norm_training)
    layer.trainable = False
    model, before = make_model(layer), values(layer)
    assert len(model.trainable_variables) == 2  # the head's
    train(model, data)
    assert changed(before, values(layer)) == set()


def test_batch_norm_training_moves_the_statistics(folder: Path, data) -> None:
    layer = HubLayer(folder, batch_norm_training=True)
    model, before = make_model(layer), values(layer)
    train(model, data)
    context = values(layer)
    assert changed(before, context) == {"conv_kernel", "norm_gamma", "norm_mean", "norm_variance"}
    model.predict(data[0], verbose=0)
    assert changed(context, values(layer)) == set()


def test_a_saved_model_without_training_argument_trains_in_inference_mode(tmp_path: Path, data) -> None:
    spec = tf.TensorSpec((None, SIZE, SIZE, 3))
    layer = HubLayer(write_function(tmp_path / "hub", spec, lambda images: tf.reduce_mean(images, [1, 2])))
    model, before = make_model(layer), values(layer)
    train(model, data)
    assert len(changed(before, values(layer))) == 1
    with pytest.raises(ModelError, match="no `training` argument"):
        layer.batch_norm_training = True


def test_a_signature_alone_is_enough(tmp_path: Path, data) -> None:
    inputs = keras.Input((None, None, 3))
    maps = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3)(inputs))
    original = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(maps))
    original.export(tmp_path / "hub", verbose=False)
    layer = HubLayer(tmp_path / "hub")
    np.testing.assert_allclose(layer(data[0]), original(data[0]), atol=1e-6)
    model = make_model(layer)
    trainable = {v.name for v in layer.trainable_variables}
    before = values(layer)
    train(model, data)
    assert len(trainable) == 4
    assert changed(before, values(layer)) == trainable


def test_mixed_precision_policy_leaves_the_layer_in_float32(folder: Path, data) -> None:
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert HubLayer(folder)(tf.cast(data[0], tf.bfloat16)).dtype == tf.float32
    finally:
        keras.config.set_dtype_policy(previous)


# Saving.

_RELOAD = """
import sys, keras, numpy as np
import models.backbones.tf_hub
model = keras.models.load_model(sys.argv[1])
images, labels = np.load("images.npy"), np.load("labels.npy")
np.save("answers.npy", model.predict(images, verbose=0))
model.fit(images, labels, batch_size=4, epochs=2, verbose=0, shuffle=False)
np.save("continued.npy", model.predict(images, verbose=0))
model.save("again.keras")
np.save("again.npy", keras.models.load_model("again.keras").predict(images, verbose=0))
"""


def test_a_keras_file_reloads_elsewhere_without_the_saved_model(tmp_path: Path, data) -> None:
    """In a fresh process, after fine-tuning, with the original deleted: equal answers, and training goes on equally."""
    images, labels = data
    original = write_reusable(tmp_path / "original")
    layer = HubLayer(original, batch_norm_training=True)
    model = make_model(layer)
    train(model, data)
    shutil.rmtree(original)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    model.save(elsewhere / "model.keras")
    np.save(elsewhere / "images.npy", images)
    np.save(elsewhere / "labels.npy", labels)

    paths = {"PYTHONPATH": str(Path(__file__).parents[1]), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", _RELOAD, "model.keras"]
    subprocess.run(command, cwd=elsewhere, env=os.environ | paths, check=True, capture_output=True, timeout=1800)

    predictions = {name: np.load(elsewhere / f"{name}.npy") for name in ("answers", "continued", "again")}
    np.testing.assert_allclose(predictions["answers"], model.predict(images, verbose=0), atol=1e-6)
    model.fit(images, labels, batch_size=4, epochs=2, verbose=0, shuffle=False)
    np.testing.assert_allclose(predictions["continued"], model.predict(images, verbose=0), atol=1e-4)
    np.testing.assert_allclose(predictions["again"], predictions["continued"], atol=1e-6)


def test_a_keras_file_keeps_the_mode_and_no_path(tmp_path: Path, folder: Path) -> None:
    make_model(HubLayer(folder, trainable=False, batch_norm_training=True)).save(tmp_path / "model.keras")
    [layer] = keras.models.load_model(tmp_path / "model.keras").get_layer("backbone").layers[1:]
    assert (layer.trainable, layer.batch_norm_training) == (False, True)
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert str(folder).encode() not in archive.read("config.json")


def test_weights_files_restore_values_and_optimizer(tmp_path: Path, folder: Path, data) -> None:
    model = make_model(HubLayer(folder))
    train(model, data)
    model.save_weights(tmp_path / "checkpoint.weights.h5")
    other = make_model(HubLayer(folder))
    other.optimizer.build(other.trainable_variables)  # Keras skips an optimizer that has no slots yet
    other.load_weights(tmp_path / "checkpoint.weights.h5")
    np.testing.assert_allclose(other.predict(data[0], verbose=0), model.predict(data[0], verbose=0), atol=1e-6)
    for restored, variable in zip(other.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(restored, variable)


def test_a_clone_answers_equally_once_it_has_the_weights(folder: Path, data) -> None:
    model = make_model(HubLayer(folder))
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_allclose(clone.predict(data[0], verbose=0), model.predict(data[0], verbose=0), atol=1e-6)
    assert not {id(v) for v in clone.variables} & {id(v) for v in model.variables}


@pytest.mark.parametrize("reloaded", [False, True])
def test_export_to_saved_model_answers_equally(tmp_path: Path, folder: Path, data, reloaded: bool) -> None:
    model = make_model(HubLayer(folder, batch_norm_training=True))
    train(model, data)
    expected = model.predict(data[0], verbose=0)
    if reloaded:
        model.save(tmp_path / "model.keras")
        model = keras.models.load_model(tmp_path / "model.keras")
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(exported.serve(data[0]), expected, atol=1e-6)


def test_tflite_with_builtin_operations_answers_equally(folder: Path, data) -> None:
    model = make_model(HubLayer(folder))
    train(model, data)
    function = tf.function(lambda images: model(images, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec((1, SIZE, SIZE, 3)))
    # Not the model itself: TensorFlow 2.21 then writes garbage for weights, of any Keras 3.15 model.
    owner = tf.train.Checkpoint(variables=[variable.value for variable in model.variables])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], owner)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], data[0][:1])
    interpreter.invoke()
    answer = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(answer, model.predict(data[0][:1], verbose=0), atol=1e-5)


# The specification.


def test_spec_of_any_size(folder: Path, data) -> None:
    spec = hub_spec(str(folder))
    assert (spec.name, spec.image_size, spec.min_image_size) == (f"hub:{folder.name}", 224, 32)
    assert (spec.feature_width, spec.scaling, spec.weights) == (WIDTH, "unit", ("hub",))
    assert spec.parameters == 3 * 3 * 3 * WIDTH + 3 * WIDTH
    assert not spec.fixed_pretrained_size
    backbone = spec.builder(SIZE, "hub")
    assert backbone.name == "backbone"
    assert (backbone.input_shape, backbone.output_shape) == ((None, SIZE, SIZE, 3), (None, WIDTH))
    np.testing.assert_allclose(backbone(data[0]), HubLayer(folder)(data[0]), atol=1e-6)


def test_spec_of_one_size(tmp_path: Path) -> None:
    spec = hub_spec(str(write_reusable(tmp_path / "hub", size=SIZE)))
    assert (spec.image_size, spec.min_image_size, spec.fixed_pretrained_size) == (SIZE, SIZE, True)
    with pytest.raises(ModelError, match="set the image size to 32, not 64"):
        spec.builder(64, "hub")


@pytest.mark.parametrize("weights", [None, "imagenet"])
def test_other_weights_are_refused(folder: Path, weights: str | None) -> None:
    with pytest.raises(ModelError, match="its own weights only"):
        hub_spec(str(folder)).builder(SIZE, weights)


def test_an_address_goes_through_tensorflow_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("tensorflow_hub")
    address = "https://www.kaggle.com/models/someone/extractor"
    monkeypatch.setattr(hub, "resolve", {address: str(folder)}.__getitem__)
    spec = hub_spec(address)
    assert (spec.name, spec.paper, spec.feature_width) == (f"hub:{address}", address, WIDTH)


def test_a_failed_download_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("tensorflow_hub")

    def fail(handle: str) -> str:
        raise OSError("Name or service not known")

    monkeypatch.setattr(hub, "resolve", fail)
    with pytest.raises(ModelError, match=r"Could not download https://tfhub.dev/x .*Name or service not known"):
        hub_spec("https://tfhub.dev/x")


def test_folders_that_are_no_saved_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no folder"):
        hub_spec(str(tmp_path / "missing"))
    with pytest.raises(ModelError, match="is not a SavedModel"):
        hub_spec(str(tmp_path))
    (tmp_path / "tfhub_module.pb").touch()
    with pytest.raises(ModelError, match="TF1 Hub format"):
        hub_spec(str(tmp_path))


def test_a_tf1_saved_model_is_refused(tmp_path: Path) -> None:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        images = tf.compat.v1.placeholder(tf.float32, (None, SIZE, SIZE, 3))
        features = tf.reduce_mean(images, [1, 2])
        builder = tf.compat.v1.saved_model.Builder(str(tmp_path / "hub"))
        signature = tf.compat.v1.saved_model.predict_signature_def({"images": images}, {"features": features})
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()
    with pytest.raises(ModelError, match="TF1 SavedModel"):
        hub_spec(str(tmp_path / "hub"))


@pytest.mark.parametrize(
    "name", ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"]
)
@pytest.mark.parametrize("damage", ["cut", "garbage", "missing"])
def test_a_damaged_saved_model_is_one_sentence(tmp_path: Path, folder: Path, name: str, damage: str) -> None:
    copy = shutil.copytree(folder, tmp_path / "hub")
    content = (copy / name).read_bytes()
    (copy / name).unlink()
    if damage != "missing":
        (copy / name).write_bytes(content[: len(content) // 2] if damage == "cut" else bytes(reversed(content)))
    with pytest.raises(ModelError, match=r"cannot be loaded|is not a SavedModel"):
        hub_spec(str(copy))


@pytest.mark.parametrize(
    ("spec", "function", "message"),
    [
        (tf.TensorSpec((None, SIZE, SIZE, 3)), lambda images: images, "Expected a feature vector"),
        (tf.TensorSpec((None, SIZE, SIZE, 3)), lambda images: {"a": images, "b": images}, "Expected a feature vector"),
        (tf.TensorSpec((None, SIZE)), lambda rows: rows, "Expected a SavedModel of images"),
        (tf.TensorSpec((1, SIZE, SIZE, 3)), lambda image: tf.reduce_mean(image, [1, 2]), "any batch size"),
        (tf.TensorSpec((None, 32, 48, 3)), lambda images: tf.reduce_mean(images, [1, 2]), "32 x 48"),
    ],
)
def test_saved_models_of_something_else(tmp_path: Path, spec, function, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        hub_spec(str(write_function(tmp_path / "hub", spec, function)))


def test_asset_files_are_refused(tmp_path: Path) -> None:
    folder = write_reusable(tmp_path / "hub")
    (folder / "assets" / "words.txt").write_text("word")
    with pytest.raises(ModelError, match="asset files"):
        hub_spec(str(folder))
