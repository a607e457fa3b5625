"""Divides images into parts: each gets its share of every class, and images that belong together stay together.

What is divided are units: images of one group, or that show the same, are one. Like iterative stratification (Sechidis
et al. 2011, https://doi.org/10.1007/978-3-642-23808-6_10) it begins with the rarest class, whose units have the least
choice, and gives each unit to a part that is still in need of it. Unlike it, a unit may hold several images and
classes, and a class that has as many units as there are parts comes into each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from data.examples import Examples

FREE = -1  # in place of a unit's part, while it has none
_ATTEMPTS = 20  # each with another order of units; the first nearly always does
_ROUNDS = 10  # each looks at every unit
_EPSILON = 1e-9  # of an error, in which sums of fractions are the same


class IndivisibleError(Exception):
    """A stratum cannot be in every part; `stratum` is its position."""

    def __init__(self, stratum: int) -> None:
        super().__init__(stratum)
        self.stratum = stratum


@dataclass(frozen=True)
class Units:
    """What is divided, with what it holds.

    The strata are what each part gets its share of: the classes, or bins of each number, and then all images.

    Attributes:
        of_image: int64 (images,), the unit of each image, numbered in the order of their first images.
        holds: of each unit, how many of its images are in each stratum, those of none left out.
        holders: of each stratum, the units with images in it: int64 (units,).
        totals: int64 (strata,), images in each stratum.
        required: the strata that have to be in every part: the classes and all images, but no bin.
    """

    of_image: np.ndarray
    holds: Sequence[dict[int, int]]
    holders: Sequence[np.ndarray]
    totals: np.ndarray
    required: range

    @property
    def whole(self) -> int:
        """The last stratum: all images."""
        return len(self.totals) - 1

    @property
    def may_be_empty(self) -> bool:
        """Whether a part may have no images of a stratum but the last: they are bins."""
        return self.required.start == self.whole

    def whole_targets(self, targets: np.ndarray) -> np.ndarray:
        """Add the last stratum, all images, to targets (parts, strata - 1) of the others, in proportion."""
        shares = targets.sum(axis=1, keepdims=True) / targets.sum()
        return np.hstack([targets, shares * self.totals[-1]])


def units_of(examples: Examples) -> np.ndarray:
    """Which images belong together: int64 (n,), the same number for images of a group or that show the same.

    It holds over several steps: two groups that have an image in common are one unit.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    every = np.arange(len(examples))
    ties = []
    if examples.groups is not None:
        named = np.array([bool(name) for name in examples.groups])
        ties.append((every[named], np.unique(np.array(examples.groups)[named], return_inverse=True)[1]))
    if examples.duplicates is not None:
        ties.append((every, np.unique(examples.duplicates, return_inverse=True)[1]))
    if not ties:
        return every
    members = np.concatenate([tied for tied, _ in ties])
    # A tie is a node beside the images, which it connects.
    nodes = np.concatenate([number + index * len(every) for index, (_, number) in enumerate(ties, start=1)])
    size = (len(ties) + 1) * len(every)
    graph = coo_array((np.ones(len(members), np.int8), (members, nodes)), shape=(size, size))
    return _numbered(connected_components(graph, directed=False)[1][: len(every)])


def gather(examples: Examples, together: np.ndarray, chosen: np.ndarray) -> Units:
    """Count what units hold.

    Args:
        examples: some of which are to be divided.
        together: int (n,), the same number for images that are to stay together.
        chosen: int64 (m,), positions of those that are to be divided; the units know no others.
    """
    from scipy.sparse import coo_array

    of_image = _numbered(together[chosen])
    strata = examples.labels.taken(chosen).strata()
    count = len(strata.members)
    members = [*strata.members, np.arange(len(chosen))]
    rows = of_image[np.concatenate(members)]
    columns = np.repeat(np.arange(count + 1), [len(some) for some in members])
    ones = np.ones(len(rows), np.int64)
    counts = coo_array((ones, (rows, columns)), shape=(of_image.max(initial=-1) + 1, count + 1)).tocsr()
    held = list(zip(counts.indices.tolist(), counts.data.tolist(), strict=True))
    by_stratum = counts.tocsc()
    return Units(
        of_image,
        holds=[dict(held[start:end]) for start, end in pairwise(counts.indptr.tolist())],
        holders=[by_stratum.indices[start:end].astype(np.int64) for start, end in pairwise(by_stratum.indptr)],
        totals=np.bincount(columns, minlength=count + 1),
        required=range(0 if strata.required else count, count + 1),
    )


def _numbered(units: np.ndarray) -> np.ndarray:
    """The same units, numbered from 0 in the order of their first images."""
    _, first, inverse = np.unique(units, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def divide(
    units: Units, targets: np.ndarray, random: np.random.Generator, fixed: np.ndarray | None = None
) -> np.ndarray:
    """Give every unit a part.

    Args:
        units: what is divided.
        targets: float (parts, strata), how many images of each stratum each part is to get. Where units of one image
            have one class each, and targets are whole numbers, parts get exactly this.
        random: draws the units.
        fixed: int64 (units,), the part of units that have one already, else `FREE`.

    Returns:
        int64 (images,), the part of each image.

    Raises:
        IndivisibleError: a required stratum is in fewer units than there are parts, or no way was found to have it in each.
    """
    start = np.full(len(units.holds), FREE) if fixed is None else fixed
    for attempt in range(_ATTEMPTS):
        division = _Division(units, targets, start)
        try:
            division.fill(random)
            division.complete()
            division.improve()
        except IndivisibleError:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return np.array(division.part_of, np.int64)[units.of_image]
    raise AssertionError("the last attempt returns or raises")


class _Division:
    """Parts in the making.

    Attributes:
        part_of: the part of each unit, or `FREE`.
        need: by part and stratum, images that are wanting; below 0 where there are too many.
        present: by part and stratum, units.
    """

    def __init__(self, units: Units, targets: np.ndarray, start: np.ndarray) -> None:
        self.units = units
        self.parts = range(len(targets))
        self.fixed = (start != FREE).tolist()
        self.part_of = [FREE] * len(start)
        self.need = targets.tolist()
        self.present = [[0] * len(units.totals) for _ in self.parts]
        self.weights = (1 / np.maximum(units.totals, 1)).tolist()
        for unit in np.flatnonzero(start != FREE).tolist():
            self._put(unit, int(start[unit]))

    def fill(self, random: np.random.Generator) -> None:
        """Give every free unit a part, those of the rarest stratum first."""
        orders = [order[[not self.fixed[unit] for unit in order.tolist()]] for order in self.units.holders]
        for order in orders:
            random.shuffle(order)
        for stratum in sorted(range(len(orders)), key=lambda one: len(orders[one])):
            waiting = [unit for unit in orders[stratum].tolist() if self.part_of[unit] == FREE]
            for left, unit in zip(range(len(waiting), 0, -1), waiting, strict=True):
                lacking = self._lacking(stratum)
                # As many units are left as parts have none: what is left is for them.
                self._put(unit, self._choose(unit, stratum, lacking if left <= len(lacking) else self.parts))

    def complete(self) -> None:
        """Bring every required stratum into every part, by moving units that are not missed where they are."""
        for stratum in self.units.required:
            for part in self._lacking(stratum):
                movable = [unit for unit in self.units.holders[stratum].tolist() if self._can_go(unit)]
                if not movable:
                    raise IndivisibleError(stratum)
                unit = min(movable, key=lambda one: self._cost(one, part) + self._cost(one, self.part_of[one], -1))
                self._put(unit, self.part_of[unit], -1)
                self._put(unit, part)

    def improve(self) -> None:
        """Move single units to where they bring the parts nearer to their targets, until none does or for some rounds."""
        for _ in range(_ROUNDS):
            moved = False
            for unit, part in enumerate(self.part_of):
                if not self._can_go(unit):
                    continue
                costs = [0.0 if one == part else self._cost(unit, one) for one in self.parts]
                best = costs.index(min(costs))
                if costs[best] + self._cost(unit, part, -1) < -_EPSILON and best != part:
                    self._put(unit, part, -1)
                    self._put(unit, best)
                    moved = True
            if not moved:
                return

    def _lacking(self, stratum: int) -> Sequence[int]:
        if stratum not in self.units.required:
            return ()
        return [part for part in self.parts if not self.present[part][stratum]]

    def _choose(self, unit: int, stratum: int, parts: Sequence[int]) -> int:
        """The first part that has room for a unit, or else that which it harms least."""
        costs = [self._cost(unit, part) for part in parts]
        size = self.units.holds[unit][stratum]
        for part, cost in zip(parts, costs, strict=True):
            if cost < 0 and size <= self.need[part][stratum]:
                return part
        return parts[costs.index(min(costs))]

    def _cost(self, unit: int, part: int, sign: int = 1) -> float:
        """What a unit adds to the squared error of a part, in proportion to each stratum; -1 for taking it out."""
        need = self.need[part]
        held = self.units.holds[unit].items()
        return sum(count * (count - 2 * sign * need[stratum]) * self.weights[stratum] for stratum, count in held)

    def _put(self, unit: int, part: int, sign: int = 1) -> None:
        self.part_of[unit] = part if sign > 0 else FREE
        for stratum, count in self.units.holds[unit].items():
            self.need[part][stratum] -= sign * count
            self.present[part][stratum] += sign

    def _can_go(self, unit: int) -> bool:
        present = self.present[self.part_of[unit]]
        held = self.units.holds[unit]
        return not self.fixed[unit] and all(present[one] > 1 for one in held if one in self.units.required)
