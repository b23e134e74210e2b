"""The elements of a PLY file as tables, read with NumPy: ASCII, little and big endian."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

HEADER_BYTES = 2**20  # of headers with long comments
KEPT = ("chunk", "vertex", "sh")  # elements that splats and points are in
MOST_ROWS, MOST_TEXT = 50_000_000, 2**30  # bytes
FORMATS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1",
    "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip


@dataclass(frozen=True)
class Element:
    """So many rows of named numbers, in order; a list has the type of its length before that of its numbers."""

    name: str
    count: int
    columns: tuple[tuple[str, ...], ...]  # names and NumPy types

    @property
    def listed(self) -> bool:
        """Whether some are lists, whose rows differ in length."""
        return any(len(column) > 2 for column in self.columns)


@dataclass(frozen=True, eq=False)
class PlyTables:
    """Structured arrays by the name of their element, the names of all elements, and the header's comments."""

    tables: dict[str, np.ndarray]
    elements: tuple[str, ...]
    comments: tuple[str, ...]

    @property
    def vertices(self) -> np.ndarray:
        return self.tables["vertex"]


def read_tables(path: Path) -> PlyTables:
    """The elements of splats and points, "vertex" among them. ValueError for what is no whole PLY file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
        end = re.search(rb"\n[ \t]*end_header[ \t]*\r?\n", head)
        if not head.startswith(b"ply") or end is None:
            raise ValueError("it has no PLY header")
        lines = head[: end.start()].decode("utf-8", "replace").split("\n")
        order, elements = _parsed(lines)
        wanted = _wanted(elements)
        ascii_format = order == FORMATS["ascii"]
        least = sum(each.count * _least(each, ascii_format) for each in wanted)
        if end.end() + least > size:
            raise ValueError("it ends before the values that its header announces")
        if any(each.count > MOST_ROWS for each in wanted) or (ascii_format and size > MOST_TEXT):
            raise ValueError(f"it has more than {MOST_ROWS} vertices, or {MOST_TEXT >> 20} MiB of text")
        file.seek(end.end())
        rows = iter(file.read().decode("ascii").splitlines()) if ascii_format else iter(())
        tables = {}
        for each in wanted:
            if each.listed:
                _pass_over(file, rows, each, order=None if ascii_format else order)
                continue
            kind = np.dtype([(name, order + kind) for name, kind in each.columns])
            if ascii_format:
                tables[each.name] = _from_text(list(islice(rows, each.count)), each, kind)
            else:
                tables[each.name] = np.frombuffer(file.read(each.count * kind.itemsize), kind)
            if len(tables[each.name]) < each.count:
                raise ValueError("it ends before the values that its header announces")
    comments = tuple(line.strip().partition(" ")[2].strip() for line in lines if line.startswith("comment"))
    return PlyTables(tables, tuple(each.name for each in elements), comments)


def _parsed(lines: Sequence[str]) -> tuple[str, list[Element]]:
    """Byte order and elements of a header."""
    order, elements = None, []
    for line in lines[1:]:
        match line.split():
            case ["format", name, _] if name in FORMATS:
                order = FORMATS[name]
            case ["element", name, count] if count.isdecimal():
                elements.append(Element(name, int(count), ()))
            case ["property", "list", length, kind, name] if elements and {length, kind} <= TYPES.keys():
                elements[-1] = _with(elements[-1], (name, TYPES[length], TYPES[kind]))
            case ["property", kind, name] if elements and kind in TYPES:
                elements[-1] = _with(elements[-1], (name, TYPES[kind]))
            case [] | ["comment" | "obj_info", *_]:
                pass
            case _:
                raise ValueError(f"its header says '{line[:40]}'")
    if order is None:
        raise ValueError("its header names no format")
    return order, elements


def _with(element: Element, column: tuple[str, ...]) -> Element:
    return replace(element, columns=(*element.columns, column))


def _wanted(elements: Sequence[Element]) -> list[Element]:
    """The elements to the last that is kept; none that is kept may have lists, whose length only reading tells."""
    if "vertex" not in [each.name for each in elements]:
        raise ValueError("it has no vertices")
    wanted = list(elements)
    while wanted[-1].name not in KEPT or (wanted[-1].listed and wanted[-1].name != "vertex"):
        wanted.pop()
    if any(each.listed for each in wanted if each.name == "vertex"):
        raise ValueError("it has lists among its vertices")
    if any(len({column[0] for column in each.columns}) < len(each.columns) for each in wanted):
        raise ValueError("its header names a property twice")
    if len({each.name for each in wanted}) < len(wanted):
        raise ValueError("its header names an element twice")
    return wanted


def _least(element: Element, text: bool) -> int:
    """The bytes that a row takes at least."""
    return sum(1 if text else np.dtype(column[1]).itemsize for column in element.columns)


def _pass_over(file: BinaryIO, rows: Iterator[str], element: Element, *, order: str | None) -> None:
    """Leave out an element of lists before one that is kept; of text (`order` None) it is so many lines."""
    if order is None:
        if len(list(islice(rows, element.count))) < element.count:
            raise ValueError("it ends before the values that its header announces")
        return
    for _ in range(element.count):
        for _, first, *rest in element.columns:
            one = np.dtype(order + first)
            head = file.read(one.itemsize)
            if len(head) < one.itemsize:
                raise ValueError("it ends before the values that its header announces")
            if rest:
                length = int(np.frombuffer(head, one)[0])
                if length < 0 or length > MOST_ROWS:
                    raise ValueError(f"it has a list of {length} numbers")
                file.seek(length * np.dtype(rest[0]).itemsize, os.SEEK_CUR)


def _from_text(lines: Sequence[str], element: Element, kinds: np.dtype) -> np.ndarray:
    """Rows of numbers in ASCII, one a line."""
    rows = [line.split() for line in lines]
    if len(rows) < element.count or any(len(row) != len(element.columns) for row in rows):
        raise ValueError("its rows are not as its header announces")
    table = np.empty(element.count, kinds)
    for i, (name, _) in enumerate(element.columns):
        table[name] = _numbers([row[i] for row in rows])
    return table


def _numbers(words: Sequence[str]) -> np.ndarray:
    """Numbers in text; Windows' words for what is none (-nan(ind), 1.#INF) are read too."""
    try:
        return np.array(words, np.float64)
    except ValueError:
        plain = [re.sub(r"(?i)^([-+]?)(?:nan\(.*\)|1\.#(?:ind|qnan|snan)\w*)$", r"\1nan", word) for word in words]
        return np.array([re.sub(r"(?i)^([-+]?)1\.#inf\w*$", r"\1inf", word) for word in plain], np.float64)
