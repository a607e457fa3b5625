"""Predict images with a run's model or any model file."""

from __future__ import annotations

import json
from os import PathLike
from typing import Any

from app.config import PredictConfig, make_config
from app.config.signatures import with_options
from app.interface.console import aside, console
from app.interface.events import print_path, print_table, print_text
from app.interface.output import output_path
from app.prediction.inputs import ImageInputs, image_inputs
from app.prediction.predicting import Predicted, predict_images
from app.prediction.predictions import Predictions, write_csv


@with_options(PredictConfig)
def predict(model: str | PathLike[str], paths: ImageInputs, **options: Any) -> Predictions:
    """Predict images with a model.

    Args:
        model: a run or its folder, a `.keras`, `.tflite` or `.onnx` file, or a SavedModel folder.
        paths: image files, or folders that are searched for them; or images in another form, see `app.Run.predict`.
        **options: the fields of `app.config.PredictConfig`.

    Returns:
        One prediction per image, in the order of `paths`: a list, which displays itself in a notebook.

    Raises:
        UsageError, DataError: the model or an image does not exist, or images cannot be read.

    Examples:
        >>> predict("runs/fruit", ["apple.png"])[0].label
        <BLANKLINE>
          image       answer
         ─────────────────────────
          apple.png   apple 98.8%
        <BLANKLINE>
        'apple'
        >>> predict("runs/fruit", ["pear.png"])
        Traceback (most recent call last):
        app.interface.errors.UsageError: there is no image pear.png
    """
    images = image_inputs(paths)
    names = [image.name for image in images]
    config = make_config(PredictConfig, model=model, paths=names, **options)
    output = output_path(config.output) if config.output else None
    predicted = predict_images(config, images)
    if output:
        write_csv(output, predicted.predictions, predicted.names if config.all_probabilities else ())
    _print(predicted, config)
    return predicted.predictions


def _print(predicted: Predicted, config: PredictConfig) -> None:
    with aside():
        for remark in predicted.remarks:
            print_text(remark, wraps=False)
    if config.json:
        print(json.dumps([one.as_json() for one in predicted.predictions], indent=2, ensure_ascii=False))
    elif config.output:
        print_path("answers", config.output)
    elif not console.in_notebook:  # a notebook displays the result
        print_table("", ("image", "answer"), [(one.path, one.text(config.top)) for one in predicted.predictions])
