"""Scenes of splats and fields, weights, and paths to film along."""

import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import worlds
from data.test_realestate10k import walk
from export.test_scenes import ply, spz
from hostile.kit import (
    Damage,
    Reader,
    any_file,
    circle,
    edited,
    grown,
    json_file,
    labelled,
    put,
    replaced,
    without,
    zeros,
)
from safetensors.torch import load_file, save_file

from fewview.checkpoint import save_model
from fewview.data.nerfstudio import write_transforms
from fewview.export.ply import write_ply
from fewview.export.splat import write_splat
from fewview.export.spz import HEADER, NAME, write_spz
from fewview.render.asset import FieldAsset, GaussianAsset
from fewview.render.gaussians import Gaussians


def splats(count: int = 30) -> Gaussians:
    generator = torch.Generator().manual_seed(0)
    means, turns = (torch.randn(count, n, generator=generator) for n in (3, 4))
    turns = torch.nn.functional.normalize(turns, dim=-1)
    return Gaussians(means, torch.full((count, 3), 0.2), turns, torch.full((count,), 0.9), means.sigmoid())


def render(scene: Path, out: Path, *more: object) -> list[object]:
    return ["render", scene, "-o", out / "film", "--frames", 2, "--size", 16, *more]


def row(mean: float = 0.0, log_scale: float = 0.0, rotation: float = 1.0, colour: float = 0.0) -> bytes:
    """One splat of a PLY file."""
    return struct.pack("<17f", *[mean] * 3, *[0.0] * 3, *[colour] * 3, 1.0, *[log_scale] * 3, rotation, 0, 0, 0)


def lists(count: int, form: str = "binary_little_endian") -> bytes:
    """A PLY file of one list, which says how long it is."""
    kinds = "property list uint double x\n"
    body = struct.pack("<I", count) if form.startswith("b") else f"{count} 1 2\n".encode()
    return f"ply\nformat {form} 1.0\nelement vertex 1\n{kinds}end_header\n".encode() + body


FILE = "scene.ply"
PLY = Reader(
    lambda root: write_ply(root / FILE, splats()),
    lambda folder, out: render(folder / FILE, out),
    {
        **any_file(FILE),
        "a circle of links": circle(FILE),
        "10^12 splats": replaced(FILE, ply(10**12)),
        "10^40 splats": replaced(FILE, ply(10**40)),
        "10^12 splats of text": replaced(FILE, ply(10**12, form="ascii")),
        "count of 10 000 digits": replaced(FILE, ply("9" * 10_000)),
        "minus one splat": replaced(FILE, ply(-1)),
        "count of text": replaced(FILE, ply("many")),
        "list of 2^32 numbers": replaced(FILE, lists(2**32 - 1)),
        "list of 2^32 words": replaced(FILE, lists(2**32 - 1, "ascii")),
        "the same column twice": replaced(FILE, lambda data: data.replace(b"float y", b"float x")),
        "columns of an unknown kind": replaced(FILE, lambda data: data.replace(b"float y", b"evil y")),
        "endless header": replaced(FILE, b"ply\n" + b"comment x\n" * 100_000 + b"end_header\n"),
        "NaN": replaced(FILE, ply(1, row(math.nan))),
        "infinity": replaced(FILE, ply(1, row(-math.inf))),
        "far away": replaced(FILE, ply(2, row(1e38) + row(-1e38))),
        "as large as the world": replaced(FILE, ply(2, row(1.0, 88.0) + row())),
        "bright beyond floats": replaced(FILE, ply(2, row(colour=1e38) + row())),
        "a terabyte of splats": lambda root: [replaced(FILE, ply(10**10))(root), grown(FILE)(root)],
    },
)

PACKED = "scene.spz"
FOUR = HEADER.pack(NAME, 4, 2, 0, 12, 0, 5) + b"\x20\0\0\0"
SPZ = Reader(
    lambda root: write_spz(root / PACKED, splats()),
    lambda folder, out: ["view", folder / PACKED, "--page", out / "page.html"],
    {
        **without(any_file(PACKED), "all but the end", "a folder"),
        "10^9 splats": replaced(PACKED, spz(count=2**32 - 1)),
        "10^7 splats": replaced(PACKED, spz(count=9_999_999)),
        "no splats": replaced(PACKED, spz(count=0)),
        "degree beyond all": replaced(PACKED, spz(degree=255)),
        "bits beyond all": replaced(PACKED, spz(bits=255)),
        "version of tomorrow": replaced(PACKED, spz(version=2**31)),
        "a gzip bomb": replaced(PACKED, zeros(container=31)),
        "a bomb behind a header": replaced(PACKED, spz(count=9_999_999, body=b"") + zeros(container=31)),
        "streams beyond the file": replaced(PACKED, HEADER.pack(NAME, 4, 30, 0, 12, 0, 255) + b"\xff" * 64),
        "stream of 2^64 bytes": replaced(PACKED, FOUR),
        "streams of noise": replaced(PACKED, FOUR + bytes(12) + struct.pack("<QQ", 64, 64) * 5 + b"\x01" * 320),
        "NaN": replaced(PACKED, spz(version=1, count=1, body=struct.pack("<3e", *[math.nan] * 3) + bytes(20))),
    },
)

BARE = "scene.splat"


def splat_row(mean: float = 0.0, scale: float = 1.0, rotation: bytes = b"\xff\x80\x80\x80") -> bytes:
    return struct.pack("<6f", *[mean] * 3, *[scale] * 3) + b"\x80\x80\x80\xff" + rotation


SPLAT = Reader(
    lambda root: write_splat(root / BARE, splats()),
    lambda folder, out: render(folder / BARE, out),
    {
        **without(any_file(BARE), "half of it"),
        "31 bytes": replaced(BARE, lambda data: data[:-1]),
        "33 bytes": replaced(BARE, lambda data: data + b"\0"),
        "NaN": replaced(BARE, splat_row(math.nan)),
        "infinity": replaced(BARE, splat_row(math.inf)),
        "NaN in the scales": replaced(BARE, splat_row(scale=math.nan)),
        "negative scales": replaced(BARE, splat_row(scale=-1e-3)),
        "as large as the world": replaced(BARE, splat_row(scale=1e38) * 2),
        "far away": replaced(BARE, splat_row(3e38) + splat_row(-3e38)),
        "no rotation": replaced(BARE, splat_row(rotation=b"\x80" * 4)),
        "text": replaced(BARE, b"All happy families are alike; .. " * 32),
        "a circle of links": circle(BARE),
        "a terabyte": grown(BARE),
    },
)


# Scene folders and weights: config.json beside tensors.


def tensors(name: str, change: Callable[[dict[str, Any]], object]) -> Damage:
    """A file of tensors that `change` has been at."""

    def damage(root: Path) -> None:
        found = load_file(root / name)
        change(found)
        save_file(found, root / name)

    return damage


def not_a_number(found: dict[str, Any]) -> None:
    next(tensor for tensor in found.values() if tensor.is_floating_point()).fill_(math.nan)


def header(text: str, length: int | None = None, body: bytes = bytes(64)) -> bytes:
    """A safetensors file by hand."""
    return struct.pack("<Q", len(text) if length is None else length) + text.encode() + body


def tensor_file(name: str) -> dict[str, Damage]:
    """What may be wrong with every safetensors file."""
    claim = '{"a": {"dtype": "F32", "shape": %s, "data_offsets": %s}}'
    return {
        **any_file(name),
        "header of 2^63 bytes": replaced(name, header("{}", 2**63)),
        "nested header": replaced(name, header('{"a":' * 20_000)),
        "10^12 numbers": replaced(name, header(claim % ("[1000000000000]", "[0, 4000000000000]"))),
        "2^64 numbers": replaced(name, header(claim % ("[18446744073709551616]", "[0, 64]"))),
        "negative offsets": replaced(name, header(claim % ("[16]", "[-64, 0]"))),
        "offsets beyond the end": replaced(name, header(claim % ("[16]", "[640, 704]"))),
        "of another kind": replaced(name, header(claim.replace("F32", "OBJECT") % ("[16]", "[0, 64]"))),
        "other tensors": replaced(name, header(claim % ("[16]", "[0, 64]"))),
        "a terabyte": grown(name),
    }


def gaussians(root: Path) -> None:
    GaussianAsset(splats()).save(root / "scene")
    cameras = worlds.ring(3, 16)
    write_transforms(root / "transforms.json", [cameras[i] for i in range(3)], ["none.png"] * 3)


CONFIG, SPLATS = "scene/config.json", "scene/gaussians.safetensors"
GAUSSIANS = Reader(
    gaussians,
    render,
    {
        **labelled("config", json_file(CONFIG)),
        "config of another format": edited(CONFIG, put("format", value=99)),
        "class that can be run": edited(CONFIG, put("class", value="os.system")),
        "class of a list": edited(CONFIG, put("class", value=["GaussianAsset"])),
        "class of an object": edited(CONFIG, put("class", value={})),
        "settings of a list": edited(CONFIG, put("config", value=[1])),
        **labelled("splats", tensor_file(SPLATS)),
        "NaN": tensors(SPLATS, lambda found: found["means"].fill_(math.nan)),
        "far away": tensors(SPLATS, lambda found: found["means"].mul_(1e38)),
        "infinite scales": tensors(SPLATS, lambda found: found["scales"].fill_(math.inf)),
        "fewer colours": tensors(SPLATS, lambda found: found.update(features=torch.zeros(2, 3))),
        "complex numbers": tensors(SPLATS, lambda found: found.update(means=found["means"] * 1j)),
        "no cameras": lambda root: (root / "transforms.json").unlink(),
    },
)


def field(root: Path) -> None:
    gaussians(root)
    for path in (root / "scene").iterdir():
        path.unlink()
    torch.manual_seed(0)
    FieldAsset(worlds.quick().distill.asset).save(root / "scene")


MODEL = "scene/model.safetensors"


def claim(*keys: str, value: object, name: str = CONFIG) -> Damage:
    return edited(name, put("config", *keys, value=value))


FIELD = Reader(
    field,
    render,
    {
        **labelled("weights", without(tensor_file(MODEL), "a circle")),
        "NaN": tensors(
            MODEL, lambda found: [tensor.fill_(math.nan) for tensor in found.values() if tensor.is_floating_point()]
        ),
        "a tensor less": tensors(MODEL, lambda found: found.popitem()),
        "a tensor more": tensors(MODEL, lambda found: found.update(more=torch.zeros(1))),
        "10^9 levels": claim("ngp", "grid", "levels", value=10**9),
        "negative levels": claim("ngp", "grid", "levels", value=-1),
        "table of 2^60": claim("ngp", "grid", "log2_table", value=60),
        "table of 2^(10^9)": claim("ngp", "grid", "log2_table", value=10**9),
        "hidden of 10^12": claim("ngp", "hidden", value=10**12),
        "hidden beyond 64 bits": claim("ngp", "hidden", value=2**70),
        "negative hidden": claim("ngp", "hidden", value=-4),
        "resolution of 10^6": claim("occupancy", "resolution", value=10**6),
        "no resolution": claim("occupancy", "resolution", value=0),
        "text for a number": claim("ngp", "hidden", value="16"),
        "NaN for a number": claim("volume", "steps", value=math.nan),
        "unknown setting": claim("import", value="os"),
    },
)


def weights(root: Path) -> None:
    save_model(root / "model", worlds.smallest_model(), worlds.smallest(), half=True)


def from_pretrained(folder: Path, out: Path) -> None:
    import fewview

    fewview.SparseFusion.from_pretrained(folder / "model", worlds.quick())


CARD, STATE = "model/config.json", "model/model.safetensors"
WEIGHTS = Reader(
    weights,
    from_pretrained,
    {
        **labelled("config", json_file(CARD)),
        **labelled("weights", tensor_file(STATE)),
        "NaN": tensors(STATE, not_a_number),
        "another class": edited(CARD, put("class", value="GGS")),
        "class of a list": edited(CARD, put("class", value=["VLDM"])),
        "10^9 channels": claim("eft", "dim", value=10**9, name=CARD),
        "10^9 layers": claim("eft", "layers", value=[10**9, 1, 1], name=CARD),
        "10^6 layers in a list": claim("eft", "layers", value=[1] * 10**6, name=CARD),
        "10^9 blocks": claim("autoencoder", "blocks", value=10**9, name=CARD),
        "negative channels": claim("eft", "hidden", value=-16, name=CARD),
        "no groups": claim("autoencoder", "groups", value=0, name=CARD),
        "10^12 pixels": claim("size", value=10**12, name=CARD),
        "beyond 64 bits": claim("eft", "hidden", value=2**80, name=CARD),
        "infinity": claim("eft", "hidden", value=math.inf, name=CARD),
    },
)


# Paths to film along


def path_file(root: Path) -> None:
    write_ply(root / FILE, splats())
    cameras = walk(3, 16, 16)
    write_transforms(root / "path.json", [cameras[i] for i in range(3)], ["none.png"] * 3)


def camera(**entries: object) -> Damage:
    return edited("path.json", lambda data: data["frames"][0].update(entries))


PATH = Reader(
    path_file,
    lambda folder, out: render(folder / FILE, out, "--path", folder / "path.json"),
    {
        **json_file("path.json"),
        "no cameras": replaced("path.json", b'{"frames": []}'),
        "cameras of numbers": replaced("path.json", b'{"frames": [1, 2]}'),
        "10^24 pixels": camera(w=10**12, h=10**12),
        "pixels beyond 64 bits": camera(w=2**80),
        "less than a pixel": camera(w=0.25, h=0.25),
        "negative size": camera(h=-16),
        "zero focal length": camera(fl_x=0),
        "vanishing focal length": camera(fl_x=1e-300),
        "endless focal length": camera(fl_x=1e300),
        "NaN centre": camera(cx=math.nan),
        "far centre": camera(cx=1e300),
        "NaN pose": edited("path.json", put("frames", 0, "transform_matrix", 0, 3, value=math.nan)),
        "far pose": edited("path.json", put("frames", 0, "transform_matrix", 0, 3, value=1e300)),
        "singular pose": camera(transform_matrix=[[0.0] * 4] * 4),
        "no pose": camera(transform_matrix=None),
        "a terabyte": grown("path.json"),
    },
)
