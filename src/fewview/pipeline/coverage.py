"""What photos show and where their cameras stand: the facts behind `fewview inspect`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.data.images import sharpness
from fewview.framing import nearest_point, silhouette
from fewview.geometry.transforms import normalise
from fewview.paths import look_at_point, turntable_axis
from fewview.views import Views, resize

THUMBNAIL = 192  # px, the longer side
SIDE = 96  # px, of the square copies that cameras are measured on
NARROW = 15.0  # degrees between optical axes: below, cameras stand side by side
ASIDE = 45.0  # degrees off the optical axis: beyond, a camera does not look at the target
UNEVEN = 3.5  # farthest over nearest distance: beyond, cameras pass by the target
WIDE_GAP = 120  # degrees without a camera: a third of the object is then seen by nobody
STEP = 45  # degrees between photos that are asked for
CUT = 0.02  # of the border, inside the mask: beyond, the object is cut off


@dataclass(frozen=True, eq=False)
class Glance:
    """One photo, seen small. `size` is (height, width), `focal` in pixels of it; None is unknown."""

    name: str
    size: tuple[int, int]
    focal: float | None
    image: Float[Tensor, "3 h w"]
    mask: Float[Tensor, "1 h w"] | None
    sharpness: float

    @property
    def covered(self) -> float | None:
        """Share of the photo inside the mask."""
        return None if self.mask is None else self.mask.mean().item()

    @property
    def cut(self) -> bool:
        """Whether the mask runs out of the picture."""
        if self.mask is None:
            return False
        m = self.mask[0]
        return bool((torch.cat([m[0], m[-1], m[:, 0], m[:, -1]]) > 0.5).float().mean() > CUT)

    @property
    def view_angle(self) -> float | None:
        """Horizontal field of view in degrees."""
        if self.focal is None:
            return None
        return 2 * torch.tensor(self.size[1] / 2 / self.focal).atan().rad2deg().item()


def glance(
    name: str, image: Float[Tensor, "3 h w"], mask: Float[Tensor, "1 h w"] | None, focal: float | None
) -> Glance:
    """The facts of one photo at its own size."""
    height, width = image.shape[-2:]
    scale = THUMBNAIL / max(height, width)
    small = max(3, round(height * scale)), max(3, round(width * scale))
    thumbnail = resize(image, *small)
    grey = (thumbnail.mean(0) * 255).numpy()
    return Glance(
        name, (height, width), focal, thumbnail, None if mask is None else resize(mask, *small), sharpness(grey)
    )


def squared(glances: Sequence[Glance], cameras: Sequence[Cameras]) -> Views:
    """All photos as small squares, whatever their shapes; the cameras follow (their pixels are not square then)."""
    images = torch.stack([resize(g.image, SIDE, SIDE) for g in glances])
    masks = [resize(g.mask, SIDE, SIDE) for g in glances if g.mask is not None]
    small = Cameras.stack([camera.resized(SIDE, SIDE) for camera in cameras])
    return Views(images, small, torch.stack(masks) if len(masks) == len(glances) else None)


@dataclass(frozen=True, eq=False)
class Coverage:
    """How cameras stand around a target: angles in degrees, lengths in world units, `up` the likeliest axis."""

    arrangement: Literal["around an object", "side by side", "through a space"]
    target: Float[Tensor, "3"]
    up: Float[Tensor, "3"]
    azimuths: Float[Tensor, " n"]
    elevations: Float[Tensor, " n"]
    distances: Float[Tensor, " n"]
    neighbours: Float[Tensor, " n"]  # angle at the target to the nearest other camera; of directions through a space
    radius: float | None  # of the object, where masks show it

    def gap(self) -> tuple[float, float]:
        """The widest arc of azimuths without a camera: where it starts, and its width."""
        ordered = self.azimuths.sort().values
        gaps = torch.cat([ordered, ordered[:1] + 360]).diff()
        widest = int(gaps.argmax())
        return ordered[widest].item(), gaps[widest].item()

    def verdict(self) -> str:
        """Whether a scene can be made, what of it would be invented, and what to photograph next; a line each."""
        start, gap = self.gap()
        if self.arrangement == "side by side":
            return "It can be reconstructed from the front.\nPhotograph next: the same from 20 to 40 degrees aside."
        if self.arrangement != "around an object" or gap <= WIDE_GAP:
            return "It can be reconstructed."
        places = math.ceil(gap / STEP) - 1
        off = lambda angle: ((self.azimuths - angle + 180) % 360 - 180).abs()
        first, last = int(off(start).argmin()), int(off(start + gap).argmin())
        return (
            f"It can be reconstructed where photos look: in an arc of {gap:.0f} degrees no camera stands, and what only"
            f" shows there is invented.\nPhotograph next: {places} more from that arc, {gap / (places + 1):.0f} degrees"
            f" apart, going on from photo {first} away from the others until photo {last} is reached."
        )

    def words(self) -> str:
        """One line for people."""
        low, high = self.elevations.min().item(), self.elevations.max().item()
        far = f"{self.distances.min():.3g} to {self.distances.max():.3g}"
        if self.arrangement == "around an object":
            _, gap = self.gap()
            text = f"over {360 - gap:.0f} of 360 degrees (widest gap {gap:.0f}), {low:.0f} to {high:.0f} degrees up"
        elif self.arrangement == "side by side":
            text = "looking the same way"
        else:
            text = "not looking at one point"
        between = f"the nearest other camera {self.neighbours.median():.0f} degrees away (median)"
        return f"{self.arrangement}, {text}, {between}, distance {far}"


def coverage(views: Views) -> Coverage:
    """Where the cameras of two or more views stand; masks say where the object is, optical axes stand in for them."""
    cameras = views.cameras
    target, radius = look_at_point(cameras), None
    if views.masks is not None and bool((views.masks.sum((1, 2, 3)) > 0).all()):
        centroids, deviations = silhouette(views.masks)
        rays = cameras.rays_at(centroids[:, None])
        target = nearest_point(rays.origins[:, 0], rays.directions[:, 0])
        depth = cameras.project(target.expand(len(views), 1, 3))[1][:, 0]
        focal = cameras.intrinsics[:, [0, 1], [0, 1]].mean(-1)
        radius = (2 * deviations / focal * depth.abs()).mean().item()
    up = turntable_axis(cameras, target)
    arms = cameras.centers - target
    directions = normalise(arms)
    aside = (-(directions * cameras.forward).sum(-1)).clamp(-1, 1).acos().rad2deg()
    apart, turned = angles_between(directions), angles_between(cameras.forward)
    if turned.max() < NARROW:
        arrangement = "side by side"
    elif (aside < ASIDE).float().mean() >= 0.9 and arms.norm(dim=-1).max() < UNEVEN * arms.norm(dim=-1).min():
        arrangement = "around an object"
    else:
        arrangement, apart = "through a space", turned
    first, second = level(up, directions)
    azimuths = torch.atan2(directions @ second, directions @ first).rad2deg() % 360
    elevations = (directions @ up).clamp(-1, 1).asin().rad2deg()
    neighbours = (apart + 360 * torch.eye(len(views))).amin(-1)
    return Coverage(arrangement, target, up, azimuths, elevations, arms.norm(dim=-1), neighbours, radius)


def level(up: Float[Tensor, "3"], directions: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """Two level axes: towards the first camera, and a quarter turn from it, counter-clockwise seen from above."""
    flat = directions - (directions @ up)[:, None] * up
    first = flat[0]
    if first.norm() < 1e-3:  # it looks straight down
        first = torch.linalg.cross(up, torch.eye(3)[up.abs().argmin()])
    first = normalise(first)
    return first, torch.linalg.cross(up, first)


def angles_between(directions: Float[Tensor, "n 3"]) -> Float[Tensor, "n n"]:
    """Degrees between all pairs of unit vectors."""
    return (directions @ directions.mT).clamp(-1, 1).acos().rad2deg()
