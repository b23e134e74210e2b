"""Photos in, files out: methods that are called like functions, and the `Reconstruction` that they return."""
