"""Many captures, each once: jobs known by the content of their inputs, made by workers that may die."""
