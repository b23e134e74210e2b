#!/usr/bin/env bash
# fast-simplification 0.2.0 (PyPI): simplify(vertices, faces, target_reduction=0.9) of one ball in several units.
# Guess: the number of triangles left does not depend on the unit of length; quadrics are compared with each other.
# Seen: the error is measured against an absolute bound. A ball of radius 1 is reduced to a tenth, one of radius 10,000
#   to a quarter of itself or so, and one of radius 100,000 (the same thing, in finer units) is handed back whole.
#   The smaller the numbers the better: scale to radius 1 first. No warning, and float64 does the same.
# Output:
#   radius 1: 1280 triangles become 128
set -euo pipefail
