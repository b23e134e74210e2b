"""A box of planes as an asset that any camera in view space can look at, and as splats that any program shows."""

import math
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.detail.starts import lifted
from fewview.errors import InputError
from fewview.render.gaussians import Gaussians
from fewview.views import Render, Views, at_places, resize
from fewview.wildfusion.frame import TRUSTED, input_cameras, orbit
from fewview.wildfusion.renderer import LowRes

AT_ONCE = 8  # cameras
SURFACE = 0.5  # coverage from which on there is a surface
TOLERANCE = 0.08  # length within which a point counts as seen by the input camera
SIDES = 4000  # splats of each view from the side, at most
GRID = ((0.5, 0), (-0.5, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (0.7, 0.7), (-0.7, 0.7), (0.7, -0.7), (-0.7, -0.7))


@runtime_checkable
class Maker(Protocol):
    """What makes images of planes: the autoencoder, or the GAN."""

    @property
    def size(self) -> int: ...

    def low_res(self, planes: Tensor, cameras: Cameras, *, generator: torch.Generator | None = None) -> LowRes: ...

    @property
    def upsample(self) -> torch.nn.Module: ...


class PlaneScene:
    """An Asset: one object in view space."""

    def __init__(self, maker: Maker, planes: Float[Tensor, "1 3 channels rows columns"]) -> None:
        self.maker, self.planes = maker, planes

    @torch.no_grad()
    def render(self, cameras: Cameras) -> Render:
        """Colours at the network's size and coverage and depth at its low resolution, both resized to the cameras'."""
        flat = cameras.reshape(-1).to(self.planes.device)
        parts = [self._render(flat[i : i + AT_ONCE]) for i in range(0, len(flat), AT_ONCE)]
        seen = Render.cat(parts)
        return Render(*(x.reshape(*cameras.shape, *x.shape[1:]) for x in (seen.image, seen.alpha, seen.depth)))

    def _render(self, cameras: Cameras) -> Render:
        low = self.maker.low_res(self.planes.expand(len(cameras), -1, -1, -1, -1), cameras)
        height, width = cameras.height, cameras.width
        alpha = resize(low.alpha, height, width)
        image = resize(self.maker.upsample(low).clamp(0, 1), height, width)
        middle = cameras.cam_from_world[:, 2, 3].reshape(-1, 1, 1, 1)
        weighted = torch.nn.functional.interpolate(
            torch.cat([(low.z + middle) * low.alpha, low.alpha], dim=1), (height, width), mode="bilinear"
        )
        depth = weighted[:, :1] / weighted[:, 1:].clamp(min=1e-6)
        return Render(torch.minimum(image, alpha), alpha, torch.where(alpha > 0.02, depth, 0))


@torch.no_grad()
def splats_of(
    scene: PlaneScene, photo: Views | None = None, *, size: int = 128, generator: torch.Generator
) -> Gaussians:
    """Splats of what is seen within the trusted angles; InputError where nothing is.

    From the front they are the photo's own pixels, where there is one (a single view of P0, with a mask); from the
    sides come those that the front does not see.
    """
    front = input_cameras(1, size)
    seen = scene.render(front)
    if photo is not None:
        own = photo.resized(size, size).on_black()
        mask = own.masks if own.masks is not None else torch.ones_like(own.images[:, :1])
        alpha = torch.minimum(mask, (seen.alpha > SURFACE / 2).to(mask))
        seen = Render(own.images * (alpha > 0), alpha, seen.depth)
    if not bool((seen.alpha > SURFACE).any()):
        raise InputError("Nothing solid was found in the photo; give a mask, or a photo that shows one object.")
    parts = [lifted(seen, front, size * size, generator=generator)]
    angles = torch.tensor(GRID) * torch.tensor([math.radians(TRUSTED[0]), math.radians(TRUSTED[1])])
    sides = orbit(angles[:, 0], angles[:, 1], scene.maker.size)
    views = scene.render(sides)
    for i in range(len(sides)):
        one = views[i : i + 1]
        if bool((one.alpha > SURFACE).any()):
            more = lifted(one, sides[i : i + 1], SIDES, generator=generator)
            parts.append(more[~seen_from(more.means, seen, front)])
    return Gaussians.cat(parts)


def seen_from(points: Float[Tensor, "n 3"], seen: Render, camera: Cameras) -> Bool[Tensor, " n"]:
    """Whether points lie on, or stray before, the surface that one camera (batch shape (1,)) sees."""
    places, depth, _ = camera.locate(points[None])
    found = at_places(torch.cat([seen.depth, seen.alpha], dim=1), places, "nearest")[0]
    return (found[1] > SURFACE) & (depth[0] < found[0] + TOLERANCE)
