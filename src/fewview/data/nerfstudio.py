"""transforms.json, as Nerfstudio, instant-ngp and NeRF's Blender scenes have it (docs.nerf.studio, "Data conventions").

`transform_matrix` is world_from_cam with OpenGL axes: x right, y up, z backward. Intrinsics stand at the top or in each
frame, in pixels, or as the field of view `camera_angle_x` (radians). Lens coefficients are OpenCV's.
"""

import math
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from fewview.cameras import Cameras
from fewview.checkpoint import write_json
from fewview.data.fields import array, field, read_json, shown
from fewview.data.images import image_size, is_file, path_inside
from fewview.data.lens import Lens
from fewview.data.photos import IMAGE_SUFFIXES, Photo, PhotoScene, find_mask, pinhole, rigid
from fewview.errors import InputError

PERSPECTIVE = ("PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV", "perspective")
FISHEYE = ("OPENCV_FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "fisheye")
RADIAL, TANGENTIAL = ("k1", "k2", "k3", "k4", "k5", "k6"), ("p1", "p2")
OPENGL_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


def open_transforms(path: Path) -> PhotoScene:
    """The photos of a transforms.json, or of the folder that holds one, in the file's order."""
    file = path / "transforms.json" if path.is_dir() else path
    data = read_json(file)
    frames = field(data, "frames", list, where=str(file))
    if not frames:
        raise InputError(f"{file} has no frames; list at least one image.")
    photos = []
    for i, frame in enumerate(frames):
        where = f"{file}: frame {i}"
        if not isinstance(frame, dict):
            raise InputError(f"{where} must be an object with file_path and transform_matrix.")
        photos.append(_photo(file.parent, {**data, **frame}, where))
    return PhotoScene(file.resolve().parent.name, tuple(photos), kind=file.name)


def write_transforms(path: Path, cameras: Sequence[Cameras], files: Sequence[str], masks: Sequence[str] = ()) -> None:
    """A transforms.json for cameras of batch shape () and image files named relative to its folder."""
    frames = []
    for i, (camera, name) in enumerate(zip(cameras, files, strict=True)):
        k = camera.intrinsics.double()
        frame = {
            "file_path": name,
            "fl_x": float(k[0, 0]),
            "fl_y": float(k[1, 1]),
            "cx": float(k[0, 2]),
            "cy": float(k[1, 2]),
            "w": camera.width,
            "h": camera.height,
            "transform_matrix": (camera.world_from_cam.double().numpy() @ OPENGL_FLIP).tolist(),
        }
        frames.append(frame | ({"mask_path": masks[i]} if masks else {}))
    write_json(path, {"camera_model": "PINHOLE", "frames": frames})


def _photo(root: Path, data: dict[str, Any], where: str) -> Photo:
    name = _with_suffix(root, field(data, "file_path", str, where=where))
    image = path_inside(root, name, where=where)
    if data.get("mask_path") is not None:
        mask = path_inside(root, field(data, "mask_path", str, where=where), where=where)
    else:
        mask = find_mask(root, name)
    height, width = _size(data, image, where)
    focal, centre = _intrinsics(data, height, width, where)
    lens = _lens(data, focal, centre, where)
    shape = (3, 4) if len(field(data, "transform_matrix", list, where=where)) == 3 else (4, 4)
    pose = rigid(array(data, "transform_matrix", shape, where=where), where=f"{where}: 'transform_matrix'")
    camera = pinhole(pose @ OPENGL_FLIP, focal, centre, (height, width), where=where)
    return Photo(camera if lens is None else lens.pinhole(camera, where=where), image, mask, lens=lens)


def _with_suffix(root: Path, name: str) -> str:
    """Blender's exports leave the suffix out."""
    if PurePosixPath(name).suffix in IMAGE_SUFFIXES:
        return name
    return next((name + suffix for suffix in IMAGE_SUFFIXES if is_file(root / (name + suffix))), name)


def _lens(data: dict[str, Any], focal: np.ndarray, centre: np.ndarray, where: str) -> Lens | None:
    """The lens of a frame, None for a pinhole."""
    model = data.get("camera_model", "PINHOLE")
    fisheye = model in FISHEYE or ("is_fisheye" in data and field(data, "is_fisheye", bool, where=where))
    if not fisheye and model not in PERSPECTIVE:
        raise InputError(f"{where}: 'camera_model' is {shown(model)}; undistort the images to a pinhole camera first.")
    known = 4 if fisheye else 6 if model == "FULL_OPENCV" else 3
    number = {k: field(data, k, float, where=where) if k in data else 0.0 for k in RADIAL + TANGENTIAL}
    for key in RADIAL[known:] + (TANGENTIAL if fisheye else ()):
        if number[key] != 0:
            raise InputError(f"{where} has the lens coefficient {key}, unknown to {model}; undistort the images first.")
    radial = tuple(number[key] for key in RADIAL[:known])
    (fx, fy), (cx, cy) = focal.tolist(), centre.tolist()
    lens = Lens((fx, fy), (cx, cy), radial, (number["p1"], number["p2"]), fisheye)
    return None if lens.straight else lens


def _size(data: dict[str, Any], image: Path, where: str) -> tuple[int, int]:
    """(height, width) that the intrinsics are for: the file's words, or those of the image where it is silent."""
    if "w" not in data or "h" not in data:
        return image_size(image)
    height, width = (field(data, key, float, where=where) for key in ("h", "w"))
    stored = image_size(image)
    if (height, width) not in (stored, stored[::-1]):
        raise InputError(
            f"{where} says {width:g} x {height:g} pixels, but {image} is {stored[1]} x {stored[0]}; "
            "scale the image or the intrinsics."
        )
    return int(height), int(width)


def _intrinsics(data: dict[str, Any], height: int, width: int, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Focal lengths and principal point (x, y; pixels)."""
    number = lambda key, default: field(data, key, float, where=where) if key in data else default
    angle_x, angle_y = number("camera_angle_x", None), number("camera_angle_y", None)
    focal_x = number("fl_x", angle_x and width / 2 / math.tan(angle_x / 2))
    focal_y = number("fl_y", angle_y and height / 2 / math.tan(angle_y / 2) if "fl_x" not in data else None)
    if focal_x is None:
        raise InputError(f"{where} has neither 'fl_x' nor 'camera_angle_x'; add the focal length in pixels.")
    focal = np.array([focal_x, focal_x if focal_y is None else focal_y])
    if not (focal > 0).all() or (angle_x is not None and not 0 < angle_x < math.pi):
        raise InputError(f"{where} has a focal length of {focal[0]:g} x {focal[1]:g} pixels; it must be positive.")
    return focal, np.array([number("cx", width / 2), number("cy", height / 2)])
