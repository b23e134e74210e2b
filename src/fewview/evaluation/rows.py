"""Results on disk: JSON Lines, read strictly; only the last line may be torn, by a run that was killed."""

import json
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from fewview.checkpoint import atomic_path
from fewview.config import from_json, to_json
from fewview.errors import InputError

T, K = TypeVar("T"), TypeVar("K", bound=Hashable)


@runtime_checkable
class KeyedRow(Protocol):
    """A result of a method that is known by its key."""

    @property
    def key(self) -> Hashable: ...

    @property
    def method(self) -> str: ...


@dataclass(frozen=True)
class Row:
    """One held-out view of one scene by one method. `seconds` is what the scene's reconstruction took."""

    scene: str
    category: str
    method: str
    view: int
    psnr: float
    ssim: float
    lpips: float | None
    angle_to_nearest_context_deg: float
    seconds: float
    lpips_alex: float | None = None  # a second perceptual distance, which no method has as a loss

    @property
    def key(self) -> tuple[str, str, int]:
        return self.scene, self.method, self.view


@dataclass(frozen=True)
class Failure:
    """A method that did not finish a scene, or could not start because the scene cannot be read."""

    scene: str
    method: str
    error: str
    traceback: str


@dataclass(frozen=True)
class Bar:
    """A measured acceptance bar: `value` against `target`, over `n` scenes (or whatever `command` counts)."""

    issue: str | int
    bar: str
    value: float
    target: float | str
    met: bool
    n: int
    command: str
    device: str


def read_lines(path: Path, cls: type[T]) -> list[T]:
    """The dataclasses of a JSONL file, [] where there is none. InputError names the line that does not fit.

    A last line without its newline was torn by a killed run and is dropped.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [_parse(line, cls, f"{path}, line {i + 1}") for i, line in enumerate(lines)]


def read_keyed(path: Path, cls: type[T]) -> list[T]:
    """Rows that are known by a key; two with the same one are an error."""
    rows: list[Any] = read_lines(path, cls)
    first: dict[Hashable, int] = {}
    for i, row in enumerate(rows):
        if first.setdefault(row.key, i) != i:
            raise InputError(f"{path}, line {i + 1} repeats line {first[row.key] + 1}; delete one of them.")
    return rows


def read_rows(path: Path) -> list[Row]:
    """Rows of a results.jsonl."""
    return read_keyed(path, Row)


def grouped(rows: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Rows by their key, in the order in which keys come up."""
    groups: dict[K, list[T]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def append_lines(path: Path, items: Sequence[Any]) -> None:
    """Appends dataclasses in one write, after cutting off a torn last line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        file.seek(0)
        whole = file.read().rfind(b"\n") + 1
        file.truncate(whole)
        file.write("".join(map(_line, items)).encode())


def write_lines(path: Path, items: Sequence[Any]) -> None:
    """A JSONL file of dataclasses, written whole."""
    with atomic_path(path) as temporary:
        temporary.write_bytes("".join(map(_line, items)).encode())


def record_bar(bar: Bar, path: Path = Path("results/bars.jsonl")) -> None:
    """Writes a bar in place of the one with the same issue and name, or at the end."""
    bars = read_lines(path, Bar)
    same = [i for i, old in enumerate(bars) if (str(old.issue), old.bar) == (str(bar.issue), bar.bar)]
    if same:
        bars[same[0]] = bar
    else:
        bars.append(bar)
    write_lines(path, bars)


def _line(item: Any) -> str:
    return json.dumps(to_json(item), allow_nan=False) + "\n"


def _parse(line: bytes, cls: type[T], where: str) -> T:
    try:
        data = json.loads(line, parse_constant=_no_constant)
    except ValueError as error:
        raise InputError(f"{where} is not valid JSON ({error}); delete the line and run again.") from None
    return from_json(cls, data, where)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
