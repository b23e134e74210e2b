"""A world whose pictures are known in closed form, on disk in the layouts that the readers know, and tiny models."""

import gzip
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fewview.cameras import Cameras
from fewview.detail import stage
from fewview.nn.autoencoder import AutoencoderConfig
from fewview.nn.unet import UNetConfig
from fewview.pipeline import formats, products, reconstruction
from fewview.recipes.sparsefusion import tiny
from fewview.render.asset import FieldAssetConfig
from fewview.render.field import FieldConfig
from fewview.render.hashgrid import HashGridConfig
from fewview.render.occupancy import OccupancyConfig
from fewview.render.volume import VolumeConfig
from fewview.sparsefusion.method import SparseFusionConfig
from fewview.sparsefusion.vldm import VLDM, VLDMConfig
from fewview.views import Render, Views

BALLS = (((0.0, 0.0, 0.0), 1.0, (0.8, 0.3, 0.2)), ((1.2, 0.0, 0.6), 0.6, (0.2, 0.7, 0.3)))  # centre, radius, colour


class Balls:
    """An asset of opaque balls, each of one colour that darkens towards its rim."""

    def render(self, cameras: Cameras) -> Render:
        rays = cameras.rays()
        nearest = torch.full(rays.directions.shape[:-1], math.inf)
        image = torch.zeros_like(rays.directions)
        for centre, radius, colour in BALLS:
            to_centre = torch.tensor(centre) - rays.origins
            along = (to_centre * rays.directions).sum(-1)
            inside = radius**2 - (to_centre.square().sum(-1) - along**2)
            distance = along - inside.clamp(min=0).sqrt()
            hit = (inside > 0) & (distance < nearest)
            nearest = torch.where(hit, distance, nearest)
            shade = inside.clamp(min=0).sqrt() / radius
            image = torch.where(hit[..., None], torch.tensor(colour) * shade[..., None], image)
        alpha = nearest.isfinite().float()
        z = (rays.directions * cameras.forward[..., None, None, :]).sum(-1)
        depth = torch.where(nearest.isfinite(), nearest * z, torch.zeros_like(z))
        return Render(image.movedim(-1, -3), alpha.unsqueeze(-3), depth.unsqueeze(-3))


def ring(count: int, size: int = 32, *, elevation: float = 0.35) -> Cameras:
    """Cameras 6 away from the origin, all around it, z up."""
    turn = torch.arange(count) * (2 * math.pi / count)
    centers = 6 * torch.stack([turn.cos(), turn.sin(), torch.full_like(turn, elevation)], dim=-1)
    return Cameras.look_at(
        centers, torch.zeros(3), torch.tensor([0.0, 0, 1]), focal=1.4 * size, height=size, width=size
    )


def photograph(cameras: Cameras) -> Views:
    render = Balls().render(cameras)
    return Views(render.image, cameras, render.alpha)


def save_image(path: Path, image: torch.Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (image.movedim(0, -1) * 255).round().to(torch.uint8).numpy()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path)


def write_transforms(folder: Path, views: Views) -> Path:
    """A nerfstudio folder: transforms.json, images/, masks/."""
    frames = []
    for i in range(len(views)):
        save_image(folder / "images" / f"{i:03d}.png", views.images[i])
        assert views.masks is not None
        save_image(folder / "masks" / f"{i:03d}.png", views.masks[i])
        pose = views.cameras.world_from_cam[i] * torch.tensor([1.0, -1.0, -1.0, 1.0])  # OpenGL: y up, z backward
        k = views.cameras.intrinsics[i]
        frames.append(
            {
                "file_path": f"images/{i:03d}.png",
                "mask_path": f"masks/{i:03d}.png",
                "transform_matrix": pose.tolist(),
                **dict(zip(("fl_x", "fl_y", "cx", "cy"), (float(v) for v in (k[0, 0], k[1, 1], k[0, 2], k[1, 2])))),
                "w": views.cameras.width,
                "h": views.cameras.height,
            }
        )
    (folder / "transforms.json").write_text(json.dumps({"camera_model": "PINHOLE", "frames": frames}))
    return folder


def write_co3d(root: Path, sequences: int = 4, frames: int = 12, size: int = 32, category: str = "ball") -> Path:
    """A CO3Dv2 category whose sequences look at the balls from other heights; the last is held out."""
    annotations, train, test = [], [], []
    for s in range(sequences):
        views = photograph(ring(frames, size, elevation=0.1 + 0.1 * s))
        for i in range(frames):
            name = f"{category}/{s}/images/frame{i:06d}.png"
            mask = name.replace("images", "masks")
            save_image(root / name, views.images[i])
            assert views.masks is not None
            save_image(root / mask, views.masks[i])
            entry = {
                "sequence_name": str(s),
                "frame_number": i,
                "image": {"path": name, "size": [size, size]},
                "mask": {"path": mask, "mass": float(views.masks[i].sum())},
                "viewpoint": _viewpoint(views.cameras[i]),
            }
            annotations.append(entry)
            (train if s < sequences - 1 else test).append([str(s), i, name])
    (root / category / "set_lists").mkdir()
    (root / category / "frame_annotations.jgz").write_bytes(gzip.compress(json.dumps(annotations).encode()))
    for subset, lists in (("fewview_train", (train, [])), ("fewview_dev", (train, test))):
        path = root / category / "set_lists" / f"set_lists_{subset}.json"
        path.write_text(json.dumps({"train": lists[0], "val": [], "test": lists[1]}))
    return root


def _viewpoint(camera: Cameras) -> dict:
    """PyTorch3D's convention: row vectors, x left, y up, NDC in halves of the side."""
    flip = np.array([-1.0, -1.0, 1.0])
    cam_from_world = camera.cam_from_world.double().numpy()
    half = camera.width / 2
    k = camera.intrinsics.double().numpy()
    return {
        "R": (cam_from_world[:3, :3].T * flip).tolist(),
        "T": (cam_from_world[:3, 3] * flip).tolist(),
        "focal_length": [k[0, 0] / half, k[1, 1] / half],
        "principal_point": [(half - k[0, 2]) / half, (half - k[1, 2]) / half],
        "intrinsics_format": "ndc_isotropic",
    }


def smallest() -> VLDMConfig:
    """The recipe `tiny`, made smaller still: 32 pixels, 8x8 latents, seconds to run with random weights."""
    config = tiny()
    eft = replace(config.eft, dim=16, layers=(1, 1, 1), hidden=16, octaves=2, depth_samples=4)
    unet = UNetConfig(
        4,
        16,
        (1, 2),
        (1, 1),
        (False, False),
        cond_images_channels=20,
        kernels=(3, 3, 3),
        heads=1,
        head_dim=8,
        time_tokens=0,
    )
    return replace(config, size=32, eft=eft, unet=unet, autoencoder=AutoencoderConfig((8, 8, 8), blocks=1, groups=4))


def smallest_model() -> VLDM:
    torch.manual_seed(0)
    return VLDM(smallest()).eval()


def quick() -> SparseFusionConfig:
    """A reconstruction in a second: few steps, few pseudo views, a small field."""
    grid = HashGridConfig(levels=4, finest=32, log2_table=10)
    asset = FieldAssetConfig(FieldConfig(grid, hidden=16), VolumeConfig(steps=32), OccupancyConfig(resolution=16))
    config = SparseFusionConfig.preset("fast")
    small = replace(config.distill, steps=8, bootstrap_steps=4, pseudo_views=2, render_size=16, asset=asset)
    return replace(config, distill=replace(small, max_evaluations=2, input_rays=64), photo_size=32)


def quick_exports(patch: pytest.MonkeyPatch) -> None:
    """Splats, meshes, textures and films of toy size."""
    patch.setattr(products, "SPLATS", replace(products.SPLATS, count=100, steps=2))
    patch.setattr(reconstruction, "DETAIL", replace(reconstruction.DETAIL, steps=2))
    patch.setattr(stage, "STEPS", dict.fromkeys(stage.STEPS, 2))
    patch.setattr(products, "MESH", replace(products.MESH, resolution=12))
    patch.setattr(formats, "FRAMES", 3)
    small = {
        "FILM_SIZE": 16,
        "WALK_SIZE": 16,
        "FILM_FRAMES": 4,
        "AROUND": 6,
        "FIT_SIZE": 16,
        "FIELD_SIZE": 16,
        "SPLAT_SIZE": 32,
    }
    for name, value in {**small, "TEXTURE": 32}.items():
        patch.setattr(reconstruction, name, value)
