"""Which triangle of a mesh covers each pixel of a picture: z-buffering with perspective-correct interpolation."""

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float, Int
from numba import njit
from torch import Tensor

from fewview.cameras import Cameras

DUST = 0.02  # of a pixel, by which places beside a triangle count as inside


@dataclass(frozen=True, eq=False)
class Fragments:
    """For each pixel the number of the nearest triangle, or -1; where in it the pixel lies; its depth, or infinity.

    `weights` are barycentric coordinates of the pixel's centre on the triangle in space (not in the picture).
    """

    face: Int[np.ndarray, "height width"]
    weights: Float[np.ndarray, "height width 3"]
    depth: Float[np.ndarray, "height width"]

    @property
    def covered(self) -> Bool[np.ndarray, "height width"]:
        return self.face >= 0


def rasterise(
    corners: Float[np.ndarray, "f 3 2"], depths: Float[np.ndarray, "f 3"], size: tuple[int, int]
) -> Fragments:
    """Triangles whose corners have image points (pixels) and z-depths, in a picture of (height, width) pixels.

    Triangles that reach behind the camera (a depth <= 0) are left out.
    """
    found = Fragments(np.full(size, -1, np.int32), np.zeros((*size, 3), np.float32), np.full(size, np.inf, np.float32))
    _rasterise(corners.astype(np.float32), depths.astype(np.float32), found.face, found.weights, found.depth)
    return found


def seen_by(camera: Cameras, vertices: Float[Tensor, "v 3"], faces: Int[np.ndarray, "f 3"]) -> Fragments:
    """The triangles of the world that one camera (batch shape ()) sees."""
    pixels, depth = camera.project(vertices.to(camera.intrinsics))
    return rasterise(pixels.cpu().numpy()[faces], depth.cpu().numpy()[faces], (camera.height, camera.width))


@njit(cache=True, error_model="numpy")
@no_type_check
def _rasterise(corners, depths, face, weights, nearest):
    height, width = face.shape
    for f in range(len(corners)):
        if not min(depths[f, 0], depths[f, 1], depths[f, 2]) > 0:
            continue
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
                if min(u, v, w) < -slack:
                    continue
                u, v, w = u / depths[f, 0], v / depths[f, 1], w / depths[f, 2]
                depth = 1 / (u + v + w)
                if 0 < depth < nearest[row, column]:
                    face[row, column], nearest[row, column] = f, depth
                    weights[row, column, 0], weights[row, column, 1] = u * depth, v * depth
                    weights[row, column, 2] = w * depth
