"""`python -m benchmarks.audit DATA...`: plants faults into a copy of each data set and tells how many of them an audit finds.

A twentieth of the labels is swapped, ten images get a changed copy in another class, and twenty damaged files are added. With
`--repeat N`, also what N images take in time and memory: those of the first set again and again, each a little changed.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.interface.console import console
from app.interface.events import print_table
from app.verbs.audit import Audit, audit
from benchmarks.repetition import repeated, saved
from data.auditing.checks import CHECKS
from data.auditing.duplicates import find_duplicates
from data.auditing.findings import AuditData, find_all
from data.checking import check_images, statistics_among
from data.examples import Examples
from data.files import write_json
from data.image.decoding import decode
from data.sources.folder import open_folder

SWAPPED = 0.05  # of the labels
COPIES = 10
DAMAGED = 20
LISTED = 0.1  # of the images, that a person looks at
_UNREADABLE = ("unreadable", "truncated", "empty")

Figures = dict[str, Any]


def _resized(image: Image.Image, factor: float) -> Image.Image:
    return image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))))


# What people do to images: suffix of the copy and its bytes.
CHANGES: dict[str, tuple[str, Callable[[Image.Image], bytes]]] = {
    "re-encoded": (".jpg", lambda image: saved(image, quality=50)),
    "as PNG": (".png", lambda image: saved(image, "PNG")),
    "as WebP": (".webp", lambda image: saved(image, "WEBP", quality=70)),
    "half as large": (".jpg", lambda image: saved(_resized(image, 0.5), quality=85)),
    "1.7 times as large": (".jpg", lambda image: saved(_resized(image, 1.7), quality=85)),
    "turned by 90°": (".jpg", lambda image: saved(image.transpose(Image.Transpose.ROTATE_90), quality=80)),
    "turned by 180°": (".jpg", lambda image: saved(image.transpose(Image.Transpose.ROTATE_180), quality=80)),
    "mirrored": (".jpg", lambda image: saved(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), quality=80)),
    "turned by 270°, smaller": (
        ".jpg",
        lambda image: saved(_resized(image.transpose(Image.Transpose.ROTATE_270), 0.6), quality=75),
    ),
    "mirrored, squared": (
        ".jpg",
        lambda image: saved(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((224, 224)), quality=75),
    ),
}

# What disks and downloads do to them.
DAMAGES: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "cut off": lambda encoded, random: encoded[: int(len(encoded) * random.uniform(0.05, 0.95))],
    "empty": lambda encoded, random: b"",
    "zeros": lambda encoded, random: bytes(len(encoded)),
    "a web page": lambda encoded, random: b"<!DOCTYPE html><title>404</title>" * 20,
    "without its start": lambda encoded, random: encoded[64:],
}


def main(arguments: Sequence[str]) -> int:
    """Carry out a command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", nargs="+", metavar="DATA", help="a folder of images, a folder in it for each class")
    parser.add_argument("--seed", type=int, default=0, help="of what is planted (default: 0)")
    parser.add_argument("--repeat", nargs="*", type=int, default=[], metavar="N", help="also audit so many images")
    parser.add_argument("--output", metavar="FILE.json", help="where to write the figures")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)  # this process is the child that is measured
    options = parser.parse_args(arguments)
    if options.measure:
        print(json.dumps(_measure(open_folder(options.data[0]), options.measure)))
        return 0
    figures = {data: _plant_and_find(Path(data), options.seed) for data in options.data}
    _say_found(figures)
    sizes = {number: _measure_in_child(options.data[0], number) for number in options.repeat}
    if sizes:
        _say_sizes(sizes)
    if options.output:
        write_json(Path(options.output), {"faults": figures, "sizes": sizes})
    return 0


# --- Faults ---------------------------------------------------------------------------------------------------------------


def _plant_and_find(data: Path, seed: int) -> Figures:
    random = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        before = audit(str(data), labels=False, cache_folder=str(cache))
        copy = Path(shutil.copytree(data, Path(folder) / "images"))
        sound = open_folder(str(copy))
        swapped = _swap_labels(copy, sound, random)
        untouched = [key for key in sound.keys if (copy / key).exists()]
        copies = _add_copies(copy, untouched, sound.class_names, random)
        damaged = _add_damaged(copy, untouched, random)
        shutil.rmtree(cache)
        started = time.perf_counter()
        after = audit(str(copy), cache_folder=str(cache))
        return {
            "pictures": len(after.reading.examples),
            "seconds": round(time.perf_counter() - started, 1),
            "damaged": _rates(damaged, _names(after, _UNREADABLE)),
            "copies": _copies_found(after, before, copies),
            "labels": _labels_found(after, swapped),
        }


def _swap_labels(folder: Path, examples: Examples, random: np.random.Generator) -> set[str]:
    """Move images to other classes; gives their new names."""
    moved = set()
    for index in random.choice(len(examples), round(SWAPPED * len(examples)), replace=False):
        key = examples.keys[index]
        name = _other_class(examples.class_names, key, random)
        new = f"{name}/swapped_{index}{Path(key).suffix}"
        (folder / key).rename(folder / new)
        moved.add(new)
    return moved


def _add_copies(
    folder: Path, keys: Sequence[str], class_names: Sequence[str], random: np.random.Generator
) -> dict[str, tuple[str, str]]:
    """Changed copies in other classes: what was done, and both names."""
    planted = {}
    for number, (change, (suffix, changed)) in enumerate(list(CHANGES.items())[:COPIES]):
        key = keys[random.integers(len(keys))]
        new = f"{_other_class(class_names, key, random)}/copy_{number}{suffix}"
        (folder / new).write_bytes(changed(decode((folder / key).read_bytes())))
        planted[change] = (key, new)
    return planted


def _add_damaged(folder: Path, keys: Sequence[str], random: np.random.Generator) -> set[str]:
    planted = set()
    for number in range(DAMAGED):
        key = keys[random.integers(len(keys))]
        damage = list(DAMAGES.values())[number % len(DAMAGES)]
        new = str(Path(key).with_name(f"damaged_{number}.jpg").as_posix())
        (folder / new).write_bytes(damage((folder / key).read_bytes(), random))
        planted.add(new)
    return planted


def _other_class(class_names: Sequence[str], key: str, random: np.random.Generator) -> str:
    others = [name for name in class_names if name != key.partition("/")[0]]
    return others[random.integers(len(others))]


def _names(found: Audit, kinds: Sequence[str]) -> set[str]:
    return {key for finding in found.findings if finding.name in kinds for case in finding.cases for key in case.keys}


def _rates(planted: set[str], found: set[str]) -> Figures:
    right = len(planted & found)
    return {
        "planted": len(planted),
        "found": len(found),
        "precision": round(right / max(1, len(found)), 3),
        "recall": round(right / max(1, len(planted)), 3),
    }


def _copies_found(after: Audit, before: Audit, copies: dict[str, tuple[str, str]]) -> Figures:
    """Groups that were there before, among images as they are, are real ones: they do not count."""
    audit_data = after.reading.audit_data
    group_of = dict(zip(audit_data.examples.keys, audit_data.duplicates.shown.tolist(), strict=True))
    found = {change for change, (one, other) in copies.items() if group_of[one] == group_of[other]}
    groups_before, groups_after = (_groups(one) for one in (before, after))
    return {
        "planted": len(copies),
        "found": max(len(found), groups_after - groups_before),
        "precision": round(len(found) / max(1, len(found), groups_after - groups_before), 3),
        "recall": round(len(found) / len(copies), 3),
        "missed": sorted(set(copies) - found),
        "named as contradictions": sum(other in _names(after, ("contradictions",)) for _, other in copies.values()),
    }


def _groups(one: Audit) -> int:
    numbers, counts = np.unique(one.reading.audit_data.duplicates.shown, return_counts=True)
    return int((counts[numbers >= 0] > 1).sum())


def _labels_found(after: Audit, swapped: set[str]) -> Figures:
    keys = after.reading.audit_data.examples.keys
    assert after.label_quality is not None
    order = np.argsort(np.nan_to_num(after.label_quality, nan=1.0), kind="stable")
    first = {keys[one] for one in order[: round(LISTED * len(keys))]}
    return {
        **_rates(swapped, _names(after, ("label_noise",))),
        "among the first 10 %": round(len(swapped & first) / len(swapped), 3),
    }


def _say_found(figures: dict[str, Figures]) -> None:
    rows = [
        (data, one["pictures"], f"{one['seconds']:.0f}", kind, *(one[kind][name] for name in columns), listed)
        for data, one in figures.items()
        for kind in ("damaged", "copies", "labels")
        for columns in [("planted", "found", "precision", "recall")]
        for listed in [one[kind].get("among the first 10 %", "")]
    ]
    columns = ("data", "images", "seconds", "kind", "planted", "found", "precision", "recall", "in the first 10 %")
    print_table("", columns, rows)


# --- Size -----------------------------------------------------------------------------------------------------------------


def _measure_in_child(data: str, number: int) -> Figures:
    command = [sys.executable, "-m", "benchmarks.audit", data, "--measure", str(number)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def _measure(examples: Examples, number: int) -> Figures:
    """All but what needs a network, on images that come again with other bytes and a pixel more or less."""
    many = repeated(examples, number)
    started = time.perf_counter()
    statistics = statistics_among(list(check_images(many)))
    checked = time.perf_counter()
    duplicates = find_duplicates(statistics)
    compared = time.perf_counter()
    findings = find_all(CHECKS, AuditData(many, statistics, (), duplicates))
    return {
        "pictures": len(statistics),
        "seconds": {
            "check": round(checked - started, 1),
            "duplicates": round(compared - checked, 1),
            "findings": round(time.perf_counter() - compared, 1),
        },
        "groups": {finding.name: finding.count for finding in findings},
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
    }


def _say_sizes(sizes: dict[int, Figures]) -> None:
    rows = [
        (one["pictures"], *(f"{seconds:.0f}" for seconds in one["seconds"].values()), one["peak_memory_mb"])
        for one in sizes.values()
    ]
    print_table("", ("images", "check, s", "duplicates, s", "findings, s", "peak memory, MB"), rows)


if __name__ == "__main__":
    console.print("Copies are made in the system's folder for temporary files, and removed at the end.")
    sys.exit(main(sys.argv[1:]))
