"""Rank backbones by how well their features suit labelled images, before anything is trained."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app.config import TrainConfig, make_config
from app.config.ranking import MOBILE_BACKBONES, RankConfig
from app.config.signatures import with_options
from app.evaluation.plots import save_figure
from app.interface.console import aside, console, redirect_output
from app.interface.errors import UsageError
from app.interface.events import print_path, print_table, print_text
from app.interface.output import output_folder
from app.interface.program import command
from app.interface.sources import open_readable
from app.interface.tensorflow_loading import load_tensorflow
from app.job.splits import choose_splits
from app.ranking.figure import front_of, ranking_figure
from app.ranking.scores import SCORES
from app.runs.display import render
from app.tasks import TASKS
from data.cache.cache import Cache
from data.examples import Examples
from data.files import write_json
from data.splits import evenly_chosen
from models.lazy import LazyModule

if TYPE_CHECKING:
    from app.ranking import candidates
    from app.ranking.candidates import Missing, Ranked
else:
    candidates = LazyModule("app.ranking.candidates")


@dataclass(frozen=True, repr=False)
class Ranking:
    """Result of `rank`.

    Attributes:
        examples: the sample that the backbones were compared on.
        ranked: the candidates, the best score first.
        missing: candidates whose weights cannot be had.
        within: whether each of `ranked` keeps to the budget.
    """

    examples: Examples
    ranked: tuple[Ranked, ...]
    missing: tuple[Missing, ...]
    within: tuple[bool, ...]

    def __repr__(self) -> str:
        order = ", ".join(f"{one.candidate} {one.score:.3f}" for one in self.ranked)
        return f"Ranking({self.examples.source!r}, {len(self.examples):,} images: {order})"

    @cached_property
    def drops(self) -> list[tuple[float, tuple[float, float]]]:
        """Difference of each of `ranked` to the first, and its paired 95 % interval."""
        return [one.drop_from(self.ranked[0], self.examples) for one in self.ranked]

    @property
    def best(self) -> Ranked | None:
        """The candidate with the best score within the budget; None if all are over it."""
        return next((one for one, within in zip(self.ranked, self.within, strict=True) if within), None)

    @property
    def as_good(self) -> tuple[Ranked, ...]:
        """The other candidates within the budget that do not differ from `best` beyond chance, the fastest first."""
        best = self.best
        others = [one for one, within in zip(self.ranked, self.within, strict=True) if within and one is not best]
        same = [one for one in others if best and one.drop_from(best, self.examples)[1][0] <= 0]
        return tuple(sorted(same, key=lambda one: one.footprint.median_ms if one.footprint else np.inf))

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return the columns and rows of the ranking for print."""
        title = TASKS[self.examples.task].score_title
        columns = ("backbone", title, "below the best", "int8 MB", "ms here", *(one.title for one in SCORES.values()))
        return columns, [self._row(*each) for each in zip(self.ranked, self.drops, strict=True)]

    def _row(self, ranked: Ranked, drop: tuple[float, tuple[float, float]]) -> tuple[str, ...]:
        low, high = drop[1]
        below = "" if ranked is self.ranked[0] else "no difference" if low <= 0 else f"{low:.3f} – {high:.3f}"
        size, speed = ("-", "-") if ranked.footprint is None else (f"{one:.1f}" for one in ranked.footprint)
        scores = ("-" if one is None else f"{one:.2f}" for one in ranked.scores.values())
        return (str(ranked.candidate), f"{ranked.score:.3f}", below, size, speed, *scores)

    def sentences(self) -> list[str]:
        """Return what follows from the figures, a sentence each."""
        return [*self._recommendation(), *(f"Left out: {one.candidate}: {one.reason}" for one in self.missing)]

    def _recommendation(self) -> list[str]:
        best, same = self.best, self.as_good
        if best is None:
            return ["No backbone keeps to the budget; raise --max-latency or --max-size, or name smaller --backbones."]
        said = [f"Best{'' if all(self.within) else ' within the budget'}: {best.candidate}."]
        if same:
            others = ", ".join(str(one.candidate) for one in same)
            said.append(f"No difference beyond chance on {len(self.examples):,} images: {others}.")
            said += self._faster(best, same[0])
        return said

    def _faster(self, best: Ranked, other: Ranked) -> list[str]:
        if not (best.footprint and other.footprint and other.footprint.median_ms < best.footprint.median_ms):
            return []
        times = best.footprint.median_ms / other.footprint.median_ms
        return [f"Of these, {other.candidate} is the fastest: {times:.1f} times as fast here as {best.candidate}."]

    def _repr_html_(self) -> str:
        columns, rows = self.table()
        return render("ranking", ranking=self, columns=columns, rows=rows)

    def as_json(self) -> dict[str, Any]:
        """Return the content of `ranking.json`."""
        best, front = self.best, front_of(self.ranked)
        return {
            "source": self.examples.source,
            "images": len(self.examples),
            "task": self.examples.task,
            "score": TASKS[self.examples.task].score,
            "best": str(best.candidate) if best else None,
            "as_good": [str(one.candidate) for one in self.as_good],
            "ranked": [
                {
                    "backbone": one.candidate.backbone,
                    "weights": one.candidate.weights,
                    "score": one.score,
                    "drop": drop,
                    "drop_ci95": list(interval),
                    **one.scores,
                    "int8_size_mb": one.footprint.size_mb if one.footprint else None,
                    "int8_median_ms": one.footprint.median_ms if one.footprint else None,
                    "within_budget": within,
                    "on_the_front": one in front,
                }
                for one, (drop, interval), within in zip(self.ranked, self.drops, self.within, strict=True)
            ],
            "missing": [{"backbone": str(one.candidate), "reason": one.reason} for one in self.missing],
        }


@with_options(RankConfig)
def rank(source: str | Path, **options: Any) -> Ranking:
    """Compare backbones on labelled images without training them.

    The features of a sample pass through each frozen backbone once and stay in the cache. A linear head is cross-validated on
    them, as `train` fits it; the order is that of its accuracy. Scores of transferability stand beside it. Each backbone's size
    and speed are measured as an int8 `.tflite` here. The test split of `train` with the same seed is left out, so that its
    figures stay honest.

    Args:
        source: a SOURCE string.
        **options: the fields of `app.config.ranking.RankConfig`.

    Returns:
        The ranking.

    Raises:
        UsageError, DataError, ModelError: the source does not exist, has too few images, or no backbone has weights here.

    Examples:
        >>> rank("no_such_folder")
        Traceback (most recent call last):
        data.errors.DataError: there is no folder no_such_folder. Check the path
        >>> rank("images", backbones=["mobilnet_v2"])
        Traceback (most recent call last):
        models.errors.ModelError: unknown backbone 'mobilnet_v2'; ... Did you mean mobilenet_v2 or ...
    """
    config = make_config(RankConfig, source=source, **options)
    output = None if config.output is None else output_folder(config.output)
    with aside(config.json):  # standard output holds only the JSON
        ranking = _rank(config)
        if output is not None:
            _write(ranking, output)
        if not (config.json or console.in_notebook):  # a notebook displays the result
            _say(ranking, config)
    if config.json:
        print(json.dumps(ranking.as_json(), indent=2, ensure_ascii=False))
    return ranking


def _rank(config: RankConfig) -> Ranking:
    examples, _ = open_readable(
        config.source,
        config.source_options,
        skip_unreadable=config.skip_unreadable,
        preparation=config.preparation,
    )
    examples.labels.check_learnable(examples.source)
    sample = _sample(examples, config)
    print_text(f"Ranking on {len(sample):,} of {len(examples):,} images; the test split of train is left out.")
    with redirect_output(Path(os.devnull)):
        load_tensorflow()
        ranked, missing = candidates.rank_candidates(
            sample,
            [candidates.Candidate.parse(text) for text in dict.fromkeys(config.backbones or MOBILE_BACKBONES)],
            Cache(config.cache_folder).activations(config.cache_limit),
            image_size=config.image_size,
            resize=config.resize,
            engine=config.engine,
            seed=config.seed,
        )
    if not ranked:
        raise UsageError(
            "no backbone has weights here:\n" + "\n".join(f"{one.candidate}: {one.reason}" for one in missing)
        )
    return Ranking(sample, tuple(ranked), tuple(missing), tuple(_is_within(one, config) for one in ranked))


def _sample(examples: Examples, config: RankConfig) -> Examples:
    """Return at most `--sample` images, stratified, without those that `train` tests on."""
    examples, splits = choose_splits(examples, TrainConfig(seed=config.seed))
    kept = examples.subset(np.flatnonzero(splits != "test"))
    by_label = kept.labels.order()
    return kept.subset(np.sort(by_label[evenly_chosen(len(kept), config.sample)]))


def _is_within(ranked: Ranked, config: RankConfig) -> bool:
    """Whether a candidate keeps to the budget; what was not measured does not."""
    limits = (config.max_latency, config.max_size)
    if ranked.footprint is None:
        return limits == (None, None)
    measured = (ranked.footprint.median_ms, ranked.footprint.size_mb)
    return all(limit is None or value <= limit for value, limit in zip(measured, limits, strict=True))


def _write(ranking: Ranking, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "ranking.json", ranking.as_json())
    save_figure(ranking_figure(ranking.ranked, TASKS[ranking.examples.task].score_title), folder / "ranking.png")
    print_path("ranking", folder / "ranking.png")


def _say(ranking: Ranking, config: RankConfig) -> None:
    columns, rows = ranking.table()
    print_table("", columns, rows, optional=[score.title for score in SCORES.values()])
    for text in ranking.sentences():
        print_text(text)
    if ranking.best is not None:
        candidate = ranking.best.candidate
        weights = () if candidate.weights is None else ("--weights", candidate.weights)
        print_text(
            f"Train with: {command('train', config.source, '--backbone', candidate.backbone, *weights)}", wraps=False
        )
