"""A room grows from one photo, chunk by chunk along a walk; a stopped run goes on behind its last whole chunk."""

import sys
from pathlib import Path

import torch

from fewview import Cameras, GenerativeGaussianSplatting, Views
from fewview.export.ply import write_ply
from fewview.ggs.grow import GGSMethodConfig


def photo_of_a_box(camera: Cameras) -> Views:
    """What a camera sees inside of a cube of side 4 with striped walls, in closed form."""
    rays = camera.rays()
    to_walls = (2 * rays.directions.sign() - rays.origins) / rays.directions
    points = rays.origins + rays.directions * to_walls.amin(-1, keepdim=True)
    return Views((0.5 + 0.3 * torch.sin(3 * points + 2 * points.roll(1, -1))).movedim(-1, 1), camera)


def main(out: Path = Path("out/room"), frames: int = 4, chunk: int = 2, steps: int = 3) -> list[int]:
    """Grows a room along an automatic walk and returns the number of splats after each chunk."""
    centre, ahead = torch.zeros(1, 3), torch.tensor([0.3, 0.1, 1.0])
    camera = Cameras.look_at(centre, ahead, torch.tensor([0.0, -1, 0]), focal=70.0, height=64, width=64)
    photo = photo_of_a_box(camera)
    config = GGSMethodConfig(steps=steps, chunk=chunk, frames=frames)
    pipe = GenerativeGaussianSplatting.from_pretrained("ggs-tiny", config)
    walk = pipe.path(photo)  # or any Cameras of yours

    def stop(stage: str, fraction: float) -> None:
        if fraction > 0.6:
            raise KeyboardInterrupt

    try:
        pipe.generate(photo, walk, progress=stop, directory=out)
    except KeyboardInterrupt:
        print("stopped in the second chunk; going on")
    made = pipe.generate(photo, walk, directory=out)

    write_ply(out / "splats.ply", made.scene.gaussians)
    print(f"{len(made.images)} views, splats after each chunk: {made.counts}; {out / 'splats.ply'}")
    return list(made.counts)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("out/room"))
