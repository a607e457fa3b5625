"""A terminal for tests: what a program writes to one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def on_a_terminal(columns: int, program: str, *arguments: object) -> str:
    """What Python writes to a terminal of so many columns when it runs a program; skips where there are no such terminals."""
    pty = pytest.importorskip("pty")
    import fcntl
    import struct
    import termios

    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        **dict.fromkeys(("stdin", "stdout", "stderr"), its),
        cwd=ROOT,
        env=environment | {"TERM": "xterm", "PYTHONUTF8": "1"},
    )
    os.close(its)
    written = b""
    try:
        while some := os.read(ours, 65536):
            written += some
    except OSError:  # Linux's way to say that nobody has it open any more
        pass
    os.close(ours)
    assert process.wait() == 0, written.decode()
    return written.decode().replace("\r\n", "\n")
