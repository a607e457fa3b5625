"""Hyper-parameters from the size of the data, similar to BiT's HyperRule (https://arxiv.org/abs/1912.11370)."""

from __future__ import annotations

import math
from dataclasses import fields, replace

from app.config.plan import ExportPlan, Plan
from app.config.run import RunConfig
from app.exporting.formats import resolve_exports
from app.training.strategies.two_phase import RATE_OF_MANY

_BLOCKS_PER_UNFROZEN = 12  # the last block alone has a third of the weights, and trains many times as fast as all
# The last blocks alone tolerate a higher rate and converge in few steps: 4 epochs did as well as 5 to 8 on three sets.
_STEPS = 500
_RATE_OF_FEW, _STEPS_OF_FEW = 7e-4, 80
_BLOCKS_PER_DEEPER = 4  # a quarter of the blocks is tried after the last one, if that takes only seconds
_FEW_PIXELS = 1_500 * 224**2  # of all training images: an epoch of deeper blocks takes about 10 seconds on two cores
_CYCLES = 3  # of fine-tuning, while validation improves
_VIEWS = 2  # one view was a point worse on flowers; each view costs as much time as the first


def resolve(config: RunConfig, *, train_size: int, blocks: int, image_size: int) -> Plan:
    """Resolve the options that the user left to Graft.

    Small sets need many epochs to take enough steps, large ones few: both phases aim at a number of steps, within limits.

    Args:
        config: the user's options.
        train_size: number of training images.
        blocks: number of blocks of the backbone; 0 for a model without one.
        image_size: the backbone's native size, in pixels.

    Examples:
        >>> from app.config import load_config
        >>> config = load_config({"source": "images"})
        >>> resolve(config, train_size=100, blocks=16, image_size=224).head_epochs
        10
        >>> resolve(config, train_size=100_000, blocks=16, image_size=224).head_epochs
        3
    """
    steps_per_epoch = math.ceil(train_size / config.batch_size)
    counts = blocks and not config.unfreeze_from
    unfrozen = config.unfreeze_blocks or max(1, blocks // _BLOCKS_PER_UNFROZEN) if counts else None
    few = unfrozen is not None and unfrozen * _BLOCKS_PER_UNFROZEN <= blocks
    steps, rate = (_STEPS_OF_FEW, _RATE_OF_FEW) if few else (_STEPS, RATE_OF_MANY)
    fine_tune_epochs = config.fine_tune_epochs or _between(4, round(steps / steps_per_epoch), 8)
    cycles = config.fine_tune_cycles or (1 if config.fine_tune_epochs else _CYCLES)
    pixels = train_size * (config.image_size or image_size) ** 2
    derived = vars(resolve_export(config)) | {
        "image_size": config.image_size or image_size,
        "head_epochs": config.head_epochs or _between(3, round(400 / steps_per_epoch), 10),
        "fine_tune_epochs": fine_tune_epochs,
        "fine_tune_learning_rate": config.fine_tune_learning_rate or rate,
        "unfreeze_blocks": unfrozen,
        "deeper_blocks": _deeper_blocks(config, unfrozen, blocks, pixels) if cycles > 1 else 0,
        "fine_tune_cycles": cycles,
        "views": config.views or _VIEWS,
        "patience": config.patience or max(5, fine_tune_epochs),
    }
    return Plan(**{one.name: derived.get(one.name, getattr(config, one.name)) for one in fields(Plan)})


def resolve_export(config: RunConfig) -> ExportPlan:
    """Resolve the export options that the user left to Graft.

    Examples:
        >>> from app.config import load_config
        >>> resolve_export(load_config({"source": "images"})).quantize
        'auto'
        >>> resolve_export(load_config({"source": "images", "formats": ("onnx",)})).formats
        ('onnx',)
    """
    formats, quantize = resolve_exports(config.formats, config.quantize)
    given = {one.name: getattr(config, one.name) for one in fields(ExportPlan)}
    return ExportPlan(**given | {"formats": formats, "quantize": quantize})


def resolved(config: RunConfig, plan: ExportPlan) -> RunConfig:
    """Return the options of a run with the values of a plan.

    Examples:
        >>> from app.config import load_config
        >>> config = load_config({"source": "images"})
        >>> config.formats is None
        True
        >>> resolved(config, resolve_export(config)).formats
        ('saved_model', 'tflite_float32', 'tflite_float16')
    """
    return replace(config, **vars(plan))


def _deeper_blocks(config: RunConfig, unfrozen: int | None, blocks: int, pixels: int) -> int:
    """Return with how many blocks fine-tuning continues; 0 for the same blocks."""
    if config.deeper_blocks is not None:
        return config.deeper_blocks
    asked = config.unfreeze_blocks is not None or unfrozen is None
    deeper = max(1, blocks // _BLOCKS_PER_DEEPER)
    return 0 if asked or pixels > _FEW_PIXELS or deeper <= (unfrozen or 0) else deeper


def _between(low: int, value: int, high: int) -> int:
    return max(low, min(value, high))
