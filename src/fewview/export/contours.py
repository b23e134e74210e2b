"""A surface moved until its outlines are those of the masks: pictures show the rim of an object or miss it by pixels.

Where the mesh ends in a photo, its corners move along their normals by what the mask says it lacks there; the rest
follows smoothly, and less with distance.
"""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from fewview.cameras import Cameras
from fewview.export.mesh import Mesh, normals
from fewview.export.raster import seen_by
from fewview.export.smoothing import neighbours
from fewview.views import Views

ROUNDS = 6
RIM = 1.5  # pixels from the outline, within which corners stand for it
FARTHEST = 0.03  # of the larger side of the mask, that an outline moves in a round
SMOOTH, STAY = 20.0, 0.003  # weights of neighbours, and of staying, beside that of an outline in one photo
SWEEPS = 60  # of Jacobi's method, in a round


def fitted_to_masks(mesh: Mesh, photos: Views, rounds: int = ROUNDS) -> Mesh:
    """The mesh with the outlines that the masks of photos (batch shape (n,)) show; as it is where there are none."""
    if photos.masks is None:
        return mesh
    masks = (photos.masks[:, 0] > 0.5).cpu().numpy()
    wanted = [inside_distance(mask) for mask in masks]
    vertices, faces = torch.from_numpy(mesh.vertices).float(), torch.from_numpy(mesh.faces)
    average = neighbours(mesh.faces, len(vertices))
    for _ in range(rounds):
        outward = normals(vertices, faces)
        pull, weight = np.zeros(len(vertices), np.float32), np.zeros(len(vertices), np.float32)
        for i, distance in enumerate(wanted):
            most = FARTHEST * max(np.ptp(side) for side in np.nonzero(masks[i])) if masks[i].any() else 0.0
            rim, lack = outline(vertices, mesh.faces, photos.cameras[i], wanted=(distance, most))
            pull[rim] += lack[rim]
            weight[rim] += 1
        moved = np.zeros_like(pull)
        for _ in range(SWEEPS):
            moved = (pull + SMOOTH * (average @ moved)) / (weight + SMOOTH + STAY)
        vertices = vertices + torch.from_numpy(moved)[:, None] * outward
    return replace(mesh, vertices=vertices.numpy())


def outline(
    vertices: Float[Tensor, "v 3"],
    faces: np.ndarray,
    camera: Cameras,
    *,
    wanted: tuple[Float[np.ndarray, "height width"], float],
) -> tuple[Bool[np.ndarray, " v"], Float[np.ndarray, " v"]]:
    """Which corners are on the mesh's outline in a camera, and how far the mask's lies outside (world).

    `wanted` are the mask's `inside_distance`, and the most pixels that an outline may move.
    """
    distance, most = wanted
    fragments = seen_by(camera, vertices, faces)
    pixels, depth = (x.cpu().numpy() for x in camera.project(vertices.to(camera.intrinsics)))
    own = inside_distance(fragments.covered)
    place = pixels.T[::-1] - 0.5
    read = lambda values: ndimage.map_coordinates(values, place, order=1, mode="nearest")
    here = read(own)
    framed = ((pixels > 0) & (pixels < [camera.width, camera.height])).all(-1) & (depth > 0)
    rim = framed & (np.abs(here) < RIM)
    lack = (read(distance) - here).clip(-most, most)
    focal = float(camera.intrinsics[[0, 1], [0, 1]].mean())
    return rim, (lack * depth / focal).astype(np.float32)


def inside_distance(mask: Bool[np.ndarray, "height width"]) -> Float[np.ndarray, "height width"]:
    """Pixels from each pixel's centre to the border of a mask; negative outside of it."""
    edt = ndimage.distance_transform_edt
    inside = np.pad(mask, 1, mode="edge")
    if inside.all() or not inside.any():
        return np.where(mask, np.float32(max(mask.shape)), -np.float32(max(mask.shape)))
    within, outside = (np.asarray(edt(region)) for region in (inside, ~inside))
    return np.where(inside, within - 0.5, 0.5 - outside)[1:-1, 1:-1].astype(np.float32)
