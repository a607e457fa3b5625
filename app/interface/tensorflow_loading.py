"""Load TensorFlow, which takes longer than anything else in a short run, in less time."""

from __future__ import annotations

import gc
import sys

from app.interface.console import quiet_descriptors
from app.interface.stages import status


def load_tensorflow() -> None:
    """Import TensorFlow and Keras, unless they are loaded, with Python's garbage collector paused.

    They create hundreds of thousands of permanent objects. Searching them for garbage takes a quarter of the import, and
    pauses all threads repeatedly later; so the collector is told to ignore the objects that exist now. Objects are still freed
    when nothing refers to them; only reference cycles among the existing objects are kept.

    Examples:
        >>> import sys
        >>> load_tensorflow()
        >>> "tensorflow" in sys.modules
        True
        >>> load_tensorflow() is None  # at once
        True
    """
    if "keras" in sys.modules:
        return
    collects = gc.isenabled()
    with status("starting TensorFlow"), quiet_descriptors():
        gc.disable()
        try:
            import keras  # noqa: F401
        finally:
            gc.freeze()
            if collects:
                gc.enable()
