"""The command line as `python -m rxollama`."""

import sys

from rxollama.cli import main

if __name__ == "__main__":
    sys.exit(main())
