"""The proof of an export: every file, loaded in a fresh process by its own client, against the Keras model.

All pictures of the test split are asked. Pixels come from Graft's own decoder; the SavedModel's `encoded` signature and
MediaPipe Tasks, which decode and resize by themselves, are asked about the picture files too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from app.console import progress
from app.errors import UsageError
from app.exporting.delegates import left_to_cpu
from app.exporting.formats import Format
from app.exporting.op_versions import minimum_runtime
from app.exporting.process import ModelProcess
from app.exporting.questions import Questions
from app.figures import beyond
from data.decoding import reads_alike_in_tensorflow
from data.pictures import REGRESSION

# TensorFlow's operations round the last bit of a few pixels otherwise than OpenCV's, so single pictures may differ a little
# more; another channel order or another resize would show in the mean.
ENCODED_TOLERANCE = 0.02
# MediaPipe brings a LiteRT of its own, whose integer kernels may round otherwise. A wrong normalisation differs by far more.
CLIENT_TOLERANCE = 0.02
# LiteRT's own integer kernels round otherwise than XNNPACK's; single pictures differed by up to 0.03.
PLAIN_TOLERANCE = 0.05
CLIENT_PICTURES = 32  # already at size, so that the client has nothing to resize and must answer as LiteRT does

GOLDEN_PICTURES = 10  # that an app's tests ask about; see `app.exporting.golden`

Tick = Callable[[int], None]


@dataclass
class Proof:
    """What was found about one file.

    Attributes:
        figures: its part of `parity.json`.
        answers: its answers to the pixels, float32 (n, outputs); None where it cannot be run.
        client_answers: MediaPipe's probabilities for the picture files, for files for phones.
    """

    figures: dict[str, Any]
    answers: np.ndarray | None = None
    client_answers: np.ndarray | None = None
    failures: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Nothing was found against the file."""
        return not self.failures


def prove(path: Path, export: Format, questions: Questions, *, max_drop: float, with_client: bool = True) -> Proof:
    """Hold one exported file against the Keras model.

    Args:
        path: the file or folder.
        export: its format.
        questions: the pictures.
        max_drop: most accuracy that a quantised file may lose, in points (hundredths).
        with_client: also ask MediaPipe Tasks, where the file is for phones.

    Returns:
        The proof. A file that cannot be run is a failure with the reason, not an error.
    """
    proof = Proof({"file": path.name, "bytes": _size(path), "tolerance": export.tolerance})
    with_client &= export.is_for_phones and questions.pictures.task != REGRESSION  # its client is for classifiers
    started = time.perf_counter()
    try:
        with _bar(path, len(questions) * (1 + with_client)) as tick:
            with ModelProcess(path) as model:
                proof.answers = _answers(model, questions, tick)
                proof.figures |= agreement(proof.answers, questions)
                _judge_answers(proof, export, questions, max_drop)
                if path.is_dir():
                    _judge_encoded(proof, model, questions)
            if export.is_for_phones:
                _judge_operations(proof, path)
                _judge_without_xnnpack(proof, path, questions)
            if with_client:
                _judge_client(proof, path, questions, max_drop, tick)
    except UsageError as error:
        proof.failures.append(_named_shortly(error, path))
    seconds = time.perf_counter() - started
    proof.figures |= {"seconds": seconds, "failures": proof.failures, "passed": proof.passed}
    return proof


def _named_shortly(error: UsageError, path: Path) -> str:
    """Without the folder: `parity.json` is passed on, and the file has not come to its place yet."""
    return str(error).replace(str(path.resolve()), path.name).replace(str(path), path.name)


@contextmanager
def _bar(path: Path, pictures: int) -> Iterator[Tick]:
    with progress() as bars:
        task = bars.add_task("proving", total=pictures, note=path.name)
        yield lambda answered: bars.advance(task, answered)


def agreement(answers: np.ndarray, questions: Questions) -> dict[str, Any]:
    """How far a file's answers are from the Keras model's.

    Args:
        answers: float32 (n, outputs).
        questions: the same n pictures.

    Returns:
        By the task's score, which is `accuracy` for one class a picture: it, `keras_` and it, it and `_drop`, all parts of 1,
        and it and `_drop_ci95`; the part of the pictures with the same answer, which is `top1_agreement`; the largest and the
        mean over the pictures of each one's largest difference, `max_probability_difference` and
        `mean_probability_difference`; `class_drops`: for each class that loses, how much; the most first. What numbers have
        instead is told in `app.tasks.regression`.
    """
    return questions.task.agreement(
        answers, questions.expected, questions.labels, questions.class_names, questions.thresholds
    )


def _answers(model: ModelProcess, questions: Questions, tick: Tick) -> np.ndarray:
    parts = []
    for batch in questions.batches():
        parts.append(model.probabilities(questions.pixels[batch.start : batch.stop]))
        tick(len(batch))
    answers = np.concatenate(parts)
    if answers.shape != questions.expected.shape:
        raise UsageError(f"gives answers of shape {answers.shape}, not {questions.expected.shape}")
    return answers


def _judge_answers(proof: Proof, export: Format, questions: Questions, max_drop: float) -> None:
    assert proof.answers is not None
    figures, task = proof.figures, questions.task
    if export.tolerance is None:
        if 100 * figures[f"{task.score}_drop"] > max_drop:
            proof.failures.append(f"{_loss(figures, questions, max_drop)}; at most {max_drop:g} allowed (--max-drop)")
        return
    differing = round((1 - figures[task.same_answer]) * len(questions)) if task.same_answer else 0
    if differing:
        proof.failures.append(f"another answer than the Keras model for {differing} of {len(questions)} pictures")
    largest = figures[task.difference]
    if largest > export.tolerance:
        what = "a probability differs by" if task.same_answer else "a number differs, in standard deviations, by"
        found = beyond(largest, export.tolerance, digits=2, kind="g")
        proof.failures.append(f"{what} {found}, more than {export.tolerance:g}")


def _loss(figures: dict[str, Any], questions: Questions, max_drop: float) -> str:
    task = questions.task
    low, high = (100 * end for end in figures[f"{task.score}_drop_ci95"])
    drop = figures[f"{task.score}_drop"]
    lost = f"{round(drop * len(questions))} of {len(questions)} pictures, " if task.score == "accuracy" else ""
    return f"loses {beyond(100 * drop, max_drop)} points of {task.score_title} ({lost}95 % interval {low:.1f} to {high:.1f})"


def _judge_operations(proof: Proof, path: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(path.read_bytes())
    custom = [
        (code.customCode or b"?").decode()
        for code in model.operatorCodes
        if code.builtinCode == schema.BuiltinOperator.CUSTOM
    ]
    proof.figures["custom_operations"] = custom
    if custom:
        proof.failures.append(f"needs operations that phones do not have: {', '.join(custom)}")
    proof.figures |= {"min_runtime_version": minimum_runtime(model), "left_to_cpu": left_to_cpu(model)}


def _judge_without_xnnpack(proof: Proof, path: Path, questions: Questions) -> None:
    """Apps may run LiteRT without XNNPACK, its default delegate: its own kernels must answer much the same."""
    assert proof.answers is not None
    chosen, task = np.union1d(questions.sample(CLIENT_PICTURES), questions.sample(GOLDEN_PICTURES)), questions.task
    try:
        with ModelProcess(path, "litert_plain") as model:
            plain = model.probabilities(questions.pixels[chosen])
    except UsageError as error:
        proof.failures.append(
            f"runs with XNNPACK only, LiteRT's default delegate; without it: {_named_shortly(error, path)}"
        )
        return
    figures = task.agreement(
        plain, proof.answers[chosen], questions.labels[chosen], questions.class_names, questions.thresholds
    )
    mean = task.difference.replace("max", "mean")
    kept = {key: figures[key] for key in (task.difference, mean)}
    proof.figures["without_xnnpack"] = {"pictures": len(chosen), **kept, "tolerance": PLAIN_TOLERANCE}
    if figures[mean] > PLAIN_TOLERANCE:
        proof.failures.append(
            f"answers otherwise without XNNPACK, LiteRT's default delegate, by {figures[mean]:.2g} on average"
        )


def _judge_client(proof: Proof, path: Path, questions: Questions, max_drop: float, tick: Tick) -> None:
    """MediaPipe Tasks must find the labels, answer pixels as LiteRT does, and keep the accuracy for whole pictures."""
    assert proof.answers is not None
    chosen = questions.sample(CLIENT_PICTURES)
    with ModelProcess(path, "mediapipe") as client:
        given = client.probabilities(questions.pixels[chosen])
        parts = []
        for batch in questions.batches():
            pictures = [(questions.pictures.encoded(index), questions.resize) for index in batch]
            parts.append(client.ask("probabilities_of_encoded", pictures))
            tick(len(batch))
        names = client.ask("class_names")
    proof.client_answers = np.concatenate(parts)
    figures = agreement(proof.client_answers, questions)
    figures["max_difference_at_size"] = float(np.abs(given - proof.answers[chosen]).max())
    proof.figures["mediapipe"] = figures
    if figures["max_difference_at_size"] > CLIENT_TOLERANCE:
        proof.failures.append(
            f"MediaPipe Tasks answers pixels otherwise than LiteRT, by up to {figures['max_difference_at_size']:.2g}: "
            "the metadata tells it a wrong normalisation or colour order"
        )
    wrong = {name for label, name in names.items() if name != questions.class_names[label]}
    if wrong:
        proof.failures.append(
            f"MediaPipe Tasks names classes wrongly: {', '.join(map(str, sorted(wrong, key=str)[:3]))}"
        )
    _judge_client_score(proof, questions, max_drop)


def _judge_client_score(proof: Proof, questions: Questions, max_drop: float) -> None:
    """A client that resizes otherwise may answer single pictures otherwise; only a loss that is no chance counts."""
    figures, score = proof.figures["mediapipe"], questions.task.score
    loses = 100 * figures[f"{score}_drop"] > max_drop
    figures["within_chance"] = loses and figures[f"{score}_drop_ci95"][0] <= 0
    if loses and not figures["within_chance"]:
        proof.failures.append(
            f"through MediaPipe Tasks it {_loss(figures, questions, max_drop)}; at most {max_drop:g} allowed (--max-drop)"
        )


def _judge_encoded(proof: Proof, model: ModelProcess, questions: Questions) -> None:
    """The signature that takes picture files must answer as the one that takes pixels does."""
    alike = [i for i in range(len(questions)) if reads_alike_in_tensorflow(questions.pictures.encoded(i))]
    if not alike:
        return
    parts = [
        model.probabilities_of_encoded([questions.pictures.encoded(index) for index in alike[start : start + 32]])
        for start in range(0, len(alike), 32)
    ]
    task, labels = questions.task, questions.labels[alike]
    figures = task.agreement(
        np.concatenate(parts), questions.expected[alike], labels, questions.class_names, questions.thresholds
    )
    mean = figures[task.difference.replace("max", "mean")]
    proof.figures["encoded"] = {
        "pictures": len(alike),
        task.difference: figures[task.difference],
        task.difference.replace("max", "mean"): mean,
        "tolerance": ENCODED_TOLERANCE,
    }
    if mean > ENCODED_TOLERANCE:
        proof.failures.append(f"its signature for picture files differs by {mean:.2g} on average")


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(file.stat().st_size for file in files)
