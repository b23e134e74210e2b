"""How near splats come to a capture's photos, those that were given and those that were held out.

    python papers/sparsefusion/captures.py ../shared/data/nerd_maryRose -o results/real/captures.jsonl \\
        --counts 3 6 12 --methods splats no-prior sparsefusion --preset fast

Inputs are spread evenly over the capture, and so are (up to) eight of the others, which are judged. With masks the
object alone is judged, on black. Inputs are compared at 512 px of their longer side, PSNR inside masks; the others at
256 px, whole pictures.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from fewview.commands.methods import sparsefusion
from fewview.data import PhotoScene, open_scene
from fewview.detail.stage import DetailConfig, sized
from fewview.evaluation.perceptual import find_lpips
from fewview.evaluation.rows import append_lines, read_lines
from fewview.pipeline.methods import PhotoSplats
from fewview.pipeline.photos import choose
from fewview.pipeline.reconstruction import Reconstruction
from fewview.views import Views

HELD_OUT, LARGE, SMALL = 8, 512, 256  # photos; pixels of the longer side


@dataclass(frozen=True)
class Row:
    """One scene: dB (the median of inputs, the mean of `held_out` others), and what it took."""

    capture: str
    inputs: int
    method: str
    preset: str
    photo_size: int
    held_out: int
    input_psnr: float
    psnr: float
    lpips: float | None
    splats: int
    cpu_seconds: float

    @property
    def key(self) -> tuple[str, int, str, str, int]:
        return self.capture, self.inputs, self.method, self.preset, self.photo_size


def reconstruct(method: str, views: Views, preset: str, photo_size: int) -> Reconstruction:
    """The scene of a method by name, whose splats are judged."""
    detail, generator = DetailConfig.preset(preset, photo_size), torch.Generator().manual_seed(0)
    if method == "splats":
        return PhotoSplats(detail)(views, generator=generator)
    scene = sparsefusion(method, "tiny", preset)(views, generator=generator)
    scene.detail = detail
    return scene


def errors(images: torch.Tensor, truth: Views) -> torch.Tensor:
    """Mean squared errors of each photo, inside its mask where it has one."""
    inside = torch.ones_like(images[:, :1]) if truth.masks is None else (truth.masks > 0.5).float()
    return ((images - truth.images).square().mean(1, keepdim=True) * inside).sum((1, 2, 3)) / inside.sum((1, 2, 3))


@torch.no_grad()
def pictures(scene: Reconstruction, truth: Views) -> torch.Tensor:
    """What the splats show of the photos, in [0, 1]."""
    cameras = truth.cameras
    shown = [scene.splat_asset.render(cameras[i : i + 1]).image for i in range(len(truth))]
    return torch.cat(shown).clamp(0, 1)


def judged(scene: Reconstruction, inputs: Views, others: Views) -> tuple[float, float, float | None]:
    """PSNR of inputs, PSNR and LPIPS of the others."""
    large, small = sized(inputs, LARGE).on_black(), sized(others, SMALL).on_black()
    given = -10 * errors(pictures(scene, large), large).log10()
    images, lpips = pictures(scene, small), find_lpips("vgg")
    held_out = -10 * (images - small.images).square().mean((1, 2, 3)).log10()
    distance = None if lpips is None else round(float(lpips(images, small.images).mean()), 4)
    return round(float(given.median()), 3), round(float(held_out.mean()), 3), distance


def main() -> None:
    """A row for each capture, number of inputs and method that the file does not have yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", nargs="+", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--counts", nargs="+", type=int, default=[3, 6, 12])
    parser.add_argument("--methods", nargs="+", default=["splats", "no-prior", "sparsefusion"])
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--photo-size", type=int, default=LARGE)
    given = parser.parse_args()
    done = {row.key for row in read_lines(given.out, Row)} if given.out.exists() else set()
    for capture in given.captures:
        scene = open_scene(capture)
        assert isinstance(scene, PhotoScene)
        for count in given.counts:
            chosen = choose(len(scene), None, count)
            rest = [i for i in range(len(scene)) if i not in chosen]
            others = [rest[i] for i in choose(len(rest), None, HELD_OUT)]
            inputs, held_out = scene.read(chosen), scene.read(others)
            for method in given.methods:
                what = (scene.name, count, method, given.preset, given.photo_size)
                if what in done:
                    continue
                start = time.process_time()
                made = reconstruct(method, inputs, given.preset, given.photo_size)
                numbers, splats = judged(made, inputs, held_out), len(made.splats)
                row = Row(*what, len(others), *numbers, splats, round(time.process_time() - start, 1))
                append_lines(given.out, [row])
                print(row, flush=True)


if __name__ == "__main__":
    main()
