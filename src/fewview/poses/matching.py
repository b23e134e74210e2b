"""Verified matches of photos in every pair, whichever matcher found them; kept in COLMAP's database."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from fewview.data.unposed import UnposedPhotos
from fewview.poses.working import Progress, Working, load_pycolmap, write_working

Matcher = Literal["sift", "learned"]


@dataclass(frozen=True, eq=False)
class Matches:
    """Verified matches of photos at working size. Keypoints are (x, y) in working pixels.

    `pairs` maps (i, j), i < j, to rows of keypoint numbers (of i, of j). Photos of one `group` share their lens.
    """

    sizes: list[tuple[int, int]]  # (height, width) at working size
    keypoints: list[Float[np.ndarray, "_ 2"]]
    pairs: dict[tuple[int, int], Int[np.ndarray, "_ 2"]]
    groups: list[int]
    focal: list[float | None]  # by EXIF, in working pixels

    def counts(self) -> Int[np.ndarray, "n n"]:
        """Number of matches of each pair."""
        table = np.zeros((len(self.sizes),) * 2, dtype=np.int64)
        for (i, j), rows in self.pairs.items():
            table[i, j] = table[j, i] = len(rows)
        return table


def match_photos(
    photos: UnposedPhotos,
    folder: Path,
    *,
    matcher: Matcher = "sift",
    use_masks: bool = False,
    threads: int = -1,
    progress: Progress | None = None,
) -> Matches:
    """Features and exhaustive matches of all photos; `folder` receives the working images and `matches.db`.

    With `use_masks`, features outside of the masks are ignored, as a turntable's still background asks for.
    """
    from fewview.poses import learned, sift

    load_pycolmap()
    report = progress or (lambda stage, fraction: None)
    network = learned.load_network() if matcher == "learned" else None
    work = write_working(photos, folder, use_masks, report=report)
    if network is None:
        sift.fill(work, threads, report)
    else:
        learned.fill(work, network, threads, report=report)
    return _read(work)


def _read(work: Working) -> Matches:
    file = load_pycolmap().Database.open(work.database)
    ids = {image.name: image.image_id for image in file.read_all_images()}
    points = []
    for name in work.names:
        known = name in ids and file.exists_keypoints(ids[name])
        points.append(np.asarray(file.read_keypoints(ids[name])[:, :2], np.float64) if known else np.zeros((0, 2)))
    pairs: dict[tuple[int, int], np.ndarray] = {}
    for i in range(len(work.names)):
        for j in range(i + 1, len(work.names)):
            first, second = ids.get(work.names[i]), ids.get(work.names[j])
            if first is None or second is None or not file.exists_two_view_geometry(first, second):
                continue
            rows = np.asarray(file.read_two_view_geometry(first, second).inlier_matches, np.int64).reshape(-1, 2)
            if len(rows):
                pairs[i, j] = rows
    file.close()
    return Matches(work.sizes, points, pairs, work.groups, work.focal)
