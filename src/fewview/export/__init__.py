"""Scenes, meshes, pictures and films as files, and the pages that show them."""
