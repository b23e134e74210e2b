"""A small world whose pictures are known in closed form, and reconstructors that are right, wrong or broken."""

import math

import torch

from fewview.cameras import Cameras
from fewview.views import Render, Views


def ring(count: int, size: int = 16, width: int | None = None) -> Cameras:
    """Cameras on a circle around the origin, 360 / count degrees apart."""
    turn = torch.arange(count) * (2 * math.pi / count)
    centers = torch.stack([4 * turn.cos(), 4 * turn.sin(), torch.zeros(count)], dim=-1)
    up = torch.tensor([0.0, 0.0, 1.0])
    return Cameras.look_at(centers, torch.zeros(3), up, focal=float(size), height=size, width=width or size)


def paint(cameras: Cameras) -> torch.Tensor:
    """What the world looks like: the colour of a ray is a smooth function of its direction."""
    return (0.5 + 0.5 * cameras.rays().directions).movedim(-1, -3)


class RingScene:
    """`count` views of the painted world; `masked` hides the left half of each."""

    def __init__(self, name: str, count: int = 12, *, size: int = 16, width: int | None = None, masked: bool = False):
        self.name, self.masked = name, masked
        self.cameras = ring(count, size, width)
        self.reads: list[list[int]] = []

    def __len__(self) -> int:
        return len(self.cameras)

    def read(self, indices) -> Views:
        self.reads.append(list(indices))
        cameras = self.cameras[list(indices)]
        images = paint(cameras)
        masks = torch.ones_like(images[:, :1])
        masks[..., : masks.shape[-1] // 2] = 0
        return Views(images, cameras, masks if self.masked else None)


class BrokenScene(RingScene):
    def read(self, indices) -> Views:
        raise OSError("the disk is gone")


class Painter:
    """An asset that shows the true world, darker by `error`."""

    def __init__(self, error: float = 0.0):
        self.error = error

    def render(self, cameras: Cameras) -> Render:
        image = paint(cameras) - self.error
        return Render(image, torch.ones_like(image[:, :1]), torch.zeros_like(image[:, :1]))


class Knows:
    """Reconstructs the true world, darker by `error`; remembers its inputs and one random number of each call."""

    def __init__(self, error: float = 0.0):
        self.asset = Painter(error)
        self.inputs: list[Views] = []
        self.drawn: list[float] = []

    def reconstruct(self, views: Views, *, generator: torch.Generator | None = None) -> Painter:
        self.inputs.append(views)
        self.drawn.append(torch.rand((), generator=generator).item())
        return self.asset


class Black(Knows):
    """Renders nothing at all."""

    def reconstruct(self, views: Views, *, generator: torch.Generator | None = None):
        super().reconstruct(views, generator=generator)
        return self

    def render(self, cameras: Cameras) -> Render:
        zeros = torch.zeros(len(cameras), 3, cameras.height, cameras.width)
        return Render(zeros, zeros[:, :1], zeros[:, :1])


class Fails(Knows):
    """Raises at the first `times` calls."""

    def __init__(self, times: int = 10**9):
        super().__init__()
        self.times = times

    def reconstruct(self, views: Views, *, generator: torch.Generator | None = None) -> Painter:
        self.times -= 1
        if self.times >= 0:
            raise RuntimeError("out of memory")
        return super().reconstruct(views, generator=generator)


class Emits(Knows):
    """An asset whose render is `value` everywhere, or of a wrong size."""

    def __init__(self, value: float, *, shrink: int = 0):
        super().__init__()
        self.value, self.shrink = value, shrink

    def reconstruct(self, views: Views, *, generator: torch.Generator | None = None):
        return self

    def render(self, cameras: Cameras) -> Render:
        image = torch.full((len(cameras), 3, cameras.height - self.shrink, cameras.width), self.value)
        return Render(image, image[:, :1], image[:, :1])
