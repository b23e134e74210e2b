"""How a hostile input is made from a small valid one, and how its refusal is judged."""

import json
import os
import pickle
import signal
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

Damage = Callable[[Path], object]
"""What is done to the valid input in a folder."""

SECONDS, ENDLESS = 4, 20  # of the processor: at most, and when it is stopped; other work may slow down the clock
ASLEEP = 300  # seconds of the clock: who waits for ever uses no processor
MOST_MEMORY = 128 * 2**20  # bytes that reading a small file may add to what the process holds
SENTINEL = "pwned"  # the file, beside the input, that code inside of an input would make
SECRET = "secret.png"  # a picture beside the input that no input may name


@dataclass(frozen=True, eq=False)
class Reader:
    """One reader: a valid input, the command that reads it, and damages by name.

    `command` says the words for the input's folder and an output that does not exist, or does the work itself and
    raises InputError. `valid` is what the sentence of a refusal holds where the valid input is read but the command
    then stops for want of something else; None where it succeeds. `names` is what every refusal names.
    """

    make: Callable[[Path], object]
    command: Callable[[Path, Path], Sequence[object] | None]
    damages: Mapping[str, Damage]
    valid: str | None = None
    names: str | None = None
    needs: tuple[str, ...] = ()  # optional packages


class TooLong(BaseException):
    """A reader that waits for ever; no `except Exception` or `except OSError` hides it."""


@contextmanager
def limited() -> Iterator[None]:
    """Fails where the block takes more than SECONDS of the processor or MOST_MEMORY, or waits for ever."""

    def stop(*_: object) -> None:
        raise TooLong

    timers = ((signal.SIGALRM, signal.ITIMER_REAL, ASLEEP), (signal.SIGPROF, signal.ITIMER_PROF, ENDLESS))
    before = [signal.signal(number, stop) for number, _, _ in timers]
    for _, timer, seconds in timers:
        signal.setitimer(timer, seconds)
    forget_peak()
    start, held = time.process_time(), memory("VmRSS")
    try:
        yield
    finally:
        for (number, timer, _), handler in zip(timers, before):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)
    seconds, grown = time.process_time() - start, memory("VmHWM") - held
    assert seconds < SECONDS, f"{seconds:.1f} s of the processor"
    assert grown < MOST_MEMORY, f"{grown >> 20} MiB more than before"


def forget_peak() -> None:
    """Sets the process's peak of memory to what it holds now (Linux; elsewhere the peak so far goes on to count)."""
    if os.path.exists("/proc/self/clear_refs"):
        Path("/proc/self/clear_refs").write_text("5")


def memory(name: str) -> int:
    """VmRSS (held now) or VmHWM (at most since `forget_peak`) in bytes; the latter may lag behind the former."""
    if not os.path.exists("/proc/self/status"):
        return 0
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))


def snapshot(folder: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of change of all that is in a folder; links are not followed."""
    return {path: (path.lstat().st_size, path.lstat().st_mtime_ns) for path in sorted(folder.rglob("*"))}


# Damages to one file, whatever it holds.


def replaced(name: str, content: bytes | Callable[[bytes], bytes]) -> Damage:
    """The file `name` with other bytes, or with a function of its bytes."""

    def damage(root: Path) -> None:
        path = root / name
        path.write_bytes(content if isinstance(content, bytes) else content(path.read_bytes()))

    return damage


def folder_instead(name: str) -> Damage:
    def damage(root: Path) -> None:
        (root / name).unlink()
        (root / name).mkdir()

    return damage


def pipe_instead(name: str) -> Damage:
    """A pipe into which nobody writes: who opens it waits for ever."""

    def damage(root: Path) -> None:
        (root / name).unlink()
        os.mkfifo(root / name)

    return damage


def link_outside(name: str) -> Damage:
    """A link to a file beside the input."""

    def damage(root: Path) -> None:
        (root / name).unlink()
        (root / name).symlink_to(root.parent / SECRET)

    return damage


def circle(name: str) -> Damage:
    def damage(root: Path) -> None:
        (root / name).unlink()
        (root / name).symlink_to(Path(name).name)

    return damage


def grown(name: str, size: int = 2**40) -> Damage:
    """As large as `size` bytes, of which most take no room on disk."""
    return lambda root: os.truncate(root / name, size)


class Exploit:
    """Makes the sentinel when it is unpickled."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self):
        return Path.touch, (self.folder / SENTINEL,)


def pickled(name: str) -> Damage:
    return lambda root: (root / name).write_bytes(pickle.dumps(Exploit(root.parent)))


def any_file(name: str) -> dict[str, Damage]:
    """What may be wrong with every file that is read whole."""
    return {
        "empty": replaced(name, b""),
        "noise": replaced(name, np.random.default_rng(0).bytes(4001)),
        "half of it": replaced(name, lambda data: data[: len(data) // 2]),
        "all but the end": replaced(name, lambda data: data.rstrip()[:-1]),
        "a folder": folder_instead(name),
        "a pipe": pipe_instead(name),
        "a pickle": pickled(name),
    }


# Damages to JSON.


def json_file(name: str) -> dict[str, Damage]:
    """What may be wrong with every JSON file."""
    texts = {
        "nested": b"[" * 100_000,
        "nested objects": b'{"frames":' * 50_000,
        "endless number": b'{"frames": ' + b"9" * 100_000 + b"}",
        "of another kind": b"[1, 2]",
        "of numbers": b"7",
        "not UTF-8": b'{"frames": "\xff\xfe"}',
    }
    return {**any_file(name), **{case: replaced(name, text) for case, text in texts.items()}}


def edited(name: str, change: Callable[[Any], object]) -> Damage:
    """A JSON file whose content `change` has been at; NaN and infinity are written as JavaScript has them."""

    def damage(root: Path) -> None:
        data = json.loads((root / name).read_text())
        change(data)
        (root / name).write_text(json.dumps(data))

    return damage


def put(*keys: str | int, value: object) -> Callable[[Any], None]:
    """A change that sets data[key][key]... ."""

    def change(data: Any) -> None:
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = value

    return change


# Bombs.


@cache
def zeros(size: int = 2**28, container: int = 15) -> bytes:
    """So many zero bytes, deflated: as zlib does, with `container` 31 as a gzip file, with -15 bare as in archives."""
    packer = zlib.compressobj(1, wbits=container)
    return b"".join([*(packer.compress(bytes(2**20)) for _ in range(size >> 20)), packer.flush()])


def png(width: int, height: int, *chunks: tuple[bytes, bytes], depth: int = 8, colour: int = 2) -> bytes:
    """A PNG that claims a size and holds these chunks."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([depth, colour, 0, 0, 0])
    body = [kind + data for kind, data in ((b"IHDR", header), *chunks, (b"IEND", b""))]
    parts = ((len(b) - 4).to_bytes(4, "big") + b + zlib.crc32(b).to_bytes(4, "big") for b in body)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def picture_file(name: str) -> dict[str, Damage]:
    """What may be wrong with a picture (PNG) that an input names."""
    return {
        "picture is empty": replaced(name, b""),
        "picture is half": replaced(name, lambda data: data[: len(data) // 2]),
        "picture is a folder": folder_instead(name),
        "picture is a pipe": pipe_instead(name),
        "picture is a pickle": pickled(name),
        "picture is a link outside": link_outside(name),
        "picture is a circle of links": circle(name),
        "picture claims 10^18 pixels": replaced(name, png(10**9, 10**9)),
        "picture is a bomb": replaced(name, png(2**15, 2**15, (b"IDAT", zeros()))),
        "picture has a bomb of text": replaced(name, png(32, 32, (b"zTXt", b"k\0\0" + zeros()))),
    }


# Tables of damages.


def without(damages: Mapping[str, Damage], *cases: str) -> dict[str, Damage]:
    """All but those that make another kind of input of it, or none."""
    return {case: damage for case, damage in damages.items() if case not in cases}


def labelled(what: str, damages: Mapping[str, Damage]) -> dict[str, Damage]:
    return {f"{what}: {case}": damage for case, damage in damages.items()}
