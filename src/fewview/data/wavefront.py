"""Wavefront OBJ and MTL files, as far as furniture needs them: triangles, texture coordinates, colours, images."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from fewview.data.meshes import Colour, Material
from fewview.errors import InputError

MAX_FACES, MAX_POINTS = 150_000, 10**6  # of one model
MAX_CORNERS = 1000  # of one face


@dataclass(frozen=True, eq=False)
class Wavefront:
    """Triangles of an OBJ file: vertex rows, texture coordinates (v down) and material row of each."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    coordinates: Float[np.ndarray, "f 3 3"]
    material: Int[np.ndarray, " f"]
    materials: tuple[str, ...]
    libraries: tuple[str, ...]


@dataclass(frozen=True)
class Definition:
    """One material of an MTL file and the name of its colour image, empty without."""

    material: Material
    image: str = ""


def parse_obj(text: str, where: str) -> Wavefront:
    """Polygons are cut into fans. Raises InputError where a line is malformed or there is no face."""
    vertices: list[list[float]] = []
    textures: list[list[float]] = [[0.0, 0.0]]  # row 0 for corners without
    faces: list[tuple[int, int, int]] = []
    corners: list[tuple[int, int, int]] = []
    owner: list[int] = []
    materials: list[str] = []
    libraries: list[str] = []
    current = -1
    if text.count("\nf ") > MAX_FACES or text.count("\nv ") + text.count("\nvt ") > MAX_POINTS:
        raise InputError(f"{where} has more than {MAX_FACES} faces or {MAX_POINTS} vertices.")
    for number, line in enumerate(text.splitlines(), 1):
        key, _, rest = line.strip().partition(" ")
        try:
            if key == "v":
                vertices.append(_finite(rest.split()[:3], 3))
            elif key == "vt":
                u, v = _finite(rest.split()[:2], 2)
                textures.append([u, 1 - v])
            elif key == "f":
                a = [_corner(item, len(vertices), len(textures)) for item in rest.split(maxsplit=MAX_CORNERS)]
                if current < 0:
                    materials.append("")
                    current = 0
                for i in range(1, len(a) - 1):
                    faces.append((a[0][0], a[i][0], a[i + 1][0]))
                    corners.append((a[0][1], a[i][1], a[i + 1][1]))
                    owner.append(current)
            elif key == "usemtl":
                name = rest.strip()
                if name not in materials:
                    materials.append(name)
                current = materials.index(name)
            elif key == "mtllib":
                libraries.append(rest.strip())
        except ValueError:
            raise InputError(f"{where}, line {number}: '{line.strip()[:60]}' is malformed.") from None
        if len(faces) > MAX_FACES:
            raise InputError(f"{where} has more than {MAX_FACES} triangles.")
    if not faces:
        raise InputError(f"{where} has no face.")
    if not _within(faces, len(vertices)) or not _within(corners, len(textures)):
        raise InputError(f"{where} has a face that names a vertex it does not define.")
    rows = np.asarray(faces)
    uv = np.asarray(textures, dtype=float)[np.asarray(corners)]
    uv = np.concatenate([uv, np.zeros_like(uv[..., :1])], axis=-1)
    return Wavefront(np.asarray(vertices, float), rows, uv, np.asarray(owner), tuple(materials), tuple(libraries))


def parse_mtl(text: str) -> dict[str, Definition]:
    """Materials by name: Kd, Ks, Ns and map_Kd; unknown lines are passed over."""
    found: dict[str, Definition] = {}
    name, values, image = "", {}, ""
    for line in [*text.splitlines(), "newmtl"]:
        key, _, rest = line.strip().partition(" ")
        if key == "newmtl":
            if name:
                found[name] = Definition(_material(values, image), image)
            name, values, image = rest.strip(), {}, ""
        elif key in ("Kd", "Ks", "Ns"):
            values[key] = _numbers(rest)
        elif key == "map_Kd":
            image = rest.strip().replace("\\", "/").rsplit("/", 1)[-1]
    return found


def _finite(words: list[str], count: int) -> list[float]:
    """So many numbers; ValueError for fewer, and for those that float32 does not hold."""
    values = [float(word) for word in words]
    if len(values) != count or not all(abs(value) < 1e30 for value in values):
        raise ValueError(f"not {count} finite numbers")
    return values


def _within(rows: list[tuple[int, int, int]], count: int) -> bool:
    return all(0 <= index < count for row in rows for index in row)


def _corner(item: str, vertices: int, textures: int) -> tuple[int, int]:
    parts = item.split("/")
    v = int(parts[0])
    t = int(parts[1]) if len(parts) > 1 and parts[1] else 0
    return (v - 1 if v > 0 else vertices + v), (t if t >= 0 else textures + t)


def _material(values: dict[str, list[float]], image: str) -> Material:
    colour: Colour = (1.0, 1.0, 1.0)
    if not image and len(values.get("Kd", ())) == 3:
        r, g, b = np.clip(values["Kd"], 0.02, 0.95)
        colour = float(r), float(g), float(b)
    specular = float(np.mean(values.get("Ks") or [0.1])) * 0.3
    shininess = float(np.clip((values.get("Ns") or [32.0])[0], 8, 120))
    return Material("image" if image else "plain", a=colour, specular=min(specular, 0.35), shininess=shininess)


def _numbers(text: str) -> list[float]:
    """Finite numbers; none where anything else is among them."""
    try:
        values = [float(x) for x in text.split()]
    except ValueError:
        return []
    return values if all(map(math.isfinite, values)) else []
