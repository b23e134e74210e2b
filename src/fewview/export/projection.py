"""Colours of a mesh taken from the photos that it was made of: as sharp as they are, each where it saw best.

A photo counts at a point that it sees (by the mesh's own depth) for its pixels there in a unit of surface, and, where
another sees it too, less towards the border of its mask and of what hides something: there mesh and photo disagree by a
pixel or two. At its rim an object's colour is mixed with what lies behind, so that of the inside goes on there. Two
bands are blended (Burt and Adelson 1983): coarse light gently, so that no seam shows, detail from the best photo alone,
so that no two are mixed to a blur.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from torch import Tensor

from fewview.cameras import Cameras
from fewview.export.contours import inside_distance
from fewview.export.paint import sampled
from fewview.export.raster import Fragments, seen_by
from fewview.geometry.transforms import normalise
from fewview.views import Views

FEATHER, FLOOR = 3.0, 0.02  # pixels from a border, at which a photo counts fully; what it counts at the border
RIM, BEYOND = 1.0, 2.0  # pixels: inside of a mask's border, mixed with the background; outside, still the object
GRAZING = (0.05, 0.25)  # cosines between surface and view, below which a photo counts nothing, above which fully
COARSE = 4.0  # pixels, the deviation of the blur that parts coarse light from detail
GENTLE, SHARP = 2, 8  # powers of the pixels in a unit of surface, by which photos are weighted in the two bands
JUMP = 0.01  # of the mesh's diagonal: between depths of neighbouring pixels, or a point's and what a photo sees there
NOTHING = 1e-6


@dataclass(frozen=True, eq=False)
class _Seen:
    """One photo: its camera (batch shape ()), and maps.

    `maps` are where it shows the object, in [0, 1], and how far it counts beside others; `depth` is the mesh's.
    """

    camera: Cameras
    maps: Float[Tensor, "2 height width"]
    depth: Float[Tensor, "1 height width"]
    bands: Float[Tensor, "6 height width"]


class Projection:
    """Photos (batch shape (n,)), ready to be laid on the mesh that they are of."""

    def __init__(self, photos: Views, vertices: Float[Tensor, "v 3"], faces: Int[np.ndarray, "f 3"]) -> None:
        self.near = JUMP * float((vertices.amax(0) - vertices.amin(0)).norm())
        self.photos = [self._look(photos[i], vertices, faces) for i in range(len(photos))]

    def _look(self, photo: Views, vertices: Tensor, faces: np.ndarray) -> _Seen:
        fragments = seen_by(photo.cameras, vertices, faces)
        counts = (border_distances(fragments, photo, self.near) / FEATHER).clip(FLOOR, 1)
        shows = (
            np.ones_like(counts) if photo.masks is None else (inside_distance(_mask(photo)) + BEYOND + 0.5).clip(0, 1)
        )
        maps = torch.from_numpy(np.stack([shows, counts]).astype(np.float32)).to(photo.images)
        depth = torch.from_numpy(fragments.depth).to(photo.images)[None]
        return _Seen(photo.cameras, maps, depth, torch.cat(bands_of(photo)))

    @torch.no_grad()
    def colours(
        self, points: Float[Tensor, "n 3"], outward: Float[Tensor, "n 3"], own: Float[Tensor, "n 3"]
    ) -> Float[Tensor, "n 3"]:
        """Colours in [0, 1] of points of the mesh with unit normals: of the photos, or `own` where none looks."""
        unseen, best = torch.ones_like(own[:, :1]), torch.full_like(own[:, :1], NOTHING)
        found = []
        for photo in self.photos:
            shows, weight = self._trust(photo, points, outward)
            unseen, best = unseen * (1 - shows), torch.maximum(best, weight)
            found.append((weight, sampled(photo.bands, photo.camera.locate(points)[0])))
        shown = torch.zeros_like(own)
        for power, band in ((GENTLE, slice(0, 3)), (SHARP, slice(3, 6))):
            shares = [(weight / best) ** power for weight, _ in found]
            total = torch.stack(shares).sum(0).clamp(min=NOTHING)
            for share, (_, colours) in zip(shares, found):
                shown = shown + share / total * colours[:, band]
        return torch.lerp(shown, own, unseen).clamp(0, 1)

    def unseen(self, points: Float[Tensor, "n 3"], outward: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        """Shares, in [0, 1], of the colours of points that no photo gives."""
        left = torch.ones_like(points[:, :1])
        for photo in self.photos:
            left = left * (1 - self._trust(photo, points, outward)[0])
        return left[:, 0]

    def weight(self, i: int, points: Float[Tensor, "n 3"], outward: Float[Tensor, "n 3"]) -> Float[Tensor, "n 1"]:
        """How much photo i counts at points of the mesh, in pixels a unit of surface; 0 where it does not show them."""
        return self._trust(self.photos[i], points, outward)[1]

    def image(self, i: int, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """What photo i shows where points, of the mesh or near it, lie in it."""
        seen = self.photos[i]
        return sampled(seen.bands[:3] + seen.bands[3:], seen.camera.locate(points)[0])

    def _trust(self, photo: _Seen, points: Tensor, outward: Tensor) -> tuple[Tensor, Tensor]:
        """How far, in [0, 1], a photo shows each point, and how much it counts, in pixels a unit of surface."""
        camera = photo.camera
        places, depth, inside = camera.locate(points)
        cosine = (normalise(camera.centers - points) * outward).sum(-1, keepdim=True).clamp(min=0)
        steep = ((cosine - GRAZING[0]) / (GRAZING[1] - GRAZING[0])).clamp(0, 1)
        depth = depth[:, None]
        visible = inside[:, None] & (depth < sampled(photo.depth, places, "nearest") + self.near)
        focal = camera.intrinsics[0, 0] * camera.intrinsics[1, 1]
        shows, counts = sampled(photo.maps, places).split(1, dim=-1)
        shows = shows * steep * visible
        return shows, shows * counts * cosine * focal / depth.clamp(min=NOTHING).square()


def border_distances(fragments: Fragments, photo: Views, near: float) -> Float[np.ndarray, "height width"]:
    """Pixels from each pixel to the nearest that no photo is to be trusted at, less one: outside of the picture, of its
    mask or of the mesh, or where the mesh's depth jumps by more than `near`."""
    inside = fragments.covered
    if photo.masks is not None:
        inside = inside & _mask(photo)
    distances = np.asarray(ndimage.distance_transform_edt(np.pad(inside & ~jumps(fragments, near), 1)))
    return np.maximum(distances[1:-1, 1:-1] - 1, 0)


def jumps(fragments: Fragments, near: float) -> Bool[np.ndarray, "height width"]:
    """Pixels of the mesh whose depth is off the straight line between their neighbours' by more than `near`."""
    depth = np.where(fragments.covered, fragments.depth, np.nan)
    found = np.zeros(depth.shape, bool)
    for line, jump in ((depth, found), (depth.T, found.T)):
        jump[1:-1] |= np.abs(line[2:] - 2 * line[1:-1] + line[:-2]) > near
    return found


def bands_of(photo: Views) -> tuple[Float[Tensor, "3 height width"], Float[Tensor, "3 height width"]]:
    """A photo parted into coarse light and detail; outside of its mask, and at its rim, the inside's colours go on."""
    image = photo.images.cpu().numpy()
    if photo.masks is not None:
        inside = inside_distance(_mask(photo)) > RIM
        if inside.any():
            rows, columns = np.asarray(
                ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
            )
            image = image[:, rows, columns]
    coarse = ndimage.gaussian_filter(image, (0, COARSE, COARSE))
    return torch.from_numpy(coarse).to(photo.images), torch.from_numpy(image - coarse).to(photo.images)


def _mask(photo: Views) -> Bool[np.ndarray, "height width"]:
    assert photo.masks is not None
    return (photo.masks[0] > 0.5).cpu().numpy()
