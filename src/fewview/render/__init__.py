"""Radiance fields, 3D Gaussians, and their renderers: a fast kernel for the CPU and its twin in PyTorch each."""
