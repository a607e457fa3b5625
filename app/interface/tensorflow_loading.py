"""Load TensorFlow, which takes longer than anything else in a short run, in less time."""

from __future__ import annotations

import gc
import sys

from app.interface.console import quiet_descriptors
from app.interface.program import owns_process
from app.interface.stages import status
from models.lazy import without

# Keras imports these for features that Graft does not use, and does without them where they are not installed.
_SPARED = ("sklearn", "matplotlib", "pandas", "cv2", "IPython")


def load_tensorflow() -> None:
    """Import TensorFlow and Keras as a stage of the run, unless they are loaded; see `import_keras`.

    Examples:
        >>> import sys
        >>> load_tensorflow()
        >>> "tensorflow" in sys.modules
        True
        >>> load_tensorflow() is None  # at once
        True
    """
    if "keras" not in sys.modules:
        with status("starting TensorFlow"), quiet_descriptors():
            import_keras()


def import_keras() -> None:
    """Import TensorFlow and Keras, unless they are loaded, with Python's garbage collector paused.

    They create hundreds of thousands of permanent objects. Searching them for garbage takes a quarter of the import, and
    pauses all threads repeatedly later; so the collector is told to ignore the objects that exist now. Objects are still freed
    when nothing refers to them; only reference cycles among the existing objects are kept.

    In a process of its own, Graft also hides from Keras the large packages that it never uses through it, such as
    scikit-learn and Matplotlib: that saves another quarter. They can be imported as ever afterwards.

    Examples:
        >>> import_keras()
        >>> "keras" in sys.modules
        True
        >>> import_keras() is None  # at once
        True
    """
    if "keras" in sys.modules:
        return
    collects = gc.isenabled()
    gc.disable()
    try:
        with without(_SPARED if owns_process() else ()):
            import keras  # noqa: F401
    finally:
        gc.freeze()
        if collects:
            gc.enable()
