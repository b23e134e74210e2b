"""transforms.json: poses of pictures as nerfstudio and instant-ngp read them (axes x right, y up, z backward)."""

from collections.abc import Sequence
from pathlib import Path

import torch

from fewview.cameras import Cameras
from fewview.checkpoint import write_json


def write_transforms(path: Path, cameras: Cameras, files: Sequence[str]) -> None:
    """Poses and intrinsics of pictures; `files` are relative to the folder of `path`, one for each camera."""
    if len(files) != len(cameras):
        raise ValueError(f"{len(files)} files for {len(cameras)} cameras")
    opengl = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0])).to(cameras.world_from_cam)
    poses = (cameras.world_from_cam @ opengl).tolist()
    frames = []
    for name, pose, k in zip(files, poses, cameras.intrinsics.tolist()):
        lens = {"fl_x": k[0][0], "fl_y": k[1][1], "cx": k[0][2], "cy": k[1][2], "w": cameras.width, "h": cameras.height}
        frames.append({"file_path": name, "transform_matrix": pose, **lens})
    write_json(path, {"camera_model": "PINHOLE", "frames": frames})
