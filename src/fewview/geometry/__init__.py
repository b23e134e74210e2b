"""Transforms, rotations, depths and epipolar geometry, on tensors alone."""
