"""The command line: each sub-command is a public function, made from its options in `app.config`."""

from __future__ import annotations

import errno
import os
import select
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from app.interface.errors import BAD_INPUT, GateError, Interrupted
from app.interface.program import command, commands, owning_process
from app.verbs import VERBS
from models.lazy import LazyModule

if TYPE_CHECKING:
    from app.config import shared, usage
else:
    shared, usage = LazyModule("app.config.shared"), LazyModule("app.config.usage")

_INTRODUCTION = "Graft turns a folder of labelled images into a tested model and phone files."
_FIRST_STEPS = {
    "a first run, in a minute or two: handwritten digits that come along": "train sample:digits --image-size 96 --no-flip",
    "your own images: a folder with a folder of images for each class": "train my_images",
    "what is on a new one?": "predict runs/my_images new.jpg",
}

# Refusals of the file system are not defects of Graft: no space, no permission, a name that is too long.
_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG)


def main(arguments: Sequence[str]) -> int:
    """Run a command line.

    Returns:
        The exit code: 0 success, 2 bad input or usage, 3 a quality gate failed, 130 interrupted and resumable. A defect in
        Graft ends with its traceback and code 1.

    Examples:
        >>> main(["list", "heads"])
        heads
        <BLANKLINE>
          name     what it is
         ─────────────────────────────────────────────────────────────
          linear   pooling, dropout, one dense layer
          mlp      a hidden layer of 256 units before the linear head
        <BLANKLINE>
        0
        >>> main(["list", "models"])
        2
    """
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        if not _is_left_alone():
            raise
        return 0


def _dispatch(arguments: Sequence[str]) -> int:
    verb, *words = arguments or [""]
    if verb in ("-h", "--help"):
        print(_overview())
        return 0
    if verb not in VERBS:
        return _end(f"Error: {_no_verb(verb)}", 2)
    try:
        options = usage.parse(VERBS[verb].options, verb, words, VERBS[verb].summary)
    except SystemExit as ended:  # help or an error in the words, both printed already
        return int(ended.code or 0)
    return _carry_out(VERBS[verb].function, options)


def _overview() -> str:
    """Return the help without a verb: what Graft does, where to start, and a line for each verb."""
    lines = "\n".join(f"  {name:<11}{verb.summary}" for name, verb in VERBS.items())
    return (
        f"usage: {command()} VERB [OPTIONS]\n\n{_INTRODUCTION}\n\nstart here:\n{commands(_FIRST_STEPS)}\n\nverbs:\n{lines}\n\n"
        f"{command()} VERB --help explains a verb and its options, with examples."
    )


def _carry_out(function: Callable[..., Any], options: dict[str, Any]) -> int:
    try:
        with owning_process():
            function(**options)
    except BAD_INPUT as error:
        return _end(f"Error: {error}", 2)
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        return _end(f"Error: {error.strerror}: {error.filename or 'make room and try again'}", 2)
    except GateError as error:
        return _end(f"Gate failed: {error}", 3)
    except Interrupted as error:
        return _end(f"\n{error}", 130)
    except KeyboardInterrupt:
        return _end("\nInterrupted; nothing was started", 130)
    return 0


def _is_left_alone() -> bool:
    """Return whether nobody reads standard output any more, as after `head`; later output is then discarded."""
    if not hasattr(select, "poll"):  # on Windows
        return False
    pipe = select.poll()
    pipe.register(sys.stdout.fileno(), 0)
    broken = any(event & (select.POLLERR | select.POLLHUP) for _, event in pipe.poll(0))
    if broken:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return broken


def _no_verb(given: str) -> str:
    if not given or given.startswith("-"):
        return f"name a verb first ({', '.join(VERBS)}); {command('--help')} explains them"
    return f"there is no verb {given!r}; {command('--help')} shows all. {shared.nearest(given, VERBS)}"


def _end(text: str, code: int) -> int:
    print(text, file=sys.stderr)
    return code
