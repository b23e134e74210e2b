"""The exceptions that a user's input, or a package that is not installed, can cause."""


class InputError(ValueError):
    """Bad input, in one sentence: which file, what is wrong with it, and the mend. The CLI exits with code 2."""


class MissingPackage(InputError):
    """An optional package is not installed; the sentence says who needs it and how to install it."""
