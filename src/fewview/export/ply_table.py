"""The elements of a PLY file as tables, read with NumPy: ASCII, little and big endian."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path

import numpy as np

HEADER_BYTES = 2**16
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
    """So many rows of named numbers; `listed` where some are lists, whose rows differ in length."""

    name: str
    count: int
    columns: tuple[tuple[str, str], ...]  # names and NumPy types
    listed: bool


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
        plain = _without_lists(elements)
        kinds = [np.dtype([(name, order + kind) for name, kind in each.columns]) for each in plain]
        ascii_format = order == FORMATS["ascii"]
        widths = [len(each.columns) if ascii_format else kind.itemsize for each, kind in zip(plain, kinds)]
        least = sum(each.count * width for each, width in zip(plain, widths))
        if end.end() + least > size:
            raise ValueError("it ends before the values that its header announces")
        if any(each.count > MOST_ROWS for each in plain) or (ascii_format and size > MOST_TEXT):
            raise ValueError(f"it has more than {MOST_ROWS} vertices, or {MOST_TEXT >> 20} MiB of text")
        file.seek(end.end())
        rows = iter(file.read().decode("ascii").splitlines()) if ascii_format else iter(())
        tables = {}
        for each, kind in zip(plain, kinds):
            if ascii_format:
                tables[each.name] = _from_text(list(islice(rows, each.count)), each, kind)
            else:
                tables[each.name] = np.frombuffer(file.read(each.count * kind.itemsize), kind)
    if any(len(tables[each.name]) < each.count for each in plain):
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
                elements.append(Element(name, int(count), (), False))
            case ["property", "list", length, kind, _] if elements and {length, kind} <= TYPES.keys():
                last = elements[-1]
                elements[-1] = Element(last.name, last.count, last.columns, True)
            case ["property", kind, name] if elements and kind in TYPES:
                last = elements[-1]
                columns = (*last.columns, (name, TYPES[kind]))
                elements[-1] = Element(last.name, last.count, columns, last.listed)
            case [] | ["comment" | "obj_info", *_]:
                pass
            case _:
                raise ValueError(f"its header says '{line[:40]}'")
    if order is None:
        raise ValueError("its header names no format")
    return order, elements


def _without_lists(elements: Sequence[Element]) -> list[Element]:
    """The elements to the last that is kept; none of them may have lists, whose length only reading tells."""
    if "vertex" not in [each.name for each in elements]:
        raise ValueError("it has no vertices")
    plain = list(takewhile(lambda each: not each.listed, elements))
    while plain and plain[-1].name not in KEPT:
        plain.pop()
    if "vertex" not in [each.name for each in plain]:
        raise ValueError("it has lists among or before its vertices")
    if any(len(dict(each.columns)) < len(each.columns) for each in plain):
        raise ValueError("its header names a property twice")
    if len({each.name for each in plain}) < len(plain):
        raise ValueError("its header names an element twice")
    return plain


def _from_text(lines: Sequence[str], element: Element, kinds: np.dtype) -> np.ndarray:
    """Rows of numbers in ASCII, one a line."""
    rows = [line.split() for line in lines]
    if len(rows) < element.count or any(len(row) != len(element.columns) for row in rows):
        raise ValueError("its rows are not as its header announces")
    table = np.empty(element.count, kinds)
    for i, (name, _) in enumerate(element.columns):
        table[name] = np.array([row[i] for row in rows], np.float64)
    return table
