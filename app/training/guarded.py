"""Callbacks of the caller, whose errors say which of them failed, and how the run goes on."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import keras

from app.interface.errors import BAD_INPUT, UsageError
from app.runs.folder import RunFolder
from app.runs.keras_record import how_to_resume

_HOOKS = [name for name in dir(keras.callbacks.Callback) if name.startswith("on_")]


def guarded(callback: keras.callbacks.Callback, run: RunFolder) -> keras.callbacks.Callback:
    """Return a callback that calls another, and turns an error in it into a sentence.

    Args:
        callback: of the caller.
        run: run that is trained.

    Examples:
        >>> run = RunFolder.open("runs/fruit")
        >>> calls = []
        >>> guarded(keras.callbacks.LambdaCallback(on_train_begin=calls.append), run).on_train_begin({"loss": 1.0})
        >>> calls
        [{'loss': 1.0}]
        >>> failing = guarded(keras.callbacks.LambdaCallback(on_train_begin=lambda logs: 1 / 0), run)
        >>> try:
        ...     failing.on_train_begin({})
        ... except UsageError as error:
        ...     print(error)
        the callback LambdaCallback failed in on_train_begin: ZeroDivisionError: division by zero. Correct it, and ...
    """
    return _Guarded(callback, run)


class _Guarded(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    def __init__(self, callback: keras.callbacks.Callback, run: RunFolder) -> None:
        super().__init__()
        self.callback, self.run = callback, run

    def set_params(self, params: dict[str, Any]) -> None:
        self.callback.set_params(params)

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self.callback.set_model(model)


def _calling(hook: str) -> Callable[..., None]:
    def call(self: _Guarded, *arguments: Any, **named: Any) -> None:
        try:
            getattr(self.callback, hook)(*arguments, **named)
        except BAD_INPUT:
            raise
        except Exception as error:
            name = type(self.callback).__name__
            text = f"the callback {name} failed in {hook}: {type(error).__name__}: {error}. {_way_on(self.run)}"
            refusal = UsageError(text)
            refusal.add_note("".join(traceback.format_exception(error)))  # Keras cuts off the cause
            raise refusal from error

    return call


for _hook in _HOOKS:
    setattr(_Guarded, _hook, _calling(_hook))


def _way_on(run: RunFolder) -> str:
    if run.history:
        return f"Correct it, and continue after the last epoch with: {how_to_resume(run)}"
    return "No epoch was finished: correct it, and train again"
