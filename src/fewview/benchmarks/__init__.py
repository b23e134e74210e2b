"""Fast kernels beside their slow twins."""
