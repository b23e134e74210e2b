"""A coloured triangle mesh of anything with a density and a colour in space: marching cubes, simplified."""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import fast_simplification
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from scipy import ndimage, sparse
from scipy.sparse import csgraph
from skimage.measure import marching_cubes
from torch import Tensor

from fewview.errors import InputError

LN2 = math.log(2)  # the optical depth that absorbs half of the light
LEVELS = 48  # densities that are tried for the surface
TIE = 1.2  # times the least cost: of densities as good as that the lowest is taken, which smoothing harms least
CAP = 8  # cells: surfaces farther apart are no surfaces of the same thing
COLOUR_SAMPLES = 12


@runtime_checkable
class Volume(Protocol):
    """Density per world unit of length (>= 0) and colour in [0, 1] at world points."""

    def query(self, points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]: ...


@dataclass(frozen=True)
class MeshConfig:
    """How a surface is taken from a grid of densities."""

    resolution: int = 128  # cells along the longest side of the box
    density: float | None = None  # on the surface, per world unit; None looks for the one nearest to what is seen
    smoothing: float = 1.2  # cells, the deviation of a Gaussian blur of the opacity before the surface is taken
    floater: float = 0.02  # parts with fewer than this share of all faces are dropped
    max_faces: int = 60_000


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles in the world, counter-clockwise from outside, with 8-bit sRGB colours at their corners."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    colours: UInt8[np.ndarray, "v 3"]

    @property
    def watertight(self) -> bool:
        """Whether every edge joins exactly two faces, which pass it in opposite directions."""
        return watertight(self)


@dataclass(frozen=True, eq=False)
class TexturedMesh:
    """Triangles in the world, counter-clockwise from outside, and an sRGB picture.

    `places` of corners go from (0, 0), the upper left corner of the picture, to (1, 1), the lower right one.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    places: Float[np.ndarray, "v 2"]
    texture: UInt8[np.ndarray, "h w 3"]


def watertight(mesh: Mesh | TexturedMesh) -> bool:
    """Whether every edge joins exactly two faces, which pass it in opposite directions; seams of a texture join."""
    faces, count = mesh.faces, len(mesh.vertices)
    if isinstance(mesh, TexturedMesh):
        places, joined = np.unique(mesh.vertices, axis=0, return_inverse=True)
        faces, count = joined.reshape(-1)[faces], len(places)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    forward, backward = (np.sort(e @ [count, 1]) for e in (edges, edges[:, ::-1]))
    return bool((np.diff(forward) > 0).all() and np.array_equal(forward, backward))


def extract_mesh(volume: Volume, box_from_unit: Float[Tensor, "4 4"], config: MeshConfig | None = None) -> Mesh:
    """The surface inside the box that `box_from_unit` (affine, to the world) makes of the unit cube.

    Inner hollows are filled, and where an object reaches the box's border it is closed there. InputError if nothing is
    dense enough to have a surface.
    """
    config = config or MeshConfig()
    sides = box_from_unit[:3, :3].norm(dim=0)
    counts = [max(2, round(config.resolution * float(side / sides.max()))) for side in sides]
    cell = float(sides.max()) / config.resolution
    density = density_grid(volume, box_from_unit, counts)
    level = config.density or surface_density(density, cell)
    opacity = -np.expm1(-LN2 / level * density)  # one half on the surface, and linear enough to interpolate
    solid = _filled(ndimage.gaussian_filter(opacity, config.smoothing), 0.5)
    if solid.max() <= 0.5:
        raise InputError("Nothing in the scene is dense enough for a surface.")
    vertices, faces, _, _ = marching_cubes(np.pad(solid, 1), 0.5, gradient_direction="ascent")
    vertices, faces = _without_floaters(vertices - 0.5, faces, config.floater)  # a sample is the middle of a cell
    if len(faces) > config.max_faces:
        vertices, faces = fast_simplification.simplify(vertices, faces, target_count=config.max_faces)[:2]
    unit = torch.from_numpy(np.asarray(vertices, np.float32)) / torch.tensor(counts)
    world = unit.to(box_from_unit) @ box_from_unit[:3, :3].T + box_from_unit[:3, 3]
    faces = np.asarray(faces, np.int64)
    if torch.linalg.det(box_from_unit[:3, :3]) < 0:
        faces = faces[:, ::-1].copy()
    depth = min(max(3 * cell, 1 / level), 10 * cell)
    colours = surface_colours(volume, world, normals(world, torch.from_numpy(faces)), span=(cell, depth))
    return Mesh(world.cpu().numpy(), faces, (colours.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy())


def cube(bound: float, world_from_norm: Float[Tensor, "4 4"]) -> Float[Tensor, "4 4"]:
    """`box_from_unit` of the cube [-bound, bound]^3 of a frame."""
    inner = torch.diag(world_from_norm.new_tensor([2 * bound, 2 * bound, 2 * bound, 1.0]))
    inner[:3, 3] = -bound
    return world_from_norm @ inner


@torch.no_grad()
def density_grid(volume: Volume, box_from_unit: Float[Tensor, "4 4"], counts: list[int]) -> Float[np.ndarray, "x y z"]:
    """Density per world unit at the middles of cells."""
    axes = [(torch.arange(n) + 0.5) / n for n in counts]
    slices = []
    for x in axes[0]:
        plane = torch.cartesian_prod(x[None], axes[1], axes[2]).to(box_from_unit)
        density, _ = volume.query(plane @ box_from_unit[:3, :3].T + box_from_unit[:3, 3])
        slices.append(density.reshape(counts[1], counts[2]).cpu())
    return torch.stack(slices).numpy()


def surface_density(density: Float[np.ndarray, "x y z"], cell: float) -> float:
    """The density (per world unit; `cell` is in world units) whose level set is nearest to what an eye sees.

    Along rays in the six directions of the grid the eye sees a surface where half of the light is absorbed, or none;
    the level set should be met there first, or not at all. InputError where all is more than half transparent.
    """
    views = [turned for axis in range(3) for turned in _both_ways(np.moveaxis(density, axis, -1)[::2, ::2])]
    depths = [_first(view.cumsum(-1) * cell >= LN2) for view in views]
    if not any((depth >= 0).any() for depth in depths):
        raise InputError("Nothing in the scene is dense enough for a surface.")
    levels = np.geomspace(LN2 / (cell * max(density.shape)), LN2 / cell * 8, LEVELS)
    fit = lambda level: sum(_disagreement(_first(view >= level), depth) for view, depth in zip(views, depths))
    costs = np.array([fit(level) for level in levels])
    return float(levels[np.argmax(costs <= TIE * costs.min())])


def _both_ways(grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return grid, grid[..., ::-1]


def _first(hits: Bool[np.ndarray, "a b c"]) -> Int[np.ndarray, "a b"]:
    """The first index along the last axis that is hit, or -1."""
    return np.where(hits.any(-1), hits.argmax(-1), -1)


def _disagreement(met: Int[np.ndarray, "a b"], seen: Int[np.ndarray, "a b"]) -> int:
    """Cells between two surfaces, at most CAP a ray; CAP where only one of them is there."""
    both = (met >= 0) & (seen >= 0)
    return int(np.where(both, np.minimum(abs(met - seen), CAP), CAP * ((met >= 0) != (seen >= 0))).sum())


def _filled(opacity: Float[np.ndarray, "x y z"], level: float) -> Float[np.ndarray, "x y z"]:
    """Opacity raised to one in hollows that no path joins to the outside."""
    outside = np.pad(opacity <= level, 1, constant_values=True)
    labels = np.empty(outside.shape, np.int32)
    ndimage.label(outside, output=labels)
    hollow: Bool[np.ndarray, "x y z"] = (outside & (labels != labels[0, 0, 0]))[1:-1, 1:-1, 1:-1]
    return np.where(hollow, np.float32(1), opacity)


def _without_floaters(vertices: np.ndarray, faces: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """The connected parts with at least `share` of all faces (the largest in any case), and the vertices they use."""
    edges = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(len(vertices),) * 2)
    labels = csgraph.connected_components(graph, directed=False)[1]
    part = labels[faces[:, 0]]
    sizes = np.bincount(part, minlength=labels.max() + 1)
    kept = faces[(sizes >= min(share * len(faces), sizes.max()))[part]]
    used, renumbered = np.unique(kept, return_inverse=True)
    return vertices[used], renumbered.reshape(-1, 3)


def normals(vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "v 3"]:
    """Outward unit normals at vertices: those of their faces, weighted by area."""
    a, b, c = vertices[faces.to(vertices.device)].unbind(1)
    areas = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(vertices).index_add(0, faces.to(vertices.device).flatten(), areas.repeat_interleave(3, 0))
    return torch.nn.functional.normalize(total, dim=-1)


@torch.no_grad()
def surface_colours(
    volume: Volume, points: Float[Tensor, "n 3"], outward: Float[Tensor, "n 3"], *, span: tuple[float, float]
) -> Float[Tensor, "n 3"]:
    """What an eye outside sees at surface points: a short ray from span[0] (world units) above to span[1] below."""
    offsets = torch.linspace(span[0], -span[1], COLOUR_SAMPLES).tolist()
    step = offsets[0] - offsets[1]
    total, left = torch.zeros_like(points), torch.ones_like(points[:, :1])
    for offset in offsets:
        density, colour = volume.query(points + offset * outward)
        alpha = -torch.expm1(-density * step).clamp(max=-1e-6)[:, None]
        total, left = total + left * alpha * colour, left * (1 - alpha)
    return total / (1 - left)
