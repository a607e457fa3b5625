"""`Transform`: from the bytes of an example to arrays, with all that depends on whether it is an image, a sound or a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from data.timing import StageClock

# The seed of a view of an example, as for `np.random.SeedSequence`, which takes integers of any size from 0 up and ignores
# zeros at the end; None for the unchanged example.
Seed = Sequence[int] | None


class Transform(Protocol):
    """Decoding, resizing and augmentation of one kind of example, with their options; may be used from several threads."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of each array."""
        ...

    @property
    def dtype(self) -> str:
        """NumPy's name of the values' type."""
        ...

    @property
    def key(self) -> Mapping[str, Any]:
        """All that the array of an unchanged example depends on, besides the example's bytes."""
        ...

    @property
    def view_key(self) -> Mapping[str, Any]:
        """All that a view depends on, besides `key`, the example's bytes and the seed."""
        ...

    @property
    def is_augmented(self) -> bool:
        """Whether views differ from the unchanged example."""
        ...

    @property
    def is_live(self) -> bool:
        """Whether new views are drawn in every epoch, which rules out a cache of views."""
        ...

    def views(
        self, encoded: bytes, seeds: Sequence[Seed], stages: StageClock, *, spare: bool = False
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Make several views of one example, which is decoded once.

        Args:
            encoded: the bytes of its file.
            seeds: one per view.
            stages: times the stages.
            spare: return the unchanged example, too, if the same decode serves it.

        Returns:
            The views, (len(seeds), *shape); and the unchanged example, or None.

        Raises:
            UnreadableExample: the bytes cannot be used.
        """
        ...
