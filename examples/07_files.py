"""Splats of any program in, and files for other programs out: what `fewview export` does, step by step."""

import math
import sys
from pathlib import Path

import torch

from fewview import GaussianAsset
from fewview.export.glb import write_splat_glb
from fewview.export.images import straight
from fewview.export.scenes import load_scene
from fewview.export.spz import write_spz
from fewview.export.video import write_webp
from fewview.paths import orbit
from fewview.pipeline.products import surrounding
from fewview.render.gaussians import Gaussians

UP = torch.tensor([0.0, -1.0, 0.0])  # of most files of splats


def helix(count: int = 400) -> GaussianAsset:
    """A scene to play with: a rainbow that winds upwards (y points down) and shines where it is seen along +x."""
    turn = torch.linspace(0, 6 * math.pi, count)
    means = torch.stack([turn.cos(), 1 - turn / (3 * math.pi), turn.sin()], dim=-1)
    colours = torch.stack([(turn + shift).sin() / 2 + 0.5 for shift in (0, 2, 4)], dim=-1)
    upright = torch.tensor([1.0, 0, 0, 0]).expand(count, 4)
    shine = torch.zeros(count, 3, 3)  # splats, harmonics of degree 1 (-y, z, -x), colours
    shine[:, 2] = -0.3
    scales, opacities = torch.full((count, 3), 0.08), torch.full((count,), 0.9)
    return GaussianAsset(Gaussians(means, scales, upright, opacities, colours, shine))


def main(out: Path, scene: Path | None = None, size: int = 256, frames: int = 48) -> int:
    """Number of splats that are written to out/scene.spz and .gs.glb, and filmed in out/turn.webp."""
    asset = helix() if scene is None else load_scene(scene)  # .ply, .spz or .splat
    write_spz(out / "scene.spz", asset.gaussians)
    write_splat_glb(out / "scene.gs.glb", asset.gaussians, UP)
    again = load_scene(out / "scene.spz")
    cameras = orbit(surrounding(again.gaussians, UP, size), frames)
    write_webp(out / "turn.webp", (straight(again.render(cameras[i])) for i in range(frames)))
    print(f"{len(again.gaussians)} splats; look at {out / 'turn.webp'}")
    return len(again.gaussians)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2:] else None)
