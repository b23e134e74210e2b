"""Whether colour transforms and camera motions of photos help what was held out: splats with each, and without.

    python papers/sparsefusion/adjustments.py data/objects/cup/0001_cup ... -o results/real/adjustments.jsonl

Scenes are renders of objects (`fewview data build`), spoilt as a capture would be (`fewview.data.captured`), or
captures, which are taken as they are (`--spoilt none`). Of the photos at most `--count` are fitted, spread evenly, and
up to eight of the others are judged: of renders against their truth, of captures as they are.
"""

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from fewview.data import open_scene
from fewview.data.captured import Capture, as_captured
from fewview.detail.stage import DetailConfig, sized
from fewview.evaluation.perceptual import find_lpips
from fewview.evaluation.rows import append_lines
from fewview.pipeline.methods import PhotoSplats
from fewview.pipeline.photos import choose
from fewview.views import Views

NONE = Capture(exposure=0, white_balance=0, noise=0, defocus=0, edge=0, turn=0)
SPOILT = {
    "none": NONE,
    "colour": replace(NONE, exposure=0.1, white_balance=0.03),
    "pose": replace(NONE, turn=1.5),  # in pictures of 96 pixels, what half a degree is in those of 288
    "all": replace(Capture(), turn=1.5),
}
HELD_OUT = 8  # photos


@dataclass(frozen=True)
class Row:
    """One fit: means over the photos that were held out, dB and LPIPS."""

    scene: str
    spoilt: str
    inputs: int
    colour_rate: float
    pose_rate: float
    held_out: int
    psnr: float
    lpips: float | None
    cpu_seconds: float


@torch.no_grad()
def judged(asset, truth: Views) -> tuple[float, float | None]:
    """PSNR and LPIPS of whole pictures on black."""
    truth = truth.on_black()
    seen = torch.cat([asset.render(truth.cameras[i : i + 1]).image for i in range(len(truth))]).clamp(0, 1)
    psnr = -10 * (seen - truth.images).square().mean((1, 2, 3)).log10().mean()
    lpips = find_lpips("vgg")
    return round(float(psnr), 3), None if lpips is None else round(float(lpips(seen, truth.images).mean()), 4)


def main() -> None:
    """A row for each scene, way of spoiling and pair of rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="+", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--spoilt", nargs="+", choices=sorted(SPOILT), default=["none", "colour", "pose", "all"])
    parser.add_argument("--rates", nargs="+", default=["0,0"], help="pairs colour,pose")
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--size", type=int, default=96, help="pixels of the longer side")
    parser.add_argument("--preset", default="fast")
    given = parser.parse_args()
    for path in given.scenes:
        scene = open_scene(path)
        chosen = choose(len(scene), None, given.count)
        rest = [i for i in range(len(scene)) if i not in chosen]
        others = sized(scene.read([rest[i] for i in choose(len(rest), None, HELD_OUT)]), given.size)
        clean = sized(scene.read(chosen), given.size)
        clean = clean if clean.masks is None else clean.on_black()
        for spoilt in given.spoilt:
            inputs = clean if spoilt == "none" else as_captured(clean, SPOILT[spoilt], torch.Generator().manual_seed(1))
            for pair in given.rates:
                colour, pose = map(float, pair.split(","))
                config = DetailConfig.preset(given.preset, given.size)
                config = replace(config, colour_rate=colour, pose_rate=pose)
                start = time.process_time()
                made = PhotoSplats(config).reconstruct(inputs, generator=torch.Generator().manual_seed(0))
                seconds = round(time.process_time() - start, 1)
                row = Row(path.name, spoilt, len(inputs), colour, pose, len(others), *judged(made, others), seconds)
                append_lines(given.out, [row])
                print(row, flush=True)


if __name__ == "__main__":
    main()
