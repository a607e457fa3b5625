"""The speed of a model file on this machine, as the report and the model card show it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from app.prediction.predictor import Predictor

_SECONDS = 0.05  # at least ten images are measured; `graft benchmark` takes its time
_BUSY = 2.0  # waiting processes per processor, with the export's own


def measure_speed(model: Predictor) -> dict[str, Any]:
    """Measure a loaded model file briefly, one image at a time.

    Returns:
        For `parity.json`: `best_ms` per image, the number of `threads`, the `processor`, and whether the machine was `busy`
        with other work. The best time depends least on that.

    Examples:
        >>> with Predictor("runs/fruit/export/model_float32.tflite", threads=1) as model:
        ...     speed = measure_speed(model)
        >>> sorted(speed)
        ['best_ms', 'busy', 'processor', 'threads']
        >>> 0 < speed["best_ms"] < 1000
        True
    """
    return {
        "best_ms": float(model.latencies(_SECONDS).min() * 1e3),
        "threads": model.threads,
        "processor": processor_name(),
        "busy": hasattr(os, "getloadavg") and os.getloadavg()[0] > _BUSY * (os.cpu_count() or 1),
    }


def processor_name() -> str | None:
    """Return the processor's name; None if the system does not report it.

    Examples:
        >>> processor_name() == processor_name()
        True
        >>> processor_name() is None or isinstance(processor_name(), str)
        True
    """
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor()) or None
