"""transforms.json: poses of pictures as nerfstudio and instant-ngp read them (axes x right, y up, z backward)."""

from collections.abc import Sequence
from pathlib import Path

import torch

from fewview.cameras import Cameras
from fewview.checkpoint import write_json
from fewview.geometry.origin import NO_ORIGIN, Origin, poses_in_input


def write_transforms(
    path: Path,
    cameras: Cameras,
    files: Sequence[str],
    *,
    depths: Sequence[str] | None = None,
    origin: Origin = NO_ORIGIN,
    **more: object,
) -> None:
    """Poses and intrinsics of pictures; `files` and `depths` are relative to the folder of `path`, one each a camera.

    Poses are in the world that `origin` leads to, and the file states an origin that is not zero, for what lies beside
    it may count from there. `more` stands at the top of the file.
    """
    if len(files) != len(cameras):
        raise ValueError(f"{len(files)} files for {len(cameras)} cameras")
    opengl = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64))
    poses = (poses_in_input(cameras.world_from_cam, origin) @ opengl).tolist()
    more = {"origin": list(origin), **more} if any(origin) else more
    frames = []
    for name, pose, k in zip(files, poses, cameras.intrinsics.tolist()):
        lens = {"fl_x": k[0][0], "fl_y": k[1][1], "cx": k[0][2], "cy": k[1][2], "w": cameras.width, "h": cameras.height}
        frames.append({"file_path": name, "transform_matrix": pose, **lens})
    for frame, name in zip(frames, depths or ()):
        frame["depth_file_path"] = name
    write_json(path, {"camera_model": "PINHOLE", **more, "frames": frames})
