"""Objects: held-out views of scenes."""
