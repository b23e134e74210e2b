"""A solid out of depth maps: the mean of truncated signed distances along rays (Curless and Levoy 1996)."""

import math

import torch
from jaxtyping import Bool, Float
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

    def query(self, points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
        """Density (world units) with the surface at SURFACE, and grey."""
        total, count, framed = (torch.zeros_like(points[:, 0]) for _ in range(3))
        for i in range(len(self.cameras)):
            ahead, inside = self._ahead(i, points)
            known = inside & (ahead > -1)
            total, count, framed = total + ahead * known, count + known, framed + inside
        mean = torch.where(count > 0, total / count.clamp(min=1), 1 - 2 * (framed > 0).to(total))
        inside = (1 - mean) / 2
        density = -torch.log1p(-inside.clamp(EDGE, 1 - EDGE)) / math.log(2)
        return SURFACE * density, torch.full_like(points, 0.5)

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
