"""Find problems in labelled images before anything is trained, and say what to do."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.auditing.labels import LABEL_CHECKS, LabelAudit
from app.auditing.out_of_fold import cross_validate
from app.auditing.report import render_page
from app.config import AuditConfig, make_config
from app.config.signatures import with_options
from app.interface.console import aside, console, redirect_output
from app.interface.errors import UsageError
from app.interface.events import print_path, print_table, print_text
from app.interface.output import output_folder
from app.interface.sources import CheckedSource, read_source
from app.interface.stages import status
from app.interface.tensorflow_loading import load_tensorflow
from app.runs.display import THUMBNAIL, render
from app.runs.thumbnails import thumbnails
from data.auditing.checks import CHECKS
from data.auditing.cleaning import worth_keeping, write_list
from data.auditing.findings import Finding, find_all
from data.cache.activations import CacheFull
from data.cache.cache import Cache
from data.cache.shards import MissingRows
from data.checking import lost_classes
from data.errors import DataError
from data.files import write_json, write_text
from models.lazy import LazyModule

if TYPE_CHECKING:
    from app.auditing import features
else:
    features = LazyModule("app.auditing.features")

_MOST_EXAMPLES = 3  # of a finding, in a notebook
_MOST_IMAGES = 2  # of an example
_TOO_FEW = "labels were not looked at: there are too few images, or classes, to tell"
_NO_LABELS = "labels were not looked at: there are none"


@dataclass(frozen=True, repr=False)
class Audit:
    """Result of an audit.

    Attributes:
        reading: the images, and the statistics of each.
        findings: checks that found something.
        not_looked_at: what was left out, and why, a sentence each.
        label_quality: how well the label of each readable image fits, from 0 to 1, float (n,), NaN if it was not evaluated;
            None if labels were not evaluated.
        suspects: positions of the readable images whose label is probably wrong, the most suspicious first: int (n,).
    """

    reading: CheckedSource
    findings: tuple[Finding, ...]
    not_looked_at: tuple[str, ...]
    label_quality: np.ndarray | None
    suspects: np.ndarray

    def __repr__(self) -> str:
        examples = self.reading.examples
        found = ", ".join(f"{finding.count:,} {finding.title}" for finding in self.findings) or "nothing found"
        return f"Audit({examples.source!r}, {len(examples):,} images: {found})"

    def _repr_html_(self) -> str:
        cases = [(one.name, case) for one in self.findings for case in one.cases[:_MOST_EXAMPLES]]
        keys = {key for _, case in cases for key in case.keys[:_MOST_IMAGES]}
        return render(
            "audit",
            examples=self.reading.examples,
            audit=self,
            thumbnails=thumbnails(self.reading.audit_data.examples, keys, THUMBNAIL),
            most_examples=_MOST_EXAMPLES,
            most_images=_MOST_IMAGES,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the content of `audit.json`."""
        examples = self.reading.examples
        return {
            "source": examples.source,
            "sha256": self.reading.sha256,
            "task": examples.task if examples.class_names else None,
            "classes": list(examples.class_names),
            "pictures": len(examples),
            "findings": [
                {
                    "name": finding.name,
                    "title": finding.title,
                    "severity": finding.severity,
                    "count": finding.count,
                    "advice": finding.advice,
                    "examples": [{"pictures": list(case.keys), "note": case.note} for case in finding.cases],
                }
                for finding in self.findings
            ],
            "not_looked_at": list(self.not_looked_at),
        }


@with_options(AuditConfig)
def audit(source: str | Path, **options: Any) -> Audit:
    """Look for problems that would ruin a training run on labelled images; the images are only read.

    Args:
        source: a SOURCE string.
        **options: the fields of `app.config.AuditConfig`.

    Returns:
        The findings.

    Raises:
        UsageError, DataError, ModelError: the source does not exist, none of its images can be read, or an output cannot be
            written.

    Examples:
        >>> from app.interface.events import listening
        >>> with listening([].append, alone=True):  # prints nothing
        ...     found = audit("images", labels=False)
        >>> found
        Audit('images', 24 images: 3 classes with fewer than 20 images, 8 dark images, 24 images of less than 32 pixels)
        >>> audit("no_such_folder")
        Traceback (most recent call last):
        data.errors.DataError: there is no folder no_such_folder. Check the path
    """
    config = make_config(AuditConfig, source=source, **options)
    _check_outputs(config)
    with aside(config.json):  # standard output holds only the JSON
        audit = _look(config)
        if config.output is not None:
            _write_report(audit, output_folder(config.output))
        if not (config.json or console.in_notebook):  # a notebook displays the result
            _say(audit)
    if config.json:
        print(json.dumps(audit.as_json(), indent=2, ensure_ascii=False))
    with aside(config.json):
        if config.fix is not None:  # last, since it may raise when there is nothing to write
            _write_list(audit, Path(config.fix).expanduser(), config)
    return audit


def _check_outputs(config: AuditConfig) -> None:
    if config.output is not None:
        output_folder(config.output)
    if config.fix is None:
        return
    fix = Path(config.fix).expanduser()
    if fix.is_dir() or not fix.parent.is_dir():
        reason = "it is a folder" if fix.is_dir() else f"there is no folder {fix.parent}"
        raise UsageError(f"cannot write {fix}: {reason}; choose another --fix")
    if fix.exists() and os.path.exists(config.source) and fix.samefile(os.path.expanduser(config.source)):
        raise UsageError(f"--fix would overwrite {config.source}, which it is made from; choose another name")


def _look(config: AuditConfig) -> Audit:
    reading = read_source(
        config.source,
        config.source_options,
        preparation=config.preparation,
        unlabelled=config.unlabelled,
    )
    with status("looking at files and pixels"):
        findings = find_all(CHECKS, reading.audit_data)
    if not config.labels:
        reasons = () if reading.examples.class_names else (_NO_LABELS,)
        return Audit(reading, tuple(findings), reasons, None, np.zeros(0, np.int64))
    with redirect_output(Path(os.devnull)):
        load_tensorflow()
        examples = reading.audit_data.examples
        try:
            extracted = features.extract_features(
                examples,
                Cache(config.cache_folder).activations(config.cache_limit),
                backbone=config.backbone,
                weights=config.weights,
                image_size=config.image_size,
                resize=config.resize,
                engine=config.engine,
            )
        except (CacheFull, MissingRows) as error:
            reason = f"labels and outliers were not looked at, which needs room in the cache: {error}"
            return Audit(reading, tuple(findings), (reason,), None, np.zeros(0, np.int64))
        evaluated = LabelAudit(examples, extracted, cross_validate(examples, extracted))
        with status("looking at labels"):
            findings += find_all(LABEL_CHECKS, evaluated)
        return Audit(reading, tuple(findings), _not_evaluated(evaluated), evaluated.quality, evaluated.suspects)


def _not_evaluated(evaluated: LabelAudit) -> tuple[str, ...]:
    """Return which labels were not evaluated, and why, a sentence each."""
    if evaluated.out_of_fold is None:
        return (_TOO_FEW if evaluated.examples.class_names else _NO_LABELS,)
    count = int(evaluated.told_by_turning.sum())
    if not count:
        return ()
    return (f"{count:,} labels were not looked at: turning or mirroring tells them apart, which a network hardly sees",)


def _write_report(audit: Audit, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "audit.json", audit.as_json())
    with status("writing the report"):
        write_text(folder / "audit.html", render_page(audit.reading, audit.findings, audit.not_looked_at))
    print_path("report", folder / "audit.html")


def _write_list(audit: Audit, file: Path, config: AuditConfig) -> None:
    examples = audit.reading.audit_data.examples
    suspects = audit.suspects.tolist() if config.drop_suspects else []
    duplicates = audit.reading.audit_data.duplicates
    kept = worth_keeping(examples, duplicates.shown, suspects, duplicates.upright)
    lost = lost_classes(examples, kept.tolist())
    left = len(examples.labels.classes) - len(lost)
    reason = "each image of it has another label elsewhere" + (", or is a suspect" if suspects else "")
    if not len(kept) or (lost and left < 2):
        what = f"class {lost[0]!r}" if lost else audit.reading.examples.source
        raise DataError(
            f"{file} is not written, since nothing of {what} would be left in it: {reason}; decide which of the labels "
            "above are right first"
        )
    if lost:
        print_text(f"No image of class {', '.join(map(repr, lost))} is in the list: {reason}.")
    others = {split: source for split in ("validation", "test") if (source := getattr(config, split)) is not None}
    write_text(file, write_list(examples, kept, file.parent, others))
    print_path("list", f"{file}: {len(kept):,} of {len(audit.reading.examples):,} images")
    if examples.labels.needs_columns:
        uncertain = " --uncertain unknown" if examples.labels.classes else ""
        print_text(f"Read it with --columns label={','.join(examples.class_names)}{uncertain}.")


def _say(audit: Audit) -> None:
    if audit.findings:
        rows = [
            (finding.title, finding.severity, f"{finding.count:,}", _worst(finding), finding.advice)
            for finding in audit.findings
        ]
        print_table("", ("found", "", "count", "the first", "what to do"), rows)
    else:
        print_text("Nothing was found that would ruin a run.")
    for reason in audit.not_looked_at:
        print_text(f"{reason[0].upper()}{reason[1:]}.")


def _worst(finding: Finding) -> str:
    case = finding.cases[0]
    shown = ", ".join(case.keys[:2]) + (", …" if len(case.keys) > 2 else "")
    return f"{shown}: {case.note}" if shown and not case.note.startswith("class ") else case.note
