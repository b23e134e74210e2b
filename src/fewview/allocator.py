"""Keep freed memory in the process: on a CPU, up to four fifths of a step are page faults otherwise."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # mallopt(3)


def keep_freed_memory() -> bool:
    """Tell glibc to serve blocks up to 32 MiB from a heap that it keeps; False where there is no glibc.

    Tensors of some megabytes are otherwise mapped anew, page by page, in every step. Process-wide, so for programs
    to call, not for the library: the `fewview` command does.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    settings = {M_MMAP_THRESHOLD: 2**25, M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 2**26}
    return all([mallopt(name, value) == 1 for name, value in settings.items()])
