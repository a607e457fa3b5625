"""The console: lines, tables and progress, on a terminal, in a notebook, and in a pipe or file.

It listens to `app.interface.events` by default.
"""

from app.interface.console.listener import show
from app.interface.console.printing import aside, console
from app.interface.console.redirection import quiet_descriptors, redirect_output, redirected_to
from app.interface.events import listen_by_default

__all__ = ["aside", "console", "quiet_descriptors", "redirect_output", "redirected_to", "show"]

listen_by_default(show)
