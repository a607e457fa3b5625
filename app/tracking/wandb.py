"""Weights & Biases, with the account and server that its own environment variables name; `WANDB_MODE=offline` needs neither."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.interface.errors import UsageError
from app.tracking.tracker import Opening


class WandbRun:
    """A run of a Weights & Biases project. It leaves `wandb.run` alone."""

    def __init__(self, opening: Opening) -> None:
        import wandb

        self._wandb: Any = wandb
        # Without an account, `init` would ask for one, with the question in the log.
        if wandb.setup().settings.mode == "online" and not wandb.login(prompt=False, verify=False):
            raise UsageError("there is no account; call wandb login, or set WANDB_API_KEY or WANDB_MODE=offline")
        self._run = wandb.init(
            project=opening.project,
            name=opening.name,
            config=dict(opening.options),
            id=opening.id,
            resume="allow" if opening.id else None,
            reinit="create_new",
            settings=wandb.Settings(console="off", silent=True),
        )
        self.id: str = self._run.id

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Send figures."""
        self._run.log(dict(figures), step=step)

    def attach(self, path: Path) -> None:
        """Show a plot or a page in the workspace; upload other files."""
        shown = {".png": self._wandb.Image, ".html": self._wandb.Html}.get(path.suffix)
        if shown is None:
            self._run.save(str(path), base_path=str(path.parent), policy="now")
        else:
            self._run.log({path.stem: shown(str(path))})

    def close(self, *, finished: bool) -> None:
        """Wait until everything is sent."""
        self._run.finish(exit_code=0 if finished else 1)
