"""Judge methods of your own by the thesis' protocol: a method has `reconstruct`, a scene has `read`."""

from pathlib import Path
from tempfile import mkdtemp

import torch
from torch import Generator

from fewview import Cameras, Protocol, Render, Views, evaluate
from fewview.evaluation.objects.tables import summary


class Sky:
    """A scene in which colour depends on the direction of view alone, photographed all around."""

    name = "sky/one"

    def __init__(self, count: int, size: int):
        turn = torch.linspace(0, 6, count)
        centers = torch.stack([turn.cos(), turn.sin(), torch.zeros(count)], dim=-1) * 3
        up = torch.tensor([0.0, 0.0, 1.0])
        self.cameras = Cameras.look_at(centers, torch.zeros(3), up, focal=float(size), height=size, width=size)

    def __len__(self) -> int:
        return len(self.cameras)

    def read(self, indices) -> Views:
        cameras = self.cameras[list(indices)]
        return Views((0.5 + 0.5 * cameras.rays().directions).movedim(-1, -3), cameras)


class Nearest:
    """A method: show the input photo whose camera looks most alike."""

    def reconstruct(
        self, views: Views, *, path: Cameras | None = None, generator: Generator | None = None
    ) -> "Nearest":
        self.views = views
        return self

    def render(self, cameras: Cameras) -> Render:
        image = self.views.images[(cameras.forward @ self.views.cameras.forward.mT).argmax(dim=-1)]
        return Render(image, torch.ones_like(image[:, :1]), torch.zeros_like(image[:, :1]))


class Mean(Nearest):
    """Another: show the mean of the input photos."""

    def render(self, cameras: Cameras) -> Render:
        image = self.views.images.mean(0).expand(len(cameras), -1, -1, -1)
        return Render(image, torch.ones_like(image[:, :1]), torch.zeros_like(image[:, :1]))


def main(out: Path | None = None, size: int = 32) -> str:
    out = out or Path(mkdtemp())
    evaluate({"mean": Mean(), "nearest": Nearest()}, [Sky(12, size)], Protocol(context=3, views=12, size=size), out=out)
    print(summary(out))
    return summary(out)


if __name__ == "__main__":
    main()
