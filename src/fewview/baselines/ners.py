"""NeRS (Zhang et al., NeurIPS 2021, 2110.07604): a deformed sphere with a texture under a light, all of them MLPs.

Faces are drawn as flat splats, by the renderer that all splats here share, in place of a soft rasteriser.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fewview.baselines.pictures import seen_by, starting
from fewview.cameras import Cameras
from fewview.geometry.quaternions import quaternions_of
from fewview.geometry.transforms import normalise
from fewview.nn.layers import harmonic
from fewview.render.gaussians import Gaussians
from fewview.render.splatting import splat
from fewview.sparsefusion.method import ImageAsset
from fewview.views import Views


@dataclass(frozen=True)
class NeRSConfig:
    """The three networks' sizes are the paper's (appendix: 4 layers of 256 and 6 octaves); steps are ours."""

    size: int = 256
    subdivisions: int = 5  # of an icosahedron: 20,480 faces
    width: int = 256
    layers: int = 4
    octaves: int = 6
    radius: float = 1.5  # of the sphere at first
    rate: float = 1e-3
    steps: int = 3000
    silhouette: float = 1.0
    smooth: float = 1.0
    light: float = 0.01  # keeps the light near white, so that colour is texture's


TINY = NeRSConfig(size=64, subdivisions=3, width=64, layers=2, octaves=3, steps=300, rate=3e-3)


def icosphere(subdivisions: int) -> tuple[Float[Tensor, "v 3"], Int[Tensor, "f 3"]]:
    """A unit sphere of 20 * 4^n triangles, counter-clockwise from outside."""
    g = (1 + 5**0.5) / 2
    corners = [(-1, g, 0), (1, g, 0), (-1, -g, 0), (1, -g, 0), (0, -1, g), (0, 1, g)]
    corners += [(0, -1, -g), (0, 1, -g), (g, 0, -1), (g, 0, 1), (-g, 0, -1), (-g, 0, 1)]
    rows = "0 11 5 0 5 1 0 1 7 0 7 10 0 10 11 1 5 9 5 11 4 11 10 2 10 7 6 7 1 8"
    rows += " 3 9 4 3 4 2 3 2 6 3 6 8 3 8 9 4 9 5 2 4 11 6 2 10 8 6 7 9 8 1"
    vertices, faces = normalise(torch.tensor(corners).float()), torch.tensor([int(i) for i in rows.split()]).view(-1, 3)
    for _ in range(subdivisions):
        edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        unique, where = edges.sort(dim=-1).values.unique(dim=0, return_inverse=True)
        a, b, c = (where + len(vertices)).chunk(3)
        vertices = torch.cat([vertices, normalise(vertices[unique].mean(1))])
        x, y, z = faces.unbind(-1)
        triangles = [(x, a, c), (a, y, b), (c, b, z), (a, b, c)]
        faces = torch.cat([torch.stack(corner, dim=-1) for corner in triangles])
    return vertices, faces


class Surface(nn.Module):
    """f_shape, f_tex and f_env (section 3.2), all functions on the unit sphere."""

    def __init__(self, config: NeRSConfig):
        super().__init__()
        self.config = config
        self.vertices, self.faces = icosphere(config.subdivisions)
        self.shape, self.texture, self.light = (self._mlp(outputs) for outputs in (3, 3, 3))
        self.gloss = nn.Parameter(torch.tensor(-3.0))
        for network in (self.shape, self.light):
            for parameter in network[-1].parameters():
                nn.init.zeros_(parameter)

    def points(self) -> Float[Tensor, "v 3"]:
        """Vertices of the deformed sphere."""
        return self.config.radius * self.vertices + self.shape(self._told(self.vertices))

    def drawn(self, points: Float[Tensor, "v 3"], camera: Cameras) -> Gaussians:
        """A splat for each face: as large, as it lies, and of the colour that it has for a camera (Eq. 5, Phong)."""
        corners = points[self.faces]
        means, a, b = corners.mean(1), corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        cross = torch.linalg.cross(a, b)
        normals = normalise(cross)
        x = normalise(a)
        frames = torch.stack([x, torch.linalg.cross(normals, x), normals], dim=-1).detach()
        spread = (cross.norm(dim=-1, keepdim=True) / 2).clamp(min=1e-8).sqrt().detach() * 0.6
        scales = spread * spread.new_tensor([1.0, 1.0, 0.1])
        albedo = self.texture(self._told(normalise(self.vertices[self.faces].mean(1)))).sigmoid()
        towards = normalise(camera.centers - means)
        mirrored = 2 * (towards * normals).sum(-1, keepdim=True) * normals - towards
        lit = lambda directions: self.light(self._told(normalise(directions))).exp()
        colour = (albedo * lit(normals) + self.gloss.sigmoid() * (lit(mirrored) - 1)).clamp(0, 1)
        facing = ((towards * normals).sum(-1) > 0).to(means)  # backs are not drawn: the surface is closed
        return Gaussians(means, scales, quaternions_of(frames), 0.98 * facing, colour)

    def bent(self, points: Float[Tensor, "v 3"]) -> Float[Tensor, ""]:
        """Mean of 1 - cosine between the normals of faces and of their corners: keeps the surface smooth."""
        corners = points[self.faces]
        normals = normalise(torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
        at = torch.zeros_like(points).index_add(0, self.faces.flatten(), normals.repeat_interleave(3, 0))
        return (1 - (normals[:, None] * normalise(at)[self.faces]).sum(-1)).mean()

    def _told(self, directions: Float[Tensor, "n 3"]) -> Tensor:
        return harmonic(directions, self.config.octaves)

    def _mlp(self, outputs: int) -> nn.Sequential:
        c, inputs = self.config, 3 * (2 * self.config.octaves + 1)
        widths = [inputs, *[c.width] * c.layers]
        hidden = [m for a, b in pairwise(widths) for m in (nn.Linear(a, b), nn.SiLU())]
        return nn.Sequential(*hidden, nn.Linear(c.width, outputs))


class NeRS:
    """A Reconstructor."""

    def __init__(self, config: NeRSConfig = TINY):
        self.config = config

    def reconstruct(
        self, views: Views, *, path: Cameras | None = None, generator: torch.Generator | None = None
    ) -> ImageAsset:
        """One closed surface in the world of the views, fitted to them alone."""
        generator = generator or torch.Generator().manual_seed(0)
        prepared = seen_by(views, self.config.size)
        with starting(generator):
            surface = Surface(self.config)
        fit(surface, prepared.context, generator)
        points = surface.requires_grad_(False).points()

        def picture(camera: Cameras) -> Float[Tensor, "4 h w"]:
            seen = splat(surface.drawn(points, camera), camera)
            return torch.cat([seen.image, seen.alpha])

        return ImageAsset(self.config.size, prepared, picture)


def fit(surface: Surface, views: Views, generator: torch.Generator) -> None:
    """Colours and silhouettes of the photos, one a step, smoothness, and a light that is near white."""
    c, optimiser = surface.config, torch.optim.Adam(surface.parameters(), lr=surface.config.rate)
    for _ in range(c.steps):
        view = views[int(torch.randint(len(views), (), generator=generator))]
        points = surface.points()
        seen = splat(surface.drawn(points, view.cameras), view.cameras)
        loss = (seen.image - view.images).abs().mean() + c.smooth * surface.bent(points)
        if view.masks is not None:
            loss = loss + c.silhouette * (seen.alpha - view.masks).square().mean()
        loss = loss + c.light * surface.light(surface._told(surface.vertices)).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
