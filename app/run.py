"""A run, as verbs return it: what it reached, its files, its model, and predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import app.interface.console  # noqa: F401 -- it listens to what a run prints
from app.config import PredictConfig, make_config
from app.interface.errors import UsageError
from app.interface.events import print_text
from app.interface.tensorflow_loading import load_tensorflow
from app.job.summary import print_summary
from app.prediction.inputs import ImageInputs, image_inputs
from app.prediction.predicting import predict_images
from app.prediction.predictions import Predictions
from app.runs.display import run_html
from app.runs.folder import RunFolder
from models.lazy import LazyModule

if TYPE_CHECKING:
    import keras
    import pandas

    from models import builder
else:
    builder = LazyModule("models.builder")


class Run(RunFolder):
    """A run: what `train` returns, or `Run.open` for the folder of an earlier one. It displays itself in a notebook.

    A run is also a path: every function that takes a run folder takes a run.

    Attributes:
        path: the run folder.
        model: path of the trained model, `model.keras`.
        plots: folder of the plots, as PNG.
        report: path of the report, `report.html`.

    Examples:
        >>> Run.open("runs/fruit").class_names
        ('apple', 'banana', 'cherry')
        >>> Run.open("runs/no_such_run")
        Traceback (most recent call last):
        app.interface.errors.UsageError: runs/no_such_run is not a run folder: it has no config.json
    """

    @property
    def export_dir(self) -> Path:
        """Folder of the exported files.

        Examples:
            >>> run = Run.open("runs/fruit")
            >>> (run.export_dir / "model_float32.tflite").is_file()
            True
            >>> run.export_dir == run.export == run.path / "export"
            True
        """
        return self.export

    def summary(self) -> None:
        """Print the figures of validation and test, the exported files and whether they agree, and where everything is.

        A run of folds prints the figures of its folds; an unfinished run, what is missing and how to continue it. Everything is
        read from the run folder.

        Raises:
            UsageError: the folder is not a run, or a file of a finished run is missing or damaged.

        Examples:
            >>> Run.open("runs/fruit").summary()
            <BLANKLINE>
            ...
              split        images   accuracy ...
            >>> Run("runs/no_such_run").summary()
            Traceback (most recent call last):
            app.interface.errors.UsageError: the run runs/no_such_run has no config.json: it is not a run folder
        """
        print_summary(self)

    def predict(
        self, x: ImageInputs, *, skip_unreadable: bool = False, batch_size: int = 32, locale: str | None = None
    ) -> Predictions:
        """Predict images with the trained model.

        Images are resized as in training. Each call loads the model, which takes seconds; `app.Predictor` keeps it loaded.

        Args:
            x: an image, or a sequence of images, which may be mixed:

                - the path of an image file, or of a folder, which is searched for images;
                - the content of an image file, as bytes;
                - a PIL image, taken as PIL shows it: unlike a file, it is not turned by its EXIF orientation
                  (`PIL.ImageOps.exif_transpose` does that);
                - an array of RGB pixels in [0, 255], uint8 (height, width, 3), or of n such images, uint8
                  (n, height, width, 3). Four channels are RGB and alpha; uint8 (height, width) is a greyscale image.
            skip_unreadable: leave out images that cannot be read instead of raising an error.
            batch_size: images per step.
            locale: language of the class names, if the export has several, such as "de".

        Returns:
            One prediction per image, in the order of `x`: a list, which displays itself in a notebook. The `path` of an image
            without a file name is its position, such as "image 0".

        Raises:
            UsageError: the run has no model yet, or something in `x` is not an image.
            DataError: an image cannot be read.

        Examples:
            >>> import numpy as np
            >>> from PIL import Image
            >>> image = Image.open("apple.png")
            >>> run = Run.open("runs/fruit")
            >>> [(one.path, one.label) for one in run.predict(["apple.png", np.asarray(image)])]
            [('apple.png', 'apple'), ('image 1', 'apple')]
            >>> run.predict(np.asarray(image) / 255)
            Traceback (most recent call last):
            app.interface.errors.UsageError: image 0 is an array of float64; give RGB pixels from 0 to 255 as uint8, ...
        """
        images = image_inputs(x)
        names = [image.name for image in images]
        config = make_config(
            PredictConfig,
            model=self,
            paths=names,
            skip_unreadable=skip_unreadable,
            batch_size=batch_size,
            locale=locale,
        )
        predicted = predict_images(config, images)
        for remark in predicted.remarks:
            print_text(remark, wraps=False)
        return predicted.predictions

    def keras_model(self, *, logits: bool = False) -> keras.Model:
        """Load the trained model, not compiled.

        Args:
            logits: return the model as `model.keras` holds it, for further training: its outputs are logits.

        Returns:
            A model from RGB pixels, float32 (n, height, width, 3) in [0, 255], to one probability per class, float32
            (n, classes), in the order of `class_names`; for regression, to numbers. It scales the pixels itself, and does not
            resize. `model.input_shape` has the height and width.

        Raises:
            UsageError: the run has no model yet, or it is a run of folds.

        Examples:
            >>> import numpy as np
            >>> model = Run.open("runs/fruit").keras_model()
            >>> model.input_shape, model.output_shape
            ((None, 32, 32, 3), (None, 3))
            >>> float(model(np.zeros((1, 32, 32, 3)))[0].numpy().sum().round(3))
            1.0
        """
        path = self.require(self.model)
        load_tensorflow()
        model = builder.load_model(path)
        return model if logits else builder.with_predictions(model)

    def history_frame(self) -> pandas.DataFrame:
        """Return `history` as a pandas DataFrame: a row per epoch, with its phase, losses, metrics and seconds.

        Raises:
            UsageError: pandas is not installed.

        Examples:
            >>> frame = Run.open("runs/fruit").history_frame()
            >>> frame["phase"].tolist()
            ['head', 'fine_tune']
            >>> {"epoch", "loss", "val_loss", "accuracy"} <= set(frame.columns)
            True
        """
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise UsageError(
                "history_frame needs pandas: pip install pandas; history has the same as a list"
            ) from error
        return pandas.DataFrame(self.history)

    def _repr_html_(self) -> str:
        return run_html(self)
