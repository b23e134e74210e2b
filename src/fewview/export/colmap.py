"""Cameras and points as a COLMAP sparse model, binary or text (colmap.github.io/format.html).

World to camera, OpenCV axes, quaternions (w, x, y, z): all as here, in float64. Points have no tracks, for nothing was
matched.
"""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from fewview.cameras import Cameras
from fewview.checkpoint import atomic_path
from fewview.export.ply import arrays
from fewview.geometry.origin import NO_ORIGIN, Origin, points_in_input, poses_in_input
from fewview.geometry.quaternions import quaternions_of, rotations
from fewview.render.gaussians import Gaussians

PINHOLE = 1  # model id; parameters fx, fy, cx, cy
SOLID = 0.5  # opacity of splats that are written as points


def write_sparse(
    folder: Path,
    cameras: Cameras,
    files: Sequence[str],
    *,
    points: Gaussians | None = None,
    text: bool = False,
    origin: Origin = NO_ORIGIN,
) -> None:
    """cameras, images and points3D; `files` are names below the folder of images, one for each camera.

    Views with the same lens share a camera. Of `points` (RGB) those are written that are more opaque than not. Poses
    and points are in the world that `origin` leads to.
    """
    if len(files) != len(cameras):
        raise ValueError(f"{len(files)} files for {len(cameras)} cameras")
    k = cameras.intrinsics.double().cpu().numpy()
    lenses, lens = np.unique(k[:, [0, 1, 0, 1], [0, 1, 2, 2]], axis=0, return_inverse=True)
    rows = _poses(cameras, origin)
    images = list(zip(rows, (lens.reshape(-1) + 1).tolist(), files))
    solid = [] if points is None else _points(points, origin)
    size = (cameras.width, cameras.height)
    build, suffix = (_text, ".txt") if text else (_binary, ".bin")
    contents = build(size, lenses.tolist(), images, solid)
    for name, content in zip(("cameras", "images", "points3D"), contents):
        with atomic_path(folder / f"{name}{suffix}") as temporary:
            temporary.write_bytes(content)


def _poses(cameras: Cameras, origin: Origin) -> list[list[float]]:
    """Quaternion and translation of each; the latter goes with the quaternion that is written, to the last digit."""
    poses = poses_in_input(cameras.world_from_cam, origin)
    quaternions = quaternions_of(poses[:, :3, :3].mT)
    moves = -(rotations(quaternions) @ poses[:, :3, 3:])[..., 0]
    return torch.cat([quaternions, moves], dim=-1).tolist()


def _points(gaussians: Gaussians, origin: Origin) -> list[tuple[list[float], list[int]]]:
    means, _, _, opacities, features = arrays(gaussians)
    kept = opacities > SOLID
    colours = np.round(features[kept].clip(0, 1) * 255).astype(int)
    places = points_in_input(torch.from_numpy(means[kept]), origin)
    return list(zip(places.tolist(), colours.tolist()))


def _binary(size: tuple[int, int], lenses: list, images: list, points: list) -> tuple[bytes, bytes, bytes]:
    cameras = [struct.pack("<IiQQ4d", i, PINHOLE, *size, *lens) for i, lens in enumerate(lenses, 1)]
    views = [
        struct.pack("<I7dI", i, *pose, camera) + name.encode() + b"\0" + struct.pack("<Q", 0)
        for i, (pose, camera, name) in enumerate(images, 1)
    ]
    solid = [struct.pack("<Q3d3BdQ", i, *mean, *colour, 0.0, 0) for i, (mean, colour) in enumerate(points, 1)]
    one, two, three = (struct.pack("<Q", len(rows)) + b"".join(rows) for rows in (cameras, views, solid))
    return one, two, three


def _text(size: tuple[int, int], lenses: list, images: list, points: list) -> tuple[bytes, bytes, bytes]:
    cameras = [_line(i, "PINHOLE", *size, *lens) for i, lens in enumerate(lenses, 1)]
    views = [_line(i, *pose, camera, name) + "\n" for i, (pose, camera, name) in enumerate(images, 1)]
    solid = [_line(i, *mean, *colour, 0) for i, (mean, colour) in enumerate(points, 1)]
    one, two, three = ("".join(rows).encode() for rows in (cameras, views, solid))
    return one, two, three


def _line(*words: object) -> str:
    return " ".join(str(word) for word in words) + "\n"
