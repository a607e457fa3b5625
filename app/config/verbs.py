"""All options of each verb: its own, and those of its groups."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from app.config.export import AccuracyGroup, ExportGroup, MetadataGroup
from app.config.model import BackboneGroup, InputGroup, SizeGroup
from app.config.run import RunOptions
from app.config.shared import VerbOptions, check_choice, check_positive, check_suffix, nearest, option, require
from app.config.source import SOURCE, ImageGroup, ListGroup, SourceGroup, UnreadableGroup
from app.config.storage import CacheFolderGroup, CacheGroup
from app.config.training import BatchGroup
from app.exporting.formats import DEFAULT_FORMATS, FORMATS
from data.labels import LABELS
from data.sources.options import SourceOptions

MAX_THREADS = 256
MAX_SECONDS = 3600
CACHE_ACTIONS = ("show", "clear")
LISTS = ("tasks", "backbones", "heads", "strategies", "sources", "formats", "engines")
_AS_TRAINED = {"background": "as in training", "levels": "as in training"}
_OWN_SIZE = {"image_size": "the model's own; give it where a model takes any"}


@dataclass(frozen=True, kw_only=True)
class TrainConfig(VerbOptions, RunOptions):
    """Options of `train`."""

    # The options that a newcomer needs: the run's folder, the kind of labels, the network and its input size, settings for
    # images that are not photographs, and the exported files.
    common: ClassVar = (
        *("output", "resume", "task", "columns", "backbone", "image_size"),
        *("augment", "flip", "unfreeze_blocks", "formats"),
    )
    defaults: ClassVar = {
        "resize": "stretch",
        "formats": " ".join(DEFAULT_FORMATS),
        "quantize": "auto, or none with --formats",
        "locales": "",
    }
    examples: ClassVar = {
        "a folder for each class, in one folder; the run goes to runs/my_images": "my_images",
        "a list of images unlike photographs": "scans.csv --columns label=kind --no-flip --unfreeze-blocks 4",
        "go on after Ctrl-C, a crash or a power cut": "--resume runs/my_images",
    }

    source: Annotated[str | None, replace(SOURCE, metavar="[SOURCE]")] = None
    output: Annotated[
        str | None,
        option("folder of the run, new or empty", metavar="FOLDER", default="runs/, named after the source"),
    ] = None
    resume: Annotated[str | None, option("continue this interrupted run; takes no other option", metavar="RUN")] = None


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(VerbOptions, ListGroup, UnreadableGroup, BatchGroup):
    """Options of `evaluate`."""

    common: ClassVar = ("columns", "skip_unreadable", "batch_size")
    defaults: ClassVar = _AS_TRAINED
    examples: ClassVar = {
        "on its own test split": "runs/my_images",
        "on other images of the same classes": "runs/my_images other_images",
    }

    run: Annotated[str, option("folder of a finished run", metavar="RUN", positional=True)]
    source: Annotated[
        str | None,
        option("other images of the same classes, all of them used", metavar="[OTHER_SOURCE]", positional=True),
    ] = None

    def check(self) -> None:
        """Raise `UsageError` or `DataError` for invalid options."""
        super().check()
        require(
            self.source is not None or self.source_options == SourceOptions(skip_unreadable=self.skip_unreadable),
            "options about a source say how OTHER_SOURCE is read; name it, or leave them out",
        )


@dataclass(frozen=True, kw_only=True)
class FileGroup(InputGroup):
    """Options of a foreign model file that it may not state itself."""

    labels: Annotated[
        str | None, option("the class names: one a line, in the order of the model's values", metavar="FILE.txt")
    ] = None
    task: Annotated[
        str | None, option("what the model's values are", LABELS, metavar="TASK", default="by the file")
    ] = None
    mean: Annotated[
        tuple[float, ...],
        option(
            "what to subtract from pixels of 0 to 255, one number or one for red, green and blue", metavar="FLOAT..."
        ),
    ] = ()
    std: Annotated[tuple[float, ...], option("what to divide them by after that", metavar="FLOAT...")] = ()

    def check(self) -> None:
        """Raise `UsageError` for invalid options."""
        check_choice("task", self.task, LABELS)
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            given = " ".join(map(str, numbers))
            require(len(numbers) in (0, 1, 3), f"--{name} takes one number or three, not {given}")
            require(all(map(math.isfinite, numbers)), f"--{name} takes numbers, not {given}")
        require(all(one > 0 for one in self.std), f"--std must be above 0, not {' '.join(map(str, self.std))}")
        super().check()


@dataclass(frozen=True, kw_only=True)
class PredictConfig(VerbOptions, UnreadableGroup, FileGroup, BatchGroup):
    """Options of `predict`."""

    common: ClassVar = ("top", "json", "output", "all_probabilities", "locale", "skip_unreadable", "batch_size")
    defaults: ClassVar = {**_AS_TRAINED, **_OWN_SIZE, "resize": "as the run did, else stretch"}
    examples: ClassVar = {
        "one image": "runs/my_images new.jpg",
        "a folder of them, by an exported file": "runs/my_images/export/model_float32.tflite a_folder --json",
        "a table of them, by a file from elsewhere": "other.tflite a_folder --output answers.csv",
    }

    model: Annotated[
        str,
        option("a run folder, a .keras, .tflite or .onnx file, or SavedModel folder", metavar="MODEL", positional=True),
    ]
    paths: Annotated[tuple[str, ...], option("image files, or folders of them", metavar="PATH...", positional=True)]
    top: Annotated[int, option("how many classes to name for each image")] = 1
    json: Annotated[bool, option("print JSON, one object an image, with every class's probability")] = False
    output: Annotated[
        str | None, option("write the predictions as a table, with path, label and probability", metavar="FILE.csv")
    ] = None
    all_probabilities: Annotated[bool, option("give that table a column for each class's probability, too")] = False
    locale: Annotated[
        str | None, option("language of the class names, where the model has several: de, en-GB", metavar="LOCALE")
    ] = None

    def check(self) -> None:
        """Raise `UsageError` for invalid options."""
        require(bool(self.paths), "name at least one image or folder to predict")
        check_positive("top", self.top)
        check_suffix("output", self.output, ".csv")
        require(
            not self.all_probabilities or self.output is not None,
            "--all-probabilities is about the table that --output writes; give both",
        )
        super().check()


@dataclass(frozen=True, kw_only=True)
class VerifyConfig(VerbOptions, ListGroup, UnreadableGroup, FileGroup, BatchGroup, AccuracyGroup):
    """Options of `verify`."""

    common: ClassVar = (
        *("data", "labels", "max_drop", "tolerance", "golden", "output", "json"),
        *("task", "mean", "std", "resize", "image_size"),
    )
    defaults: ClassVar = {**_OWN_SIZE, "resize": "as the model says, else stretch", "task": "by the model"}
    examples: ClassVar = {
        "files from any converter against the model they come from": "model.keras model.tflite --data my_images",
        "a network that takes pixels from -1 to 1": "a.keras a.tflite --data my_images --mean 127.5 --std 127.5",
        "a file against a run, on the run's test images": "runs/my_images other.tflite",
    }

    model: Annotated[
        str,
        option(
            "the original: a .keras, .tflite or .onnx file, a SavedModel folder or a run",
            metavar="MODEL",
            positional=True,
        ),
    ]
    files: Annotated[
        tuple[str, ...],
        option("the files to verify: .tflite, .onnx, .keras or SavedModel folders", metavar="FILE...", positional=True),
    ]
    data: Annotated[
        str | None,
        option(
            "images to compare on, with labels or a folder without any",
            metavar="SOURCE",
            default="the test images, if MODEL is a run",
        ),
    ] = None
    max_drop: float = 0.5
    tolerance: Annotated[
        float | None,
        option(
            "largest difference of a probability from the original's",
            metavar="FLOAT",
            default="0.001, or 0.02 for weights of 16 bits; quantised files are compared by accuracy",
        ),
    ] = None
    golden: Annotated[
        str | None,
        option(
            "new folder for golden vectors: images, input tensors and predictions for an app's tests", metavar="FOLDER"
        ),
    ] = None
    output: Annotated[str | None, option("where to write the figures as JSON", metavar="FILE.json")] = None
    json: Annotated[bool, option("print the figures as JSON instead of the table")] = False

    def check(self) -> None:
        """Raise `UsageError` or `DataError` for invalid options."""
        require(bool(self.files), "name at least one file to verify against the model")
        require(
            self.tolerance is None or 0 < self.tolerance < 1, f"--tolerance is between 0 and 1, not {self.tolerance}"
        )
        check_suffix("output", self.output, ".json")
        super().check()


@dataclass(frozen=True, kw_only=True)
class ExportConfig(VerbOptions, ExportGroup, MetadataGroup, FileGroup):
    """Options of `export`."""

    common: ClassVar = ("formats", "data", "output")
    defaults: ClassVar = {**_OWN_SIZE, "resize": "stretch", "task": "by the data"}
    examples: ClassVar = {
        "other formats, beside those that are there": "runs/my_images --formats tflite_int8 onnx",
        "all files again, with class names in German": "runs/my_images --locales de=labels_de.txt",
        "a Keras model that was trained elsewhere": "model.keras --data my_images --output runs/model",
    }

    run: Annotated[
        str,
        option("folder of a finished run, or a .keras file from elsewhere", metavar="RUN|FILE.keras", positional=True),
    ]
    source: Annotated[str | None, option("where the run's images are now, if they were moved", metavar="SOURCE")] = None
    data: Annotated[
        str | None,
        option(
            "for a .keras file: images of its classes, to calibrate quantised files and verify all", metavar="SOURCE"
        ),
    ] = None
    output: Annotated[
        str | None,
        option(
            "for a .keras file: the new run folder to export to",
            metavar="FOLDER",
            default="runs/, named after the data",
        ),
    ] = None

    def check(self) -> None:
        """Raise `UsageError` for invalid options."""
        require(
            self.formats != (), f"--formats needs a name: {', '.join(FORMATS)}; without it, all files are written again"
        )
        super().check()


@dataclass(frozen=True, kw_only=True)
class AuditConfig(VerbOptions, SourceGroup, ImageGroup, BackboneGroup, CacheGroup):
    """Options of `audit`."""

    common: ClassVar = (
        *("output", "fix", "drop_suspects", "json", "labels", "unlabelled"),
        *("task", "columns", "backbone", "image_size"),
    )
    defaults: ClassVar = {"resize": "stretch"}
    examples: ClassVar = {
        "a report to look at": "my_images --output audit",
        "a list without what was found, to train on": "my_images --fix clean.csv --drop-suspects",
        "images without labels": "a_folder --unlabelled --no-labels",
    }

    source: Annotated[str, SOURCE]
    output: Annotated[
        str | None, option("folder for audit.html, with the worst examples, and audit.json", metavar="FOLDER")
    ] = None
    fix: Annotated[
        str | None,
        option("write a list without unreadable, repeated and contradictory images, to train on", metavar="FILE.csv"),
    ] = None
    drop_suspects: Annotated[bool, option("leave images with suspected labels out of that list, too")] = False
    json: Annotated[bool, option("print the findings as JSON instead of the table")] = False
    unlabelled: Annotated[
        bool,
        option(
            "look at all images of a folder, whatever the folders in it are; a folder of images alone needs no option"
        ),
    ] = False
    labels: Annotated[
        bool, option("also look for wrong labels and outliers, for which every image goes through a network once")
    ] = True

    @property
    def source_options(self) -> SourceOptions:
        """Options for reading the source; missing images are reported instead of raising an error."""
        return replace(super().source_options, skip_unreadable=True)

    def check(self) -> None:
        """Raise `UsageError`, `DataError` or `ModelError` for invalid options."""
        check_suffix("fix", self.fix, ".csv")
        require(
            not self.drop_suspects or self.fix is not None,
            "--drop-suspects is about the list that --fix writes; give both",
        )
        require(
            not self.drop_suspects or self.labels,
            "--drop-suspects needs the look at labels that --no-labels leaves out; drop one of them",
        )
        super().check()


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig(VerbOptions, SizeGroup):
    """Options of `benchmark`."""

    common: ClassVar = ("threads", "seconds", "image_size")
    defaults: ClassVar = _OWN_SIZE
    examples: ClassVar = {
        "every file of a run, side by side": "runs/my_images",
        "one file, with one thread": "model.tflite --threads 1",
    }

    files: Annotated[
        tuple[str, ...],
        option(
            ".tflite, .keras or .onnx files, SavedModel folders, or run folders, which stand for their model.keras and all "
            "of their exported files",
            metavar="FILE...",
            positional=True,
        ),
    ]
    threads: Annotated[
        tuple[int, ...], option("numbers of threads, each of them a row in the table", metavar="INT...")
    ] = (1, 2, 4)
    seconds: Annotated[float, option("measured time of each row, after a warm-up; ten images in any case")] = 3.0
    output: Annotated[
        str | None,
        option(
            "where to write the figures as JSON",
            metavar="FILE.json",
            default="benchmark.json in the run, if the first FILE is one and --json is not given",
        ),
    ] = None
    json: Annotated[bool, option("print the figures as JSON instead of the table")] = False

    def check(self) -> None:
        """Raise `UsageError` for invalid options."""
        require(bool(self.files), "name at least one model file or run folder to measure")
        require(bool(self.threads), "--threads needs at least one number")
        for number in self.threads:
            check_positive("threads", number, most=MAX_THREADS)
        check_positive("seconds", self.seconds, most=MAX_SECONDS)
        check_suffix("output", self.output, ".json")
        super().check()


@dataclass(frozen=True, kw_only=True)
class ListConfig(VerbOptions):
    """Options of `list`."""

    examples: ClassVar = {
        "pretrained networks": "backbones",
        "what a SOURCE can be": "sources",
    }

    what: Annotated[str, option("which list", LISTS, metavar="[LIST]", positional=True)] = "backbones"

    def check(self) -> None:
        """Raise `UsageError` for invalid options."""
        require(self.what in LISTS, f"there is no list {self.what!r}. {nearest(self.what, LISTS)}")
        super().check()


@dataclass(frozen=True, kw_only=True)
class CacheConfig(VerbOptions, CacheFolderGroup):
    """Options of `cache`."""

    common: ClassVar = ("cache_folder",)
    examples: ClassVar = {
        "how large it is": "",
        "make room": "clear",
    }

    action: Annotated[str, option("what to do", CACHE_ACTIONS, metavar="[ACTION]", positional=True)] = "show"

    def check(self) -> None:
        """Raise `UsageError` for invalid options."""
        near = nearest(self.action, CACHE_ACTIONS)
        require(self.action in CACHE_ACTIONS, f"the cache cannot {self.action!r}. {near}")
        super().check()
