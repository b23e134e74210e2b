"""The one exception that a user's input can cause."""


class InputError(ValueError):
    """Bad input, in one sentence: which file, what is wrong with it, and the mend. The CLI exits with code 2."""
