"""The vertices of a PLY file as a table, read with NumPy: ASCII, little and big endian."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HEADER_BYTES = 2**16
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


def read_vertices(path: Path) -> np.ndarray:
    """The structured array of the element "vertex". ValueError for what is no whole PLY file, or has no vertices."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
        end = re.search(rb"\n[ \t]*end_header[ \t]*\r?\n", head)
        if not head.startswith(b"ply") or end is None:
            raise ValueError("it has no PLY header")
        order, elements = _parsed(head[: end.start()].decode("utf-8", "replace").split("\n"))
        start = end.end()
        before, vertex = _until_vertex(elements)
        widths = [np.dtype([(name, order + kind) for name, kind in each.columns]) for each in (*before, vertex)]
        ascii_format = order == FORMATS["ascii"]
        least = vertex.count * (len(vertex.columns) if ascii_format else widths[-1].itemsize)
        skipped = sum(each.count * (not ascii_format and width.itemsize) for each, width in zip(before, widths))
        if start + skipped + least > size:
            raise ValueError("it ends before the values that its header announces")
        if vertex.count > MOST_ROWS or (ascii_format and size > MOST_TEXT):
            raise ValueError(f"it has more than {MOST_ROWS} vertices, or {MOST_TEXT >> 20} MiB of text")
        if ascii_format:
            file.seek(start)
            return _from_text(file.read(), sum(each.count for each in before), vertex, widths[-1])
        file.seek(start + skipped)
        table = np.frombuffer(file.read(vertex.count * widths[-1].itemsize), widths[-1])
    if len(table) < vertex.count:
        raise ValueError("it ends before the values that its header announces")
    return table


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


def _until_vertex(elements: Sequence[Element]) -> tuple[list[Element], Element]:
    """The elements before the vertices, and the vertices."""
    names = [each.name for each in elements]
    if "vertex" not in names:
        raise ValueError("it has no vertices")
    place = names.index("vertex")
    if any(each.listed for each in elements[: place + 1]):
        raise ValueError("it has lists among or before its vertices")
    if len(dict(elements[place].columns)) < len(elements[place].columns):
        raise ValueError("its header names a property twice")
    return list(elements[:place]), elements[place]


def _from_text(text: bytes, skipped: int, vertex: Element, kinds: np.dtype) -> np.ndarray:
    """Rows of numbers in ASCII, one a line."""
    lines = text.decode("ascii").splitlines()[skipped : skipped + vertex.count]
    rows = [line.split() for line in lines]
    if len(rows) < vertex.count or any(len(row) != len(vertex.columns) for row in rows):
        raise ValueError("its rows are not as its header announces")
    table = np.empty(vertex.count, kinds)
    for i, (name, _) in enumerate(vertex.columns):
        table[name] = np.array([row[i] for row in rows], np.float64)
    return table
