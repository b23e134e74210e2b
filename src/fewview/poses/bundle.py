"""Bundle adjustment for few photos: Levenberg-Marquardt on poses, points and focal lengths, points eliminated (Schur).

Poses map the world to the camera: x = R X + t. Image points are offsets from the principal point (pixels).
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

HUBER = 1.5  # px: larger residuals count linearly
FOCAL_SPREAD = 0.5  # of log f about its first value where that is a guess
EXIF_SPREAD = 0.05  # and where EXIF told it
NEAR = 1e-3  # least depth, in units of the baseline of the first pair


@dataclass(frozen=True, eq=False)
class Bundle:
    """Poses of photos, points, and log focal lengths (pixels) by lens; `lens` gives each photo's."""

    rotations: Float[np.ndarray, "n 3 3"]
    translations: Float[np.ndarray, "n 3"]
    points: Float[np.ndarray, "m 3"]
    log_focal: Float[np.ndarray, " g"]
    lens: Int[np.ndarray, " n"]

    @property
    def focal(self) -> Float[np.ndarray, " n"]:
        """Of each photo, in pixels."""
        return np.exp(self.log_focal)[self.lens]


@dataclass(frozen=True, eq=False)
class Sightings:
    """Point `point` was seen in photo `photo` at `offset` from the principal point (pixels)."""

    photo: Int[np.ndarray, " k"]
    point: Int[np.ndarray, " k"]
    offset: Float[np.ndarray, "k 2"]

    def __getitem__(self, index) -> "Sightings":
        return Sightings(self.photo[index], self.point[index], self.offset[index])

    def __len__(self) -> int:
        return len(self.photo)


def in_camera(bundle: Bundle, seen: Sightings) -> Float[np.ndarray, "k 3"]:
    """Each sighting's point in its photo's axes."""
    turned = np.einsum("kij,kj->ki", bundle.rotations[seen.photo], bundle.points[seen.point])
    return turned + bundle.translations[seen.photo]


def errors(bundle: Bundle, seen: Sightings) -> Float[np.ndarray, "k 2"]:
    """Projected minus seen, in pixels; points behind the camera are as wrong as can be."""
    local = in_camera(bundle, seen)
    depth = local[:, 2:]
    drawn = bundle.focal[seen.photo, None] * local[:, :2] / np.where(depth > NEAR, depth, 1.0)
    return np.where(depth > NEAR, drawn - seen.offset, 1e4)


def adjust(
    bundle: Bundle, seen: Sightings, *, spread: Float[np.ndarray, " g"], steps: int = 30, tolerance: float = 1e-5
) -> Bundle:
    """The bundle that explains the sightings best (Huber), log focal lengths staying near their first values.

    `spread` is the standard deviation of that prior. The gauge is held by the damping alone.
    """
    start, damping = bundle.log_focal, 1e-3
    cost = _cost(bundle, seen, start, spread=spread)
    for _ in range(steps):
        system = _system(bundle, seen, start, spread=spread)
        for _ in range(8):
            trial = _moved(bundle, *_solved(*system, damping))
            new = _cost(trial, seen, start, spread=spread)
            if new < cost:
                break
            damping *= 5
        else:
            return bundle
        gain, bundle, cost, damping = (cost - new) / cost, trial, new, max(damping / 5, 1e-9)
        if gain < tolerance:
            break
    return bundle


def _weights(residual: Float[np.ndarray, "k 2"]) -> Float[np.ndarray, " k"]:
    size = np.linalg.norm(residual, axis=1)
    return np.where(size > HUBER, HUBER / np.maximum(size, HUBER), 1.0)


def _cost(bundle: Bundle, seen: Sightings, start: np.ndarray, *, spread: np.ndarray) -> float:
    size = np.linalg.norm(errors(bundle, seen), axis=1)
    huber = np.where(size > HUBER, HUBER * (2 * size - HUBER), size**2).sum()
    return float(huber + np.square((bundle.log_focal - start) / spread).sum())


def jacobians(
    bundle: Bundle, seen: Sightings
) -> tuple[Float[np.ndarray, "k 2 6"], Float[np.ndarray, "k 2 3"], Float[np.ndarray, "k 2"]]:
    """Derivatives of the errors by pose (rotation, then translation, in camera axes), point and log focal length."""
    local, focal = in_camera(bundle, seen), bundle.focal[seen.photo]
    x, y, z = local.T
    z = np.where(z > NEAR, z, 1.0)
    zero = np.zeros_like(z)
    by_local = (focal / z)[:, None, None] * np.stack(
        [np.stack([np.ones_like(z), zero, -x / z], -1), np.stack([zero, np.ones_like(z), -y / z], -1)], 1
    )
    by_turn = -by_local @ cross(local - bundle.translations[seen.photo])
    by_point = by_local @ bundle.rotations[seen.photo]
    return np.concatenate([by_turn, by_local], -1), by_point, focal[:, None] * np.stack([x / z, y / z], -1)


def _system(bundle: Bundle, seen: Sightings, start: np.ndarray, *, spread: np.ndarray) -> tuple:
    """Blocks of the weighted normal equations: cameras and focal lengths, cross terms, points; and right sides."""
    from scipy.sparse import csr_matrix

    residual = errors(bundle, seen)
    root = np.sqrt(_weights(residual))[:, None]
    by_pose, by_point, by_focal = jacobians(bundle, seen)
    n, m, k = len(bundle.rotations), len(bundle.points), len(seen)
    rows = np.arange(2 * k).reshape(k, 2, 1)
    pose_columns = np.broadcast_to((6 * seen.photo[:, None] + np.arange(6))[:, None], (k, 2, 6))
    focal_column = np.broadcast_to((6 * n + bundle.lens[seen.photo])[:, None, None], (k, 2, 1))
    columns = np.concatenate([pose_columns, focal_column], -1)
    values = np.concatenate([by_pose, by_focal[..., None]], -1) * root[..., None]
    shape = (2 * k, 6 * n + len(bundle.log_focal))
    cameras = csr_matrix((values.ravel(), (np.broadcast_to(rows, columns.shape).ravel(), columns.ravel())), shape)
    columns = np.broadcast_to((3 * seen.point[:, None] + np.arange(3))[:, None], (k, 2, 3))
    values = (by_point * root[..., None]).ravel()
    points = csr_matrix((values, (np.broadcast_to(rows, columns.shape).ravel(), columns.ravel())), (2 * k, 3 * m))
    right = (residual * root).ravel()
    corner = (cameras.T @ cameras).toarray()
    camera_right = cameras.T @ right
    corner[6 * n :, 6 * n :] += np.diag(spread**-2.0)
    camera_right[6 * n :] += (bundle.log_focal - start) / spread**2
    blocks = np.zeros((m, 3, 3))
    np.add.at(blocks, seen.point, np.einsum("kai,kaj->kij", by_point, by_point) * root[..., None] ** 2)
    return corner, cameras.T @ points, blocks, camera_right, points.T @ right


def _solved(corner, mixed, blocks, camera_right, point_right, damping: float) -> tuple[np.ndarray, np.ndarray]:
    """Steps of cameras and points."""
    from scipy.sparse import bsr_matrix

    corner = corner + np.diag(damping * np.maximum(corner.diagonal(), 1e-6))
    m = len(blocks)
    diagonal = np.maximum(np.einsum("mii->mi", blocks), 1e-6)
    inverse = np.linalg.inv(blocks + damping * diagonal[:, :, None] * np.eye(3))
    inverted = bsr_matrix((inverse, np.arange(m), np.arange(m + 1)), shape=(3 * m, 3 * m))
    across = mixed @ inverted
    left = corner - (across @ mixed.T).toarray()
    step = -np.linalg.solve(left, camera_right - across @ point_right)
    return step, -(inverted @ (point_right + mixed.T @ step))


def _moved(bundle: Bundle, camera_step: np.ndarray, point_step: np.ndarray) -> Bundle:
    n = len(bundle.rotations)
    poses = camera_step[: 6 * n].reshape(n, 6)
    return replace(
        bundle,
        rotations=turn(poses[:, :3]) @ bundle.rotations,
        translations=bundle.translations + poses[:, 3:],
        points=bundle.points + point_step.reshape(-1, 3),
        log_focal=bundle.log_focal + camera_step[6 * n :].clip(-0.3, 0.3),
    )


def cross(v: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3 3"]:
    """Matrices that take the cross product with v."""
    x, y, z = v.T
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)


def turn(vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3 3"]:
    """Rotations by vectors whose length is the angle in radians (Rodrigues)."""
    angle = np.linalg.norm(vectors, axis=1)[:, None, None]
    k = cross(vectors)
    small = angle < 1e-8
    safe = np.where(small, 1.0, angle)
    return np.eye(3) + np.where(small, 1.0, np.sin(safe) / safe) * k + (1 - np.cos(safe)) / safe**2 * (k @ k)
