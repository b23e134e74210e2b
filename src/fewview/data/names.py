"""Files by the names that others gave them: Windows' paths, other cases, other forms of Unicode, no suffix."""

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from fewview.data.fields import shown
from fewview.data.images import PHOTO_SUFFIXES, MissingFile, is_file, path_inside
from fewview.errors import InputError

LEAST_LEFT = 4  # photos: below, and where fewer than half are there, a missing one is an error and not a note


class Finder:
    """Looks names up below a folder, whose listings it reads once, and only where a name is not there as it stands."""

    def __init__(self, root: Path):
        self.root = root
        self._listings: dict[Path, dict[str, str]] = {}

    def find(self, name: str, *, where: str) -> Path:
        """The file of this name: as it stands, else with / for \\, any case, any Unicode form, any photo's suffix.

        Of a whole path, which is that of the computer where it was written, the longest end that is here counts.
        InputError for a name that leads out of the folder; MissingFile where there is none.
        """
        if PureWindowsPath(name).anchor and (found := self._end_of(name)) is not None:
            return path_inside(self.root, found, where=where)
        try:
            return path_inside(self.root, name, where=where)
        except MissingFile:
            if PureWindowsPath(name).drive:
                raise InputError(
                    f"{where} names the file {shown(name)}, a path of one computer; use a path relative to {self.root}."
                ) from None
            found = self._alike(name)
            if found is None:
                raise
            return path_inside(self.root, found, where=where)

    def has(self, name: str) -> str | None:
        """The name as it stands on the disk, None where `find` would find nothing."""
        return name if is_file(self.root / name) else self._alike(name)

    def _end_of(self, name: str) -> str | None:
        """The longest end of a whole path that is a file here."""
        parts = name.replace("\\", "/").split("/")[1:]
        ends = ("/".join(parts[i:]) for i in range(len(parts)) if parts[i])
        return next((found for end in ends if (found := self._alike(end)) is not None), None)

    def _alike(self, name: str) -> str | None:
        parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part != "."]
        if not parts or ".." in parts or parts[0] == "/":
            return None
        place = PurePosixPath()
        for part in parts[:-1]:
            entry = self._entry(place, part)
            if entry is None:
                return None
            place /= entry
        last = parts[-1]
        for suffix in _suffixes(last):
            entry = self._entry(place, last + suffix)
            if entry is not None and is_file(self.root / place / entry):
                return str(place / entry)
        return None

    def _entry(self, folder: PurePosixPath, name: str) -> str | None:
        """The entry of a folder that is called `name`, or is so but for case and Unicode form."""
        path = self.root / folder
        if path not in self._listings:
            try:
                self._listings[path] = {_key(entry): entry for entry in sorted(os.listdir(path), reverse=True)}
            except (OSError, ValueError):
                self._listings[path] = {}
        return self._listings[path].get(_key(name))


def _suffixes(name: str) -> tuple[str, ...]:
    """What may follow a name on the disk: a photo's suffix where it has none; and programs write that twice."""
    own = PurePosixPath(name).suffix
    if own.lower() in PHOTO_SUFFIXES:
        return "", own
    return "", *PHOTO_SUFFIXES, *(2 * suffix for suffix in PHOTO_SUFFIXES)


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def photo_names(folder: Path) -> list[str]:
    """Names of the photos in a folder, sorted; hidden ones are left out."""
    found = (path.name for path in folder.glob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
    return sorted(name for name in found if not name.startswith("."))


def check_enough(found: int, missing: Sequence[InputError]) -> tuple[str, ...]:
    """A note of how many listed photos are not there; raises the first one's error where too few are."""
    if not missing:
        return ()
    if found < max(LEAST_LEFT, len(missing)):
        if len(missing) == 1:
            raise missing[0]
        total = found + len(missing)
        raise InputError(f"{str(missing[0]).rstrip('.')} ({len(missing)} of {total} listed photos are not there).")
    return (f"{len(missing)} listed photo{' is' if len(missing) == 1 else 's are'} not there and left out",)
