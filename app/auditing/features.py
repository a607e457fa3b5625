"""What a pretrained network makes of each image, kept in the cache that training uses, too."""

from __future__ import annotations

import numpy as np

from app.config import AuditConfig
from app.events import status
from app.training.activations import Extractor, Views
from data.cache.cache import Cache
from data.cache.shards import Rows
from data.examples import Examples
from data.image.transform import ImageTransform
from data.loading import Loader
from models.backbones import find_backbone
from models.builder import build_model
from models.freezing import freeze
from models.splitting import split


def extract_features(examples: Examples, config: AuditConfig) -> Rows:
    """Features of every image as it is: the rows that a head on the same backbone, frozen, is trained and tested on.

    Args:
        examples: with their digests.
        config: of the audit.

    Returns:
        float16 (n, width), read from disk as they are taken.

    Raises:
        CacheFull, MissingRows: there is no room for them.
        ModelError: no such backbone, or weights that do not fit it.
        DataError: an image can no longer be read.
    """
    with status("building the backbone"):
        spec = find_backbone(config.backbone)
        model = build_model(
            spec, num_classes=2, image_size=config.image_size, weights=spec.resolve_weights(config.weights)
        )
        freeze(model)
        bottom, _ = split(model)
    loader = Loader(examples, ImageTransform(model.input_shape[1], config.resize))
    cache = Cache(config.cache_folder).activations(config.cache_limit)
    extractor = Extractor(loader, cache, backbone=config.backbone, engine=config.engine)
    (rows,) = extractor.rows(bottom, [bottom], [Views(np.arange(len(examples)), (0,))])
    return rows
