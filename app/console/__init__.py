"""What a person sees: lines, tables and progress, on a terminal, in a notebook, and in a pipe or file."""

from app.console.bars import TaskID, progress, status, track
from app.console.chatter import chatter_to
from app.console.printing import console, print_path
from app.console.tables import table
from app.console.wrapping import whole

__all__ = ["TaskID", "chatter_to", "console", "print_path", "progress", "status", "table", "track", "whole"]
