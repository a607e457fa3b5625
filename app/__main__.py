"""`python -m app`."""

import sys

from app.interface.program import missing_package

try:
    from app.cli import main

    code = main(sys.argv[1:])
except ModuleNotFoundError as error:
    print(f"Error: {missing_package(error)}", file=sys.stderr)
    code = 2
sys.exit(code)
