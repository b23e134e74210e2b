"""Multi-view stereo: depths at which photos look alike, smooth where they do not tell, and whether others agree."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from fewview.cameras import Cameras
from fewview.geometry.transforms import apply, normalise
from fewview.views import Views, at_places

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
NOISE = 1e-4  # variance of luma that tells nothing
AT_ONCE = 8  # planes, such that their pictures stay in the processor's cache
UNSEEN = 0.7  # cost where a partner shows nothing; 1 is that of patches that have nothing to do with each other


@dataclass(frozen=True)
class StereoConfig:
    """Costs are 1 - the correlation of patches, from 0 to 2."""

    planes: int = 96
    partners: int = 4
    angle: float = 0.1  # radians, at least, between the directions in which two photos see the scene
    patch: int = 7  # pixels
    near_step: float = 0.08  # penalty for a neighbour on the next plane: P1 of Hirschmueller 2008, Eq. 13
    far_step: float = 0.5  # on any other: P2, ...
    edge: float = 10.0  # ... over 1 + edge * the difference of luma
    tolerance: float = 1.5  # planes, between depths of two photos that agree
    outside: float = 2.0  # cost of a point that lies outside of another photo's mask, where there are masks


@dataclass(frozen=True, eq=False)
class Stereo:
    """Z-depths of all views (world units), and whether enough partners' own depths agree: two, or the only one or two.

    Of a view without partners, the depth is the bounds' harmonic mean and nothing agrees.
    """

    depth: Float[Tensor, "n height width"]
    sure: Bool[Tensor, "n height width"]


@torch.no_grad()
def stereo(views: Views, near: float, far: float, *, config: StereoConfig | None = None) -> Stereo:
    """The depth of every pixel between z-depths near and far, on planes that are even in inverse depth.

    A plane sweep (Collins 1996) whose costs are aggregated by semi-global matching (Hirschmueller 2008).
    """
    config = config or StereoConfig()
    inverse = torch.linspace(1 / near, 1 / far, config.planes).to(views.images)
    luma = (views.images * views.images.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    sweep = _Sweep(views.cameras, luma, views.masks, inverse, config)
    partners = [sweep.partners(i, (near * far) ** 0.5) for i in range(len(views))]
    depth = 1 / torch.stack([sweep.inverse_depth(i, partners[i]) for i in range(len(views))])
    return Stereo(depth, torch.stack([sweep.agreeing(depth, i, partners[i]) for i in range(len(views))]))


@dataclass(frozen=True, eq=False)
class _Sweep:
    """Planes of all views."""

    cameras: Cameras
    luma: Float[Tensor, "n 1 h w"]
    masks: Float[Tensor, "n 1 h w"] | None
    inverse: Float[Tensor, " planes"]
    config: StereoConfig

    def partners(self, i: int, depth: float) -> list[int]:
        """The views nearest in direction, first those that see what lies ahead at a depth under another angle.

        Views from the same place tell no depth, and are none.
        """
        centres = self.cameras.centers
        towards = normalise(centres - (centres[i] + depth * self.cameras.forward[i]))
        angles = torch.arccos((towards @ towards[i]).clamp(-1, 1)).tolist()
        apart = ((centres - centres[i]).norm(dim=-1) > 1e-4 * depth).tolist()
        usable = [j for j in range(len(centres)) if j != i and apart[j]]
        nearest = lambda j: (0, angles[j]) if angles[j] >= self.config.angle else (1, -angles[j])
        return sorted(usable, key=nearest)[: self.config.partners]

    def inverse_depth(self, i: int, partners: list[int]) -> Float[Tensor, "h w"]:
        """Of one view."""
        if not partners:
            return self.inverse.mean().expand(self.luma.shape[-2:])
        parts = self.inverse.split(AT_ONCE)
        costs = torch.cat([self.costs(i, partners, part) + self.carved(i, part) for part in parts])
        return _least(_aggregated(costs, self.luma[i, 0], self.config), self.inverse)

    def costs(self, i: int, partners: list[int], inverse: Float[Tensor, " k"]) -> Float[Tensor, "k h w"]:
        """1 - correlation of patches on some planes; the mean of the better half of partners: others are occluded."""
        mean = lambda x: box_means(x, self.config.patch)
        own = self.luma[i]
        centre = mean(own)
        spread = (mean(own * own) - centre * centre).clamp(min=0) + NOISE
        best: list[Tensor] = []
        for j in partners:
            other, seen = _warped(self.luma[j], inverse, here=self.cameras[i], there=self.cameras[j])
            middle = mean(other)
            variance = (mean(other * other) - middle * middle).clamp(min=0) + NOISE
            correlation = (mean(other * own) - middle * centre) / (variance * spread).sqrt()
            worse = torch.where(seen, 1 - correlation, UNSEEN)
            for k, cost in enumerate(best):
                best[k], worse = torch.minimum(cost, worse), torch.maximum(cost, worse)
            if len(best) < (len(partners) + 1) // 2:
                best.append(worse)
        return torch.stack(best).mean(0)

    def carved(self, i: int, inverse: Float[Tensor, " k"]) -> Float[Tensor, "k h w"] | float:
        """What it costs to lie outside of the photos' hull: any mask excludes a point."""
        if self.masks is None:
            return 0.0
        outside = torch.zeros(len(inverse), *self.masks.shape[-2:], dtype=torch.bool, device=inverse.device)
        for j in range(len(self.cameras)):
            if j != i:
                mask, seen = _warped(self.masks[j], inverse, here=self.cameras[i], there=self.cameras[j])
                outside |= seen & (mask < 0.5)
        return self.config.outside * outside

    def agreeing(self, depth: Float[Tensor, "n h w"], i: int, partners: list[int]) -> Bool[Tensor, "h w"]:
        """Where the depths of enough partners are the view's own, within the tolerance."""
        camera, (height, width) = self.cameras[i], depth.shape[-2:]
        step = self.config.tolerance * (self.inverse[0] - self.inverse[1])
        points = camera.unproject(depth[i]).reshape(1, -1, 3)
        count = torch.zeros(height * width, dtype=torch.long, device=depth.device)
        for j in partners:
            places, z, inside = self.cameras[j : j + 1].locate(points)
            known = at_places(depth[j : j + 1, None], places, "nearest")[0, 0]
            near = (1 / z[0].clamp(min=1e-6) - 1 / known.clamp(min=1e-6)).abs() < step
            count += inside[0] & near
        return (count >= (2 if len(partners) > 2 else 1)).reshape(height, width)


def box_means(x: Float[Tensor, "n h w"], size: int) -> Float[Tensor, "n h w"]:
    """Means over squares of so many pixels a side, of what is repeated beyond the border."""
    for axis in (1, 2):
        beyond = (0, 0, size // 2, size // 2) if axis == 1 else (size // 2, size // 2)
        padded = F.pad(x, beyond, mode="replicate")
        count, x = x.shape[axis], torch.zeros_like(x)
        for k in range(size):
            x += padded.narrow(axis, k, count)
    return x / size**2


def _warped(
    image: Float[Tensor, "1 h w"], inverse: Float[Tensor, " planes"], *, here: Cameras, there: Cameras
) -> tuple[Float[Tensor, "planes h w"], Bool[Tensor, "planes h w"]]:
    """What `there` shows of each pixel's point on each plane of `here`, and whether it does."""
    height, width = image.shape[-2:]
    rays = here.rays()
    ahead = rays.directions / here.cosines(rays)[..., None]  # z-depth 1
    turned = ahead @ there.cam_from_world[:3, :3].T @ there.intrinsics.T
    shift = there.intrinsics @ apply(there.cam_from_world, here.centers[None])[0]
    points = turned + shift * inverse[:, None, None, None]  # over the depth
    z = points[..., 2]
    where = 2 * points[..., :2] / z[..., None].clamp(min=1e-6) / z.new_tensor([width, height]) - 1
    seen = (z > 1e-6) & (where.abs() < 1).all(-1)
    images = image[None].expand(len(inverse), -1, -1, -1)
    return F.grid_sample(images, where.clamp(-2, 2), align_corners=False, padding_mode="border")[:, 0], seen


def _aggregated(
    costs: Float[Tensor, "planes h w"], luma: Float[Tensor, "h w"], config: StereoConfig
) -> Float[Tensor, "planes h w"]:
    """Sums of Hirschmueller 2008, Eq. 13, over paths along rows and columns, both ways."""
    total = torch.zeros_like(costs)
    for axis in (1, 2):
        lines, steps = costs.movedim(axis, 0).contiguous(), luma.movedim(axis - 1, 0).diff(dim=0).abs()
        jumps = (config.far_step / (1 + config.edge * steps)).clamp(min=config.near_step)
        forward = _path(lines, jumps, config.near_step)
        backward = _path(lines.flip(0), jumps.flip(0), config.near_step).flip(0)
        total += (forward + backward).movedim(0, axis)
    return total


def _path(
    lines: Float[Tensor, "k planes m"], jumps: Float[Tensor, "k-1 m"], near_step: float
) -> Float[Tensor, "k planes m"]:
    """Least costs along a path that begins at the first line."""
    path = lines.clone()
    for k in range(1, len(lines)):
        last = path[k - 1]
        least = last.amin(0)
        best = torch.minimum(last, least + jumps[k - 1])
        best[1:] = torch.minimum(best[1:], last[:-1] + near_step)
        best[:-1] = torch.minimum(best[:-1], last[1:] + near_step)
        path[k] += best - least
    return path


def _least(costs: Float[Tensor, "planes h w"], inverse: Float[Tensor, " planes"]) -> Float[Tensor, "h w"]:
    """The inverse depth of least cost: the vertex of a parabola through the best plane and its neighbours."""
    at = costs.argmin(0).clamp(1, len(costs) - 2)
    before, best, after = (costs.gather(0, (at + k)[None])[0] for k in (-1, 0, 1))
    shift = 0.5 * (before - after) / (before - 2 * best + after).clamp(min=1e-6)
    return inverse[0] + (at + shift.clamp(-0.5, 0.5)) * (inverse[1] - inverse[0])
