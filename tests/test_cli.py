"""The command line: its help, its exit codes, and how options reach the functions."""

from __future__ import annotations

import dataclasses
import errno
import importlib
import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import app
from app.config import LISTS, TrainConfig, make_config
from app.config.shared import Option, Options, by_heading
from app.config.usage import layout, parse
from app.exporting.formats import FORMATS
from app.interface.errors import GateError, Interrupted, UsageError
from app.interface.program import command
from app.training.engines import ENGINES
from app.training.strategies import STRATEGIES
from app.verbs import VERBS
from data.errors import DataError
from data.labels import LABELS
from data.sources import SOURCES
from models.backbones import BACKBONES
from models.errors import ModelError
from models.heads import HEADS
from tests.conftest import Ended, Process

ROOT = Path(__file__).parents[1]
Cli = Callable[..., Ended]
ABOUT_OTHER_THINGS = {
    "source",
    "run",
    "task",
    "output",
    "json",
    "labels",
    "data",
    "files",
    "model",
}  # in each verb that has one of them


def described(one: type) -> dict[str, Option]:
    """The options that a class describes itself."""
    hints = inspect.get_annotations(one, eval_str=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")}


def positional(verb: str) -> set[str]:
    """The names of a verb's options that are given without their name."""
    return {name for name, option in described(VERBS[verb].options).items() if option.positional}


def test_every_verb_is_a_public_function() -> None:
    for verb in VERBS.values():
        name = verb.function.__name__
        assert verb.function is getattr(app, name) and name in app.__all__
        assert dataclasses.is_dataclass(verb.options)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_a_module_of_its_name(verb: str) -> None:
    module = importlib.import_module(f"app.verbs.{verb}")
    assert isinstance(module, ModuleType) and VERBS[verb].function.__module__ == module.__name__


def test_what_is_public_is_listed() -> None:
    assert set(app.__all__) <= set(dir(app))
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        app.trian  # noqa: B018


@pytest.fixture(autouse=True)
def narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_help_has_a_line_for_every_verb_and_says_where_to_start(cli: Cli) -> None:
    ended = cli("--help")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert max(map(len, lines)) <= 80
    for verb, row in VERBS.items():
        assert sum(line.split() == [verb, *row.summary.split()] for line in lines) == 1
    start = lines[lines.index("start here:") + 1 : lines.index("verbs:")]
    for line in (line.strip() for line in start):
        if line and not line.startswith("#"):
            assert is_accepted(line.removeprefix("python -m app "))
    assert cli("-h") == ended


def is_accepted(line: str) -> bool:
    """A command line can be carried out, as far as its options tell."""
    verb, *words = shlex.split(line)
    kind = VERBS[verb].options
    return make_config(kind, **parse(kind, verb, words)) is not None


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_names_every_option(verb: str, cli: Cli) -> None:
    ended = cli(verb, "--help")
    assert (ended.code, ended.err) == (0, "")
    named = [field.name for field in dataclasses.fields(VERBS[verb].options) if field.name not in positional(verb)]
    for name in named:
        assert f"--{name.replace('_', '-')}" in ended.out


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_ends_with_examples_that_work(verb: str, cli: Cli) -> None:
    lines = cli(verb, "--help").out.splitlines()
    assert max(map(len, lines)) <= 82  # a command is not broken
    examples = lines[lines.index("examples:") + 1 :]
    assert len(examples) >= (6 if verb == "train" else 2)
    for comment, line in zip(examples[::2], examples[1::2], strict=True):
        assert comment.startswith("  # ")
        assert line.startswith(f"  python -m app {verb}") and is_accepted(line.removeprefix("  python -m app "))


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_shows_its_groups_in_order(verb: str, cli: Cli) -> None:
    top, groups = layout(VERBS[verb].options)
    out = cli(verb, "--help").out
    titles = re.findall(r"^╭─ (.+?) ─", out, re.M)
    assert titles[-len(groups) :] == [f"{title} options" for title in groups] or not groups
    assert set(titles[: len(titles) - len(groups)]) == {"positional arguments", "options"}
    boxes = dict(re.findall(r"^╭─ (.+?) ─.*\n((?:│.*\n)+)", out, re.M))
    for title, names in {"": top, **groups}.items():
        shown = re.findall(r"^│ --([a-z-]+)", boxes[f"{title} options".strip()], re.M)
        assert shown == [name.replace("_", "-") for name in names if name not in positional(verb)]


def test_verbs_that_share_an_option_show_it_below_the_same_heading() -> None:
    headings: dict[str, set[str]] = {}
    for verb in VERBS.values():
        for title, names in by_heading(verb.options).items():
            for name in names:
                headings.setdefault(name, set()).add(title)
    assert {name for name, titles in headings.items() if len(titles) > 1} == {"task", "labels"}


def test_no_option_is_described_twice() -> None:
    """But for those that are about other things in each verb."""
    classes = {one for verb in VERBS.values() for one in verb.options.__mro__}
    names = [name for one in classes for name in described(one)]
    assert {name for name in names if names.count(name) > 1} == ABOUT_OTHER_THINGS


def test_ten_options_of_train_come_before_the_rare() -> None:
    top, groups = layout(TrainConfig)
    assert top == [*TrainConfig.common, "source"] and len(TrainConfig.common) == 10
    assert list(groups)[:5] == ["source", "image", "split", "model", "augmentation"]
    assert list(groups)[-4:] == ["metadata", "cache", "run folder", "tracking"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_group_of_a_verb_is_checked(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reached: list[Options] = []
    monkeypatch.setattr(Options, "check", lambda self: reached.append(self))  # which each group leads to, one by one
    words = next(iter(VERBS[verb].options.examples.values()))
    assert is_accepted(f"{verb} {words}") and len(reached) == 1


@pytest.mark.parametrize("name", ["python -m app", "./graft", "/a folder/graft"])
def test_advice_names_graft_as_it_was_called(name: str, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    if name != "python -m app":
        monkeypatch.setenv("GRAFT_PROGRAM", name)
    called = f"'{name}'" if name.startswith("/a folder") else name
    assert f"usage: {called} VERB" in cli("--help").out
    assert f"For full helptext, run {called} train --help" in cli("train", "--bakbone", "x").err.replace("│", " ")
    assert f"{called} --help" in cli("trian").err
    assert command("train", "--resume", "runs/a b") == f"{called} train --resume 'runs/a b'"


def test_help_of_train_names_the_choices(cli: Cli) -> None:
    words = " ".join(cli("train", "--help").out.replace("│", " ").split())
    for table in (HEADS, STRATEGIES, FORMATS):
        assert ", ".join(table) in words


@pytest.mark.parametrize("what", LISTS)
def test_lists_show_their_table(what: str, cli: Cli) -> None:
    tables: dict[str, list[str]] = {
        "tasks": list(LABELS),
        "backbones": [*BACKBONES, "hub:HANDLE"],
        "heads": list(HEADS),
        "strategies": list(STRATEGIES),
        "sources": [source.syntax for source in SOURCES.values()],
        "formats": list(FORMATS),
        "engines": list(ENGINES),
    }
    ended = cli("list", what)
    assert (ended.code, ended.err) == (0, "")
    first_words = [line.split()[0] for line in ended.out.splitlines() if line.split()]
    for name in tables[what]:
        assert name in first_words  # in a pipe, a row is a line


@pytest.mark.parametrize("width", [60, 80, 100, 120])
@pytest.mark.parametrize("what", LISTS)
def test_lists_fit(what: str, width: int, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert max(map(len, cli("list", what).out.splitlines())) <= width


def test_a_backbone_is_a_line_at_80_columns_and_wider_ones_have_all(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    narrow = cli("list", "backbones").out
    assert re.search(r"^ efficientnet_lite0 +224 +3\.4 M +installed by pip +Apache-2\.0 *$", narrow, re.MULTILINE)
    assert len(narrow.splitlines()) < len(BACKBONES) + 10
    (columns,) = re.findall(r"Not shown: features, paper, from\. Set COLUMNS=(\d+) to see all columns\.", narrow)
    monkeypatch.setenv("COLUMNS", columns)
    wide = cli("list", "backbones").out
    assert "Not shown" not in wide and "https://arxiv.org/abs/1905.11946" in wide


def test_list_shows_backbones_unless_asked(cli: Cli) -> None:
    assert cli("list").out == cli("list", "backbones").out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "train"),
        (["trian"], "train"),
        (["train", "--bakbone", "x"], "--backbone"),
        (["train", "images", "more"], "more"),
        (["train", "images", "--batch-size", "many"], "--batch-size"),
        (["train", "images", "--batch-size", "nan"], "--batch-size"),
        (["train", "images", "--batch-size", "1.5"], "--batch-size"),
        (["train", "images", "--dropout", "half"], "--dropout"),
        (["train", "images", "--seed"], "--seed"),
        (["predict"], "run folder"),
        (["evaluate"], "finished run"),
        (["export"], "finished run"),
        (["benchmark"], "model file"),
        (["benchmark", "model.tflite", "--threads", "two"], "--threads"),
        (["cache", "show", "more"], "more"),
    ],
    ids=" ".join,
)
def test_usage_errors_end_with_two(arguments: list[str], text: str, cli: Cli) -> None:
    ended = cli(*arguments)
    assert ended.code == 2
    assert text in ended.err
    assert ended.out == ""


def test_predict_needs_images(cli: Cli, tiny_run: app.Run) -> None:
    ended = cli("predict", tiny_run.path)
    assert ended.code == 2
    assert "paths" in ended.err.lower() or "image" in ended.err


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (UsageError("use it so"), 2, "Error: use it so\n"),
        (DataError("no data"), 2, "Error: no data\n"),
        (ModelError("no model"), 2, "Error: no model\n"),
        (GateError("not alike"), 3, "Gate failed: not alike\n"),
        (Interrupted("Continue so"), 130, "\nContinue so\n"),
        (KeyboardInterrupt(), 130, "\nInterrupted; nothing was started\n"),
        (OSError(errno.ENOSPC, "No space left on device", "/runs/a"), 2, "Error: No space left on device: /runs/a\n"),
        (OSError(errno.EACCES, "Permission denied", "/runs"), 2, "Error: Permission denied: /runs\n"),
    ],
    ids=repr,
)
def test_errors_become_exit_codes(
    error: BaseException, code: int, text: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**options: Any) -> None:
        raise error

    monkeypatch.setattr("app.verbs.list.list_choices", fail)
    assert cli("list") == (code, "", text)


@pytest.mark.parametrize("error", [ZeroDivisionError(), FileNotFoundError(errno.ENOENT, "ours"), ValueError("ours")])
def test_a_defect_keeps_its_traceback(error: Exception, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**options: Any) -> None:
        raise error

    monkeypatch.setattr("app.verbs.list.list_choices", fail)
    with pytest.raises(type(error)):
        cli("list")


def test_options_reach_the_function(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr("app.verbs.train.train", lambda **options: calls.append(options))
    assert cli("train", "images").code == 0
    assert cli("train", "p", "--no-flip", "--formats", "saved_model", "--seed", 3, "--dropout", 0.5).code == 0
    plain = dict(vars(TrainConfig(source="images")))
    assert calls[0] == plain
    changed = {"source": "p", "flip": False, "formats": ("saved_model",), "seed": 3, "dropout": 0.5}
    assert calls[1] == plain | changed


def test_an_unknown_keyword_offers_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown option 'bach_size'. Did you mean 'batch_size'\?"):
        make_config(TrainConfig, source="images", bach_size=3)


def test_one_format_need_not_be_in_a_tuple_to_be_understood() -> None:
    with pytest.raises(UsageError, match=r"'tflite_float' .* 'tflite_float32'|Did you mean 'tflite_float32'"):
        make_config(TrainConfig, source="images", formats="tflite_float")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["list", "heads"], 0), (["trian"], 2), (["train", "no/such/folder"], 2), (["list", "nothing"], 2)],
    ids=["done", "usage", "bad input", "bad choice"],
)
def test_exit_codes_of_the_process(arguments: list[str], code: int) -> None:
    command = [sys.executable, "-m", "app", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == code
    assert "Traceback" not in ended.stderr
    assert bool(ended.stderr) == (code != 0)


def test_train_is_quiet_and_needs_no_network(finished_process: Process) -> None:
    ended = finished_process
    assert ended.code == 0
    assert ended.err == ""
    assert max(len(line) for line in ended.out.splitlines() if "/" not in line) <= 100
    # A slow machine says more often how far it is.
    assert len([line for line in ended.out.splitlines() if not re.search(r"\d:\d\d", line)]) < 40
    # The summary names the engine, and which one is the fastest depends on what else the machine has to do.
    out, count = re.subn(rf" by ({'|'.join(ENGINES)}), which does ", " by ENGINE, which does ", ended.out)
    assert count == 1
    for word in (
        "WARNING",
        "I0000",
        "absl",
        "INFO",
        "Saved artifact",
        "TensorSpec",
        "tensorflow",
        "XNNPACK",
        "Warning",
    ):
        assert word not in out
    for word in (
        "Found 24 images of 3 classes (apple, banana, cherry)",
        "18 train, 3 validation, 3 test",
        "accuracy",
        "exported",
        "report",
    ):
        assert word in ended.out
    assert str(ended.run.export / "model_float32.tflite") in ended.out
    assert "I0000" in ended.run.log.read_text()  # TensorFlow's chatter went there
    assert ended.processes >= 2  # the watch was set on this one and on those that it starts
    assert ended.network == ""


@pytest.mark.parametrize("words", [("list", "backbones"), ("--help",)], ids=" ".join)
def test_a_reader_that_has_enough_is_no_error(words: tuple[str, ...]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "app", *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()  # as `head` does
        assert (process.stderr.read(), process.wait()) == (b"", 0)
