"""Images of squares in one to three colours, with lists of their colours and numbers, for tests of tasks."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"blue": (30, 50, 220), "green": (40, 200, 60), "red": (220, 40, 30)}
NUMBERS = ("brightness", "redness")
COUNT = 60


def write_squares(folder: Path) -> Path:
    """Images of squares in up to two colours on grey, with lists of them: which colours, how bright and red, is it red."""
    folder.mkdir()
    random = np.random.default_rng(0)
    lists: dict[str, list[list[object]]] = {
        "colours.csv": [["path", "label"]],
        "numbers.csv": [["path", *NUMBERS]],
        "red.csv": [["path", "label"]],
    }
    for number in range(COUNT):
        pixels = np.full((32, 32, 3), random.integers(40, 200))
        chosen = [[], ["red"], ["green"], ["blue"], ["green", "red"], ["blue", "red"]][number % 6]
        for colour, left in zip(chosen, (2, 18), strict=False):
            pixels[6:24, left : left + 12] = COLOURS[colour]
        pixels = np.clip(pixels + random.normal(0, 8, pixels.shape), 0, 255).astype(np.uint8)
        name = f"{number:02}.png"
        Image.fromarray(pixels).save(folder / name)
        lists["colours.csv"].append([name, "|".join(chosen)])
        lists["numbers.csv"].append([name, pixels.mean().round(2), (1000 + pixels[..., 0].mean()).round(2)])
        lists["red.csv"].append([name, "red" if "red" in chosen else "other"])
    for name, rows in lists.items():
        with open(folder / name, "w", newline="") as file:
            csv.writer(file).writerows(rows)
    return folder
