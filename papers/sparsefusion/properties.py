"""Table 2.1 as what can be measured of each method, two photos in; a stopped run goes on.

    python papers/sparsefusion/properties.py DATA -o properties.jsonl --methods eft,regnerf,pixelnerf=FOLDER

* seconds: from photos to the first picture; methods that learn from other scenes need no fitting (row 4).
* PSNR of a held-out view, and what a picture of the photos' mean colour has: does it work with few views (row 2)?
* same ray: PSNR between a picture and that of the camera rolled by 90 degrees, turned back. All rays are the same, so a
  method with one scene behind its pictures answers alike, up to sampling (row 3).
* draws: root mean square difference of the view with two seeds, where either is not black, in levels of 255. What no
  photo shows has many answers: a method that has just one regresses to their mean (row 5).

DATA is a set in CO3Dv2's layout or one scene of any format; of real captures the numbers are row 1.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.commands.evaluate import spread
from fewview.commands.methods import reconstructors
from fewview.data import open_scene
from fewview.data.co3d import open_part
from fewview.errors import InputError
from fewview.evaluation.metrics import psnr
from fewview.evaluation.objects.protocol import square
from fewview.evaluation.objects.splits import Protocol
from fewview.evaluation.objects.tables import Difference, Table
from fewview.evaluation.rows import append_lines, read_keyed
from fewview.evaluation.runner import render_each, timed
from fewview.views import Reconstructor, Scene, Views

COLUMNS = {"seconds": 1, "psnr": 2, "flat_psnr": 2, "same_ray_psnr": 1, "draws": 2}  # and their digits
HIGHEST = 99.0  # dB: pictures that are equal


@dataclass(frozen=True)
class Property:
    """What was measured of a method on one scene; the units are above."""

    scene: str
    method: str
    seconds: float
    psnr: float
    flat_psnr: float
    same_ray_psnr: float
    draws: float

    @property
    def key(self) -> tuple[str, str]:
        return self.scene, self.method


def rolled(cameras: Cameras) -> Cameras:
    """The same cameras turned by 90 degrees about their axes: `torch.rot90(image, -1)` is what they see."""
    turn = torch.tensor([[0.0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]).to(cameras.world_from_cam)
    k = cameras.intrinsics.clone()
    k[..., 0, 0], k[..., 1, 1] = cameras.intrinsics[..., 1, 1], cameras.intrinsics[..., 0, 0]
    k[..., 0, 2], k[..., 1, 2] = cameras.height - cameras.intrinsics[..., 1, 2], cameras.intrinsics[..., 0, 2]
    size = {"height": cameras.width, "width": cameras.height}
    return replace(cameras, world_from_cam=cameras.world_from_cam @ turn, intrinsics=k, **size)


def decibels(a: Float[Tensor, "3 h w"], b: Float[Tensor, "3 h w"]) -> float:
    """PSNR, at most HIGHEST."""
    return min(HIGHEST, float(psnr(a[None], b[None])))


def measured(name: str, method: Reconstructor, scene: str, views: Views) -> Property:
    """Of `views`, the last is held out."""
    context, held_out = views[:-1], views[-1:]
    seeded = lambda seed: torch.Generator().manual_seed(seed)
    draw = lambda asset, cameras: render_each(asset, cameras).image[0]
    camera = held_out.cameras

    def answer() -> tuple:
        asset = method.reconstruct(context, generator=seeded(0))
        return asset, draw(asset, camera)

    (asset, picture), seconds = timed(answer)
    back = torch.rot90(draw(asset, rolled(camera)), 1, (-2, -1))
    other = draw(method.reconstruct(context, generator=seeded(1)), camera)
    there = torch.maximum(picture, other).amax(0) > 0.02
    draws = float((picture - other)[:, there].square().mean().sqrt()) * 255 if bool(there.any()) else 0.0
    truth = held_out.on_black().images[0]
    flat = context.on_black().images.mean((0, 2, 3))[:, None, None].expand_as(truth)
    close = decibels(picture, truth), decibels(flat, truth), decibels(picture, back)
    return Property(scene, name, seconds, *close, draws)


def scenes_of(data: Path, size: int, count: int | None) -> Sequence[Scene]:
    """Held-out scenes of a set, or one scene."""
    if any(data.glob("*/frame_annotations.jgz")):
        return spread(open_part(data, "test", size=size), count)
    return [open_scene(data)]


def table(rows: Sequence[Property]) -> str:
    """Means with 95 % bootstrap intervals over scenes."""
    body = []
    for method in dict.fromkeys(row.method for row in rows):
        own = [row for row in rows if row.method == method]
        cells = []
        for column, digits in COLUMNS.items():
            found = Difference.of([getattr(row, column) for row in own], torch.Generator().manual_seed(0))
            cells.append(found.text(digits, sign=""))
        body.append((method, *cells, str(len(own))))
    return Table("Table 2.1, measured", ("method", *COLUMNS, "n"), tuple(body)).markdown() + "\n"


def run(data: Path, out: Path, methods: Sequence[str], *, scenes: int | None, size: int, preset: str) -> str:
    """Measures what is missing in `out`, and gives the table of all that is there."""
    made = reconstructors(methods, "tiny", preset)  # type: ignore[arg-type]
    done = {row.key for row in read_keyed(out, Property)}
    for i, scene in enumerate(scenes_of(data, size, scenes)):
        split = Protocol(context=2, views=12, size=size).split(i, len(scene))
        todo = [name for name in made if (scene.name, name) not in done]
        if todo:
            views = square(scene.read([*split.context, split.held_out[len(split.held_out) // 2]]), size)
            for name in todo:
                append_lines(out, [measured(name, made[name], scene.name, views)])
    return table(read_keyed(out, Property))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--methods", required=True)
    parser.add_argument("--scenes", type=int)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--preset", default="fast")
    o = parser.parse_args()
    try:
        print(run(o.data, o.out, o.methods.split(","), scenes=o.scenes, size=o.size, preset=o.preset), end="")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
