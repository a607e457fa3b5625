"""From labels as a source has them, in text or in JSON, to `data.labels`."""

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
    """Make labels out of cells. Their kind is inferred from the cells where the options do not say it.

    Args:
        columns: names of the label columns.
        cells: one sequence a column, each with one cell an image.
        place: for errors.
        options: `task`, `label_separator`, `uncertain` and `skip_unreadable` are used.
        comma_separates: a comma in a cell may separate labels, since it need not be that of a decimal number.

    Raises:
        DataError: a missing label that is not to be skipped, one that does not fit the task, a task that does not fit the
            columns, or labels that can be read in two ways.
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
