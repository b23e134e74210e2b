"""Splats as sharp as the photos: fitted to all of them at full size, held by a prior where no photo looks."""
