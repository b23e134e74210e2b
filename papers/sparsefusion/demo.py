"""How near the demo's splats and mesh come to its photos, and to views that nobody was shown.

    python papers/sparsefusion/demo.py out/demo

PSNR inside the masks (on black) and LPIPS of whole pictures, means over the photos at their own size. The mesh is read
from mesh.glb by trimesh, turned back to the world, and rasterised.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import trimesh

from fewview.cameras import Cameras
from fewview.data import open_scene
from fewview.evaluation.perceptual import find_lpips
from fewview.export.glb import y_up
from fewview.export.raster import seen_by
from fewview.export.scenes import load_scene
from fewview.pipeline.reconstruction import Reconstruction
from fewview.views import Asset, Render

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True, eq=False)
class MeshAsset:
    """A textured mesh of a .glb file in the world of the results that it lies in."""

    vertices: torch.Tensor
    faces: np.ndarray
    places: np.ndarray  # from the upper left corner
    texture: torch.Tensor  # (1, 3, height, width)

    @staticmethod
    def load(results: Path) -> "MeshAsset":
        """Of results of `fewview reconstruct`."""
        mesh = trimesh.load(results / "mesh.glb", force="mesh", process=False)
        assert isinstance(mesh, trimesh.Trimesh)
        turn = y_up(Reconstruction.open(results).up).double().numpy()
        places = np.asarray(mesh.visual.uv) * [1, -1] + [0, 1]  # trimesh counts from below
        pixels = np.asarray(mesh.visual.material.baseColorTexture.convert("RGB"), np.float32) / 255
        vertices = torch.tensor(np.asarray(mesh.vertices) @ turn, dtype=torch.float32)
        return MeshAsset(vertices, np.asarray(mesh.faces), places, torch.from_numpy(pixels).permute(2, 0, 1)[None])

    def render(self, cameras: Cameras) -> Render:
        """Bilinear, without antialiasing."""
        seen = [self._render(cameras[i]) for i in range(len(cameras))]
        return Render(*(torch.stack(parts) for parts in zip(*((s.image, s.alpha, s.depth) for s in seen))))

    def _render(self, camera: Cameras) -> Render:
        found = seen_by(camera, self.vertices, self.faces)
        places = (self.places[self.faces[found.face.clip(0)]] * found.weights[..., None]).sum(2)
        grid = torch.from_numpy(places * 2 - 1).float()[None]
        image = torch.nn.functional.grid_sample(self.texture, grid, padding_mode="border", align_corners=False)[0]
        alpha = torch.from_numpy(found.covered).float()[None]
        return Render(image * alpha, alpha, torch.from_numpy(np.where(found.covered, found.depth, 0))[None])


@torch.no_grad()
def main(results: Path) -> None:
    """Prints a line for the input photos, and one for the held-out views, of the splats and of the mesh."""
    splats, mesh = load_scene(results / "splats.ply"), MeshAsset.load(results)
    assets: dict[str, Asset] = {
        f"splats ({len(splats.gaussians)})": splats,
        f"mesh ({len(mesh.faces)} triangles)": mesh,
    }
    lpips = find_lpips("vgg")
    for title, asset in assets.items():
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
            print(f"{title}, {name}: {psnr:.2f} dB, LPIPS {distance}, {len(truth)} views")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
