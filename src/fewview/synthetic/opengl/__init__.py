"""Renderers of meshes: moderngl, with a display or without."""
