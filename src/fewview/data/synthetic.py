"""Moved: `python -m fewview.synthetic.objects.build` is what this runs."""

import sys
from importlib import import_module

if __name__ == "__main__":
    import_module("fewview.synthetic.objects.build").main(sys.argv[1:])
