"""`python -m fewview`, which is the `fewview` command; torchrun starts it so."""

import os
import sys


def main() -> int:
    """The exit code of the command."""
    if "WORLD_SIZE" in os.environ:  # read when PyTorch is imported: DDP warns that it looks for unused parameters
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from fewview import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
