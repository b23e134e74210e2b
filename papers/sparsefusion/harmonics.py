"""Whether harmonics help where few photos were taken: the demo's splats, fitted anew with each degree, and judged.

    python papers/sparsefusion/harmonics.py out/demo out/harmonics [preset]

`out/demo` is what `make demo` left; lines are those of demo.py, for degrees 0 to 3.
"""

import sys
from dataclasses import replace
from pathlib import Path

from demo import EXAMPLES
from demo import main as judge

from fewview.data import open_scene
from fewview.detail.stage import DetailConfig
from fewview.export.ply import write_ply
from fewview.pipeline.reconstruction import Reconstruction, load_asset


def main(results: Path, out: Path, preset: str = "fast") -> None:
    """Writes OUT/degree_0 to degree_3 with splats.ply, and prints two lines for each."""
    asset, _ = load_asset(results)
    photos = open_scene(EXAMPLES / "demo_input")
    views = photos.read(range(len(photos)))
    for degree in (0, 3, 1, 2):
        scene = Reconstruction.of(asset, views)
        scene.detail = replace(DetailConfig.preset(preset), sh_degree=degree)
        folder = out / f"degree_{degree}"
        folder.mkdir(parents=True, exist_ok=True)
        write_ply(folder / "splats.ply", scene.splats)
        print(f"degree {degree}", flush=True)
        judge(folder)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]), *sys.argv[3:])
