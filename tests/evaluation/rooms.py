"""Walks before a textured wall with a box, and reconstructors of them: an oracle, a blank, and broken ones."""

from dataclasses import dataclass

import torch
from evaluation.planes import BOX, camera, depth, on_plane, paint

from fewview.cameras import Cameras
from fewview.render.asset import GaussianAsset
from fewview.render.gaussians import Gaussians
from fewview.views import Render, Views


@dataclass(frozen=True)
class BoxWalk:
    """`count` frames of a sideways walk; the box is grey."""

    name: str
    count: int = 8
    seed: int = 0
    step: float = 0.1
    known: bool = True

    def __len__(self) -> int:
        return self.count

    def cameras(self, indices, size: int) -> Cameras:
        return Cameras.cat([camera(self.step * i - 0.4, 0.02 * i, size=size, focal=float(size)) for i in indices])

    def frames(self, indices, size: int) -> tuple[Views, torch.Tensor]:
        cameras = self.cameras(indices, size)
        z = depth(cameras)
        box = (z < 3)[:, None]
        images = torch.where(box, 0.3 + 0.2 * on_plane(cameras, BOX)[..., :1].movedim(-1, 1), paint(cameras, self.seed))
        return Views(images.expand(-1, 3, -1, -1), cameras), z if self.known else torch.zeros_like(z)


class Oracle:
    """One splat for each pixel of the references and of half of the path, at its true depth and of its true colour."""

    def __init__(self, walks, *, invents: bool = True):
        self.walks, self.invents = {walk.name: walk for walk in walks}, invents
        self.paths: list[Cameras | None] = []
        self.inputs: list[Views] = []

    def reconstruct(self, views: Views, *, path: Cameras | None = None, generator=None) -> GaussianAsset:
        self.paths.append(path)
        self.inputs.append(views)
        size = views.cameras.height
        walk = next(
            w for w in self.walks.values() if torch.equal(self._at(w, views.cameras, size).images, views.images)
        )
        parts = [self._splats(walk, views.cameras, size)]
        if self.invents and path is not None:
            parts.append(self._splats(walk, path, size))
        return GaussianAsset(Gaussians.cat(parts))

    @staticmethod
    def _at(walk: BoxWalk, cameras: Cameras, size: int) -> Views:
        indices = [round((float(x) + 0.4) / walk.step) for x in cameras.centers[:, 0]]
        return walk.frames(indices, size)[0]

    def _splats(self, walk: BoxWalk, cameras: Cameras, size: int) -> Gaussians:
        z = depth(cameras)
        points = cameras.unproject(z).reshape(-1, 3)
        n = len(points)
        scales = (0.4 * z / size).reshape(-1, 1).expand(-1, 3)
        colours = self._at(walk, cameras, size).images.movedim(1, -1).reshape(-1, 3)
        turns = torch.tensor([1.0, 0, 0, 0]).expand(n, -1)
        return Gaussians(points, scales, turns, torch.full((n,), 0.95), colours)


class Blank:
    """Nothing at all; remembers one random number of each call."""

    def __init__(self):
        self.drawn: list[float] = []

    def reconstruct(self, views: Views, *, path: Cameras | None = None, generator=None) -> "Blank":
        self.drawn.append(torch.rand((), generator=generator).item())
        return self

    def render(self, cameras: Cameras) -> Render:
        zeros = torch.zeros(len(cameras), 3, cameras.height, cameras.width)
        return Render(zeros, zeros[:, :1], zeros[:, :1])


class Fails:
    """Raises on every call but those of one setting, told by the distance of the references."""

    def reconstruct(self, views: Views, *, path: Cameras | None = None, generator=None) -> Blank:
        raise RuntimeError("out of memory")
