"""What makes arrays of the bytes of an example: all that depends on whether it is an image, a sound or a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from data.timing import StageClock

# What decides a view of an example, as for `np.random.SeedSequence`, which takes integers from 0 of any size, and to which
# zeros at the end mean nothing; None for the example as it is.
Seed = Sequence[int] | None


class Transform(Protocol):
    """Decoding, resizing and augmentation of one kind of example, with their options; may be used from several threads."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of each array."""
        ...

    @property
    def dtype(self) -> str:
        """Of the values, as NumPy calls it."""
        ...

    @property
    def key(self) -> Mapping[str, Any]:
        """All that the array of an example as it is depends on, besides the example's bytes."""
        ...

    @property
    def view_key(self) -> Mapping[str, Any]:
        """All that a view depends on, besides `key`, the example's bytes and the seed."""
        ...

    @property
    def is_augmented(self) -> bool:
        """Whether views differ from the example as it is."""
        ...

    @property
    def is_live(self) -> bool:
        """Whether views are drawn again in every epoch, which rules out a cache of them."""
        ...

    def views(
        self, encoded: bytes, seeds: Sequence[Seed], stages: StageClock, *, spare: bool = False
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Make several views of one example, which is decoded once.

        Args:
            encoded: the bytes of its file.
            seeds: one for each view.
            stages: times what is done.
            spare: give the example as it is, too, where that costs no other decode.

        Returns:
            The views, (len(seeds), *shape); and the example as it is, or None.

        Raises:
            ValueError: the bytes cannot be used; the text says why in a few words.
        """
        ...
