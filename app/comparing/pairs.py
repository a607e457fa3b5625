"""Pairs of runs: the difference of each with its interval and significance, and a verdict in words."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.comparing.runs import Shared, TestedRun, share
from app.tasks.pairing import Comparer, Paired, holm

LEVEL = 0.05  # of significance
_MOST_COMPARED_WITH_ALL = 3  # runs; with more, each is compared with the first
_LEAST_DIFFERENT = 6  # examples that only one of two models has right: with fewer, p is above 0.05 whatever they are


@dataclass(frozen=True)
class Pair:
    """Two runs on the test images that they share.

    Attributes:
        first: name of the first run.
        second: name of the second run.
        n: number of images.
        left_out: how many images do not count, by the reason: "trained_on" by one of the runs, "relabelled", "unshared" or
            "repeated", see `app.comparing.runs.Shared`.
        different: images for which the runs predict other classes; None where they predict numbers.
        paired: the scores, their difference and its significance.
        p_corrected: the p-value, corrected for the number of pairs by Holm's method.
        verdict: the finding, in a sentence.
    """

    first: str
    second: str
    n: int
    left_out: dict[str, int]
    different: int | None
    paired: Paired
    p_corrected: float
    verdict: str

    @property
    def is_significant(self) -> bool:
        """Whether the difference is beyond chance."""
        return self.p_corrected < LEVEL

    def as_json(self) -> dict[str, Any]:
        """Return the pair as `--json` prints it."""
        only = self.paired.only_right
        return {
            "runs": [self.first, self.second],
            "images": self.n,
            "left_out": self.left_out,
            "scores": list(self.paired.scores),
            "difference": self.paired.difference,
            "difference_ci95": list(self.paired.ci95),
            "method": self.paired.method,
            "p_value": self.paired.p_value,
            "p_corrected": self.p_corrected,
            **({} if only is None else {"only_right": list(only)}),
            **({} if self.different is None else {"predicted_differently": self.different}),
            "verdict": self.verdict,
        }


def compare_pairs(runs: Sequence[TestedRun]) -> list[Pair]:
    """Compare up to three runs with each other; of more, each with the first.

    Raises:
        UsageError: two of the runs share fewer than two test images.

    Examples:
        >>> from dataclasses import replace
        >>> from app.comparing.runs import open_runs
        >>> (run,) = open_runs(["runs/fruit"])
        >>> (pair,) = compare_pairs([run, replace(run, name="same")])
        >>> pair.verdict
        'No difference between fruit and same: accuracy of ... for both on 3 images, and they predict the same (95 % ...).'
        >>> len(compare_pairs([replace(run, name=name) for name in "abcde"]))
        4
    """
    chosen = list(itertools.combinations(runs, 2))
    if len(runs) > _MOST_COMPARED_WITH_ALL:
        chosen = chosen[: len(runs) - 1]
    shared = [share(pair) for pair in chosen]
    found = [_compare(pair, some) for pair, some in zip(chosen, shared, strict=True)]
    corrected = holm([one.p_value for one in found])
    return [_pair(*one) for one in zip(chosen, shared, found, corrected, strict=True)]


def _compare(pair: Sequence[TestedRun], shared: Shared) -> Paired:
    first, second = (run.answers(some) for run, some in zip(pair, shared.positions, strict=True))
    return pair[0].task.comparer.test(first, second, shared.labels.array)


def _pair(pair: Sequence[TestedRun], shared: Shared, paired: Paired, corrected: float) -> Pair:
    first, second = pair
    different = _different(pair, shared)
    return Pair(
        first.name,
        second.name,
        len(shared),
        {reason: getattr(shared, reason) for reason in ("trained_on", "relabelled", "unshared", "repeated")},
        different,
        paired,
        corrected,
        _verdict(first.task.comparer, (first.name, second.name), len(shared), paired, corrected, different),
    )


def _different(pair: Sequence[TestedRun], shared: Shared) -> int | None:
    """Return how many images the runs predict differently; None for numbers, which hardly ever are the same."""
    if not pair[0].task.decides:
        return None
    answers = [run.answers(some) for run, some in zip(pair, shared.positions, strict=True)]
    return int(np.count_nonzero(pair[0].task.comparer.disagreement(answers, shared.labels.array)))


def _verdict(
    comparer: Comparer, names: tuple[str, str], n: int, paired: Paired, corrected: float, different: int | None
) -> str:
    if not paired.difference:
        same = ", and they predict the same" if different == 0 else ""
        score = f"{comparer.title} of {paired.scores[0]:{comparer.digits}} for both on {n:,} images"
        within = f"95 % interval {number_text(comparer, paired.ci95[0])} to {number_text(comparer, paired.ci95[1])}"
        return f"No difference between {' and '.join(names)}: {score}{same} ({within})."
    leads = comparer.is_better(paired.difference)  # the second
    better, worse = (names[1], names[0]) if leads else names
    sign = 1 if leads == comparer.rises else -1
    low, high = (number_text(comparer, one) for one in sorted(sign * end for end in paired.ci95))
    evidence = f"95 % interval {low} to {high}; {p_text(paired, corrected)}"
    size = f"{difference_text(comparer, abs(paired.difference))} in {comparer.title} on {n:,} images ({evidence})"
    if corrected < LEVEL:
        return f"{better} is better than {worse} by {size}."
    return f"No difference beyond chance between {' and '.join(names)}: {better} leads by {size}.{_hint(paired)}"


def _hint(paired: Paired) -> str:
    """Return why so few different predictions show no difference, whatever they are."""
    decisive = _LEAST_DIFFERENT if paired.only_right is None else sum(paired.only_right)
    if decisive >= _LEAST_DIFFERENT:
        return ""
    images = "1 image" if decisive == 1 else f"{decisive} images"
    return f" Only one of them is right on {images}; it takes {_LEAST_DIFFERENT} to tell a difference from chance."


def number_text(comparer: Comparer, value: float, sign: str = "") -> str:
    """Return a difference of scores as users read it, without its unit.

    Examples:
        >>> from app.tasks import TASKS
        >>> number_text(TASKS["single_label"].comparer, 0.031, "+")
        '+3.1'
        >>> number_text(TASKS["regression"].comparer, -0.25)
        '-0.25'
    """
    return f"{comparer.scale * value + 0.0:{sign}{'.1f' if comparer.unit else '.3g'}}"


def difference_text(comparer: Comparer, value: float) -> str:
    """Return a difference of scores with its unit.

    Examples:
        >>> from app.tasks import TASKS
        >>> difference_text(TASKS["single_label"].comparer, 0.031)
        '3.1 points'
        >>> difference_text(TASKS["regression"].comparer, 0.25)
        '0.25'
    """
    return f"{number_text(comparer, value)} {comparer.unit}".strip()


def p_text(paired: Paired, corrected: float) -> str:
    """Return the p-value, and the corrected one where it differs.

    Examples:
        >>> paired = Paired((0.5, 0.6), 0.1, (0.0, 0.2), 0.0312, "McNemar exact")
        >>> p_text(paired, 0.0312)
        'p = 0.031'
        >>> p_text(paired, 0.0936)
        'p = 0.031, corrected 0.094'
    """
    shown = [_p(paired.p_value), _p(corrected)]
    relation = "" if shown[0].startswith("<") else "= "
    return f"p {relation}{shown[0]}" + (f", corrected {shown[1]}" if corrected != paired.p_value else "")


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.2g}"
