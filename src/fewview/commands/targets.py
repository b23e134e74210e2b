"""Where results go: every target is checked before any work is done for it."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from fewview.errors import InputError, told


def check_place(out: Path) -> None:
    """InputError unless something can be written under this name: the folder that it goes to takes files."""
    if out.name in ("", ".."):  # "", ".", "/": of these a Path has no name, or another than it seems
        raise InputError(f"'{out}' is no name for results; name a new file or folder there, such as {out / 'new'}.")
    try:
        folder = _above(out.absolute().parent)
        if not folder.is_dir():
            raise InputError(f"{folder} is a file, so there can be no {out}; name another place.")
        with suppress(FileNotFoundError, NotADirectoryError):
            os.lstat(out.with_name(f".{out.name}.12345678"))  # the longest name that it has on the way
        with tempfile.TemporaryFile(dir=folder) as file:  # asked of the system: full disks, read-only ones
            file.write(b" ")
    except OSError as error:
        error.filename = str(out)
        raise InputError(told(error)) from None


def check_folder(out: Path) -> None:
    """InputError unless this is a folder that takes files, or can become one; what is in it stays."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; name a folder.")
    check_place(out / "x")


def check_empty(out: Path) -> None:
    """InputError unless this is a new folder, or an empty one, that can be written."""
    check_place(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already; name a new folder for the results.")


def check_new(out: Path, overwrite: bool) -> None:
    """A file that is there is replaced only when asked, and a folder with something in it never; see `check_place`."""
    check_place(out)
    if out.is_dir() and (out.suffix or any(out.iterdir())):
        more = " with something in it; name an empty or a new one" if not out.suffix else "; name a file"
        raise InputError(f"{out} is a folder{more}.")
    if out.is_file() and not overwrite:
        raise InputError(f"{out} exists already; name another file, or replace it with --overwrite.")


def _above(folder: Path) -> Path:
    """The nearest thing that exists, from a folder upwards."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder
