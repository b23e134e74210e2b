"""Slips on the command line that are answered better than by a list of all options."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from fewview.commands.listing import HOME
from fewview.errors import InputError

OF_PHOTOS = ("reconstruct", "inspect", "demo")
ALONE = ("--help", "-h", "--version", "--tyro-print-completion", "--tyro-write-completion")  # before any command


def check_words(words: Sequence[str]) -> None:
    """InputError for a misspelt command or an option before it, and for photos that are named one by one."""
    if words and words[0].startswith("-") and words[0].partition("=")[0] not in ALONE:
        raise InputError(f"'{words[0]}' is no command; options come after one, and `fewview --help` lists all.")
    if words and not words[0].startswith("-") and words[0] not in HOME:
        from difflib import get_close_matches

        near = get_close_matches(words[0].lower(), HOME, 1)
        meant = f"did you mean `fewview {near[0]}`? " if near else ""
        raise InputError(f"There is no command '{words[0]}'; {meant}`fewview --help` lists all.")
    if words and words[0] in OF_PHOTOS:
        _check_photos(words)


def _check_photos(words: Sequence[str]) -> None:
    """InputError for two or more photos, which a command takes as the folder that they lie in."""
    named = [word for before, word in pairwise(words) if not before.startswith("-") and not word.startswith("-")]
    if len(named) < 2 or not all(Path(word).is_file() for word in named):
        return
    from fewview.data.images import PHOTO_SUFFIXES

    if not all(Path(word).suffix.lower() in PHOTO_SUFFIXES for word in named):
        return
    raise InputError(
        f"{len(named)} photos are named, {named[0]} first, where the folder that holds them is wanted; name it (--views"
        " 0,5,9 chooses among its photos), or put these alone into a new one."
    )
