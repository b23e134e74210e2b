"""Cameras of a few photos, where incremental mapping gives up: two views, then one photo after another, then all.

Without EXIF the focal length is a guess; several are tried, and the one whose bundle explains most matches counts.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from fewview.poses.bundle import EXIF_SPREAD, FOCAL_SPREAD, Bundle, Sightings, adjust, errors, in_camera
from fewview.poses.matching import Matches
from fewview.poses.working import load_pycolmap

GUESSES = (0.8, 1.2, 1.8, 2.8)  # focal lengths in longer sides: phones' wide and main lenses, then longer ones
FEWEST_PAIR, FEWEST_SEEN = 15, 10  # matches that begin a model; points by which a photo is placed
SEEDS = 2  # first pairs that are tried
MOST_POINTS = 500  # that are adjusted while the model grows; those seen most often
WIDEST_ERROR = 3.0  # px
LEAST_ANGLE = 1.5  # degrees between the rays to a point (COLMAP's filter_min_tri_angle)


@dataclass(frozen=True, eq=False)
class Model:
    """Placed photos (by number) with focal lengths in working pixels and radial distortion k1, and points."""

    cam_from_world: dict[int, Float[np.ndarray, "3 4"]]
    focal: dict[int, float]
    radial: dict[int, float]
    points: Float[np.ndarray, "m 3"]
    tracks: list[Int[np.ndarray, " _"]]  # numbers of the photos that see each point
    error: float  # px: median of the reprojection errors
    score: float  # sightings, each counting the less the larger its error: see `score`

    @property
    def worth(self) -> tuple[int, float]:
        """More photos count first, then more and better sightings."""
        return len(self.cam_from_world), self.score


def place(matches: Matches) -> Model | None:
    """The best model over first guesses of the focal length and first pairs; None where no pair makes one."""
    tracks = Tracks.of(matches)
    known = any(f is not None for f in matches.focal)
    models = [_grown(matches, tracks, guess) for guess in (GUESSES[1:2] if known else GUESSES)]
    found = [model for model in models if model is not None]
    return max(found, key=lambda model: model.worth, default=None)


@dataclass(frozen=True, eq=False)
class Tracks:
    """Sightings of points that matches connect; none has two places in one photo."""

    seen: Sightings
    count: int

    @staticmethod
    def of(matches: Matches) -> "Tracks":
        """Connected components of the matches; those that meet a photo twice are dropped."""
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        nodes, places, photo = _places(matches)
        links = [np.stack([nodes[i][rows[:, 0]], nodes[j][rows[:, 1]]]) for (i, j), rows in matches.pairs.items()]
        joined = np.concatenate(links, 1) if links else np.zeros((2, 0), np.int64)
        graph = coo_matrix((np.ones(joined.shape[1]), tuple(joined)), shape=(len(photo),) * 2)
        count, label = connected_components(graph, directed=False)
        size = np.bincount(label, minlength=count)
        pairs = np.unique(np.stack([label, photo], 1), axis=0)
        clean = np.bincount(pairs[:, 0], minlength=count) == size
        kept = (clean & (size > 1))[label]
        _, numbers = np.unique(label[kept], return_inverse=True)
        middles = np.array([[w / 2, h / 2] for h, w in matches.sizes])
        seen = Sightings(photo[kept], numbers, (places - middles[photo])[kept])
        return Tracks(seen, int(numbers.max(initial=-1)) + 1)


def _places(matches: Matches) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Keypoints at one place (of several orientations) as one node: its number by keypoint; places; photos."""
    nodes, places, photo, total = [], [], [], 0
    for i, keypoints in enumerate(matches.keypoints):
        where, index = np.unique(keypoints.round(1).reshape(-1, 2), axis=0, return_inverse=True)
        nodes.append(index.reshape(-1) + total)
        places.append(where)
        photo.append(np.full(len(where), i))
        total += len(where)
    return nodes, np.concatenate(places), np.concatenate(photo)


def _grown(matches: Matches, tracks: Tracks, guess: float) -> Model | None:
    """The best model from some first pairs with one guess of the focal length (in longer sides)."""
    longest = [max(size) for size in matches.sizes]
    lens = np.array(matches.groups)
    focal, spread = np.ones(lens.max() + 1), np.full(lens.max() + 1, FOCAL_SPREAD)
    for i, group in enumerate(lens):
        exif = matches.focal[i]
        focal[group] = guess * longest[i] if exif is None else exif
        spread[group] = FOCAL_SPREAD if exif is None else EXIF_SPREAD
    models = []
    for pair in _first_pairs(matches, np.log(focal), lens):
        model = _Growing(matches, tracks, np.log(focal), spread, lens).run(*pair)
        if model is not None:
            models.append(model)
            if len(model.cam_from_world) == len(lens):
                break
    return max(models, key=lambda model: model.worth, default=None)


def _first_pairs(matches: Matches, log_focal: np.ndarray, lens: np.ndarray) -> list[tuple[int, int, Any]]:
    """Pairs with many matches and a wide angle between their rays, best first, with their relative pose."""
    pycolmap = load_pycolmap()
    found = []
    options = pycolmap.TwoViewGeometryOptions(compute_relative_pose=True)
    options.ransac.random_seed = 0
    options.ransac.max_error = WIDEST_ERROR
    for (i, j), rows in matches.pairs.items():
        if len(rows) < FEWEST_PAIR:
            continue
        cameras = [_camera(pycolmap, matches, k, focal=float(np.exp(log_focal[lens[k]]))) for k in (i, j)]
        geometry = pycolmap.estimate_calibrated_two_view_geometry(
            cameras[0], matches.keypoints[i], cameras[1], matches.keypoints[j], rows.astype(np.uint32), options
        )
        inliers = len(geometry.inlier_matches)
        if inliers < FEWEST_PAIR or geometry.cam2_from_cam1 is None:
            continue
        worth = inliers * min(np.degrees(geometry.tri_angle), 15.0)
        found.append((worth, i, j, np.asarray(geometry.cam2_from_cam1.matrix())))
    found.sort(key=lambda entry: -entry[0])
    return [entry[1:] for entry in found[:SEEDS]]


def _camera(pycolmap: Any, matches: Matches, i: int, *, focal: float) -> Any:
    height, width = matches.sizes[i]
    return pycolmap.Camera(model="SIMPLE_PINHOLE", width=width, height=height, params=[focal, width / 2, height / 2])


class _Growing:
    """One model while photos are added to it."""

    def __init__(self, matches: Matches, tracks: Tracks, log_focal: np.ndarray, spread: np.ndarray, lens: np.ndarray):
        n = len(lens)
        still, nowhere = np.repeat(np.eye(3)[None], n, 0), np.zeros((tracks.count, 3))
        self.bundle = Bundle(still, np.zeros((n, 3)), nowhere, log_focal, lens)
        self.matches, self.seen, self.spread = matches, tracks.seen, spread
        self.placed = np.zeros(n, bool)
        self.solid = np.zeros(tracks.count, bool)  # points that are triangulated
        self.good = np.zeros(len(tracks.seen), bool)  # sightings that agree with them

    def run(self, i: int, j: int, second_from_first: Float[np.ndarray, "3 4"]) -> Model | None:
        """From a pair to all photos that can be placed."""
        self._put(i, np.eye(3, 4))
        self._put(j, second_from_first)
        self._refine()
        if self.solid.sum() < FEWEST_PAIR:
            return None
        refused: set[int] = set()
        while (k := self._next(refused)) is not None:
            if self._resect(k):
                self._refine()
                refused.clear()
            else:
                refused.add(k)
        self._refine(final=True)
        return self._model()

    def _put(self, i: int, cam_from_world: Float[np.ndarray, "3 4"]) -> None:
        rotations, translations = self.bundle.rotations.copy(), self.bundle.translations.copy()
        rotations[i], translations[i] = cam_from_world[:, :3], cam_from_world[:, 3]
        self.bundle = replace(self.bundle, rotations=rotations, translations=translations)
        self.placed[i] = True

    def _next(self, refused: set[int]) -> int | None:
        """The photo that sees most of the points."""
        open_ = self.solid[self.seen.point] & ~self.placed[self.seen.photo]
        counts = np.bincount(self.seen.photo[open_], minlength=len(self.placed))
        counts[list(refused)] = 0
        best = int(counts.argmax())
        return best if counts[best] >= FEWEST_SEEN else None

    def _resect(self, k: int) -> bool:
        """Places a photo by the points that it sees (PnP with RANSAC)."""
        pycolmap = load_pycolmap()
        mine = (self.seen.photo == k) & self.solid[self.seen.point]
        camera = _camera(pycolmap, self.matches, k, focal=self.bundle.focal[k])
        height, width = self.matches.sizes[k]
        pixels = self.seen.offset[mine] + [width / 2, height / 2]
        options = pycolmap.AbsolutePoseEstimationOptions()
        options.ransac.max_error, options.ransac.random_seed = 2 * WIDEST_ERROR, 0
        found = pycolmap.estimate_and_refine_absolute_pose(
            pixels, self.bundle.points[self.seen.point[mine]], camera, options
        )
        if found is None or found["num_inliers"] < FEWEST_SEEN:
            return False
        self._put(k, np.asarray(found["cam_from_world"].matrix()))
        return True

    def _refine(self, *, final: bool = False) -> None:
        """Triangulate what two or more placed photos see, adjust, and drop what does not agree."""
        here = self.placed[self.seen.photo]
        for most in (4 * WIDEST_ERROR, WIDEST_ERROR) if not final else (WIDEST_ERROR, WIDEST_ERROR, WIDEST_ERROR):
            self.bundle = replace(self.bundle, points=triangulated(self.bundle, self.seen[here]))
            self.good = here & self._agreeing(here, most)
            self._adjust(final)
        self.bundle = replace(self.bundle, points=triangulated(self.bundle, self.seen[here]))
        self.good = here & self._agreeing(here, WIDEST_ERROR)
        self.solid = np.bincount(self.seen.point[self.good], minlength=len(self.solid)) >= 2

    def _agreeing(self, here: Bool[np.ndarray, " k"], most: float) -> Bool[np.ndarray, " k"]:
        """Sightings near their point's projection, of points seen twice or more under an angle."""
        good = here & (np.linalg.norm(errors(self.bundle, self.seen), axis=1) < most)
        wide = spread_of_rays(self.bundle, self.seen[good]) > LEAST_ANGLE
        return good & wide[self.seen.point]

    def _adjust(self, final: bool) -> None:
        """Bundle adjustment of the placed photos and of (many of) the points with agreeing sightings."""
        photos, counts = np.flatnonzero(self.placed), np.bincount(self.seen.point[self.good])
        points = np.flatnonzero(counts > 1)
        most = 4 * MOST_POINTS if final else MOST_POINTS
        points = np.sort(points[np.argsort(-counts[points], kind="stable")][:most])
        if len(points) < FEWEST_SEEN:
            return
        used = self.good & np.isin(self.seen.point, points)
        whole, seen = self.bundle, self.seen[used]
        seen = replace(seen, photo=np.searchsorted(photos, seen.photo), point=np.searchsorted(points, seen.point))
        part = Bundle(
            whole.rotations[photos], whole.translations[photos], whole.points[points],
            whole.log_focal, whole.lens[photos],
        )  # fmt: skip
        part = adjust(part, seen, spread=self.spread, steps=30 if final else 12, tolerance=1e-5 if final else 1e-3)
        rotations, translations, everything = whole.rotations.copy(), whole.translations.copy(), whole.points.copy()
        rotations[photos], translations[photos], everything[points] = part.rotations, part.translations, part.points
        self.bundle = Bundle(rotations, translations, everything, part.log_focal, whole.lens)

    def _model(self) -> Model | None:
        points = np.flatnonzero(self.solid)
        seen, bundle = self.seen[self.good & self.solid[self.seen.point]], self.bundle
        supported = np.bincount(seen.photo, minlength=len(self.placed)) >= FEWEST_SEEN
        photos = np.flatnonzero(self.placed & supported)
        if len(photos) < 2:
            return None
        order = np.argsort(seen.point, kind="stable")
        cuts = np.searchsorted(seen.point[order], points[1:])
        poses = np.concatenate([bundle.rotations, bundle.translations[..., None]], -1)
        return Model(
            {int(i): poses[i] for i in photos},
            {int(i): float(bundle.focal[i]) for i in photos},
            {int(i): 0.0 for i in photos},
            bundle.points[points],
            list(np.split(seen.photo[order], cuts)),
            float(np.median(np.linalg.norm(errors(bundle, seen), axis=1))),
            score(np.linalg.norm(errors(bundle, seen[supported[seen.photo]]), axis=1)),
        )


def score(error: Float[np.ndarray, " k"]) -> float:
    """Sum of 1 - (error / WIDEST_ERROR)^2 over the sightings that are nearer than that (MSAC)."""
    return float((1 - (error / WIDEST_ERROR) ** 2).clip(0).sum())


def triangulated(bundle: Bundle, seen: Sightings) -> Float[np.ndarray, "m 3"]:
    """The points that the sightings' rays pass by closest (least squares); 0 where they are parallel."""
    rays, centres = _rays(bundle, seen)
    across = np.eye(3) - rays[:, :, None] * rays[:, None, :]
    left, right = np.zeros((len(bundle.points), 3, 3)), np.zeros((len(bundle.points), 3))
    np.add.at(left, seen.point, across)
    np.add.at(right, seen.point, np.einsum("kij,kj->ki", across, centres))
    solvable = np.linalg.det(left) > 1e-10
    return np.where(solvable[:, None], np.linalg.solve(left + 1e-12 * np.eye(3), right[..., None])[..., 0], 0.0)


def spread_of_rays(bundle: Bundle, seen: Sightings) -> Float[np.ndarray, " m"]:
    """Twice the largest angle (degrees) between a point's rays and their mean; 0 for points seen less than twice."""
    rays, _ = _rays(bundle, seen)
    mean, widest = np.zeros((len(bundle.points), 3)), np.ones(len(bundle.points))
    np.add.at(mean, seen.point, rays)
    mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
    np.minimum.at(widest, seen.point, (rays * mean[seen.point]).sum(1))
    return 2 * np.degrees(np.arccos(widest.clip(-1, 1)))


def _rays(bundle: Bundle, seen: Sightings) -> tuple[Float[np.ndarray, "k 3"], Float[np.ndarray, "k 3"]]:
    """Unit directions and starts, in the world."""
    local = np.concatenate([seen.offset / bundle.focal[seen.photo, None], np.ones((len(seen), 1))], 1)
    turned = np.einsum("kji,kj->ki", bundle.rotations[seen.photo], local)
    centres = -np.einsum("nji,nj->ni", bundle.rotations, bundle.translations)
    return turned / np.linalg.norm(turned, axis=1, keepdims=True), centres[seen.photo]


__all__ = ["Model", "Tracks", "in_camera", "place", "spread_of_rays", "triangulated"]
