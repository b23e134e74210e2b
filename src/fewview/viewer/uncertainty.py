"""Where several samples of one scene disagree: for each splat, how far apart their renderings are where it is seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fewview.cameras import Cameras
from fewview.export.images import viridis
from fewview.export.page import spread
from fewview.render.asset import GaussianAsset
from fewview.views import Render

TOLERANCE = 0.1  # scene radii that a splat may lie behind the surface that its own sample shows there
UNSEEN = (0.35, 0.35, 0.35)


@dataclass(frozen=True, eq=False)
class Disagreement:
    """Standard deviations over samples, for each splat of one: of colour (RGB in [0, 1]) and of depth (scene radii)."""

    colour: Float[Tensor, " n"]
    depth: Float[Tensor, " n"]
    seen: Bool[Tensor, " n"]

    def of(self, kind: str) -> Float[Tensor, " n"]:
        """`colour`, `depth`, or `both`, the root of the sum of squares."""
        if kind == "both":
            return (self.colour.square() + self.depth.square()).sqrt()
        return self.colour if kind == "colour" else self.depth

    def colours(self, kind: str, top: float) -> Float[Tensor, "n 3"]:
        """Viridis from 0 (dark) to `top` (yellow); grey where no camera sees the splat."""
        shares = (self.of(kind) / max(top, 1e-9)).clamp(0, 1)
        return torch.where(self.seen[:, None], viridis(shares), torch.tensor(UNSEEN))


@torch.no_grad()
def disagreement(samples: Sequence[GaussianAsset], cameras: Cameras) -> list[Disagreement]:
    """The disagreement at each splat of each sample, over `cameras` (batch shape (n,)) that see it in its own sample.

    Samples share a world. Where a sample has nothing, black and a surface one scene radius behind the splat stand in.
    ValueError for fewer than two samples.
    """
    if len(samples) < 2:
        raise ValueError("one sample has nothing to disagree with")
    radius = _radius(samples[0])
    sums = [torch.zeros(3, len(sample.gaussians)) for sample in samples]
    for i in range(len(cameras)):
        seen = [sample.render(cameras[i]) for sample in samples]
        stack = Render.stack(seen)
        for own, (sample, total) in enumerate(zip(samples, sums)):
            index, column, row, z = _visible(sample, cameras[i], seen[own], radius=radius)
            colours = stack.image[:, :, row, column]
            alpha, depth = stack.alpha[:, 0, row, column], stack.depth[:, 0, row, column]
            depth = alpha * depth + (1 - alpha) * (z + radius)
            total[0, index] += _variance(colours).mean(0)
            total[1, index] += _variance(depth / radius)
            total[2, index] += 1
    means = [(total[:2] / total[2].clamp(min=1)).sqrt() for total in sums]
    return [Disagreement(mean[0], mean[1], total[2] > 0) for mean, total in zip(means, sums)]


def top_of(scores: Sequence[Disagreement], kind: str) -> float:
    """The end of a colour scale: what 98 % of the seen splats stay below."""
    values = torch.cat([score.of(kind)[score.seen] for score in scores])
    return values.sort().values[round(0.98 * (len(values) - 1))].item() if len(values) else 0.0


def _visible(
    sample: GaussianAsset, camera: Cameras, seen: Render, *, radius: float
) -> tuple[Int[Tensor, " m"], Int[Tensor, " m"], Int[Tensor, " m"], Float[Tensor, " m"]]:
    """Splats on the surface that their own sample shows: indices, columns, rows and z-depths."""
    pixels, z = camera.project(sample.gaussians.means)
    size = torch.tensor([camera.width, camera.height])
    inside = torch.nonzero((z > 0) & ((pixels >= 0) & (pixels < size)).all(-1))[:, 0]
    column, row = pixels[inside].long().unbind(-1)
    near = (z[inside] - seen.depth[0, row, column]).abs() < TOLERANCE * radius
    on = near & (seen.alpha[0, row, column] > 0.5)
    return inside[on], column[on], row[on], z[inside][on]


def _variance(values: Float[Tensor, "samples *rest"]) -> Float[Tensor, "*rest"]:
    return (values - values.mean(0)).square().mean(0)


def _radius(sample: GaussianAsset) -> float:
    return spread(sample.gaussians).item()
