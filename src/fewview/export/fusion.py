"""A solid out of depth maps: the mean of truncated signed distances along rays (Curless and Levoy 1996)."""

import math
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float
from numba import njit
from torch import Tensor

from fewview.cameras import Cameras
from fewview.views import Render

SURFACE = 1.0  # the density on the surface, for MeshConfig.density
EDGE = 1e-4  # opacities stay this far from 0 and 1


class DepthFusion:
    """Space as renderings (batch shape (n,)) show it, as an `export.mesh.Volume`; distances are cut at `band`.

    What a picture sees past is free, and so is what lies in none; what lies behind something in all that it lies in
    is inside. Colours are grey: paint them.
    """

    def __init__(self, seen: Render, cameras: Cameras, band: float) -> None:
        self.seen, self.cameras, self.band = seen, cameras, band
        solid = torch.where(seen.alpha >= 0.5, seen.depth, torch.zeros_like(seen.depth))[:, 0]
        poses = cameras.cam_from_world[:, :3]
        self.arrays = [x.detach().float().cpu().numpy() for x in (cameras.intrinsics @ poses, poses[:, 2], solid)]

    def query(self, points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
        """Density (world units) with the surface at SURFACE, and grey."""
        kernel = points.device.type == "cpu" and points.dtype == torch.float32
        total, count, framed = self.sums(points) if kernel else self.sums_slowly(points)
        mean = torch.where(count > 0, total / count.clamp(min=1), 1 - 2 * (framed > 0).to(total))
        inside = (1 - mean) / 2
        density = -torch.log1p(-inside.clamp(EDGE, 1 - EDGE)) / math.log(2)
        return SURFACE * density, torch.full_like(points, 0.5)

    def sums(self, points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, " n"], ...]:
        """Over all views: bands that a point lies in front of what they see, how many know that, and frame it."""
        sums = np.zeros((3, len(points)), np.float32)
        pixels, depths, solid = self.arrays
        _sum(points.contiguous().numpy(), pixels, depths, solid, np.float32(self.band), sums)
        return torch.from_numpy(sums).unbind(0)

    def sums_slowly(self, points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, " n"], ...]:
        """The same in PyTorch, on any device."""
        total, count, framed = (torch.zeros_like(points[:, 0]) for _ in range(3))
        for i in range(len(self.cameras)):
            ahead, inside = self._ahead(i, points)
            known = inside & (ahead > -1)
            total, count, framed = total + ahead * known, count + known, framed + inside
        return total, count, framed

    def _ahead(self, i: int, points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, " n"], Bool[Tensor, " n"]]:
        """How far points lie in front of what view i shows, in bands from -1 to 1, and whether they lie in the view."""
        camera = self.cameras[i]
        pixels, depth = camera.project(points)
        columns, rows = pixels.floor().long().unbind(-1)
        framed = (depth > 0) & (columns >= 0) & (columns < camera.width) & (rows >= 0) & (rows < camera.height)
        columns, rows = columns.clamp(0, camera.width - 1), rows.clamp(0, camera.height - 1)
        empty = self.seen.alpha[i, 0, rows, columns] < 0.5
        ahead = torch.where(empty, torch.ones_like(depth), (self.seen.depth[i, 0, rows, columns] - depth) / self.band)
        return ahead.clamp(-1, 1), framed


@njit(cache=True, error_model="numpy")
@no_type_check
def _sum(points, pixel_from_world, depth_from_world, depths, band, sums):
    """Adds to `sums` (3, n), view after view; a depth of 0 is empty."""
    height, width = depths.shape[1:]
    for view in range(len(depths)):
        p, d, seen = pixel_from_world[view], depth_from_world[view], depths[view]
        for i in range(len(points)):
            x, y, z = points[i, 0], points[i, 1], points[i, 2]
            depth = d[0] * x + d[1] * y + d[2] * z + d[3]
            if depth <= 0:
                continue
            across = (p[0, 0] * x + p[0, 1] * y + p[0, 2] * z + p[0, 3]) / depth
            down = (p[1, 0] * x + p[1, 1] * y + p[1, 2] * z + p[1, 3]) / depth
            if not (0 <= across < width and 0 <= down < height):
                continue
            sums[2, i] += 1
            there = seen[int(down), int(across)]
            ahead = np.float32(1) if there <= 0 else min((there - depth) / band, np.float32(1))
            if ahead > -1:
                sums[0, i] += ahead
                sums[1, i] += 1
