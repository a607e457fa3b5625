"""The page about an audit: one HTML file with embedded thumbnails of the worst examples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.interface.sources import CheckedSource
from app.runs.thumbnails import thumbnails
from data.auditing.checks import class_counts
from data.auditing.findings import Finding

_TEMPLATES = Path(__file__).parent / "templates"
_EXAMPLES = 12  # per finding
_IMAGES = 4  # per example
_SIZE = 144  # pixels


def render_page(reading: CheckedSource, findings: Sequence[Finding], not_looked_at: Sequence[str]) -> str:
    """Render the page as HTML.

    Args:
        reading: reading of the source.
        findings: what was found.
        not_looked_at: what was left out, and why.

    Examples:
        >>> from app.interface.events import listening
        >>> from app.interface.sources import read_source
        >>> with listening([].append, alone=True):  # prints nothing
        ...     reading = read_source("images")
        >>> page = render_page(reading, [], [])
        >>> "images" in page
        True
        >>> page.lower().startswith("<!doctype html>")
        True
    """
    shown = {key for finding in findings for case in finding.cases[:_EXAMPLES] for key in case.keys[:_IMAGES]}
    environment = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("audit.html.jinja").render(
        examples=reading.examples,
        findings=findings,
        not_looked_at=not_looked_at,
        counts=class_counts(reading.audit_data.examples.labels),
        readable=len(reading.audit_data.examples),
        thumbnails=thumbnails(reading.audit_data.examples, shown, _SIZE),
        most_examples=_EXAMPLES,
        most_images=_IMAGES,
    )
