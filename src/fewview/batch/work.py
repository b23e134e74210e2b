"""A job becomes a folder of results: made once, under its key, whole or not at all."""

import importlib
import json
import os
import shutil
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fewview.batch.jobs import Job, key_of
from fewview.errors import InputError

State = Literal["made", "there", "refused", "failed", "busy"]
WORK, LOGS = ".work", "logs"  # of the folder of all results: unfinished ones, and what was said while they were made
JOURNAL = "made.jsonl"  # a line for each result, when it is there
SHORT = 12  # characters of the key in names


@dataclass(frozen=True)
class Outcome:
    """What became of a job: made now, there before, refused for its input, failed, or busy: another batch is at it.

    A sentence says why.
    """

    job: Job
    state: State
    folder: str = ""  # of the results, in that of all of them
    seconds: float = 0.0
    sentence: str = ""


def work(job: Job, out: Path, make: str, *, wait: bool = True) -> Outcome:
    """Does a job unless its results are in `out`; `make` is module:function, called with the words and a new folder.

    Beside the folder may be what a former try left. A result takes its place by one rename, and a lock lets two
    workers, or two batches, never make the same: they `wait`, or the job is busy.
    """
    start, key = time.monotonic(), "none"
    try:
        key = key_of(job)
        name = f"{job.name}-{key[:SHORT]}"
        with _locked(out / WORK / f"{key}.lock", wait=wait):
            if (out / name).exists():
                return Outcome(job, "there", name)
            _make(job, out, (key, name), make=make)
            seconds = round(time.monotonic() - start, 2)
            _append(out / JOURNAL, {"folder": name, "words": job.words, "seconds": seconds})
        return Outcome(job, "made", name, seconds)
    except BlockingIOError:
        return Outcome(job, "busy")
    except InputError as error:
        shutil.rmtree(out / WORK / key, ignore_errors=True)
        return Outcome(job, "refused", sentence=str(error))
    except (Exception, SystemExit) as error:
        return Outcome(job, "failed", sentence=" ".join(f"{type(error).__name__}: {error}".split())[:300])


def _make(job: Job, out: Path, names: tuple[str, str], *, make: str) -> None:
    key, name = names
    folder = out / WORK / key
    again = folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    result = folder / name
    with _said(out / LOGS / f"{name}.log"):
        _found(make)(_words(job, result, again=again))
    if not result.is_dir() or not any(result.iterdir()):
        raise RuntimeError(f"nothing was made; {LOGS}/{name}.log tells more")
    os.replace(result, out / name)
    shutil.rmtree(folder, ignore_errors=True)


def _append(path: Path, row: dict) -> None:
    """A line, written at once: other processes append too."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, json.dumps(row).encode() + b"\n")
    finally:
        os.close(descriptor)


def _words(job: Job, result: Path, *, again: bool) -> tuple[str, ...]:
    """The whole command; one that was stopped goes on."""
    if job.command[0] == "data":
        start = len(job.command)
        return (*job.words[:start], str(result), *job.words[start:])
    resumed = ("--resume",) if again and job.command == ("reconstruct",) else ()
    return (*job.words, "-o", str(result), *resumed)


def _found(make: str):
    module, _, function = make.partition(":")
    return getattr(importlib.import_module(module), function)


@contextmanager
def _said(log: Path) -> Iterator[None]:
    """What Python code prints in the block goes to a file, and the trace of an error too."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as stream, redirect_stdout(stream), redirect_stderr(stream):
        try:
            yield
        except (Exception, SystemExit):
            traceback.print_exc()
            raise


@contextmanager
def _locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Alone with a file, which the system frees when the process ends in whatever way; nothing where it cannot.

    BlockingIOError where another has it, and there is no `wait`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        try:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows
            pass
        yield
