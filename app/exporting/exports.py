"""Write a run's export folder in one step: all files, their labels, golden vectors and their verification."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.config.plan import ExportPlan
from app.exporting.automatic import Search, quantize_automatically, worst_layers
from app.exporting.context import ExportContext
from app.exporting.evaluation_sets import EvaluationSet, calibration_members, export_members, more_members
from app.exporting.folder import Kept, failed_name, find_kept, new_export
from app.exporting.formats import FORMATS
from app.exporting.golden import write_golden
from app.exporting.guide import write_guide
from app.exporting.metadata import Description, read_locales
from app.exporting.parity import verify
from app.exporting.verification import Verification
from app.interface.stages import status
from app.prediction.in_process import make_predict_function
from app.runs.folder import RunFolder
from app.tasks import TASKS
from data.examples import Examples
from data.files import write_json, write_text
from data.image.transform import ImageTransform
from data.loading import Loader, batches_of, load_ahead
from models.backbones import find_backbone
from models.builder import forward_pass, load_model, with_predictions

if TYPE_CHECKING:
    import keras

_BATCH = 32  # images per step of the Keras model


def write_exports(
    model: keras.Model,
    run: RunFolder,
    plan: ExportPlan,
    loader: Loader,
    indices: Mapping[str, np.ndarray],
    predictions: Mapping[str, np.ndarray],
) -> Kept:
    """Export a model and verify every file against it; `run.check_parity` raises if they disagree.

    The folder replaces an earlier export only when it is complete. Formats of the earlier export that are not written now
    stay, and so do the user's own files. A file that fails verification stays under a name that says so.

    Args:
        model: from `models.builder.build_model`, trained.
        run: run whose `export` folder is written. Its options are those of the earlier export, if there was one.
        plan: formats to write, and their options.
        loader: loader of the run's images.
        indices: positions of the images in each split.
        predictions: the model's for "test", and for "validation" if a quantised file is searched for, float32 (n, outputs).

    Returns:
        What is kept and what is replaced of the earlier export.

    Examples:
        >>> from app.config import load_config
        >>> from app.config.hyperrule import resolve_export
        >>> from app.interface.events import listening
        >>> from data.sources import open_source
        >>> run = RunFolder.open("runs/fruit")
        >>> plan, model = resolve_export(load_config(run.options | {"formats": ["onnx"]})), load_model(run.model)
        >>> loader = Loader(open_source("images"), ImageTransform(32, "stretch"))
        >>> splits = {"train": np.arange(4), "test": np.array([8, 16])}
        >>> with listening([].append, alone=True):  # prints nothing
        ...     predictions = make_predict_function(model, loader, batch_size=8)(splits["test"])
        ...     kept = write_exports(model, run, plan, loader, splits, {"test": predictions})
        >>> [path.name for path in run.export.glob("*.onnx")]
        ['model.onnx']
        >>> with listening([].append, alone=True):
        ...     kept = write_exports(model, run, plan, loader, splits, {"test": predictions[::-1]})  # not the model's
        >>> [path.name for path in run.export.glob("*.onnx")]
        ['model_FAILED.onnx']
    """
    kept = find_kept(run, plan.formats, searched=plan.quantize == "auto")
    with new_export(run, partial(write_guide, run)) as folder, _full_disk_named(folder):
        sets = _EvaluationSets(model, run, loader, indices, predictions)
        context = ExportContext(
            with_predictions(model),
            description=_describe(run, plan, model.input_shape[1]),
            calibration=sets.calibration,
            scaling=sets.scaling,
        )
        for name, text in context.description.files.items():
            write_text(folder / name, text)
        test = sets.of_split("test")
        search = None
        if plan.quantize == "auto":
            search = quantize_automatically(
                context,
                folder,
                sets.of_split("validation"),
                test,
                max_drop=plan.max_drop,
                more=sets.more,
            )
        verifications = _write_and_prove(context, folder, plan, test, sets.more, search)
        for verification in verifications.values():
            if not verification.passed:
                _name_as_failed(folder, verification)
        write_golden(
            folder / "golden",
            test,
            {one.figures["file"]: one for one in verifications.values()},
        )
        write_json(folder / "parity.json", _parity(plan, test, verifications, search, kept))
    return kept


def export_again(
    run: RunFolder, plan: ExportPlan, examples: Examples, indices: Mapping[str, np.ndarray], batch_size: int
) -> Kept:
    """Export the model of a finished run again; see `write_exports`.

    Args:
        run: run of the model.
        plan: formats to write, and their options.
        examples: examples of the run.
        indices: positions of the images in each split.
        batch_size: images per batch of predictions.

    Examples:
        >>> from app.config import load_config
        >>> from app.config.hyperrule import resolve_export
        >>> from app.interface.events import listening
        >>> from app.job.splits import open_examples
        >>> from data.splits import split_indices
        >>> run = RunFolder.open("runs/fruit")
        >>> plan = resolve_export(load_config(run.options | {"formats": ["onnx"]}))
        >>> with listening([].append, alone=True):  # prints nothing
        ...     examples, splits = open_examples(run, source="images")
        ...     kept = export_again(run, plan, examples, split_indices(splits), batch_size=8)
        >>> list(kept.formats)
        ['tflite_float32']
        >>> run.parity["formats"]["onnx"]["passed"]
        True
    """
    with status("loading the model"):
        model = load_model(run.model)
    loader = Loader(examples, ImageTransform(model.input_shape[1], plan.resize))
    loader.keep(export_members(indices))
    predict = make_predict_function(model, loader, batch_size)
    splits = ("validation", "test") if plan.quantize == "auto" else ("test",)
    return write_exports(model, run, plan, loader, indices, {split: predict(indices[split]) for split in splits})


class _EvaluationSets:
    """The evaluation sets of an export, and statistics of the whole data set."""

    def __init__(
        self,
        model: keras.Model,
        run: RunFolder,
        loader: Loader,
        indices: Mapping[str, np.ndarray],
        predictions: Mapping[str, np.ndarray],
    ) -> None:
        self.model, self.run, self.loader = model, run, loader
        self.indices, self.predictions = indices, predictions

    @cached_property
    def scaling(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Standard deviation and mean of the numbers in training, each (numbers,); None for classes."""
        examples = self.loader.examples
        return TASKS[examples.task].scaling(examples.labels.array[self.indices["train"]])

    def of_split(self, split: str) -> EvaluationSet:
        """Return all images of a split."""
        return self._set(self.indices[split], self.predictions[split])

    def more(self) -> EvaluationSet:
        """Return training and validation images, which decide where the test images are too few."""
        return self._more

    @cached_property
    def _more(self) -> EvaluationSet:
        chosen, forward = more_members(self.indices), forward_pass(with_predictions(self.model))
        batches = batches_of(load_ahead(self.loader, chosen), _BATCH)
        return self._set(chosen, np.concatenate([forward(pixels.astype(np.float32)).numpy() for pixels in batches]))

    def calibration(self) -> np.ndarray:
        """Return training images, uint8 (n, size, size, 3)."""
        return np.stack(list(load_ahead(self.loader, calibration_members(self.indices))))

    def _set(self, members: np.ndarray, reference: np.ndarray) -> EvaluationSet:
        spread = None if self.scaling is None else self.scaling[0]
        return EvaluationSet(self.loader, members, reference, thresholds=self.run.thresholds, spread=spread)


def _describe(run: RunFolder, plan: ExportPlan, image_size: int) -> Description:
    spec = find_backbone(plan.backbone)
    names = run.class_names
    return Description(
        name=run.path.resolve().name,
        text=f"{TASKS[plan.task].purpose(names)}, by {spec.name} at {image_size} pixels. Made with Graft.",
        task=plan.task,
        resize=plan.resize,
        background=plan.background,
        levels=plan.levels,
        thresholds=run.thresholds,
        version=plan.model_version,
        author=plan.author,
        licence=spec.licence,
        class_names=names,
        locales=read_locales(plan.locales, len(names)),
        score_threshold=plan.score_threshold,
    )


def _write_and_prove(
    context: ExportContext,
    folder: Path,
    plan: ExportPlan,
    test: EvaluationSet,
    more: Callable[[], EvaluationSet],
    search: Search | None,
) -> dict[str, Verification]:
    """Write and verify every requested format; the file that the search kept is there already and comes last."""
    found = {} if search is None or search.verification is None else {search.name: search.verification}
    verifications: dict[str, Verification] = {}
    for name in plan.formats:
        if name in found:
            continue
        export = FORMATS[name]
        with status(f"exporting {export.file}"):
            export.write(context, folder / export.file)
        verifications[name] = verify(
            folder / export.file, export, test, max_drop=plan.max_drop, more=more, golden=test.golden
        )
        if export.tolerance is None and not verifications[name].passed:
            verifications[name].figures["layers"] = worst_layers(context)
    return verifications | found


def _name_as_failed(folder: Path, verification: Verification) -> None:
    """Rename a failed file, so that nobody ships it unnoticed."""
    file = folder / verification.figures["file"]
    verification.figures["file"] = failed_name(file.name)
    file.rename(folder / verification.figures["file"])


def _parity(
    plan: ExportPlan, test: EvaluationSet, verifications: dict[str, Verification], search: Search | None, kept: Kept
) -> dict[str, Any]:
    steps = [] if search is None else search.steps
    found = kept.quantization if search is None else {"kept": search.name, "steps": steps, "layers": search.layers}
    formats = kept.formats | {name: verification.figures for name, verification in verifications.items()}
    return {
        "pictures": len(test),
        "passed": all(one["passed"] for one in formats.values()),
        "max_drop": plan.max_drop,
        "seconds": sum(one["seconds"] for one in (*formats.values(), *steps)),
        "formats": formats,
        "quantization": found,
    }


@contextmanager
def _full_disk_named(folder: Path) -> Iterator[None]:
    """Turn TensorFlow's own errors for a full disk into Python's."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        if "No space left on device" not in str(error):
            raise
        raise OSError(errno.ENOSPC, "No space left on device", str(folder.parent)) from error
