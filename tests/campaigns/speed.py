"""Seconds of the processor that our readers take, beside those of another checkout, in turns on one machine.

    python tests/campaigns/speed.py BEFORE/src src [--rounds 9] [--photos 300]

Prints the least of each and their ratio. BEFORE is another checkout, such as `git worktree add BEFORE COMMIT` makes.
Kinds that only one of the two reads are left out.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ALONE = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
TIMED = """
import json, sys, time, warnings
from pathlib import Path
from fewview.data import open_scene
from fewview.data.images import read_image, read_mask
from fewview.export.scenes import load_scene
warnings.simplefilter("ignore")
root, found = Path(sys.argv[1]), {}
def pixels(folder):
    for path in sorted(folder.glob("*.*")):
        read_image(path)
        read_mask(path, (256, 256))
kinds = {path.name: open_scene for path in root.iterdir() if path.is_dir() and path.name != "pictures"}
kinds |= {path.name: load_scene for path in root.iterdir() if path.is_file()} | {"pictures": pixels}
for name, read in sorted(kinds.items()):
    try:
        read(root / name)
    except Exception:
        continue
    times = []
    for _ in range(3):
        start = time.process_time()
        read(root / name)
        times.append(time.process_time() - start)
    found[name] = min(times)
print(json.dumps(found))
"""


def make(root: Path, photos: int) -> None:
    """Sets of cameras by kind, files of splats, and pictures."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import numpy as np
    import torch
    from data import test_far_worlds as worlds
    from export.test_packed_formats import shiny
    from PIL import Image

    from fewview.export.compressed_ply import write_compressed_ply
    from fewview.export.glb import write_splat_glb
    from fewview.export.ply import write_ply
    from fewview.export.sog import write_sog
    from fewview.export.splat import write_splat
    from fewview.export.spz import write_spz

    turns = worlds.turns
    worlds.turns = lambda count=photos: turns(count)
    places = worlds.centres(0.1, np.zeros(3), photos)
    for kind, write in worlds.WRITERS.items():
        worlds.photos(root / kind, photos)
        write(root / kind, places)
    splats = shiny(1, 20_000)
    up = torch.tensor([0.0, -1, 0])
    write_ply(root / "x.ply", splats)
    write_compressed_ply(root / "y.compressed.ply", splats)
    write_spz(root / "x.spz", splats)
    write_sog(root / "x.sog", splats)
    write_splat(root / "x.splat", splats)
    write_splat_glb(root / "x.glb", splats, up)
    (root / "pictures").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 4)).astype("u1")
    for i, (suffix, mode) in enumerate((("png", "RGB"), ("jpg", "RGB"), ("tif", "L"), ("png", "RGBA"), ("png", "L"))):
        Image.fromarray(noise).convert(mode).save(root / "pictures" / f"{i}.{suffix}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", type=Path, nargs=2, metavar="SRC", help="before, and now")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--photos", type=int, default=300)
    given = parser.parse_args()
    least: list[dict[str, float]] = [{}, {}]
    with tempfile.TemporaryDirectory() as name:
        make(Path(name), given.photos)
        for _ in range(given.rounds):
            for source, best in zip(given.sources, least):
                command = [sys.executable, "-c", TIMED, name]
                done = subprocess.run(
                    command, env={"PYTHONPATH": str(source.resolve())}, capture_output=True, check=True
                )
                for kind, seconds in json.loads(done.stdout).items():
                    best[kind] = min(seconds, best.get(kind, seconds))
    for kind in sorted(least[0].keys() & least[1].keys()):
        before, now = least[0][kind], least[1][kind]
        print(f"{kind}: {before:.4f} s before, {now:.4f} s now, {now / before:.2f} of it", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
