"""Held-out objects from one photo: the input view, and other views beside two simple answers.

    python papers/wildfusion/novel_views.py RUNS/wildfusion-photos/test-64.safetensors MODEL -o results/wildfusion

One photo of each held-out object is the input, and other photos of it are judged by how far they are turned away. The
simple answers: the photo itself, unmoved; and its pixels moved by its depth, with holes filled from their neighbours.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fewview.cameras import Cameras, pixel_centres
from fewview.checkpoint import load_model
from fewview.evaluation.metrics import psnr
from fewview.evaluation.perceptual import find_lpips
from fewview.evaluation.rows import write_lines
from fewview.export.images import write_png
from fewview.geometry.transforms import apply, normalise
from fewview.recipes.wildfusion.packed import load_photos
from fewview.wildfusion.frame import input_cameras
from fewview.wildfusion.whole import WholeConfig, WildFusion

BOUNDS = (20.0, 45.0)  # degrees
HOLES = 4  # pixels from an edge that are filled at most


@dataclass(frozen=True)
class Row:
    """One view: degrees from the input, and what each answer gets (dB, LPIPS-VGG)."""

    scene: int
    label: str
    degrees: float
    depth: bool
    psnr: float
    lpips: float
    unmoved_lpips: float
    warped_lpips: float
    unmoved_psnr: float
    warped_psnr: float


def warped(image: Tensor, mask: Tensor, z: Tensor, source: Cameras, target: Cameras) -> Tensor:
    """Pixels of an image "3 h w" at their z in view space, nearest in front, in another camera; black elsewhere."""
    h, w = image.shape[1:]
    seen = (mask[0] > 0.5) & (z[0] != 0)
    pixels = pixel_centres(h, w)[seen][None]
    rays = source.in_cam(pixels)[0]
    depth = z[0][seen] - source.world_from_cam[2, 3]  # view space and P0 differ by a shift along z
    points = apply(source.world_from_cam, rays * depth[:, None])
    places, far = target.project(points)
    order = far.argsort(descending=True)
    column, row = places[order].floor().long().unbind(-1)
    inside = (column >= 0) & (column < w) & (row >= 0) & (row < h)
    out, known = torch.zeros_like(image), torch.zeros(h, w, dtype=torch.bool)
    out[:, row[inside], column[inside]] = image[:, seen][:, order[inside]]
    known[row[inside], column[inside]] = True
    for _ in range(HOLES):  # holes become the mean of known neighbours where most are known
        near = torch.nn.functional.avg_pool2d(torch.cat([out, known[None].float()])[None], 3, 1, 1)[0] * 9
        fill = ~known & (near[3] >= 4)
        out = torch.where(fill, near[:3] / near[3].clamp(min=1), out)
        known |= fill
    return out


@torch.no_grad()
def main() -> None:
    """Writes rows, a summary on the console, and a sheet of the first objects."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--views", type=int, default=2, help="of each object and range of angles")
    given = parser.parse_args()
    data, model = load_photos(given.photos), load_model(given.model, WildFusion, WholeConfig).autoencoder.eval()
    lpips = find_lpips("vgg")
    assert lpips is not None
    rows, inputs, sheet = [], [], []
    for scene in data.scenes.unique().tolist():
        frames = (data.scenes == scene).nonzero().flatten()
        first, others = frames[:1], frames[1:]
        photo = data.photos(first)
        source, cameras = input_cameras(1, model.size), data.view_cameras(first.expand(len(others)), others)
        cosine = normalise(cameras.centers)[:, 2].neg().clamp(-1, 1)
        degrees = torch.rad2deg(cosine.acos())
        chosen = [
            i
            for low, high in zip((0.0, *BOUNDS), BOUNDS)
            for i in ((degrees > low) & (degrees <= high)).nonzero().flatten()[: given.views].tolist()
        ]
        for depth in (photo.depth, None):
            planes = model.planes(model.encode(photo.images, photo.masks, depth))
            show = lambda camera, planes=planes: model.upsample(model.low_res(planes, camera)).clamp(0, 1)
            inputs.append((depth is not None, float(psnr(show(source), photo.images))))
            for i in chosen:
                truth, made = data.photos(others[i : i + 1]).images, show(cameras[i : i + 1])
                moved = warped(photo.images[0], photo.masks[0], photo.depth[0], source[0], cameras[i])[None]
                answers = (made, photo.images, moved)
                near = [float(lpips(answer, truth)) for answer in answers]
                bits = [float(psnr(answer, truth)) for answer in answers]
                rows.append(
                    Row(scene, data.classes[int(photo.labels)], round(float(degrees[i]), 1), depth is not None,
                        bits[0], near[0], near[1], near[2], bits[1], bits[2])
                )  # fmt: skip
                if depth is not None and len(sheet) < 24:
                    sheet.append(torch.cat([photo.images[0], show(source)[0], made[0], truth[0], moved[0]], dim=-1))
    given.out.mkdir(parents=True, exist_ok=True)
    write_lines(given.out / "novel_views.jsonl", rows)
    columns = [torch.cat(sheet[i::3], dim=-2) for i in range(3)]
    least = min(column.shape[-2] for column in columns)
    write_png(given.out / "novel_views.png", torch.cat([column[:, :least] for column in columns], dim=-1))
    for depth in (True, False):
        of_input = [value for known, value in inputs if known is depth]
        print(f"depth {depth}: input view {sum(of_input) / len(of_input):.2f} dB, n = {len(of_input)}")
        for low, high in zip((0.0, *BOUNDS), BOUNDS):
            some = [row for row in rows if row.depth is depth and low < row.degrees <= high]
            mean = lambda name, some=some: sum(getattr(row, name) for row in some) / max(1, len(some))
            named = ("psnr", "lpips", "unmoved_lpips", "warped_lpips", "unmoved_psnr", "warped_psnr")
            print(f"  {low:.0f} to {high:.0f} degrees, n = {len(some)}:", {n: round(mean(n), 3) for n in named})


if __name__ == "__main__":
    main()
