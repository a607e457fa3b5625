"""Reads command lines, and explains them: options in groups, with examples below, and an overview of all verbs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, field, fields, make_dataclass
from typing import Annotated, Any, get_type_hints

import tyro
from tyro.conf import OmitArgPrefixes, arg

from app.config.shared import Options
from app.program import command

_INTRODUCTION = "Graft turns a folder of labelled images into a tested model and phone files."
_FIRST_STEPS = {
    "a first run, in a minute or two: handwritten digits that come along": "train sample:digits --image-size 96 --no-flip",
    "your own images: a folder with a folder of images for each class": "train my_images",
    "what is on a new one?": "predict runs/my_images new.jpg",
}


def parse(kind: type[Options], verb: str, words: Sequence[str]) -> dict[str, Any]:
    """The options of a verb from the words after it.

    Raises:
        SystemExit: with code 0 after printing help that was asked for, or 2 after printing what is wrong with the words.
    """
    try:
        nested: Any = tyro.cli(_grouped(kind), prog=command(verb), description=inspect.getdoc(kind), args=list(words))
    except SystemExit as ended:
        if not ended.code:
            print(f"examples:\n{_examples({text: f'{verb} {words}' for text, words in kind.examples.items()})}")
        raise
    options = dict(vars(nested))
    for title in kind.groups:
        options |= vars(options.pop(f"{title}_group"))
    return options


def overview(verbs: Mapping[str, type[Options]]) -> str:
    """What `--help` shows where no verb is given: what Graft does, where to start, and a line for each verb."""
    lines = "\n".join(f"  {verb:<11}{inspect.getdoc(kind)}" for verb, kind in verbs.items())
    return (
        f"usage: {command()} VERB [OPTIONS]\n\n{_INTRODUCTION}\n\nstart here:\n{_examples(_FIRST_STEPS)}\n\nverbs:\n{lines}\n\n"
        f"{command()} VERB --help explains a verb and its options, with examples."
    )


def _examples(words: Mapping[str, str]) -> str:
    return "\n".join(f"  # {text}\n  {command()} {line}".rstrip() for text, line in words.items())


def _grouped(kind: type[Options]) -> type:
    """The same options as a nested class: tyro gives each class in a class a box of its own."""
    hints = get_type_hints(kind, include_extras=True)
    titles = {first: title for title, first in kind.groups.items()}
    groups: dict[str, list[tuple[str, Any, Any]]] = {}
    top = members = []
    for one in fields(kind):
        if one.name in titles:
            members = groups[titles[one.name]] = []
        members.append((one.name, hints[one.name], _with_default(one)))
    for title, members in groups.items():
        group = make_dataclass(title, members)
        top.append((f"{title}_group", Annotated[group, arg(name=title), OmitArgPrefixes], field(default_factory=group)))
    return make_dataclass(kind.__name__, top)


def _with_default(one: Field[Any]) -> Any:
    return field() if one.default is MISSING else field(default=one.default)
