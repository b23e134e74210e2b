"""A mesh with a picture instead of colours at its corners: charts from xatlas, texels painted from renderings."""

from typing import no_type_check

import fast_simplification
import numpy as np
import torch
from jaxtyping import Float, Int
from numba import njit
from scipy import ndimage
from scipy.spatial import KDTree

from fewview.cameras import Cameras
from fewview.errors import MissingPackage
from fewview.export.mesh import Mesh, TexturedMesh, normals
from fewview.export.paint import REACH, shade
from fewview.views import Render

MAX_FACES = 20_000  # the picture carries the detail
PADDING = 3  # texels between charts
TEXELS_AT_ONCE = 2**18
DUST = 0.02  # of a texel, by which places beside a triangle count as inside


@torch.no_grad()
def textured(mesh: Mesh, seen: Render, cameras: Cameras, *, size: int = 1024) -> TexturedMesh:
    """The mesh, simplified, with a texture of some `size` x `size` texels that renderings (batch (n,)) give it.

    Texels that no rendering sees get the mesh's own colours.
    """
    small = simplified(mesh, MAX_FACES)
    source, faces, places, (width, height) = unwrapped(small, size)
    corners = (places * np.array([width, height], np.float32))[faces]
    face, weights = np.full((height, width), -1, np.int32), np.zeros((height, width, 3), np.float32)
    _rasterise(corners, face, weights)
    covered = face >= 0
    chosen, share = torch.from_numpy(faces[face[covered]]), torch.from_numpy(weights[covered])[..., None]
    vertices = torch.from_numpy(small.vertices)
    outward = normals(vertices, torch.from_numpy(small.faces))
    near = REACH * (vertices.amax(0) - vertices.amin(0)).norm()
    per_vertex = torch.cat([vertices, outward, torch.from_numpy(small.colours) / 255], dim=-1)[source]
    colours = []
    for rows, parts in zip(chosen.split(TEXELS_AT_ONCE), share.split(TEXELS_AT_ONCE)):
        points, facing, own = (per_vertex[rows] * parts).sum(1).to(seen.image).split(3, dim=-1)
        facing = torch.nn.functional.normalize(facing, dim=-1)
        colours.append(shade(points, facing, own, (seen, cameras), float(near)).cpu())
    texture = np.zeros((height, width, 3), np.uint8)
    texture[covered] = (torch.cat(colours) * 255).round().to(torch.uint8).numpy()
    rows, columns = np.asarray(ndimage.distance_transform_edt(~covered, return_distances=False, return_indices=True))
    return TexturedMesh(small.vertices[source], faces, places, texture[rows, columns])


def simplified(mesh: Mesh, most: int) -> Mesh:
    """The mesh with at most `most` faces; corners get the colours of the corners nearest to them.

    It is scaled to a unit box meanwhile, since the library compares errors with fixed numbers.
    """
    if len(mesh.faces) <= most:
        return mesh
    low, size = mesh.vertices.min(0), float(np.ptp(mesh.vertices, axis=0).max()) or 1.0
    unit, faces = fast_simplification.simplify((mesh.vertices - low) / size, mesh.faces, target_count=most)[:2]
    vertices = unit * size + low
    nearest = KDTree(mesh.vertices).query(vertices)[1]
    return Mesh(np.asarray(vertices, np.float32), np.asarray(faces, np.int64), mesh.colours[nearest])


def unwrapped(
    mesh: Mesh, size: int
) -> tuple[Int[np.ndarray, " w"], Int[np.ndarray, "f 3"], Float[np.ndarray, "w 2"], tuple[int, int]]:
    """The mesh cut into charts: for each new corner the old one, the faces, places, and the picture's width, height."""
    try:
        import xatlas
    except ImportError:
        raise MissingPackage("A texture needs the package xatlas; pip install xatlas.") from None
    atlas, options = xatlas.Atlas(), xatlas.PackOptions()
    atlas.add_mesh(mesh.vertices.astype(np.float32), mesh.faces.astype(np.uint32))
    options.resolution, options.padding, options.bilinear = size, PADDING, True
    atlas.generate(pack_options=options)
    source, faces, places = atlas[0]
    return source.astype(np.int64), faces.astype(np.int64), places, (atlas.width, atlas.height)


@njit(cache=True, error_model="numpy")
@no_type_check
def _rasterise(corners, face, weights):
    """Which triangle covers the middle of each texel, and with which barycentric coordinates."""
    height, width = face.shape
    for f in range(len(corners)):
        (ax, ay), (bx, by), (cx, cy) = corners[f, 0], corners[f, 1], corners[f, 2]
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if area == 0:
            continue
        slack = DUST / max(np.sqrt(abs(area)), DUST)
        top, bottom = max(0, int(min(ay, by, cy) - 1)), min(height, int(max(ay, by, cy) + 2))
        left, right = max(0, int(min(ax, bx, cx) - 1)), min(width, int(max(ax, bx, cx) + 2))
        for row in range(top, bottom):
            for column in range(left, right):
                x, y = column + np.float32(0.5), row + np.float32(0.5)
                u = ((bx - x) * (cy - y) - (cx - x) * (by - y)) / area
                v = ((cx - x) * (ay - y) - (ax - x) * (cy - y)) / area
                w = 1 - u - v
                if min(u, v, w) >= -slack:
                    face[row, column] = f
                    weights[row, column, 0], weights[row, column, 1], weights[row, column, 2] = u, v, w
