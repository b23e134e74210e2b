"""A mesh with a picture instead of colours at its corners: charts from xatlas, texels painted from renderings."""

import math

import fast_simplification
import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import ndimage
from scipy.spatial import KDTree

from fewview.cameras import Cameras
from fewview.errors import MissingPackage
from fewview.export.mesh import Mesh, TexturedMesh
from fewview.export.paint import TOLERANCE, shade
from fewview.export.projection import NOTHING, Projection
from fewview.export.raster import rasterise
from fewview.export.smoothing import smooth_normals
from fewview.views import Render, Views

MAX_FACES = 12_000  # the picture carries the detail
PADDING = 3  # texels between charts
RINGS = 8  # of neighbours, over which normals are averaged that choose between pictures
DENSITY = 2.0  # texels for a pixel, of which charts leave some unused
TEXELS_AT_ONCE = 2**18


@torch.no_grad()
def textured(
    mesh: Mesh, seen: Render, cameras: Cameras, *, photos: Views | None = None, size: int = 1024
) -> TexturedMesh:
    """The mesh, simplified, with a texture of some `size` x `size` texels: of `photos` (batch (n,)) where one of them
    looks, else of renderings (batch (n,)), else the mesh's own colours.
    """
    small = simplified(mesh, MAX_FACES)
    source, faces, places, (width, height) = unwrapped(small, size)
    corners = (places * np.array([width, height], np.float32))[faces]
    laid = rasterise(corners, np.ones(corners.shape[:2], np.float32), (height, width))
    covered = laid.covered
    chosen, share = torch.from_numpy(faces[laid.face[covered]]), torch.from_numpy(laid.weights[covered])[..., None]
    vertices = torch.from_numpy(small.vertices)
    outward = smooth_normals(vertices, small.faces, RINGS)
    near = TOLERANCE * (vertices.amax(0) - vertices.amin(0)).norm()
    per_vertex = torch.cat([vertices, outward, torch.from_numpy(small.colours) / 255], dim=-1)[source]
    projection = None if photos is None else Projection(photos, vertices, small.faces)
    colours = []
    for rows, parts in zip(chosen.split(TEXELS_AT_ONCE), share.split(TEXELS_AT_ONCE)):
        points, facing, own = (per_vertex[rows] * parts).sum(1).to(seen.image).split(3, dim=-1)
        facing = torch.nn.functional.normalize(facing, dim=-1)
        unseen = slice(None) if projection is None else projection.unseen(points, facing) > NOTHING
        own[unseen] = shade(points[unseen], facing[unseen], own[unseen], pictures=(seen, cameras), near=float(near))
        colours.append((own if projection is None else projection.colours(points, facing, own)).cpu())
    texture = np.zeros((height, width, 3), np.uint8)
    texture[covered] = (torch.cat(colours) * 255).round().to(torch.uint8).numpy()
    rows, columns = np.asarray(ndimage.distance_transform_edt(~covered, return_distances=False, return_indices=True))
    return TexturedMesh(small.vertices[source], faces, places, texture[rows, columns])


def texels_for(photos: Views) -> int:
    """The side of a picture with DENSITY texels for each pixel of two photos, of those (batch (n,)) that show most."""
    shown = photos.images[0, 0].numel() if photos.masks is None else float(photos.masks.sum((1, 2, 3)).max())
    return 2 ** math.ceil(math.log2(math.sqrt(2 * DENSITY * max(1.0, shown))))


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
