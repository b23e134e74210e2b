"""Colours of a surface taken from pictures of the thing that it is the surface of."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.export.mesh import Mesh, normals
from fewview.views import Render, at_places

FACING = 4  # a picture counts by this power of the cosine between the surface and the view
DOUBT = 1e-3  # pictures of less weight than this hardly change a colour
TOLERANCE = 0.05  # of a mesh's diagonal, between its depth and that of a picture that shows it


@torch.no_grad()
def paint(mesh: Mesh, seen: Render, cameras: Cameras, *, tolerance: float = TOLERANCE) -> Mesh:
    """The mesh with the colours of renderings (batch shape (n,)) wherever these see it, else with its own.

    They show what the field looks like from outside; the field's colours at points on a soft surface are not that.
    """
    vertices = torch.from_numpy(mesh.vertices).to(seen.image)
    outward = normals(vertices, torch.from_numpy(mesh.faces))
    near = tolerance * (vertices.amax(0) - vertices.amin(0)).norm()
    own = torch.from_numpy(mesh.colours).to(seen.image) / 255
    colours = shade(vertices, outward, own, pictures=(seen, cameras), near=float(near)) * 255
    return replace(mesh, colours=colours.round().to(torch.uint8).cpu().numpy())


@torch.no_grad()
def shade(
    points: Float[Tensor, "n 3"],
    outward: Float[Tensor, "n 3"],
    own: Float[Tensor, "n 3"],
    *,
    pictures: tuple[Render, Cameras],
    near: float,
) -> Float[Tensor, "n 3"]:
    """Colours in [0, 1] of surface points with unit normals `outward`: of pictures that see them, else their `own`.

    A picture sees a point if its depth there is the point's to within `near` (world units).
    """
    seen, cameras = pictures
    total, weight = DOUBT * own, torch.full_like(own[:, :1], DOUBT)
    for i in range(len(cameras)):
        places, depth, inside = cameras[i].locate(points)
        image, alpha, hit = (sampled(x[i], places) for x in (seen.image, seen.alpha, seen.depth))
        visible = inside[:, None] & (alpha > 0.5) & ((depth[:, None] - hit).abs() < near)
        towards = torch.nn.functional.normalize(cameras[i].centers - points, dim=-1)
        facing = (towards * outward).sum(-1, keepdim=True).clamp(min=0) ** FACING * visible
        total, weight = total + facing * image / alpha.clamp(min=0.5), weight + facing
    return (total / weight).clamp(0, 1)


def sampled(
    image: Float[Tensor, "channels height width"], places: Float[Tensor, "n 2"], mode: str = "bilinear"
) -> Float[Tensor, "n channels"]:
    """Values at places in [-1, 1]^2 of one image's area."""
    return at_places(image[None], places[None], mode)[0].mT
