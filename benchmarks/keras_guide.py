"""Method (a): the recipe of Keras' guide "Transfer learning & fine-tuning" (https://keras.io/guides/transfer_learning/).

`python -m benchmarks.keras_guide JOB RESULT [--repaired]`. As published the recipe trusts `training=False` to keep
BatchNormalization in inference mode, which it does not do inside Keras 3's `fit`; repaired (a′), the layers themselves
are frozen.
"""

from __future__ import annotations

import sys

import keras
import tensorflow as tf

from benchmarks.job import Epoch, Job, Stopwatch, write_result
from models.backbones import find_backbone

SIZE, BATCH, EPOCHS = 224, 32, 10  # 32 is the batch of `keras.utils.image_dataset_from_directory`


def main(job: Job, result: str, repaired: bool) -> None:
    """Train with the guide's recipe: 10 epochs of the head, then 10 of everything."""
    watch = Stopwatch()
    keras.utils.set_random_seed(job.seed)
    spec = find_backbone("efficientnet_lite0")
    backbone = spec.builder(image_size=SIZE, weights="imagenet")
    backbone.trainable = False
    pixels = keras.Input((SIZE, SIZE, 3))
    features = backbone(keras.layers.Rescaling(1 / 128, -127 / 128)(pixels), training=False)
    features = keras.layers.Dropout(0.2)(keras.layers.GlobalAveragePooling2D()(features))
    model = keras.Model(pixels, keras.layers.Dense(len(job.class_names))(features))

    augmentation = [keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(0.1)]

    def augment(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        for layer in augmentation:
            images = layer(images, training=True)
        return images, labels

    examples = {split: _examples(job, split) for split in ("train", "validation", "test")}
    train = examples["train"].cache().shuffle(len(job.paths["train"])).batch(BATCH)
    train = train.map(augment, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    validation = examples["validation"].cache().batch(BATCH).prefetch(tf.data.AUTOTUNE)
    test = examples["test"].batch(BATCH).prefetch(tf.data.AUTOTUNE)

    epochs: list[Epoch] = []
    for phase, rate in (("head", 1e-3), ("fine_tune", 1e-5)):
        if phase == "fine_tune":
            backbone.trainable = True
            for layer in backbone.layers if repaired else ():
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.trainable = False
        model.compile(
            keras.optimizers.Adam(rate),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=[keras.metrics.SparseCategoricalAccuracy("accuracy")],
        )
        log = _Log(phase, epochs, watch, test)
        model.fit(train, epochs=EPOCHS, validation_data=validation, verbose=0, callbacks=[log])
    best = max(epochs, key=lambda epoch: epoch.validation)
    assert best.test is not None
    write_result(result, seconds=watch.seconds(), epochs=epochs, test=best.test)


def _examples(job: Job, split: str) -> tf.data.Dataset:
    def load(path: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
        return tf.image.resize(image, (SIZE, SIZE)), label

    files = tf.data.Dataset.from_tensor_slices((job.paths[split], job.labels[split]))
    return files.map(load, num_parallel_calls=tf.data.AUTOTUNE)


class _Log(keras.callbacks.Callback):
    """Notes time and accuracy of every epoch; the clock stands while the test images are answered."""

    def __init__(self, phase: str, epochs: list[Epoch], watch: Stopwatch, test: tf.data.Dataset) -> None:
        super().__init__()
        self.phase, self.epochs, self.watch, self.test = phase, epochs, watch, test

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        seconds = self.watch.seconds()
        accuracy = self.watch.unclocked(self._test)
        self.epochs.append(Epoch(self.phase, seconds, (logs or {})["val_accuracy"], accuracy))
        print(self.epochs[-1], flush=True)

    def _test(self) -> float:
        right = total = 0
        for images, labels in self.test:
            right += int((self.model.predict_on_batch(images).argmax(1) == labels.numpy()).sum())
            total += len(labels)
        return right / total


if __name__ == "__main__":
    main(Job.read(sys.argv[1]), sys.argv[2], "--repaired" in sys.argv)
