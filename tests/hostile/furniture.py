"""Libraries of furniture, as `fewview data build --furniture` reads them: archives, and the models inside."""

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

from hostile.kit import Damage, Reader, any_file, circle, grown, png, replaced, zeros
from synthetic.test_furniture import CUBE, write_library

from fewview.synthetic.objects.furniture import CATALOGUE, catalogue, load_piece

NAME = "BlendSwap-CC-0.sh3f"


def entry(name: str, content: bytes | Callable[[bytes], bytes]) -> Damage:
    """The archive with one entry replaced, or one more."""

    def damage(root: Path) -> None:
        with zipfile.ZipFile(root / NAME) as archive:
            held = {each: archive.read(each) for each in archive.namelist()}
        held[name] = content if isinstance(content, bytes) else content(held[name])
        with zipfile.ZipFile(root / NAME, "w", zipfile.ZIP_DEFLATED) as archive:
            for each, data in held.items():
                archive.writestr(each, data)

    return damage


def row(line: str) -> Damage:
    """One more line in the catalogue, which outdoes the ones before."""
    return entry(CATALOGUE, lambda text: text + b"\n" + line.encode())


def bomb(name: str, size: int = 2**28) -> Damage:
    """A quarter of a gibibyte of zeros as an entry of the archive, which says that it unpacks to `size` bytes."""

    def damage(root: Path) -> None:
        with zipfile.ZipFile(root / NAME) as archive:
            held = {each: archive.read(each) for each in archive.namelist() if each != name}
        with zipfile.ZipFile(root / NAME, "w") as archive:
            for each, data in held.items():
                archive.writestr(each, data)
            archive.writestr(name, zeros(container=-15))
            last = archive.getinfo(name)  # stored so far; the directory, written last, says what counts
            last.compress_type, last.file_size = zipfile.ZIP_DEFLATED, size
            place = last.header_offset
        data = bytearray((root / NAME).read_bytes())
        data[place + 8 : place + 10] = struct.pack("<H", zipfile.ZIP_DEFLATED)
        data[place + 22 : place + 26] = struct.pack("<I", size)
        (root / NAME).write_bytes(data)

    return damage


def every_entry(change: Callable[[zipfile.ZipInfo], None]) -> Damage:
    """The directory of the archive with other words about its entries."""

    def damage(root: Path) -> None:
        with zipfile.ZipFile(root / NAME, "a") as archive:
            archive.writestr("last", b"")  # so that the directory is written again
            for info in archive.infolist():
                change(info)

    return damage


def library(root: Path) -> None:
    write_library(root)


def build(folder: Path, out: Path) -> list[object]:
    """One worker is this process, in which nothing is rendered here."""
    return ["data", "build", out, "--furniture", folder, "--train", 1, "--test", 1, "--workers", 1]


LIBRARY = Reader(
    library,
    build,
    {
        **any_file(NAME),
        "a circle of links": circle(NAME),
        "no catalogue": replaced(NAME, b"PK\x05\x06" + bytes(18)),
        "catalogue is a bomb": bomb(CATALOGUE),
        "catalogue is a bomb that lies": bomb(CATALOGUE, 64),
        "packed in an unknown way": every_entry(lambda info: setattr(info, "compress_type", 99)),
        "locked": every_entry(lambda info: setattr(info, "flag_bits", 1)),
        "entries that lie elsewhere": every_entry(lambda info: setattr(info, "header_offset", 2**31)),
        "absolute path": entry("/etc/evil.png", b"x"),
        "path upwards": entry("../../evil.png", b"x"),
        "path upwards in the middle": entry("m/../../../evil.png", b"x"),
        "path of another system": entry("m\\..\\..\\..\\evil.png", b"x"),
        "no size": row("width#1="),
        "size of text": row("width#1=wide"),
        "size of NaN": row("height#1=nan"),
        "size of infinity": row("depth#1=inf"),
        "negative size": row("depth#1=-5"),
        "size of 10^300": row("depth#1=1e300"),
        "turn of NaN": row("modelRotation#1=nan 0 0 0 1 0 0 0 1"),
        "turn of text": row("modelRotation#1=a b c"),
        "turn of two numbers": row("modelRotation#1=1 0"),
        "singular turn": row("modelRotation#1=" + "0 " * 9),
        "a terabyte": grown(NAME),
    },
    valid="is rendered",
)


def load_all(folder: Path, out: Path) -> None:
    for piece in catalogue(folder):
        load_piece(piece)


MODEL, PAPER = "m/1/model.obj", "m/1/paper.png"


def obj(text: str) -> Damage:
    return entry(MODEL, text.encode())


PIECES = Reader(
    library,
    load_all,
    {
        "empty": obj(""),
        "noise": entry(MODEL, bytes(range(256)) * 9),
        "half of it": entry(MODEL, lambda text: text[: len(text) // 3]),
        "a bomb": bomb(MODEL),
        "a bomb that lies": bomb(MODEL, 64),
        "NaN": obj(CUBE.replace("v 0 0 0", "v nan 0 0")),
        "infinity": obj(CUBE.replace("v 0 0 0", "v 0 1e999 0")),
        "far away": obj(CUBE.replace("v 0 0 0", "v 0 1e300 0")),
        "two coordinates": obj(CUBE.replace("v 0 0 0", "v 0 0")),
        "NaN in the texture": obj(CUBE.replace("vt 0 0", "vt nan nan")),
        "corner before the first": obj(CUBE + "f -100 1 2\n"),
        "corner of 10^30": obj(CUBE + f"f {10**30} 1 2\n"),
        "corner of 10 000 digits": obj(CUBE + f"f {'1' * 10_000} 1 2\n"),
        "texture before the first": obj(CUBE + "f 1/-100 2 3\n"),
        "a million triangles": obj(CUBE + "f 1 2 3\n" * 10**6),
        "one face of a million corners": obj(CUBE + "f" + " 1" * 10**6),
        "a million vertices too many": obj(CUBE + "v 0 0 0\n" * (10**6 + 10)),
        "texture is empty": entry(PAPER, b""),
        "texture is noise": entry(PAPER, bytes(999)),
        "texture of 10^18 pixels": entry(PAPER, png(10**9, 10**9)),
        "texture of 2^30 pixels": entry(PAPER, png(2**15, 2**15, (b"IDAT", zeros()))),
        "texture is a script": entry(PAPER, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        "texture is a bomb": bomb(PAPER),
        "materials are a bomb": bomb("m/1/things/model.mtl"),
    },
)
