"""Write the CO3Dv2 layout (facebookresearch/co3d, data_types.py), so that one reader serves real captures and ours."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fewview.cameras import Cameras
from fewview.checkpoint import atomic_folder, atomic_path, read_json, write_json

JPEG_QUALITY = 95


def viewpoint(camera: Cameras) -> dict[str, Any]:
    """CO3D's camera of ours: PyTorch3D axes (x left, y up), row vectors, NDC units of half the shorter side."""
    cam_from_world = camera.cam_from_world.double().numpy()
    flip = np.array([-1.0, -1.0, 1.0])
    half = min(camera.height, camera.width) / 2
    k = camera.intrinsics.double().numpy()
    centre = np.array([camera.width / 2, camera.height / 2])
    return {
        "R": (cam_from_world[:3, :3].T * flip).tolist(),
        "T": (cam_from_world[:3, 3] * flip).tolist(),
        "focal_length": [k[0, 0] / half, k[1, 1] / half],
        "principal_point": ((centre - k[:2, 2]) / half).tolist(),
        "intrinsics_format": "ndc_isotropic",
    }


def write_sequence(
    root: Path,
    name: tuple[str, str],
    frames: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    *,
    cameras: Cameras,
    cloud: tuple[np.ndarray, np.ndarray],
) -> None:
    """One sequence (category, name): colour (h w 3), mask (h w) in [0, 1] and z-depth (h w) of each frame.

    `cloud` holds surface points (n 3) and their sRGB in [0, 1] (n 3). The folder appears when it is complete; its frame
    annotations lie in annotations.json, for `write_annotations`.
    """
    category, sequence = name
    with atomic_folder(root / category / sequence) as folder:
        for part in ("images", "masks", "depths", "depth_masks"):
            (folder / part).mkdir()
        entries = []
        for i, (colour, mask, depth) in enumerate(frames):
            stem, base = f"frame{i + 1:06d}", f"{category}/{sequence}"
            Image.fromarray(_bytes(colour)).save(folder / "images" / f"{stem}.jpg", quality=JPEG_QUALITY, subsampling=0)
            Image.fromarray(_bytes(mask)).save(folder / "masks" / f"{stem}.png")
            half = depth.astype(np.float16).view(np.uint16)
            Image.fromarray(half).save(folder / "depths" / f"{stem}.jpg.geometric.png")
            Image.fromarray(depth > 0).save(folder / "depth_masks" / f"{stem}.png")
            entries.append({
                "sequence_name": sequence,
                "frame_number": i,
                "frame_timestamp": i / 30,
                "image": {"path": f"{base}/images/{stem}.jpg", "size": list(mask.shape)},
                "depth": {
                    "path": f"{base}/depths/{stem}.jpg.geometric.png",
                    "scale_adjustment": 1.0,
                    "mask_path": f"{base}/depth_masks/{stem}.png",
                },
                "mask": {"path": f"{base}/masks/{stem}.png", "mass": float(mask.sum())},
                "viewpoint": viewpoint(cameras[i]),
                "meta": {"frame_type": "", "frame_splits": [], "eval_batch_maps": []},
            })  # fmt: skip
        _write_cloud(folder / "pointcloud.ply", cloud)
        write_json(folder / "annotations.json", entries)


def write_annotations(root: Path, category: str, split: dict[str, str]) -> None:
    """frame_annotations.jgz, sequence_annotations.jgz and the fewview set lists of a category.

    `split` maps each sequence to "train" or "test". As in CO3D, fewview_train's "test" repeats its "train" (co3d#49).
    """
    names = sorted(split)
    frames = [frame for name in names for frame in read_json(root / category / name / "annotations.json")]
    sequences = [
        {
            "sequence_name": name,
            "category": category,
            "video": None,
            "point_cloud": {"path": f"{category}/{name}/pointcloud.ply", "quality_score": 1.0, "n_points": 2000},
            "viewpoint_quality_score": 1.0,
        }
        for name in names
    ]
    _write_jgz(root / category / "frame_annotations.jgz", frames)
    _write_jgz(root / category / "sequence_annotations.jgz", sequences)
    rows: dict[str, list] = {"train": [], "test": []}
    for frame in frames:
        name = frame["sequence_name"]
        rows[split[name]].append([name, frame["frame_number"], frame["image"]["path"]])
    lists = root / category / "set_lists"
    write_json(lists / "set_lists_fewview_train.json", {"train": rows["train"], "val": [], "test": rows["train"]})
    write_json(lists / "set_lists_fewview_dev.json", {"train": [], "val": [], "test": rows["test"]})


def _bytes(values: np.ndarray) -> np.ndarray:
    return (values.clip(0, 1) * 255).round().astype(np.uint8)


def _write_jgz(path: Path, data: Any) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(json.dumps(data).encode(), mtime=0))


def _write_cloud(path: Path, cloud: tuple[np.ndarray, np.ndarray]) -> None:
    points, colours = cloud
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\n"
    header += "".join(f"property float {axis}\n" for axis in "xyz")
    header += "".join(f"property uchar {name}\n" for name in ("red", "green", "blue")) + "end_header\n"
    rows = np.empty(len(points), dtype=[("xyz", "<f4", 3), ("rgb", "u1", 3)])
    rows["xyz"], rows["rgb"] = points, _bytes(colours)
    path.write_bytes(header.encode() + rows.tobytes())
