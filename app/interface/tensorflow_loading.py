"""Starts TensorFlow, which takes longer than anything else of a short run, and less long so."""

from __future__ import annotations

import gc
import sys

from app.interface.events import status


def load_tensorflow() -> None:
    """Import TensorFlow and Keras, unless they are there, with Python's garbage collector at rest.

    Hundreds of thousands of objects come with them, and stay. To look for garbage among them takes a quarter of the import, and
    holds up all threads again and again later; so the collector is told to leave alone what there is now. Objects are freed as
    ever when nothing refers to them; only circles of such as were there before are kept.
    """
    if "keras" in sys.modules:
        return
    collects = gc.isenabled()
    with status("starting TensorFlow"):
        gc.disable()
        try:
            import keras  # noqa: F401
        finally:
            gc.freeze()
            if collects:
                gc.enable()
