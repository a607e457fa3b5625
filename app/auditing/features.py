"""Features of a pretrained network for each image, kept in the cache, which training uses too."""

from __future__ import annotations

import numpy as np

from app.interface.stages import status
from app.training.activations import Extractor, Views
from data.cache.activations import ActivationCache
from data.cache.shards import Rows
from data.examples import Examples
from data.image.transform import ImageTransform
from data.loading import Loader
from models.builder import build_model
from models.freezing import freeze
from models.splitting import split


def extract_features(
    examples: Examples,
    cache: ActivationCache,
    *,
    backbone: str,
    weights: str | None,
    image_size: int | None,
    resize: str,
    engine: str,
) -> Rows:
    """Return features of every image without augmentation: the rows that a head on the same frozen backbone trains on.

    Args:
        examples: examples with their digests.
        cache: cache that keeps the features.
        backbone: a key of `models.backbones.BACKBONES`.
        weights: a file of weights, "none", or None for pretrained weights.
        image_size: side of the images, in pixels; None for that of the backbone.
        resize: a key of `data.image.resizing.RESIZES`.
        engine: engine that runs the backbone, one of `app.training.engines.engine_choices()`.

    Returns:
        float16 (n, width), read from disk on access.

    Raises:
        CacheFull, MissingRows: there is not enough free space.
        ModelError: the backbone does not exist, or the weights do not fit it.
        DataError: an image can no longer be read.

    Examples:
        >>> from pathlib import Path
        >>> from app.interface.events import listening
        >>> from app.interface.sources import open_readable
        >>> from app.runs.folder import RunFolder
        >>> backbone, cache = RunFolder.open("runs/fruit").options["backbone"], ActivationCache(Path("cache"), 10**9)
        >>> options = {"weights": "none", "image_size": 32, "resize": "stretch", "engine": "tensorflow"}
        >>> with listening([].append, alone=True):  # prints nothing
        ...     examples, _ = open_readable("images", skip_unreadable=False)
        ...     rows = extract_features(examples, cache, backbone=backbone, **options)
        >>> rows.take(np.arange(len(examples))).shape
        (24, 8)
        >>> extract_features(examples, cache, backbone="vgg", **options)
        Traceback (most recent call last):
        models.errors.ModelError: unknown backbone 'vgg'; 'list backbones' shows all of them. Did you mean vgg16 or vgg19?
    """
    with status("building the backbone"):
        model = build_model(backbone, num_classes=2, image_size=image_size, weights=weights)
        freeze(model)
        bottom, _ = split(model)
    loader = Loader(examples, ImageTransform(model.input_shape[1], resize))
    extractor = Extractor(loader, cache, backbone=backbone, engine=engine)
    (rows,) = extractor.rows(bottom, [bottom], [Views(np.arange(len(examples)), (0,))])
    return rows
