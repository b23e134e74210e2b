"""Sweet Home 3D furniture libraries (*.sh3f): zip archives of OBJ models with a catalogue of names, sizes and authors.

Debian's package sweethome3d-furniture holds five of them, 820 models, CC0 and CC BY 3.0; see docs/data.md.
"""

import hashlib
import io
import math
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from fewview.data.fields import shown
from fewview.data.images import DECODING_ERRORS, FORMATS, MAX_PIXELS
from fewview.data.meshes import Colour, Material, Mesh, Model, shade
from fewview.data.wavefront import MAX_FACES, Definition, Wavefront, parse_mtl, parse_obj
from fewview.errors import InputError
from fewview.synthetic.shapes.palettes import fabric, glaze, near, paint, wood

CATALOGUE = "PluginFurnitureCatalog.properties"
TEXTURE_SIZE = 256
MAX_BYTES = 2**26  # of one file in an archive, unpacked
MAX_CENTIMETRES = 1e5
ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, KeyError, OSError, EOFError, RuntimeError, ValueError)
LICENSES = {"BlendSwap-CC-0": "CC0-1.0", "KatorLegaz": "CC-BY-3.0-US", "Reallusion": "CC-BY-3.0-US"}  # others CC BY 3.0
SKIPPED = re.compile(
    r"light source|plug|switch|socket|parking|^arrow|crossing|carpet|rug\b|^bill |mat$|window|door\b|doors|pool$|blind|"
    r"shutter|rails$|sidewalk|staircase|elevator|escalator|frame|curtain|^triangle|tatami|door",
    re.IGNORECASE,
)  # flat things, parts of walls, and what has no body
GROUPS = (
    ("library_heldout", r"\bbench\b|bank$|bottle|flacon"),  # kinds of the categories that are held out as a whole
    ("library_chair", r"chair|stool|\bseat\b|puff|ottoman"),
    ("library_sofa", r"sofa|couch|futon|day bed"),
    ("library_lamp", r"lamp|light|lantern|chandelier|uplight"),
    ("library_table", r"table\b|desk|workbench"),
    ("library_plant", r"plant|tree|flower|cactus|bush|hedge|bamboo|ficus|acacia|pine|maple|palm|lil(y|ies)|tulip|yucca|"
                      r"orchid|bonsai|cypress|poplar|beech|blossom|spathiphyllum"),
    ("library_vessel", r"vase|\bcup\b|mug|glass\b|bowl|pot\b|jar\b|teapot|creamer|pottery|kettle|pan\b|plate|basin|"
                       r"barrel"),
)  # fmt: skip
HELD_OUT_SHARE, HELD_OUT_LEAST = 0.075, 5  # of the models of each group, chosen by the hash of their geometry


@dataclass(frozen=True)
class Piece:
    """One model of a library. `size` is (width, height, depth) in centimetres, `checksum` that of its OBJ file."""

    archive: str
    number: int
    name: str
    path: str
    author: str
    license: str
    size: tuple[float, float, float]
    turn: tuple[float, ...]
    checksum: int
    group: str
    held_out: bool = False

    @property
    def library(self) -> str:
        return Path(self.archive).stem

    @property
    def credit(self) -> dict[str, str]:
        """Where it is from, under which licence, and who made it."""
        source = f"Sweet Home 3D furniture library {self.library}"
        return {"source": source, "license": self.license, "author": self.author}


def catalogue(folder: Path) -> tuple[Piece, ...]:
    """Usable models of all libraries below a folder, each file once, in a fixed order, the held-out ones marked."""
    archives = sorted(Path(folder).rglob("*.sh3f"))
    if not archives:
        raise InputError(f"{folder} holds no *.sh3f library; unpack Debian's sweethome3d-furniture there.")
    unique: dict[int, Piece] = {}
    for archive in archives:
        for piece in _pieces(archive):
            unique.setdefault(piece.checksum, piece)
    held_out: set[int] = set()
    for group in {piece.group for piece in unique.values()}:
        members = sorted((p for p in unique.values() if p.group == group), key=_lot)
        count = max(HELD_OUT_LEAST, round(HELD_OUT_SHARE * len(members)))
        held_out |= {p.checksum for p in (members if group == "library_heldout" else members[:count])}
    return tuple(replace(p, held_out=p.checksum in held_out) for p in unique.values())


def load_piece(piece: Piece) -> Model:
    """The model at its catalogue size, in metres, y up, with its materials and textures."""
    with _opened(Path(piece.archive)) as archive:
        where = f"{piece.archive}: {PurePosixPath(piece.path)}"
        wavefront = parse_obj(_unpacked(archive, piece.path).decode("latin-1"), where)
        folder = PurePosixPath(piece.path).parent
        definitions = {}
        for library in wavefront.libraries:
            content = _read(archive, folder / library)
            if content is not None:
                definitions |= parse_mtl(content.decode("latin-1"))
        images: dict[str, np.ndarray] = {}
        for definition in definitions.values():
            name = definition.image
            if name and name not in images and (content := _read(archive, folder / name)) is not None:
                images[name] = _image(content, f"{piece.archive}: {folder / name}")
    layers = {name: i for i, name in enumerate(images)}
    materials = []
    for name in wavefront.materials:
        definition = definitions.get(name, Definition(Material()))
        materials.append(replace(definition.material, layer=layers.get(definition.image, -1)))
    info = {"name": piece.name, "author": piece.author, "license": piece.license}
    return Model(_mesh(wavefront, materials, piece), tuple(materials), tuple(images.values()), info)


def recoloured(model: Model, rng: np.random.Generator, *, strength: float = 1.0) -> Model:
    """A variant: stretched by up to 15 % an axis, all hues turned alike, some flat materials given a pattern.

    Strength 0 keeps colours and proportions, and only gives bare flat models a little texture."""
    stretch = 1 + strength * rng.uniform(-0.15, 0.15, 3)
    turn = _hue_turn(strength * rng.uniform(-np.pi, np.pi)) * (1 + strength * rng.uniform(-0.25, 0.1))
    change: Callable[[Colour], Colour] = lambda c: tuple(float(x) for x in (turn @ np.asarray(c)).clip(0.01, 0.99))  # type: ignore[return-value]
    patterns: tuple[Callable[[np.random.Generator], Material], ...] = (fabric, wood, glaze, paint)
    materials = []
    for material in model.materials:
        colour = near(rng, change(material.a), 0.02 + 0.08 * strength)
        fresh = replace(material, a=colour)
        if material.layer < 0 and rng.random() < 0.15 + 0.35 * strength:
            pattern = patterns[rng.integers(len(patterns))](rng)
            keep = rng.random() < 0.5
            mapping = "box" if pattern.mapping == "cylinder" else pattern.mapping
            fresh = replace(pattern, a=colour if keep else pattern.a, mapping=mapping)
        materials.append(fresh)
    images = tuple(_turned(image, turn) for image in model.images) if strength else model.images
    return replace(model, mesh=model.mesh.scaled(*stretch), materials=tuple(materials), images=images)


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    """An archive; InputError where it is damaged, now or when it is read."""
    if not archive.is_file():
        raise InputError(f"{archive} is no file; download the furniture library again.")
    try:
        with zipfile.ZipFile(archive) as opened:
            yield opened
    except InputError:
        raise
    except ARCHIVE_ERRORS as error:
        raise InputError(
            f"{archive} is not a furniture library, a whole zip with {CATALOGUE} ({type(error).__name__}); "
            "download it again."
        ) from None


def _unpacked(archive: zipfile.ZipFile, name: str) -> bytes:
    """One file of an archive, no more than MAX_BYTES; KeyError where there is none.

    Methods whose unpacking cannot be stopped half-way (bzip2, LZMA) are refused; these archives are deflated.
    """
    info = archive.getinfo(name)
    if info.file_size > MAX_BYTES or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(
            f"{archive.filename}: {shown(name)} unpacks to {info.file_size} bytes by method {info.compress_type}, "
            f"not to {MAX_BYTES >> 20} MiB at most by deflation; download the library again."
        )
    with archive.open(info) as file:
        return file.read(info.file_size)  # the size bounds what is unpacked, which archive.read(info) does not


def _pieces(archive: Path) -> list[Piece]:
    with _opened(archive) as opened:
        entries = {info.filename: info for info in opened.infolist()}
        text = _unpacked(opened, CATALOGUE).decode("latin-1")
    for name in entries:
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if name.startswith("/") or ".." in parts:
            raise InputError(f"{archive} holds the file {shown(name)}, which is outside of it; download it again.")
    rows: dict[int, dict[str, str]] = {}
    for key, number, value in re.findall(r"^(\w+)#(\d{1,9})=(.*)$", text, re.MULTILINE):
        rows.setdefault(int(number), {})[key] = _unescape(value.strip())
    pieces = []
    for number, row in sorted(rows.items()):
        path, name = row.get("model", "").lstrip("/"), row.get("name", "")
        flat = row.get("doorOrWindow") == "true" or row.get("category") == "Doors and windows" or SKIPPED.search(name)
        if flat or path not in entries or "staircaseCutOutShape" in row:
            continue
        where = f"{archive}: model {number}"
        words = " ".join(row.get(key, "-") for key in ("width", "height", "depth"))
        width, height, depth = _numbers(words, 3, f"{where}, width, height and depth,")
        if min(width, height, depth) <= 0:
            raise InputError(f"{where} is {width:g} x {height:g} x {depth:g} cm large; download the library again.")
        turn = _numbers(row.get("modelRotation", "1 0 0 0 1 0 0 0 1"), 9, f"{where}, modelRotation")
        if abs(np.linalg.det(np.reshape(turn, (3, 3)))) < 1e-6:
            raise InputError(f"{where} has a modelRotation that flattens it; download the library again.")
        pieces.append(Piece(
            str(archive), number, name, path, row.get("creator", "unknown"), LICENSES.get(archive.stem, "CC-BY-3.0"),
            (width, height, depth), turn, entries[path].CRC, group_of(name),
        ))  # fmt: skip
    return pieces


def _numbers(text: str, count: int, where: str) -> tuple[float, ...]:
    """So many finite numbers of a sensible size."""
    try:
        values = tuple(float(word) for word in text.split())
    except ValueError:
        values = ()
    if len(values) != count or not all(math.isfinite(v) and abs(v) < MAX_CENTIMETRES for v in values):
        raise InputError(f"{where} is {shown(text)}, not {count} finite numbers; download the library again.")
    return values


def group_of(name: str) -> str:
    """The category that a library model is filed under, by its name."""
    return next((group for group, pattern in GROUPS if re.search(pattern, name, re.IGNORECASE)), "library_misc")


def _mesh(wavefront: Wavefront, materials: list[Material], piece: Piece) -> Mesh:
    vertices = wavefront.vertices @ np.asarray(piece.turn).reshape(3, 3).T
    low, high = vertices.min(0), vertices.max(0)
    scale = np.asarray(piece.size) / 100 / np.maximum(high - low, 1e-9)
    vertices = (vertices - (low + high) / 2) * scale
    faces = wavefront.faces
    if len(faces) > MAX_FACES:
        raise InputError(f"{piece.name} has {len(faces)} triangles, more than {MAX_FACES}.")
    mesh = shade(vertices, faces, 50.0, keep=True)
    material = np.repeat(wavefront.material, 3)
    textured = np.array([m.layer >= 0 for m in materials])[material]
    size = float(np.linalg.norm(np.asarray(piece.size) / 100)) / 2
    local = np.where(textured[:, None], wavefront.coordinates.reshape(-1, 3), mesh.positions / size * 0.6)
    return Mesh(mesh.positions, mesh.normals, local, material)


def _read(archive: zipfile.ZipFile, path: PurePosixPath) -> bytes | None:
    try:
        return _unpacked(archive, str(path))
    except KeyError:
        return None


def _image(content: bytes, where: str) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise InputError(f"{where} has {image.width} x {image.height} pixels; download the library again.")
            return np.asarray(image.convert("RGBA").resize((TEXTURE_SIZE, TEXTURE_SIZE), Image.Resampling.BOX))
    except InputError:
        raise
    except DECODING_ERRORS as error:
        raise InputError(f"{where} is no readable image ({type(error).__name__}); fetch the library again.") from None


def _turned(image: np.ndarray, turn: np.ndarray) -> np.ndarray:
    colour = image[..., :3].astype(np.float32) @ turn.T.astype(np.float32)
    return np.concatenate([colour.clip(0, 255).round().astype(np.uint8), image[..., 3:]], axis=-1)


def _hue_turn(angle: float) -> np.ndarray:
    """Rotation of RGB about the grey axis."""
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / 3**0.5
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _lot(piece: Piece) -> bytes:
    return hashlib.sha256(f"{piece.checksum}".encode()).digest()


def _unescape(value: str) -> str:
    return re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), value)
