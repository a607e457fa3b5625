"""MixUp and CutMix: mix a batch with itself in another order, inputs and labels in the same shares."""

from __future__ import annotations

import tensorflow as tf


def mixed(
    inputs: tf.Tensor, labels: tf.Tensor, *, mixup: float, cutmix: float, seed: int, step: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Apply MixUp or CutMix to a batch; if both are given, each batch draws one of them, as in timm.

    MixUp (Zhang et al. 2018, https://arxiv.org/abs/1710.09412) takes weighted means; on activations it is Manifold MixUp (Verma
    et al. 2019, https://arxiv.org/abs/1806.05236). CutMix (Yun et al. 2019, https://arxiv.org/abs/1905.04899) pastes a box of
    one example into another: of pixels, or of an activation map. Features are vectors and have no place for a box: CutMix
    leaves them as they are, and if both are given, they get MixUp.

    Args:
        inputs: float32 (batch, ...): pixels or activations, (batch, height, width, channels), or features.
        labels: float32 (batch, outputs): one-hot, multi-hot or numbers.
        mixup: parameter of the Beta distribution that MixUp's share is drawn from; 0: no MixUp.
        cutmix: parameter of the Beta distribution that the share outside CutMix's box is drawn from; 0: no CutMix.
        seed: of the draws, together with the step.
        step: scalar int64, number of the batch in its phase.

    Returns:
        Inputs and labels of the same shapes. A label has the share of its example in the inputs; for CutMix, in the area.

    Examples:
        >>> images, labels, step = tf.eye(2), tf.eye(2), tf.constant(0, tf.int64)
        >>> inputs, targets = mixed(images, labels, mixup=0.2, cutmix=0.0, seed=0, step=step)
        >>> bool(tf.reduce_all(inputs == targets))
        True
        >>> mixed(images, labels, mixup=0.0, cutmix=1.0, seed=0, step=step)[1].numpy().tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    if inputs.shape.rank != 4:
        cutmix = 0.0
    if not mixup and not cutmix:
        return inputs, labels
    seeds = tf.random.experimental.stateless_split(tf.stack([tf.constant(seed, tf.int64), step]), 5)
    order = tf.random.experimental.stateless_shuffle(tf.range(tf.shape(inputs)[0]), seeds[2])
    partners = tf.gather(inputs, order)

    def by_mixup() -> tuple[tf.Tensor, tf.Tensor]:
        share = _beta(mixup, seeds[:2])
        return share * inputs + (1 - share) * partners, share

    def by_cutmix() -> tuple[tf.Tensor, tf.Tensor]:
        height, width = tf.shape(inputs)[1], tf.shape(inputs)[2]
        box = _box(height, width, 1 - _beta(cutmix, seeds[:2]), seeds[3])
        return tf.where(box[..., tf.newaxis], partners, inputs), 1 - tf.reduce_mean(tf.cast(box, tf.float32))

    if mixup and cutmix:
        results = tf.cond(tf.random.stateless_uniform([], seeds[4]) < 0.5, by_mixup, by_cutmix)
    else:
        results = by_mixup() if mixup else by_cutmix()
    inputs, share = results
    return inputs, share * labels + (1 - share) * tf.gather(labels, order)


def _beta(parameter: float, seeds: tf.Tensor) -> tf.Tensor:
    """Draw from the symmetric Beta distribution, scalar float32; `seeds` is (2, 2)."""
    first, second = (tf.random.stateless_gamma([], seeds[i], parameter) for i in range(2))
    return tf.math.divide_no_nan(first, first + second)  # both draws of a very small parameter may be 0


def _box(height: tf.Tensor, width: tf.Tensor, area: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return a mask with a box of about a part `area` of the map, in the map's proportions: bool (height, width).

    Its centre may lie anywhere, and the part beyond the border is cut off, as in the paper.
    """
    middles = tf.random.stateless_uniform([2], seed)

    def inside(size: tf.Tensor, middle: tf.Tensor) -> tf.Tensor:
        size = tf.cast(size, tf.float32)
        length = tf.round(tf.sqrt(area) * size)
        start = tf.round(middle * size - length / 2)
        places = tf.range(size)
        return (places >= start) & (places < start + length)

    return inside(height, middles[0])[:, tf.newaxis] & inside(width, middles[1])
