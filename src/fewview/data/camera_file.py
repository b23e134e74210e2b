"""The cameras of a transforms.json alone, such as a path to film along; its pictures need not exist."""

from pathlib import Path

import numpy as np

from fewview.cameras import Cameras
from fewview.checkpoint import read_json
from fewview.data.fields import array, field
from fewview.data.images import MAX_PIXELS
from fewview.data.photos import pinhole, rigid
from fewview.errors import InputError


def read_cameras(path: Path) -> Cameras:
    """Cameras of a transforms.json, whose images need not exist; all get the size of the first."""
    data = read_json(path)
    cameras = []
    for i, frame in enumerate(field(data, "frames", list, where=str(path))):
        where = f"{path}: frame {i}"
        entry = {**data, **frame} if isinstance(frame, dict) else frame
        fx, cx, cy, w, h = (field(entry, key, float, where=where) for key in ("fl_x", "cx", "cy", "w", "h"))
        fy = field(entry, "fl_y", float, where=where) if "fl_y" in entry else fx
        if min(fx, fy) <= 0 or min(w, h) < 1 or w * h > MAX_PIXELS:
            raise InputError(f"{where}: focal lengths and size must be positive, and at most {MAX_PIXELS} pixels.")
        pose = rigid(array(entry, "transform_matrix", (4, 4), where=where), where=f"{where}: 'transform_matrix'")
        opencv = pose * np.array([1.0, -1.0, -1.0, 1.0])  # from OpenGL's axes: y up, z backward
        size = int(h), int(w)
        cameras.append(pinhole(opencv, np.array([fx, fy]), np.array([cx, cy]), size, where=where))
    if not cameras:
        raise InputError(f"{path} has no frames; list at least one camera.")
    return Cameras.stack([camera.resized(cameras[0].height, cameras[0].width) for camera in cameras])
