"""The options of the other verbs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from tyro.conf import Positional

from app.config.shared import (
    CACHE_ACTIONS,
    LISTS,
    MAX_IMAGE_SIZE,
    MAX_SECONDS,
    MAX_THREADS,
    SOURCE_HELP,
    Background,
    CacheFolder,
    Columns,
    ImageFolder,
    ImageSuffix,
    LabelPattern,
    LabelSeparator,
    Levels,
    Options,
    Task,
    Test,
    Uncertain,
    Validation,
    check_choice,
    check_exports,
    check_positive,
    nearest,
    option,
    require,
    source_options,
)
from app.exporting.formats import FORMATS
from app.training.engines import CHOICES
from data.decoding import RESIZES
from data.labels import LABELS
from data.preparing import Preparation
from data.sources.options import SourceOptions
from models.backbones import HUB_PREFIX, find_backbone

_AS_BEFORE = "as in the run's last export"


@dataclass(frozen=True)
class EvaluateConfig(Options):
    """Test a run's model again, or on other labelled images."""

    examples: ClassVar = {
        "on its own test split": "runs/my_images",
        "on other images of the same classes": "runs/my_images other_images",
    }

    run: Annotated[Positional[str], option("folder of a finished run", metavar="RUN")]
    source: Annotated[
        Positional[str | None], option("other pictures of the same classes, all of them used", metavar="[OTHER_SOURCE]")
    ] = None
    columns: Columns = ()
    label_separator: LabelSeparator = None
    label_pattern: LabelPattern = None
    image_folder: ImageFolder = None
    image_suffix: ImageSuffix = None
    uncertain: Uncertain = None
    batch_size: Annotated[int, option("pictures a step")] = 32
    skip_unreadable: Annotated[bool, option("leave out pictures that cannot be read instead of stopping")] = False
    background: Background = None
    levels: Levels = None

    @property
    def source_options(self) -> SourceOptions:
        """How the other source is to be read, as far as it differs from the run's."""
        return source_options(self)

    def check(self) -> None:
        """Raise `UsageError` or `DataError` for what cannot be carried out."""
        given = self.source_options  # raises what is wrong with them
        require(
            self.source is not None or given == SourceOptions(skip_unreadable=self.skip_unreadable),
            "options about a source say how OTHER_SOURCE is read; name it, or leave them out",
        )
        check_positive("batch_size", self.batch_size)
        Preparation.parse(self.background, self.levels)


@dataclass(frozen=True)
class PredictConfig(Options):
    """Say what is on images."""

    groups: ClassVar = {"model": "labels"}
    examples: ClassVar = {
        "one image": "runs/my_images new.jpg",
        "a folder of them, by an exported file": "runs/my_images/export/model_float32.tflite a_folder --json",
        "a table of them, by a file from elsewhere": "other.tflite a_folder --output answers.csv",
    }

    model: Annotated[
        Positional[str],
        option("a run folder, a .keras, .tflite or .onnx file, or SavedModel folder", metavar="MODEL"),
    ]
    paths: Annotated[Positional[tuple[str, ...]], option("image files, or folders of them", metavar="PATH...")]
    top: Annotated[int, option("how many classes to name for each picture")] = 1
    json: Annotated[bool, option("print JSON, one object a picture, with every class's probability")] = False
    output: Annotated[
        str | None, option("write the answers as a table, with path, label and probability", metavar="FILE.csv")
    ] = None
    all_probabilities: Annotated[bool, option("give that table a column for each class's probability, too")] = False
    locale: Annotated[
        str | None, option("language of the class names, where the model has several: de, en-GB", metavar="LOCALE")
    ] = None
    batch_size: Annotated[int, option("pictures a step")] = 32
    skip_unreadable: Annotated[bool, option("leave out pictures that cannot be read instead of stopping")] = False

    labels: Annotated[
        str | None, option("the class names: one a line, in the order of the model's values", metavar="FILE.txt")
    ] = None
    task: Annotated[
        str | None, option("what the model's values are", tuple(LABELS), metavar="TASK", default="by the file")
    ] = None
    resize: Annotated[
        str | None,
        option("how pictures become square", RESIZES, metavar="STR", default="as the run did, else stretch"),
    ] = None
    image_size: Annotated[
        int | None, option("side of the images in pixels, for a model that takes them in any size", metavar="INT")
    ] = None
    mean: Annotated[
        tuple[float, ...],
        option(
            "what to subtract from pixels of 0 to 255, one number or one for red, green and blue", metavar="FLOAT..."
        ),
    ] = ()
    std: Annotated[tuple[float, ...], option("what to divide them by after that", metavar="FLOAT...")] = ()
    background: Background = None
    levels: Levels = None

    def check(self) -> None:
        """Raise `UsageError` for what cannot be carried out."""
        require(bool(self.paths), "name at least one picture or folder to predict")
        check_positive("top", self.top)
        check_positive("batch_size", self.batch_size)
        Preparation.parse(self.background, self.levels)
        check_positive("image_size", self.image_size, most=MAX_IMAGE_SIZE)
        for name, value, table in (("resize", self.resize, RESIZES), ("task", self.task, LABELS)):
            if value is not None:
                check_choice(name, value, table)
        require(self.output is None or self.output.endswith(".csv"), f"--output must be a .csv file, not {self.output}")
        require(
            not self.all_probabilities or self.output is not None,
            "--all-probabilities is about the table that --output writes; give both",
        )
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            given = " ".join(map(str, numbers))
            require(len(numbers) in (0, 1, 3), f"--{name} takes one number or three, not {given}")
            require(all(map(math.isfinite, numbers)), f"--{name} takes numbers, not {given}")
        require(all(one > 0 for one in self.std), f"--std must be above 0, not {' '.join(map(str, self.std))}")


@dataclass(frozen=True)
class ExportConfig(Options):
    """Export a run's model to more formats, and check the files."""

    groups: ClassVar = {"metadata": "author"}
    examples: ClassVar = {
        "other formats, beside those that are there": "runs/my_images --formats tflite_int8 onnx",
        "all files again, with class names in German": "runs/my_images --locales de=labels_de.txt",
    }

    run: Annotated[Positional[str], option("folder of a finished run", metavar="RUN")]
    formats: Annotated[
        tuple[str, ...] | None,
        option("what to add or to write again", FORMATS, metavar="FORMAT...", default="all formats of the run"),
    ] = None
    quantize: Annotated[
        str | None,
        option(
            "auto: also the smallest and fastest quantised file that passes its proof; none: no search for it",
            metavar="auto|none",
            default="as in the run, or none with --formats",
        ),
    ] = None
    max_drop: Annotated[
        float | None,
        option("most accuracy that a quantised file, or a phone's client, may lose, in points", default=_AS_BEFORE),
    ] = None
    source: Annotated[str | None, option("where the run's pictures are now, if they were moved", metavar="SOURCE")] = (
        None
    )

    author: Annotated[str | None, option("who made the model", default=_AS_BEFORE)] = None
    model_version: Annotated[str | None, option("version of the model", default=_AS_BEFORE)] = None
    score_threshold: Annotated[
        float | None, option("probability below which clients leave a class out of their answer", default=_AS_BEFORE)
    ] = None
    locales: Annotated[
        tuple[str, ...] | None,
        option(
            "class names in other languages: de=labels_de.txt, one name a line, in label order",
            metavar="LOCALE=FILE...",
            default=_AS_BEFORE,
        ),
    ] = None

    def check(self) -> None:
        """Raise `UsageError` for what cannot be carried out."""
        require(
            self.formats != (), f"--formats needs a name: {', '.join(FORMATS)}; without it, all files are written again"
        )
        check_exports(self)


@dataclass(frozen=True)
class AuditConfig(Options):
    """Find what is wrong with labelled images before you train."""

    groups: ClassVar = {"data": "task", "network": "backbone", "cache": "engine"}
    examples: ClassVar = {
        "a report to look at": "my_images --output audit",
        "a list without what was found, to train on": "my_images --fix clean.csv --drop-suspects",
        "images without labels": "a_folder --unlabelled --no-labels",
    }

    source: Annotated[Positional[str], option(SOURCE_HELP, metavar="SOURCE")]
    output: Annotated[
        str | None, option("folder for audit.html, with the worst examples, and audit.json", metavar="FOLDER")
    ] = None
    fix: Annotated[
        str | None,
        option("write a list without unreadable, repeated and contradictory pictures, to train on", metavar="FILE.csv"),
    ] = None
    drop_suspects: Annotated[bool, option("leave pictures with suspected labels out of that list, too")] = False
    json: Annotated[bool, option("print the findings as JSON instead of the table")] = False
    unlabelled: Annotated[
        bool,
        option(
            "look at all images of a folder, whatever the folders in it are; a folder of images alone needs no option"
        ),
    ] = False
    labels: Annotated[
        bool, option("also look for wrong labels and outliers, for which every picture goes through a network once")
    ] = True

    task: Task = None
    columns: Columns = ()
    label_separator: LabelSeparator = None
    label_pattern: LabelPattern = None
    image_folder: ImageFolder = None
    image_suffix: ImageSuffix = None
    uncertain: Uncertain = None
    validation: Validation = None
    test: Test = None
    background: Background = None
    levels: Levels = None

    backbone: Annotated[
        str, option(f"pretrained network: a name from 'list backbones', or {HUB_PREFIX}HANDLE of TF Hub")
    ] = "efficientnet_lite0"
    weights: Annotated[
        str | None,
        option(
            "imagenet, none, or a local .weights.h5, .h5 or .keras file (default: the backbone's pretrained ones)",
            metavar="NAME|FILE",
        ),
    ] = None
    image_size: Annotated[
        int | None, option("side of the pictures in pixels (default: the backbone's own)", metavar="INT")
    ] = None
    resize: Annotated[str, option("how pictures become square", RESIZES)] = "stretch"
    engine: Annotated[
        str, option("what runs the network; auto: the fastest installed one that answers like TensorFlow", CHOICES)
    ] = "auto"
    cache_folder: CacheFolder = None
    cache_limit: Annotated[float, option("largest size of the cache of activations, in GB; 0: no cache")] = 20

    @property
    def source_options(self) -> SourceOptions:
        """How the source is to be read; what is not there is reported, and no error."""
        return replace(source_options(self), skip_unreadable=True)

    def check(self) -> None:
        """Raise `UsageError` or `ModelError` for what cannot be carried out."""
        source_options(self)  # raises what is wrong with them
        Preparation.parse(self.background, self.levels)
        require(self.fix is None or self.fix.endswith(".csv"), f"--fix must be a .csv file, not {self.fix}")
        require(
            not self.drop_suspects or self.fix is not None,
            "--drop-suspects is about the list that --fix writes; give both",
        )
        require(
            not self.drop_suspects or self.labels,
            "--drop-suspects needs the look at labels that --no-labels leaves out; drop one of them",
        )
        check_choice("resize", self.resize, RESIZES)
        check_choice("engine", self.engine, CHOICES)
        check_positive("image_size", self.image_size, most=MAX_IMAGE_SIZE)
        require(0 <= self.cache_limit < math.inf, f"--cache-limit must be a number from 0 up, not {self.cache_limit}")
        if not self.backbone.startswith(HUB_PREFIX):
            spec = find_backbone(self.backbone)
            spec.check(image_size=self.image_size or spec.image_size, weights=spec.resolve_weights(self.weights))


@dataclass(frozen=True)
class BenchmarkConfig(Options):
    """Measure the speed and memory of model files on this machine."""

    examples: ClassVar = {
        "every file of a run, side by side": "runs/my_images",
        "one file, with one thread": "model.tflite --threads 1",
    }

    files: Annotated[
        Positional[tuple[str, ...]],
        option(
            ".tflite, .keras or .onnx files, SavedModel folders, or run folders, which stand for their model.keras and all "
            "of their exported files",
            metavar="FILE...",
        ),
    ]
    threads: Annotated[
        tuple[int, ...], option("numbers of threads, each of them a row in the table", metavar="INT...")
    ] = (1, 2, 4)
    seconds: Annotated[float, option("measured time of each row, after a warm-up; ten pictures in any case")] = 3.0
    image_size: Annotated[
        int | None, option("side of the images in pixels, for a model that takes them in any size", metavar="INT")
    ] = None
    output: Annotated[
        str | None,
        option(
            "where to write the figures as JSON (default: benchmark.json in the run, if the first FILE is one and --json is "
            "not given)",
            metavar="FILE.json",
        ),
    ] = None
    json: Annotated[bool, option("print the figures as JSON instead of the table")] = False

    def check(self) -> None:
        """Raise `UsageError` for what cannot be carried out."""
        require(bool(self.files), "name at least one model file or run folder to measure")
        require(bool(self.threads), "--threads needs at least one number")
        for number in self.threads:
            check_positive("threads", number, most=MAX_THREADS)
        check_positive("seconds", self.seconds, most=MAX_SECONDS)
        check_positive("image_size", self.image_size, most=MAX_IMAGE_SIZE)
        require(
            self.output is None or self.output.endswith(".json"), f"--output must be a .json file, not {self.output}"
        )


@dataclass(frozen=True)
class ListConfig(Options):
    """Show what there is to choose from."""

    examples: ClassVar = {
        "pretrained networks": "backbones",
        "what a SOURCE can be": "sources",
    }

    what: Annotated[Positional[str], option("which list", LISTS, metavar="[LIST]")] = "backbones"

    def check(self) -> None:
        """Raise `UsageError` for what cannot be carried out."""
        require(self.what in LISTS, f"there is no list {self.what!r}. {nearest(self.what, LISTS)}")


@dataclass(frozen=True)
class CacheConfig(Options):
    """Show or empty the cache that makes a second run start at once."""

    examples: ClassVar = {
        "how large it is": "",
        "make room": "clear",
    }

    action: Annotated[Positional[str], option("what to do", CACHE_ACTIONS, metavar="[ACTION]")] = "show"
    cache_folder: CacheFolder = None

    def check(self) -> None:
        """Raise `UsageError` for what cannot be carried out."""
        near = nearest(self.action, CACHE_ACTIONS)
        require(self.action in CACHE_ACTIONS, f"the cache cannot {self.action!r}. {near}")
