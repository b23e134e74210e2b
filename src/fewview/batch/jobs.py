"""What is to be made: a line of words for each result, and the key that its inputs and settings have."""

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from fewview.errors import InputError

COMMANDS = (("reconstruct",), ("evaluate",), ("data", "build"), ("data", "rooms"))
VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")
BLOCK = 2**20  # bytes that are read at once


@dataclass(frozen=True)
class Job:
    """A command of fewview without the place of its results, and what they are called."""

    name: str
    words: tuple[str, ...]

    @property
    def command(self) -> tuple[str, ...]:
        """Those of the words that name what to run."""
        return next(known for known in COMMANDS if self.words[: len(known)] == known)

    @property
    def source(self) -> str:
        """The input; the command itself where it has none."""
        rest = self.words[len(self.command) :]
        return rest[0] if rest and not rest[0].startswith("-") else " ".join(self.command)


def jobs_of(source: Path, options: str = "") -> list[Job]:
    """A job for each capture of a folder, or for each line of a list; `options` are given to every one.

    A line is an input and perhaps options of `fewview reconstruct`, or one of COMMANDS with its words; paths are
    relative to the list. InputError where there is nothing to do.
    """
    more = _split(options, "--options")
    if source.is_dir():
        inputs = [p for p in sorted(source.iterdir()) if not p.name.startswith(".") and (p.is_dir() or _is_video(p))]
        lines = [(str(path),) for path in inputs]
    elif source.is_file():
        lines = _lines(source)
    else:
        raise InputError(f"{source} does not exist; name a folder of captures, or a list of them.")
    if not lines:
        raise InputError(f"{source} names no capture; put a folder of photos, or a video, into it for each.")
    return [_job((*line, *more)) for line in lines]


def _lines(path: Path) -> list[tuple[str, ...]]:
    """The words of each line that is not empty, nor a comment (#); inputs from where the list is."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text ({error}); write an input a line.") from None
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = _split(line, f"{path}, line {number},", comments=True)
        if words:
            start = next((len(known) for known in COMMANDS if words[: len(known)] == known), 0)
            if start < len(words) and not words[start].startswith("-"):
                words = (*words[:start], str(path.parent / words[start]), *words[start + 1 :])
            found.append(words)
    return found


def _split(text: str, where: str, *, comments: bool = False) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text, comments=comments))
    except ValueError as error:
        raise InputError(f"{where} is not a line of words ({error}); close its quotes.") from None


def _job(words: tuple[str, ...]) -> Job:
    if not any(words[: len(known)] == known for known in COMMANDS):
        words = ("reconstruct", *words)
    job = Job("", words)
    name = Path(job.source).resolve().name if job.source in words else "-".join(job.command)
    return Job("".join(c if c.isalnum() or c in "-_." else "_" for c in name), words)


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEOS


def key_of(job: Job) -> str:
    """The same for the same inputs, byte for byte, and settings of the same version of fewview, wherever they are."""
    digest = hashlib.blake2b(version("fewview").encode(), digest_size=16)
    for word in job.words:
        path = Path(word)
        if word == job.source and path.is_file() and not _is_video(path):
            digest.update(b"file " + path.name.encode())
            path = path.parent  # cameras lie beside their photos
        kept = content(path) if path.exists() else word.encode()
        digest.update(len(kept).to_bytes(8, "big") + kept)
    return digest.hexdigest()


def content(path: Path) -> bytes:
    """A digest of a file, or of all files of a folder with their names; hidden ones do not count."""
    digest = hashlib.blake2b(digest_size=16)
    for file in [path] if path.is_file() else _files(path):
        name = b"" if file == path else file.relative_to(path).as_posix().encode()
        digest.update(name + b"\0" + file.stat().st_size.to_bytes(8, "big"))
        with file.open("rb") as stream:
            while block := stream.read(BLOCK):
                digest.update(block)
    return digest.digest()


def _files(folder: Path) -> Sequence[Path]:
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        found += _files(path) if path.is_dir() else [path] if path.is_file() else []
    return found
