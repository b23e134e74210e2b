"""What rooms are furnished with: procedural pieces and library models by role, slim meshes, and the split of instances.

An instance is one procedural piece (kind and number) or one library model; each belongs to training rooms or to
held-out rooms, never to both.
"""

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from fewview.checkpoint import save_tensors
from fewview.data.meshes import Material, Mesh, Model, shade
from fewview.errors import InputError
from fewview.synthetic.objects.furniture import Piece, catalogue, load_piece
from fewview.synthetic.shapes import homeware, joinery, seating, vessels
from fewview.synthetic.shapes.figures import teddybear
from fewview.synthetic.shapes.palettes import near

Rng = np.random.Generator
TRIANGLES = 2000  # of one piece; more do not show at 128 pixels
TRAIN_PIECES, TEST_PIECES = 32, 8  # procedural instances of each role on each side of the split
HELD_OUT_SHARE, LIBRARY_SHARE = 0.15, 0.6
OURS = {"source": "procedural (fewview.data)", "license": "CC0-1.0", "author": "the fewview authors"}


@dataclass(frozen=True, eq=False)
class Prop:
    """A piece in metres that stands on y = 0, centred, its front to +z. Rows: position, normal, local, material."""

    name: str
    role: str
    vertices: Float[np.ndarray, "v 10"]
    faces: Int[np.ndarray, "f 3"]
    materials: tuple[Material, ...]
    images: tuple[np.ndarray, ...] = ()
    credit: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> Float[np.ndarray, "3"]:
        return np.ptp(self.vertices[:, :3], axis=0).astype(np.float64)

    @property
    def cutout(self) -> bool:
        return any(bool((image[..., 3] < 128).any()) for image in self.images)


@dataclass(frozen=True)
class Role:
    """Procedural makers, and names and sizes (metres: width, height, depth) of library models that serve as well."""

    makers: tuple[Callable[[Rng], Model], ...] = ()
    pattern: str = ""
    low: tuple[float, float, float] = (0.0, 0.0, 0.0)
    high: tuple[float, float, float] = (9.0, 9.0, 9.0)


def _small(maker: Callable[[Rng], Model], tall: tuple[float, float]) -> Callable[[Rng], Model]:
    """A piece of any unit scaled to a height in metres."""

    def make(rng: Rng) -> Model:
        model = maker(rng)
        factor = rng.uniform(*tall) / np.ptp(model.mesh.positions[:, 1])
        return replace(model, mesh=model.mesh.scaled(factor, factor, factor))

    return make


def _wide(low: float, high: float) -> Callable[[Rng], Model]:
    """The first couch drawn whose width lies between two bounds; one that is close enough after 12 draws."""

    def make(rng: Rng) -> Model:
        model = seating.couch(rng)
        for _ in range(12):
            if low < np.ptp(model.mesh.positions[:, 0]) < high and np.ptp(model.mesh.positions[:, 2]) < 1.2:
                break
            model = seating.couch(rng)
        return model

    return make


ROLES: dict[str, Role] = {
    "sofa": Role((_wide(1.45, 2.7),), r"sofa|couch", (1.2, 0.5, 0.6), (2.7, 1.1, 1.15)),
    "armchair": Role((_wide(0.6, 1.25),), r"armchair|relax chair|rattan arm", (0.5, 0.6, 0.5), (1.15, 1.1, 1.1)),
    "chair": Role((seating.chair,), r"^(?!.*(deck|beach|baby|child|wheel|folding|stool|arm|bar )).*chair",
                  (0.35, 0.7, 0.35), (0.68, 1.2, 0.68)),
    "stool": Role((joinery.coffee_table,), r"stool|puff", (0.2, 0.3, 0.2), (0.95, 0.8, 0.95)),
    "dining_table": Role((joinery.dining_table,), r"table(?!.*(tennis|pool|foot|fan|chang|dress|child|bed|coffee))",
                         (1.0, 0.68, 0.7), (2.4, 0.8, 1.3)),
    "coffee_table": Role((joinery.coffee_table,), r"coffee table|rattan table|^table$",
                         (0.6, 0.3, 0.4), (1.5, 0.54, 1)),
    "desk": Role((joinery.desk,), r"desk(?!.*lamp)", (0.9, 0.68, 0.45), (2.4, 1.1, 0.9)),
    "nightstand": Role((joinery.nightstand,), r"bedside", (0.3, 0.3, 0.3), (0.7, 0.7, 0.6)),
    "bed": Role((joinery.bed,), r"\bbed$", (0.8, 0.6, 1.9), (2.1, 1.2, 2.35)),
    "wardrobe": Role((joinery.wardrobe,), r"wardrobe|cupboard", (0.8, 1.4, 0.35), (2.2, 2.3, 0.75)),
    "bookcase": Role((joinery.bookcase,), r"bookcase|shelves", (0.4, 0.75, 0.2), (1.9, 2.25, 0.45)),
    "cabinet": Role((joinery.cabinet,), r"dresser with|drawers cabinet|chest$|tv stand|filing|trunck|radio cab",
                    (0.35, 0.35, 0.3), (1.9, 1.1, 0.65)),
    "screen": Role((joinery.screen,), r"^tv|imac|wall flat", (0.35, 0.3, 0.05), (1.4, 0.9, 0.4)),
    "fridge": Role((joinery.fridge,), r"fridge|refrigerator", (0.5, 1.2, 0.5), (1.0, 2.0, 1.0)),
    "counter": Role((joinery.counter,), r"^(lower cabinet|sink|sink cabinet|double oven|large stove|drawers cabinet)$",
                    (0.45, 0.8, 0.5), (1.1, 1.25, 0.75)),
    "wall_cabinet": Role((joinery.wall_cabinet,), r"upper cabinet", (0.4, 0.5, 0.25), (1.3, 0.9, 0.45)),
    "floor_lamp": Role((homeware.floor_lamp,), r"\blamp", (0.15, 1.2, 0.15), (0.9, 2.0, 0.9)),
    "table_lamp": Role((homeware.table_lamp,), r"^(little |desk |pedestal vase )?lamp$",
                       (0.1, 0.25, 0.1), (0.5, 0.85, 0.5)),
    "pendant": Role((homeware.pendant,), r"hanging light|pendant|chandelier|ceiling fan",
                    (0.1, 0.3, 0.1), (1.3, 1.1, 1.3)),
    "floor_plant": Role((homeware.floor_plant,), r"plant|cactus|yucca|ficus|spath|orchid|lily|bamboo|christmas",
                        (0.2, 0.5, 0.2), (1.1, 1.9, 1.1)),
    "small_plant": Role((homeware.small_plant,), r"plant|cactus|tulip|orchid|flower|bonsai|bamboo|succul",
                        (0.05, 0.1, 0.05), (0.5, 0.58, 0.5)),
    "thing": Role(
        (_small(vessels.vase, (0.15, 0.4)), _small(vessels.cup, (0.08, 0.14)), homeware.books, homeware.fruit_bowl,
         homeware.casket, _small(teddybear, (0.2, 0.35)), homeware.small_plant),
        r"vase|bowl|jar|teapot|(?<!plastic )cup$|mug|kettle|pottery|book$|clock|radio|candle|apples|reflex camera|"
        r"cake|teddy|rubik|phone$|"
        r"basketball|soccer|doll|chess|speaker|toy|mini stereo|bread box|newspaper|plate",
        (0.05, 0.02, 0.05), (0.5, 0.55, 0.5)),
    "gadget": Role((homeware.laptop, homeware.books), r"laptop|ibook|keyboard|printer|phone$|radio|penbox|imac",
                   (0.1, 0.02, 0.1), (0.6, 0.5, 0.45)),
    "kitchenware": Role((_small(vessels.cup, (0.08, 0.14)), _small(vessels.vase, (0.2, 0.35)), homeware.fruit_bowl),
                        r"toaster|coffee|blender|mixer|microwave|bread|kettle|pan$|knife stand|spice|scale|utensils|"
                        r"cooker|paper towel|jar|bowl|fryer|small oven", (0.06, 0.08, 0.06), (0.6, 0.5, 0.5)),
    "floor_thing": Role((homeware.basket, _small(vessels.vase, (0.4, 0.7))),
                        r"basket|suitcase|dustbin|rocking horse|^box$|trash can|speaker|guitar|chest$|crate|backpack|"
                        r"doll house|clothes basket|^vase", (0.15, 0.2, 0.1), (1.0, 1.1, 0.8)),
    "piano": Role((joinery.cabinet,), r"piano$|fireplace|aquarium", (0.6, 0.5, 0.3), (1.8, 1.5, 1.8)),
    "picture": Role((joinery.picture,)),
    "carpet": Role((joinery.carpet,)),
}  # fmt: skip


class Stock:
    """All instances of one side of the split, by role; meshes are made when asked for, the last 400 are kept.

    With a folder as `cache`, meshes are written there, where the next stock finds them."""

    def __init__(
        self, split: str, library: Path | None = None, *, pieces: int = TRAIN_PIECES, cache: Path | None = None
    ) -> None:
        held_out = split != "train"
        self.cache = cache
        numbers = range(TRAIN_PIECES, TRAIN_PIECES + min(pieces, TEST_PIECES)) if held_out else range(pieces)
        self.procedural = {role: list(numbers) for role in ROLES}
        self.models: dict[str, list[Piece]] = {role: [] for role in ROLES}
        self.kept: OrderedDict[tuple[str, int, bool], Prop | None] = OrderedDict()
        if library:
            self.models = {r: [p for p, h in pieces if h == held_out] for r, pieces in _filed(library).items()}

    def choose(self, role: str, rng: Rng, *, fits: Callable[[Prop], bool] = lambda _: True) -> Prop | None:
        """A random instance that fits, in slightly varied colours; None where a dozen draws find none."""
        for _ in range(12):
            shelf = self.models[role]
            from_library = bool(shelf) and rng.random() < LIBRARY_SHARE
            options: Sequence = shelf if from_library else self.procedural[role]
            prop = self._prop(role, int(rng.integers(len(options))), from_library)
            if prop is not None and fits(prop):
                changed = [replace(m, a=near(rng, m.a, 0.06)) if m.layer < 0 else m for m in prop.materials]
                return replace(prop, materials=tuple(changed))
        return None

    def _prop(self, role: str, index: int, from_library: bool) -> Prop | None:
        key = (role, index, from_library)
        if key not in self.kept:
            self.kept[key] = self._cached(*key)
            if len(self.kept) > 400:
                self.kept.popitem(last=False)
        self.kept.move_to_end(key)
        return self.kept[key]

    def _cached(self, role: str, index: int, from_library: bool) -> Prop | None:
        mark = f"{self.models[role][index].checksum:08x}" if from_library else f"{self.procedural[role][index]:04d}"
        path = None if self.cache is None else self.cache / f"{role}-{mark}.safetensors"
        if path is not None and path.exists():
            return load_prop(path)
        prop = self._made(role, index, from_library)
        if path is not None:
            save_prop(path, prop)
        return prop

    def _made(self, role: str, index: int, from_library: bool) -> Prop | None:
        if from_library:
            piece = self.models[role][index]
            try:
                prop = prop_of(
                    load_piece(piece),
                    f"{piece.library}/{piece.number}",
                    role,
                    credit={**piece.credit, "model": piece.name},
                )
            except InputError:  # malformed or too large
                return None
            said = np.asarray(piece.size) / 100
            return prop if np.abs(prop.size / said - 1).max() < 0.15 else None
        number, makers = self.procedural[role][index], ROLES[role].makers
        word = int.from_bytes(hashlib.sha256(role.encode()).digest()[:4], "big")
        model = makers[number % len(makers)](np.random.default_rng([word, number]))
        return prop_of(model, f"{role}-{number:04d}", role, credit=OURS)


def save_prop(path: Path, prop: Prop | None) -> None:
    """A prop as a safetensors file; an empty one says that there is none."""
    if prop is None:
        save_tensors(path, {}, {"prop": "null"})
        return
    arrays = {"vertices": prop.vertices, "faces": prop.faces.astype(np.int32)}
    if prop.images:
        arrays["images"] = np.stack(prop.images)
    header = {
        "name": prop.name,
        "role": prop.role,
        "materials": [asdict(m) for m in prop.materials],
        "credit": prop.credit,
    }
    save_tensors(path, {k: torch.from_numpy(v) for k, v in arrays.items()}, {"prop": json.dumps(header)})


def load_prop(path: Path) -> Prop | None:
    """What `save_prop` wrote."""
    from safetensors import safe_open

    with safe_open(path, "np") as opened:
        header = json.loads((opened.metadata() or {})["prop"])
        if header is None:
            return None
        arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    listed: list[dict[str, Any]] = header["materials"]
    rows = [{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()} for row in listed]
    materials = tuple(Material(**row) for row in rows)  # type: ignore[arg-type]
    faces = arrays["faces"].astype(np.int64)
    images = tuple(arrays.get("images", np.zeros((0, 1, 1, 4), np.uint8)))
    return Prop(header["name"], header["role"], arrays["vertices"], faces, materials, images, header["credit"])


def prop_of(model: Model, name: str, role: str, *, credit: dict[str, str]) -> Prop:
    """A slim, indexed copy that stands at the origin."""
    mesh = slim(model.mesh, TRIANGLES)
    low, high = mesh.positions.min(0), mesh.positions.max(0)
    mesh = mesh.moved(-(low[0] + high[0]) / 2, -low[1], -(low[2] + high[2]) / 2)
    vertices, faces = indexed(mesh)
    return Prop(name, role, vertices, faces, model.materials, model.images, credit)


def indexed(mesh: Mesh) -> tuple[Float[np.ndarray, "v 10"], Int[np.ndarray, "f 3"]]:
    """Distinct corners of a soup (position, normal, local, material) and the triangles between them."""
    columns = [mesh.positions, mesh.normals, mesh.local, mesh.material[:, None]]
    rows = np.ascontiguousarray(np.concatenate(columns, axis=1), dtype=np.float32)
    _, first, inverse = np.unique(
        rows.view(np.dtype((np.void, 40))).reshape(-1), return_index=True, return_inverse=True
    )
    return rows[first], inverse.reshape(-1, 3)


def slim(mesh: Mesh, triangles: int) -> Mesh:
    """About that many triangles: what lies in one cell of a fine grid is welded, then edges collapse (quadrics).

    Materials and texture come from the nearest surface. Raises InputError where the mesh does not keep its extent or
    stays more than twice as large, as foliage does."""
    old = mesh.positions.reshape(-1, 3, 3)
    if len(old) <= triangles:
        return mesh
    import fast_simplification

    points, faces = _welded(mesh.positions, 160)
    if len(faces) > triangles:
        few, kept = fast_simplification.simplify(points, faces.astype(np.int32), target_count=triangles, agg=5.0)[:2]
        points, faces = few.astype(np.float64), kept.astype(np.int64)
    if len(faces) < 4 or len(faces) > 2 * triangles:
        raise InputError(f"A mesh of {len(old)} triangles does not become simpler; leave it out.")
    extent = np.ptp(mesh.positions, axis=0)
    if np.abs(np.ptp(points[faces].reshape(-1, 3), axis=0) - extent).max() > 0.04 * extent.max():
        raise InputError(f"A mesh of {len(old)} triangles loses its shape; leave it out.")
    soup = shade(points, faces, 45.0)
    corners = soup.positions.reshape(-1, 3, 3)
    nearest = _nearest(corners, old, 0.05 * float(extent.max()))
    local = (_barycentric(corners, old[nearest])[..., None] * mesh.local.reshape(-1, 3, 3)[nearest][:, None]).sum(2)
    return Mesh(soup.positions, soup.normals, local.reshape(-1, 3), np.repeat(mesh.material[3 * nearest], 3))


def _welded(positions: np.ndarray, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and distinct faces after merging the corners in each cell of a grid, `cells` along the longest side."""
    cell = np.floor(positions * (cells / np.ptp(positions, axis=0).max())).astype(np.int64)
    key = ((cell[:, 0] + 2**20) * 2**21 + cell[:, 1] + 2**20) * 2**21 + cell[:, 2] + 2**20
    _, inverse, counts = np.unique(key, return_inverse=True, return_counts=True)
    middle = np.stack([np.bincount(inverse, positions[:, k]) for k in range(3)], -1) / counts[:, None]
    faces = inverse.reshape(-1, 3)
    order = np.sort(faces, axis=1)
    faces = faces[(order[:, 0] != order[:, 1]) & (order[:, 1] != order[:, 2])]
    _, first = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
    return middle, faces[np.sort(first)]


def _nearest(corners: np.ndarray, old: np.ndarray, facing: float) -> np.ndarray:
    """For each new triangle the old one whose surface is nearest to its middle, facing the same way.

    Opposite sides are as far apart as `facing` twice, in metres.
    """
    from scipy.spatial import cKDTree  # type: ignore[attr-defined]

    cross = lambda t: np.cross(t[:, 1] - t[:, 0], t[:, 2] - t[:, 0])
    unit = lambda v: v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-20)
    normal, old_normal = cross(corners), cross(old)
    area = np.linalg.norm(old_normal, axis=1)
    rng = np.random.default_rng(0)
    owner = rng.choice(len(old), 30_000, p=area / area.sum())
    weights = rng.dirichlet(np.ones(3), len(owner))
    samples = np.concatenate([(weights[..., None] * old[owner]).sum(1), facing * unit(old_normal[owner])], axis=1)
    return owner[cKDTree(samples).query(np.concatenate([corners.mean(1), facing * unit(normal)], axis=1))[1]]


def _barycentric(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Weights (n 3 3) of three points each in the plane of a triangle; beside a thin one they stay near it."""
    a, u, v = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    w = points - a[:, None]
    uu, uv, vv = (u * u).sum(-1), (u * v).sum(-1), (v * v).sum(-1)
    wu, wv = (w * u[:, None]).sum(-1), (w * v[:, None]).sum(-1)
    scale = np.maximum(uu * vv - uv * uv, 1e-18)[:, None]
    s, t = (vv[:, None] * wu - uv[:, None] * wv) / scale, (uu[:, None] * wv - uv[:, None] * wu) / scale
    thin = (uu * vv - uv * uv < 0.02 * np.maximum(uu, vv) ** 2)[:, None]
    s, t = (np.where(thin, x.clip(-1, 2), x.clip(-40, 40)) for x in (s, t))
    return np.stack([1 - s - t, s, t], -1)


def _filed(folder: Path) -> dict[str, list[tuple[Piece, bool]]]:
    """Library models by role with whether they are held out: those of the object set, and a share of each role."""
    pieces = catalogue(folder)
    filed = {role: [p for p in pieces if _serves(p, role)] for role in ROLES}
    held_out = {p.checksum for p in pieces if p.held_out}
    for members in filed.values():
        ranked = sorted(members, key=lambda p: hashlib.sha256(f"{p.checksum}".encode()).digest())
        held_out |= {p.checksum for p in ranked[: round(HELD_OUT_SHARE * len(ranked) + 0.3)]}
    return {role: [(p, p.checksum in held_out) for p in members] for role, members in filed.items()}


def _serves(piece: Piece, role: str) -> bool:
    wanted = ROLES[role]
    size = np.asarray(piece.size) / 100
    named = bool(wanted.pattern) and re.search(wanted.pattern, piece.name, re.IGNORECASE) is not None
    return named and bool((size >= wanted.low).all()) and bool((size <= wanted.high).all())


def instances(stock: Stock) -> Iterator[str]:
    """Names of all instances that a stock can give."""
    for role, numbers in stock.procedural.items():
        yield from (f"{role}-{number:04d}" for number in numbers)
        yield from (f"{piece.library}/{piece.number}" for piece in stock.models[role])
