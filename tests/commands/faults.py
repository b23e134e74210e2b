"""Moments at which files are made or renamed, and what may go wrong there: a full disk, or Ctrl-C.

Python tells of such moments by audit events (docs.python.org/3/library/audit_events.html); a hook that raises stops
what was about to happen. Hooks stay for ever, so there is one, which is idle most of the time. Writers in native code
are not seen by it; `small_files` stops them, by the limit that the system puts on the size of files.
"""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CREATING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_watching: Callable[[str, tuple], None] | None = None
_installed = False


def _hook(event: str, arguments: tuple) -> None:
    if _watching is not None and event in ("open", "os.mkdir", "os.rename"):
        _watching(event, arguments)


@contextmanager
def moments(root: Path, at: int | None = None, *, full: bool = False) -> Iterator[list[str]]:
    """The moments below `root` in the block, by event; at number `at` of them Ctrl-C is pressed.

    If `full`, the disk is full from then on instead: nothing new can be made, while names can be changed.
    """
    global _watching, _installed
    seen: list[str] = []

    def watch(event: str, arguments: tuple) -> None:
        path = arguments[0]
        made = event != "open" or bool(arguments[2] & CREATING)
        if not made or not isinstance(path, (str, os.PathLike)) or not str(path).startswith(str(root)):
            return
        seen.append(event)
        if at is not None and full and len(seen) > at and event != "os.rename":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        if at is not None and not full and len(seen) == at + 1:
            raise KeyboardInterrupt

    if not _installed:
        sys.addaudithook(_hook)
        _installed = True
    _watching = watch
    try:
        yield seen
    finally:
        _watching = None


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """No file grows beyond so many bytes, whoever writes it (EFBIG, which is told like a full disk)."""
    resource = pytest.importorskip("resource", reason="limits are Unix's")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
