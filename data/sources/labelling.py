"""Make `data.labels` from labels as a source has them, in text or in JSON."""

from __future__ import annotations

from collections.abc import Sequence

from data.labels import LABELS, UNKNOWN, Labelling
from data.labels.cells import cleaned
from data.labels.inference import infer
from data.labels.written import Cells, Place, Written
from data.sources.options import UNCERTAIN, SourceOptions

_UNCERTAIN = dict(zip(UNCERTAIN, (0.0, 1.0, UNKNOWN), strict=True))


def label_examples(
    columns: Sequence[str],
    cells: Sequence[Cells],
    place: Place,
    options: SourceOptions,
    *,
    comma_separates: bool = True,
) -> Labelling:
    """Make labels from cells. Their kind is inferred from the cells unless the options give it.

    Args:
        columns: names of the label columns.
        cells: one sequence per column with one cell per image.
        place: returns where the label of an image is written, for errors.
        options: `task`, `label_separator`, `uncertain` and `skip_unreadable` are used.
        comma_separates: whether a comma in a cell may separate labels, and not only be a decimal comma.

    Raises:
        DataError: a label is missing and must not be skipped, a label does not fit the task, the task does not fit the
            columns, or labels can be read in two ways.

    Examples:
        >>> labelling = label_examples(["label"], [["cat", "dog", "cat"]], str, SourceOptions())
        >>> labelling.reading, labelling.labels.array.tolist()
        ('one of 2 classes each', [0, 1, 0])
        >>> label_examples(["width"], [["1.5", "2"]], str, SourceOptions(task="regression")).labels.array.tolist()
        [[1.5], [2.0]]
    """
    written = Written(
        columns,
        [cleaned(column) for column in cells],
        place,
        separator=options.label_separator,
        comma_separates=comma_separates,
        uncertain=None if options.uncertain is None else _UNCERTAIN[options.uncertain],
        skip_missing=options.skip_unreadable,
    )
    if options.task is not None:
        return LABELS[options.task].read(written)
    kind, written = infer(written)
    return kind.read(written)
