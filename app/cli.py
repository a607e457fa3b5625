"""The command line: one sub-command is one public function, made from its options in `app.config`."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from app import audit, benchmark, cache, evaluate, export, list_choices, predict, train
from app.config import (
    AuditConfig,
    BenchmarkConfig,
    CacheConfig,
    EvaluateConfig,
    ExportConfig,
    ListConfig,
    PredictConfig,
    TrainConfig,
)
from app.errors import BAD_INPUT, GateError, Interrupted

VERBS: dict[str, tuple[type, Callable[..., Any]]] = {
    "train": (TrainConfig, train),
    "evaluate": (EvaluateConfig, evaluate),
    "predict": (PredictConfig, predict),
    "export": (ExportConfig, export),
    "audit": (AuditConfig, audit),
    "benchmark": (BenchmarkConfig, benchmark),
    "list": (ListConfig, list_choices),
    "cache": (CacheConfig, cache),
}

# What the file system refuses is no defect of Graft: no space, no right to write, a name that is too long.
_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG)


def main(arguments: Sequence[str]) -> int:
    """Carry out a command line.

    Returns:
        The exit code: 0 done, 2 bad input or usage, 3 a quality gate failed, 130 interrupted and resumable. A defect of
        Graft's own leaves with its traceback, and code 1.
    """
    try:
        options = tyro.extras.subcommand_cli_from_dict(
            {verb: kind for verb, (kind, _) in VERBS.items()},
            prog="python -m app",
            description="Graft: a folder of labelled pictures becomes a tested model and a file that a phone can run.",
            args=list(arguments),
        )
        verb = next(function for kind, function in VERBS.values() if isinstance(options, kind))
        verb(**vars(options))
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


def _end(text: str, code: int) -> int:
    print(text, file=sys.stderr)
    return code
