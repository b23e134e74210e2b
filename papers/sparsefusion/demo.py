"""How near the demo's splats come to its photos, and to views that nobody was shown.

    python papers/sparsefusion/demo.py out/demo

PSNR inside the masks (on black) and LPIPS of whole pictures, means over the photos at their own size.
"""

import sys
from pathlib import Path

import torch

from fewview.data import open_scene
from fewview.evaluation.perceptual import find_lpips
from fewview.export.scenes import load_scene

EXAMPLES = Path(__file__).parents[2] / "examples"


@torch.no_grad()
def main(results: Path) -> None:
    """Prints a line for the input photos, and one for the held-out views."""
    asset, lpips = load_scene(results / "splats.ply"), find_lpips("vgg")
    for name in ("demo_input", "demo_input_truth"):
        scene = open_scene(EXAMPLES / name)
        truth = scene.read(range(len(scene))).on_black()
        assert truth.masks is not None
        images = torch.cat([asset.render(truth.cameras[i : i + 1]).image for i in range(len(truth))]).clamp(0, 1)
        inside = truth.masks > 0.5
        errors = ((images - truth.images).square().mean(1, keepdim=True) * inside).sum((1, 2, 3)) / inside.sum(
            (1, 2, 3)
        )
        psnr = float((-10 * errors.log10()).mean())
        distance = "-" if lpips is None else f"{float(lpips(images, truth.images).mean()):.3f}"
        print(f"{name}: {psnr:.2f} dB, LPIPS {distance}, {len(truth)} views, {len(asset.gaussians)} splats")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
