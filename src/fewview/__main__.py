"""`python -m fewview`, which is the `fewview` command; torchrun starts it so."""

import sys

from fewview.cli import main

if __name__ == "__main__":
    sys.exit(main())
