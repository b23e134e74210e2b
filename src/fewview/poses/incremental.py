"""COLMAP's incremental mapping of matched photos, by pycolmap."""

from pathlib import Path
from typing import Any

import numpy as np

from fewview.poses.matching import Matches
from fewview.poses.resection import Model, score
from fewview.poses.working import load_pycolmap, quiet

LENS_PHOTOS = 10  # fewer cannot tell lens distortion from shape
MOST_RADIAL = 0.5  # |k1|: more is not a lens but a wrong model


def map_photos(matches: Matches, folder: Path, *, threads: int = -1) -> Model | None:
    """The largest model of the photos that `match_photos` left in `folder`; None where there is no pair to begin with.

    Where the usual demands leave photos out, a second attempt asks for less.
    """
    models = []
    for lenient in (False, True):
        models += _attempt(matches, folder, lenient=lenient, threads=threads)
        best = max(models, key=lambda model: model.worth, default=None)
        if best is not None and len(best.cam_from_world) == len(matches.sizes):
            break
    return max(models, key=lambda model: model.worth, default=None)


def _attempt(matches: Matches, folder: Path, *, lenient: bool, threads: int) -> list[Model]:
    pycolmap = load_pycolmap()
    options = pycolmap.IncrementalPipelineOptions(
        num_threads=threads, min_model_size=2, random_seed=0, extract_colors=False
    )
    options.ba_refine_extra_params = options.mapper.abs_pose_refine_extra_params = len(matches.sizes) >= LENS_PHOTOS
    if lenient:
        options.mapper.init_min_num_inliers = 30
        options.mapper.init_min_tri_angle = 6
        options.mapper.abs_pose_min_num_inliers = 15
    target = folder / ("lenient" if lenient else "usual")
    target.mkdir()
    with quiet(folder / "log.txt"):
        found = pycolmap.incremental_mapping(folder / "matches.db", folder / "images", target, options)
    models = [_model(rec) for rec in found.values()]
    return [model for model in models if model is not None and len(model.cam_from_world) > 1]


def _model(rec: Any) -> Model | None:
    """As our own; None where a lens came out that is none."""
    poses, focal, radial, numbers = {}, {}, {}, {}
    for key, image in rec.images.items():
        if not image.has_pose:
            continue
        i = numbers[key] = int(Path(image.name).stem)
        poses[i] = np.asarray(image.cam_from_world().matrix())
        focal[i], _, _, radial[i] = (float(v) for v in rec.cameras[image.camera_id].params)
    points = list(rec.points3D.values())
    if not points or any(abs(k) > MOST_RADIAL for k in radial.values()):
        return None
    tracks = [np.array(sorted({numbers[e.image_id] for e in point.track.elements})) for point in points]
    places = np.array([point.xyz for point in points])
    errors = np.array([point.error for point in points])
    worth = score(np.repeat(errors, [len(track) for track in tracks]))
    return Model(poses, focal, radial, places, tracks, float(np.median(errors)), worth)
