"""The table of what an audit finds in files, pixels and labels: one row per kind of finding."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from data.auditing.findings import ERROR, NOTE, WARNING, AuditData, Case, Check
from data.auditing.groups import Conflicts, find_conflicts, larger_first, leaks
from data.auditing.lost import VISIBLE, background_for, deep_ones, levels_for
from data.auditing.shortcuts import shortcuts
from data.examples import SPLITS
from data.labels import Labels
from data.sources.names import spellings

_TINY = 32  # pixels; backbones take 96 or more, and an image that is enlarged so much is blurred
_FEW = 20  # images of a class, three of which are in the test split
_RARE = 0.1  # share of the mean number of images per class; cleanlab's Datalab uses the same limit for imbalance
# The limits of brightness and shape are cleanvision's; its blur score took a third of sharp photographs for blurred.
_DARK, _BRIGHT = 0.32, 0.95
_THIN = 0.35  # shorter side / longer side
_SOFT = 3.5  # levels; photographs had at least 3.9; blurred by 3 % of their longer side, at most 3.8 (measured)
_SHOWN = 8  # images shown per class

# --- Files that cannot be read ------------------------------------------------------------------------------------------


def _faults(audit_data: AuditData, kind: str) -> list[Case]:
    return [Case((one.key,), str(one.fault)) for one in audit_data.faults if _kind(str(one.fault)) == kind]


def _kind(fault: str) -> str:
    """Return the kind of a fault that `data.image.decoding` reports."""
    starts = {"the file is empty": "empty", "truncated": "truncated"}
    return next((kind for start, kind in starts.items() if fault.startswith(start)), "unreadable")


# --- Single images ----------------------------------------------------------------------------------------------------


def _images_where(
    audit_data: AuditData, holds: np.ndarray, worst: np.ndarray, note: Callable[[np.void], str]
) -> list[Case]:
    """Return a case for each image where `holds` is true, those with the smallest `worst` first."""
    members = np.flatnonzero(holds)
    members = members[np.argsort(worst[members], kind="stable")]
    return [Case((audit_data.examples.keys[one],), note(audit_data.statistics[one])) for one in members]


def _animated(audit_data: AuditData) -> list[Case]:
    statistics = audit_data.statistics
    return _images_where(
        audit_data, statistics["animated"], statistics["bytes"], lambda one: f"{_text(one['format'])} of several images"
    )


def _not_rgb(audit_data: AuditData) -> list[Case]:
    modes = audit_data.statistics["mode"]
    _, kind, counts = np.unique(modes, return_inverse=True, return_counts=True)
    converted = (modes != b"RGB") & (audit_data.statistics["hidden"] == VISIBLE) & ~deep_ones(audit_data.statistics)
    return _images_where(audit_data, converted, counts[kind], lambda one: _MODES.get(_text(one["mode"]), "other"))


def _hidden(audit_data: AuditData) -> list[Case]:
    hidden, ground = audit_data.statistics["hidden"], background_for(audit_data.statistics)
    return _images_where(audit_data, hidden != VISIBLE, hidden, lambda one: f"can be seen with --background {ground}")


def _deep(audit_data: AuditData) -> list[Case]:
    statistics, levels = audit_data.statistics, levels_for(audit_data.statistics)
    return _images_where(
        audit_data,
        deep_ones(statistics),
        statistics["high"],
        lambda one: f"values from {one['low']:,.0f} to {one['high']:,.0f} of 65,535: --levels {levels}",
    )


def _turned(audit_data: AuditData) -> list[Case]:
    orientation = audit_data.statistics["orientation"]
    return _images_where(
        audit_data, orientation != 1, -orientation.astype(int), lambda one: f"EXIF {one['orientation']}"
    )


def _oddly_shaped(audit_data: AuditData) -> list[Case]:
    width, height = (audit_data.statistics[side].astype(np.float64) for side in ("width", "height"))
    ratio = np.minimum(width / height, height / width)
    return _images_where(audit_data, ratio < _THIN, ratio, _size)


def _tiny(audit_data: AuditData) -> list[Case]:
    shorter = np.minimum(audit_data.statistics["width"], audit_data.statistics["height"])
    return _images_where(audit_data, shorter < _TINY, shorter, _size)


def _blurred(audit_data: AuditData) -> list[Case]:
    statistics, sharpness = audit_data.statistics, audit_data.statistics["sharpness"]
    large = np.minimum(statistics["width"], statistics["height"]) >= _TINY  # smaller images are reported as tiny
    lit = (statistics["dark"] >= _DARK) & (statistics["bright"] <= _BRIGHT)
    return _images_where(
        audit_data, (sharpness < _SOFT) & large & lit, sharpness, lambda one: f"sharpness {one['sharpness']:.1f}"
    )


def _dark(audit_data: AuditData) -> list[Case]:
    dark = audit_data.statistics["dark"]
    return _images_where(audit_data, dark < _DARK, dark, lambda one: f"99 % of it darker than {one['dark']:.0%}")


def _bright(audit_data: AuditData) -> list[Case]:
    bright = audit_data.statistics["bright"]
    return _images_where(
        audit_data, bright > _BRIGHT, -bright, lambda one: f"95 % of it brighter than {one['bright']:.0%}"
    )


def _size(one: np.void) -> str:
    return f"{one['width']} x {one['height']} pixels"


def _text(name: bytes) -> str:
    return name.decode()


# Pillow mode -> description.
_MODES = {
    "1": "black and white",
    "L": "grey",
    "LA": "grey with transparency",
    "I;16": "grey, 16 bits",
    "I;16B": "grey, 16 bits",
    "I": "grey, 16 bits",
    "P": "a palette",
    "PA": "a palette with transparency",
    "RGBA": "with transparency",
    "RGBX": "padded",
    "CMYK": "CMYK",
    "YCCK": "CMYK",
}

# --- Several images ---------------------------------------------------------------------------------------------------


def _copies(audit_data: AuditData) -> list[Case]:
    return [_group(audit_data, members, "the same file") for members in larger_first(audit_data.duplicates.exact)]


def _near_copies(audit_data: AuditData) -> list[Case]:
    """Return groups that show the same in more than one file."""
    exact = audit_data.duplicates.exact
    return [
        _group(audit_data, members, "show the same")
        for members in larger_first(_conflicts(audit_data).alike)
        if len(np.unique(exact[members])) > 1
    ]


def _leaked(audit_data: AuditData) -> list[Case]:
    examples = audit_data.examples
    splits = examples.given_splits or ()
    return [
        _group(
            audit_data, members, " and ".join(split for split in SPLITS if split in {splits[one] for one in members})
        )
        for members in leaks(examples, audit_data.duplicates.shown)
    ]


def _contradicting(audit_data: AuditData) -> list[Case]:
    return _labelled(audit_data, _conflicts(audit_data).contradictions)


def _told_by_orientation(audit_data: AuditData) -> list[Case]:
    return _labelled(audit_data, _conflicts(audit_data).orientations)


def _conflicts(audit_data: AuditData) -> Conflicts:
    return find_conflicts(audit_data.examples, audit_data.duplicates.upright, audit_data.duplicates.shown)


def _labelled(audit_data: AuditData, groups: list[np.ndarray]) -> list[Case]:
    text = audit_data.examples.labels.text
    return [
        _group(audit_data, members, "labelled " + " and ".join(dict.fromkeys(map(text, members)))) for members in groups
    ]


def _group(audit_data: AuditData, members: np.ndarray, note: str) -> Case:
    return Case(tuple(audit_data.examples.keys[one] for one in members), note)


# --- Classes ------------------------------------------------------------------------------------------------------------


def _rare_classes(audit_data: AuditData) -> list[Case]:
    counts = class_counts(audit_data.examples.labels)
    fair = sum(counts.values()) / max(1, len(counts))
    rare = {name: count for name, count in counts.items() if count < _RARE * fair}
    largest = max(counts, key=lambda name: counts[name], default="")
    return [
        _class(audit_data, name, f"class {name!r}: {count:,} images, against {counts[largest]:,} of {largest!r}")
        for name, count in sorted(rare.items(), key=lambda one: one[1])
    ]


def _small_classes(audit_data: AuditData) -> list[Case]:
    small = {name: count for name, count in class_counts(audit_data.examples.labels).items() if count < _FEW}
    return [
        _class(audit_data, name, f"class {name!r}: {_plural(count)}")
        for name, count in sorted(small.items(), key=lambda one: one[1])
    ]


def _spelled_alike(audit_data: AuditData) -> list[Case]:
    """Return a case for each rarer spelling of what may be one class."""
    counts = class_counts(audit_data.examples.labels)
    cases = []
    for alike in spellings(counts):
        usual = max(alike, key=lambda name: counts[name])
        cases += [_class(audit_data, name, f"class {name!r} beside {usual!r}") for name in alike if name != usual]
    return cases


def _shortcuts(audit_data: AuditData) -> list[Case]:
    return [
        _class(audit_data, name, note) if name else Case((), note)
        for name, note in shortcuts(audit_data.examples, audit_data.statistics)
    ]


def class_counts(labels: Labels) -> dict[str, int]:
    """Return the number of examples of each class.

    Examples:
        >>> from data.labels import Regression, SingleLabel
        >>> class_counts(SingleLabel.parse(["owl", "cat", "owl"], ["cat", "owl"]))
        {'cat': 1, 'owl': 2}
        >>> class_counts(Regression.parse(["1.5", "2"], ["width"]))
        {}
    """
    return dict(zip(labels.classes, labels.counts().tolist(), strict=True))


def _class(audit_data: AuditData, name: str, note: str) -> Case:
    examples = audit_data.examples
    has = examples.labels.has(examples.class_names.index(name))
    return Case(tuple(examples.keys[one] for one in np.flatnonzero(has)[:_SHOWN]), note)


def _plural(count: int) -> str:
    return f"{count:,} image" if count == 1 else f"{count:,} images"


# Ordered by how bad a finding is, the worst first.
CHECKS: dict[str, Check[AuditData]] = {
    "unreadable": Check(
        "unreadable images",
        ERROR,
        "Replace or remove them; train leaves them out with --skip-unreadable.",
        partial(_faults, kind="unreadable"),
    ),
    "truncated": Check(
        "truncated or damaged images",
        ERROR,
        "Copy or download them again; train leaves them out with --skip-unreadable.",
        partial(_faults, kind="truncated"),
    ),
    "empty": Check(
        "empty files",
        ERROR,
        "Copy or download them again; train leaves them out with --skip-unreadable.",
        partial(_faults, kind="empty"),
    ),
    "leakage": Check(
        "the same image in several splits",
        ERROR,
        "Keep each of them in one split, as --fix does: else the test repeats what was trained on.",
        _leaked,
    ),
    "contradictions": Check(
        "the same image with different labels",
        ERROR,
        "Decide which label is right and remove the others; --fix leaves all of them out.",
        _contradicting,
    ),
    "orientations": Check(
        "images that only turning or mirroring tells from those of another label",
        WARNING,
        "Train with --no-flip, unless a mirrored image keeps its label; see that your app shows images upright.",
        _told_by_orientation,
    ),
    "exact_duplicates": Check(
        "copies of the same file",
        WARNING,
        "Keep one of each, as --fix does; train keeps copies in one split.",
        _copies,
    ),
    "near_duplicates": Check(
        "different files that show the same",
        WARNING,
        "Look at them and keep one of each, as --fix does; train keeps them in one split.",
        _near_copies,
    ),
    "spellings": Check(
        "classes whose names differ in their spelling only",
        ERROR,
        "Spell them alike, in the list or as folders, if they are one class: else each is learned as the mistake of the other.",
        _spelled_alike,
    ),
    "few_examples": Check(
        f"classes with fewer than {_FEW} images",
        WARNING,
        "Add images, merge the class with another, or do not trust its figures.",
        _small_classes,
    ),
    "imbalance": Check(
        "classes much rarer than the others",
        WARNING,
        "Add images, or train with --class-weights and look at the balanced accuracy.",
        _rare_classes,
    ),
    "shortcuts": Check(
        "classes that something besides the subject gives away",
        WARNING,
        "Collect all classes in the same way: the model may learn this instead of what is to be seen.",
        _shortcuts,
    ),
    "hidden": Check(
        "images that are in one colour without their transparency",
        ERROR,
        "Train and predict with --background, else transparency is dropped and nothing is to be seen in them.",
        _hidden,
    ),
    "deep": Check(
        "images that use a small part of their 16 bits",
        ERROR,
        "Train and predict with --levels LOW-HIGH, the values of black and white, else the images are nearly black.",
        _deep,
    ),
    "blurred": Check("blurred images", WARNING, "Remove those in which you cannot see the class.", _blurred),
    "dark": Check("dark images", WARNING, "Remove those in which you cannot see the class.", _dark),
    "bright": Check("overexposed images", WARNING, "Remove those in which you cannot see the class.", _bright),
    "tiny": Check(
        f"images of less than {_TINY} pixels",
        WARNING,
        "Use larger versions, or train with a small --image-size.",
        _tiny,
    ),
    "aspect_ratio": Check(
        "images of extreme shape",
        WARNING,
        "Crop them to the subject, or train with --resize pad: stretching distorts them.",
        _oddly_shaped,
    ),
    "animated": Check(
        "animated images", NOTE, "Make sure that the first frame shows the class; it is what is used.", _animated
    ),
    "rotated": Check(
        "images that EXIF data turn",
        NOTE,
        "Nothing to do here: Graft turns them upright; see that your app does, too.",
        _turned,
    ),
    "not_rgb": Check(
        "images that are not RGB",
        NOTE,
        "Graft converts them and drops transparency; see that no class is told by it.",
        _not_rgb,
    ),
}
