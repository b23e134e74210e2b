"""Open a folder of posed photos, see what is in it, and look at it as the networks do."""

import sys
from pathlib import Path

import torch

import fewview
from fewview.framing import crop_to_object, norm_from_world


def main(folder: Path, size: int = 64) -> fewview.Views:
    """Prints what the folder holds; returns its photos cropped to the object, on black, in the normalised frame."""
    scene = fewview.open_scene(folder)
    views = scene.read(range(len(scene)))
    height, width = views.images.shape[-2:]
    masks = "masks" if views.masks is not None else "no masks"
    print(f"{scene.name}: {len(scene)} photos of {width} x {height} pixels, {masks}")

    cropped = crop_to_object(views, size).on_black()
    frame = norm_from_world(cropped)  # origin: the object; unit: its silhouettes' standard deviation
    cameras = cropped.cameras.transformed(frame)
    unit = 1 / torch.linalg.det(frame[:3, :3]).item() ** (1 / 3)
    print(f"the object's unit is {unit:.3g} of the world's")

    pixels, depth = cameras.project(torch.zeros(len(cameras), 1, 3))
    for i in range(len(cameras)):
        x, y = pixels[i, 0].tolist()
        print(f"photo {i}: the object's middle is {depth[i].item():.1f} units away, at pixel ({x:.1f}, {y:.1f})")
    return fewview.Views(cropped.images, cameras, cropped.masks)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("examples/demo_input"))
