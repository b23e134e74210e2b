"""The exceptions that a user's input, or a package that is not installed, can cause; and the system's, in words."""

import errno

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)


class InputError(ValueError):
    """Bad input, in one sentence: which file, what is wrong with it, and the mend. The CLI exits with code 2."""


class MissingPackage(InputError):
    """An optional package is not installed; the sentence says who needs it and how to install it."""


def told(error: OSError, where: str = "a file") -> str:
    """What the system refused, in one sentence with the mend; `where` stands in for a file that it does not name."""
    place, reason = str(error.filename or where), error.strerror or " ".join(str(error).split()) or type(error).__name__
    if error.errno in NO_ROOM:
        return f"{place} cannot be written, for there is no room ({reason}); free some, and run the command again."
    if error.errno in NO_RIGHT:
        return f"{place} is not ours to read or write ({reason}); change its permissions, or name another place."
    return f"{place} cannot be read or written ({reason}); mend that, or name another place."
