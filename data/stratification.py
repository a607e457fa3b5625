"""Division of images into parts: each part gets its share of every class, and images that belong together stay together.

The division is into units: images of one group, or that show the same, are one unit. Like iterative stratification (Sechidis
et al. 2011, https://doi.org/10.1007/978-3-642-23808-6_10) it begins with the rarest class, whose units have the least
choice, and assigns each unit to a part that still needs it. In addition, a unit may hold several images and classes, and a
class with as many units as there are parts is in each part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from data.examples import Examples

FREE = -1  # the part of a unit without one
_ATTEMPTS = 20  # each with another order of units; the first nearly always succeeds
_ROUNDS = 10  # each tries every unit
_EPSILON = 1e-9  # errors that differ by less are equal, up to rounding


class IndivisibleError(Exception):
    """A stratum cannot be in every part; `stratum` is its position."""

    def __init__(self, stratum: int) -> None:
        super().__init__(stratum)
        self.stratum = stratum


@dataclass(frozen=True)
class Units:
    """Units and their contents.

    The strata are what each part gets its share of: the classes, or bins of each number, and finally all images.

    Attributes:
        of_image: int64 (images,), the unit of each image, numbered in the order of their first images.
        holds: for each unit, the number of its images in each stratum, zeros left out.
        holders: for each stratum, the units with images in it: int64 (units,).
        totals: int64 (strata,), images in each stratum.
        required: the strata that must be in every part: the classes and all images, but no bin.
    """

    of_image: np.ndarray
    holds: Sequence[dict[int, int]]
    holders: Sequence[np.ndarray]
    totals: np.ndarray
    required: range

    @property
    def whole(self) -> int:
        """Position of the last stratum: all images."""
        return len(self.totals) - 1

    @property
    def may_be_empty(self) -> bool:
        """Whether a part may have no images of a stratum other than the last: if these strata are bins."""
        return self.required.start == self.whole

    def whole_targets(self, targets: np.ndarray) -> np.ndarray:
        """Append the last stratum, all images, to targets (parts, strata - 1) of the other strata, in proportion."""
        shares = targets.sum(axis=1, keepdims=True) / targets.sum()
        return np.hstack([targets, shares * self.totals[-1]])


def units_of(examples: Examples) -> np.ndarray:
    """Return which images belong together: int64 (n,), the same number for images of a group or that show the same.

    The relation is transitive: two groups that have an image in common are one unit.

    Examples:
        >>> from dataclasses import replace
        >>> from data.sources import open_source
        >>> examples = open_source("images").subset(range(4))
        >>> units_of(replace(examples, groups=("anna", "ben", "anna", ""))).tolist()
        [0, 1, 0, 2]
        >>> units_of(replace(examples, groups=("anna", "ben", "anna", ""), duplicates=np.array([0, 1, 2, 1]))).tolist()
        [0, 1, 0, 1]
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
    # Each tie is an additional node, connected to its images.
    nodes = np.concatenate([number + index * len(every) for index, (_, number) in enumerate(ties, start=1)])
    size = (len(ties) + 1) * len(every)
    graph = coo_array((np.ones(len(members), np.int8), (members, nodes)), shape=(size, size))
    return _numbered(connected_components(graph, directed=False)[1][: len(every)])


def gather(examples: Examples, together: np.ndarray, chosen: np.ndarray) -> Units:
    """Count the contents of units.

    Args:
        examples: a set that contains the images to divide.
        together: int (n,), the same number for images that must stay together.
        chosen: int64 (m,), positions of the images to divide; the units contain no other images.

    Examples:
        >>> from data.sources import open_source
        >>> examples = open_source("images")
        >>> gather(examples, np.arange(24), np.arange(24)).totals.tolist()  # three classes, and all images
        [8, 8, 8, 24]
        >>> gather(examples, np.zeros(24), np.array([0, 1, 8])).holds  # one unit
        [{0: 2, 1: 1, 3: 3}]
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
    """Renumber units from 0 in the order of their first images."""
    _, first, inverse = np.unique(units, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def divide(
    units: Units, targets: np.ndarray, random: np.random.Generator, fixed: np.ndarray | None = None
) -> np.ndarray:
    """Assign a part to every unit.

    Args:
        units: the units to divide.
        targets: float (parts, strata), the number of images of each stratum for each part. If units are single images of one
            class and targets are whole numbers, parts get exactly these numbers.
        random: source of the order of units.
        fixed: int64 (units,), the part of units that have one already, else `FREE`.

    Returns:
        int64 (images,), the part of each image.

    Raises:
        IndivisibleError: a required stratum is in fewer units than there are parts, or no division with it in each was found.

    Examples:
        >>> from data.sources import open_source
        >>> units = gather(open_source("images"), np.arange(24), np.arange(24))
        >>> targets = np.array([[6.0, 6.0, 6.0, 18.0], [2.0, 2.0, 2.0, 6.0]])
        >>> np.bincount(divide(units, targets, np.random.default_rng(0))).tolist()
        [18, 6]
        >>> fixed = np.repeat([1, FREE], [2, 22])
        >>> divide(units, targets, np.random.default_rng(0), fixed)[:8].tolist()
        [1, 1, 0, 0, 0, 0, 0, 0]
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
            return np.array(division.part_of, np.int64).take(units.of_image)
    raise AssertionError("the last attempt returns or raises")


class _Division:
    """Parts under construction.

    Attributes:
        part_of: the part of each unit, or `FREE`.
        need: by part and stratum, the number of images missing; below 0 if there are too many.
        present: by part and stratum, the number of units.
    """

    def __init__(self, units: Units, targets: np.ndarray, start: np.ndarray) -> None:
        self.units = units
        self.parts = range(len(targets))
        self.fixed = (start != FREE).tolist()
        self.part_of = [FREE] * len(start)
        self.need: list[list[float]] = targets.tolist()
        self.present = [[0] * len(units.totals) for _ in self.parts]
        self.weights: list[float] = (1 / np.maximum(units.totals, 1)).tolist()
        for unit in np.flatnonzero(start != FREE).tolist():
            self._put(unit, int(start[unit]))

    def fill(self, random: np.random.Generator) -> None:
        """Assign a part to every free unit, starting with the rarest stratum."""
        orders = [order[[not self.fixed[unit] for unit in order.tolist()]] for order in self.units.holders]
        for order in orders:
            random.shuffle(order)
        for stratum in sorted(range(len(orders)), key=lambda one: len(orders[one])):
            waiting = [unit for unit in orders[stratum].tolist() if self.part_of[unit] == FREE]
            for left, unit in zip(range(len(waiting), 0, -1), waiting, strict=True):
                lacking = self._lacking(stratum)
                # The last units go to the parts that have none yet.
                self._put(unit, self._choose(unit, stratum, lacking if left <= len(lacking) else self.parts))

    def complete(self) -> None:
        """Bring every required stratum into every part, by moving units that their parts can spare."""
        for stratum in self.units.required:
            for part in self._lacking(stratum):
                movable = [unit for unit in self.units.holders[stratum].tolist() if self._can_go(unit)]
                if not movable:
                    raise IndivisibleError(stratum)
                unit = min(movable, key=lambda one: self._cost(one, part) + self._cost(one, self.part_of[one], -1))
                self._put(unit, self.part_of[unit], -1)
                self._put(unit, part)

    def improve(self) -> None:
        """Move single units that bring the parts nearer to their targets, until none does or for some rounds."""
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
        """Return the first part that has room for a unit, or else the part with the least cost."""
        costs = [self._cost(unit, part) for part in parts]
        size = self.units.holds[unit][stratum]
        for part, cost in zip(parts, costs, strict=True):
            if cost < 0 and size <= self.need[part][stratum]:
                return part
        return parts[costs.index(min(costs))]

    def _cost(self, unit: int, part: int, sign: int = 1) -> float:
        """Return what a unit adds to a part's squared error, relative to each stratum's size; `sign` -1 for removing it."""
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
