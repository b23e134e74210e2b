"""Small damages that keep most of a file's structure, drawn by a generator, so that a number names each of them."""

import gzip
import io
import json
import math
import struct
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

NUMBERS = (0, 1, -1, 2, 3, 255, 256, 65535, 2**31 - 1, -(2**31), 2**32 - 1, 2**53, 2**63 - 1, 2**64 - 1)
FLOATS = (0.0, -0.0, 1e-300, 1e30, -1e30, 1e300, math.nan, math.inf, -math.inf, 0.1)
WORDS = (
    "",
    " ",
    ".",
    "..",
    "/",
    "a/../b",
    "x" * 300,
    "\0",
    "\u0301",
    "\x1b[2J",
    "nan",
    "-1",
    "1e999",
    "true",
    "PINHOLE",
)
VALUES = (*NUMBERS, *FLOATS, *WORDS, None, True, False, [], {}, [[]], [1, 2, 3], {"a": 1}, [None] * 4)


def mutate(name: str, data: bytes, draw: Random) -> bytes:
    """The bytes of a file of this name after one to three damages of its kind."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        data = _kind(name, data)(data, draw)
    return data


def _kind(name: str, data: bytes) -> Callable[[bytes, Random], bytes]:
    if data[:2] == b"\x1f\x8b":
        return _packed
    if name.endswith((".json", ".gltf", ".txt", ".obj", ".mtl")):
        return _json if name.endswith((".json", ".gltf")) else _text
    if data[:4] == b"glTF":
        return _tree
    if name.endswith(".safetensors"):
        return _headed
    if data[:4] == b"\x89PNG":
        return _chunked
    if data[:4] == b"PK\x03\x04":
        return _archived
    return _lines_and_bytes if data[:4] in (b"ply\n", b"\x93NUM") else _bytes


def _bytes(data: bytes, draw: Random) -> bytes:
    """A span flipped, overwritten by a number, cut out, doubled, moved, or all behind it lost."""
    if not data:
        return draw.randbytes(8)
    changed = bytearray(data)
    at, length = draw.randrange(len(data)), draw.choice((1, 2, 4, 8, 16, 64))
    choice = draw.randrange(7)
    if choice == 0:
        changed[at] ^= 1 << draw.randrange(8)
    elif choice == 1:
        changed[at : at + length] = draw.randbytes(length)
    elif choice == 2:
        form = draw.choice(("<i", ">i", "<q", "<f", "<d", "<H"))
        changed[at : at + struct.calcsize(form)] = _as(form, draw)
    elif choice == 3:
        del changed[at : at + length]
    elif choice == 4:
        changed[at:at] = changed[at : at + length]
    elif choice == 5:
        to = draw.randrange(len(data))
        changed[at : at + length], changed[to : to + length] = changed[to : to + length], changed[at : at + length]
    else:
        del changed[at:]
    return bytes(changed)


def _as(form: str, draw: Random) -> bytes:
    """A number that is often wrong, in as many bytes as the form has."""
    if form[1] in "fd":
        value = draw.choice(FLOATS)
        return struct.pack(form, value if form[1] == "d" or not abs(value) > 3e38 else math.copysign(math.inf, value))
    size = struct.calcsize(form)
    return (draw.choice(NUMBERS) % 2 ** (8 * size)).to_bytes(size, "little" if form[0] == "<" else "big")


def _packed(data: bytes, draw: Random) -> bytes:
    """What is inside of a gzip file, mostly; else the file itself."""
    try:
        inside = gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return _bytes(data, draw)
    if draw.random() < 0.2:
        return _bytes(data, draw)
    inner = _json if inside[:1] in (b"[", b"{") else _bytes
    return gzip.compress(inner(inside, draw), 1, mtime=0)


def _json(data: bytes, draw: Random) -> bytes:
    """A value somewhere replaced, left out or doubled; seldom the text itself."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return _bytes(data, draw)
    if draw.random() < 0.1:
        return _bytes(data, draw)
    if not isinstance(tree, (list, dict)) or not tree:
        return json.dumps(draw.choice(VALUES)).encode()
    _change(tree, draw)
    return json.dumps(tree).encode()


def _change(tree: Any, draw: Random) -> None:
    """One change at some depth of lists and objects."""
    keys = list(tree) if isinstance(tree, dict) else range(len(tree))
    key = draw.choice(list(keys))
    inside = tree[key]
    if isinstance(inside, (list, dict)) and inside and draw.random() < 0.85:
        _change(inside, draw)
        return
    choice = draw.randrange(5)
    if choice == 0:
        del tree[key]
    elif choice == 1 and isinstance(tree, list):
        tree.insert(key, inside)
    elif choice == 2 and isinstance(inside, (int, float)):
        tree[key] = draw.choice((-inside, inside * 1e6, inside * 1e-6, inside + 1, str(inside), [inside]))
    elif choice == 3 and isinstance(inside, str):
        tree[key] = draw.choice((inside[::-1], inside + "x", "../" + inside, "/" + inside, inside.upper(), inside[:-1]))
    else:
        tree[key] = draw.choice(VALUES)


def _text(data: bytes, draw: Random) -> bytes:
    """A word replaced, a line left out, doubled or moved; seldom the bytes themselves."""
    lines = data.split(b"\n")
    at, choice = draw.randrange(len(lines)), draw.randrange(6)
    words = lines[at].split(b" ")
    if choice == 0:
        return _bytes(data, draw)
    if choice == 1:
        del lines[at]
    elif choice == 2:
        lines.insert(at, lines[draw.randrange(len(lines))])
    elif choice == 3:
        del words[draw.randrange(len(words))]
    else:
        words[draw.randrange(len(words))] = str(draw.choice((*NUMBERS, *FLOATS, *WORDS))).encode("utf-8", "replace")
    if choice >= 3:
        lines[at] = b" ".join(words)
    return b"\n".join(lines)


def _tree(data: bytes, draw: Random) -> bytes:
    """A .glb file: its tree, with the length that belongs to it, or anything."""
    size = int.from_bytes(data[12:16], "little")
    if draw.random() < 0.3 or not 0 < size < len(data):
        return _bytes(data, draw)
    tree = _json(data[20 : 20 + size], draw)
    tree += b" " * (-len(tree) % 4)
    return data[:12] + len(tree).to_bytes(4, "little") + data[16:20] + tree + data[20 + size :]


def _headed(data: bytes, draw: Random) -> bytes:
    """A safetensors file: its header, with the length that belongs to it, or anything."""
    size = int.from_bytes(data[:8], "little")
    if draw.random() < 0.4 or not 0 < size < len(data):
        return _bytes(data, draw)
    header = _json(data[8 : 8 + size], draw)
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


def _chunked(data: bytes, draw: Random) -> bytes:
    """A PNG: the inside of a chunk, with the check sum that belongs to it, or anything."""
    changed = _bytes(data[8:], draw)
    if draw.random() < 0.3:
        return data[:8] + changed
    out, at = [data[:8]], 0
    while at + 12 <= len(changed):
        size = int.from_bytes(changed[at : at + 4], "big")
        body = changed[at + 4 : at + 8 + size]
        out += [changed[at : at + 4], body, zlib.crc32(body).to_bytes(4, "big")]
        at += 12 + size
    return b"".join(out)


def _archived(data: bytes, draw: Random) -> bytes:
    """A zip archive: the inside of an entry, or anything."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            held = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # a second damage to what the first has broken
        return _bytes(data, draw)
    if draw.random() < 0.3 or not held:
        return _bytes(data, draw)
    name = draw.choice(sorted(held))
    inner = _text if name.endswith((".obj", ".mtl", ".properties")) else _kind(name, held[name])
    held[name] = inner(held[name], draw)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for each, content in held.items():
            archive.writestr(each, content)
    return out.getvalue()


def _lines_and_bytes(data: bytes, draw: Random) -> bytes:
    """A header of text before binary data: either of them."""
    end = data.find(b"end_header\n") + 11 if data[:3] == b"ply" else 10 + int.from_bytes(data[8:10], "little")
    if draw.random() < 0.5 or not 11 < end < len(data):
        return _bytes(data, draw)
    return _text(data[:end], draw) + data[end:]
