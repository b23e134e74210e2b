"""The bundled demo: three posed, masked views of a held-out procedural tankard, and twelve more to compare with.

`python -m fewview.synthetic.objects.demo examples` writes demo_input/ and demo_input_truth/. The object is
instance 130 of "cup", seed 0, which no training set of `fewview.synthetic.objects.build` holds. Everything is CC0.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fewview.cameras import Cameras
from fewview.checkpoint import atomic_folder
from fewview.data.nerfstudio import write_transforms
from fewview.synthetic.objects.build import Sequence, generator_of, instance, normalised
from fewview.synthetic.objects.capture import random_backdrop, random_light
from fewview.synthetic.opengl.rasterise import Rasteriser

CATEGORY, INDEX, SEED = "cup", 130, 0
INPUT_VIEWS = ((-45.0, 18.0), (15.0, 30.0), (85.0, 14.0))  # azimuth, elevation in degrees; azimuth 90 faces the handle
TRUTH_VIEWS = tuple((30.0 * i, 10.0 + 30.0 * (i % 3 == 1) + 15.0 * (i % 3 == 2)) for i in range(12))
README = """# {title}

{count} views of a tankard that `fewview.synthetic` made from a seed; it is held out from all training sets.
Made by `python -m fewview.synthetic.objects.demo examples`. Licence: CC0 1.0 (public domain).
"""


def write_views(folder: Path, views: tuple[tuple[float, float], ...], size: int, *, title: str) -> None:
    """Renders of the demo object as PNG with masks and a transforms.json."""
    rng = generator_of(SEED, CATEGORY, INDEX)
    model, cloud, _ = normalised(instance(Sequence(CATEGORY, INDEX, "test"), rng), rng)
    cameras = orbit(views, size, cloud)
    with Rasteriser(size) as rasteriser, atomic_folder(folder) as temporary:
        rasteriser.load(model, random_light(rng))
        backdrop = random_backdrop(rng, size)
        names = [f"images/{i:02d}.png" for i in range(len(views))]
        masks = [f"masks/{i:02d}.png" for i in range(len(views))]
        for part in ("images", "masks"):
            (temporary / part).mkdir()
        for camera, name, mask in zip([cameras[i] for i in range(len(views))], names, masks):
            frame = rasteriser.draw(camera)
            colour = frame.colour + (1 - frame.alpha[..., None]) * backdrop
            for path, values in ((name, colour), (mask, frame.alpha)):
                pixels = (values * 255).round().clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(temporary / path, optimize=True)
        write_transforms(temporary / "transforms.json", [cameras[i] for i in range(len(views))], names, masks=masks)
        (temporary / "README.md").write_text(README.format(title=title, count=len(views)))


def orbit(views: tuple[tuple[float, float], ...], size: int, cloud: np.ndarray) -> Cameras:
    """Cameras on a sphere about the middle of the object, 40 degrees across."""
    azimuth, elevation = np.deg2rad(np.asarray(views)).T
    flat = np.cos(elevation)
    directions = np.stack([flat * np.sin(azimuth), np.sin(elevation), flat * np.cos(azimuth)], -1)
    middle = 0.5 * (cloud.min(0) + cloud.max(0))
    radius = float(np.linalg.norm(cloud - middle, axis=1).max())
    half = np.deg2rad(20.0)
    centres = middle + directions * radius / np.sin(half) * 1.06
    as_tensor = lambda values: torch.from_numpy(np.asarray(values, dtype=np.float32))
    focal = float(size / 2 / np.tan(half))
    return Cameras.look_at(
        as_tensor(centres), as_tensor(middle), as_tensor([0.0, 1.0, 0.0]), focal=focal, height=size, width=size
    )


def main(arguments: list[str]) -> None:
    """Write both folders below ROOT. Exits with 2 for anything else."""
    parser = argparse.ArgumentParser("fewview.synthetic.objects.demo", description="Render the bundled photos.")
    parser.add_argument("root", type=Path, help="folder that demo_input/ and demo_input_truth/ are written to")
    root = parser.parse_args(arguments).root
    write_views(root / "demo_input", INPUT_VIEWS, 256, title="Demo input")
    write_views(root / "demo_input_truth", TRUTH_VIEWS, 128, title="Held-out views of the demo object")


if __name__ == "__main__":
    main(sys.argv[1:])
