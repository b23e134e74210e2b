import numpy as np
import pytest

from fewview.poses.bundle import Bundle, Sightings, adjust, errors, jacobians, turn
from fewview.poses.resection import spread_of_rays, triangulated

FOCAL = 500.0


def world(photos: int = 4, points: int = 40, seed: int = 0) -> tuple[Bundle, Sightings]:
    """Cameras on an arc that look at points around the origin, and exact sightings."""
    rng = np.random.default_rng(seed)
    turns = turn(np.stack([np.zeros(photos), np.linspace(0, 0.9, photos), np.zeros(photos)], -1))
    shift = np.tile([0.0, 0.0, 5.0], (photos, 1))
    bundle = Bundle(turns, shift, rng.uniform(-1, 1, (points, 3)), np.log([FOCAL]), np.zeros(photos, np.int64))
    photo, point = (index.reshape(-1) for index in np.indices((photos, points)))
    blank = Sightings(photo, point, np.zeros((len(photo), 2)))
    return bundle, Sightings(photo, point, errors(bundle, blank))


def disturbed(bundle: Bundle, rng: np.random.Generator, size: float, focal: float) -> Bundle:
    n, m = len(bundle.rotations), len(bundle.points)
    turns = turn(size * rng.standard_normal((n, 3))) @ bundle.rotations
    shifts = bundle.translations + size * rng.standard_normal((n, 3))
    points = bundle.points + size * rng.standard_normal((m, 3))
    return Bundle(turns, shifts, points, bundle.log_focal + np.log(focal), bundle.lens)


def relative(bundle: Bundle) -> np.ndarray:
    """Rotations from the first camera, which no gauge changes."""
    return bundle.rotations @ bundle.rotations[0].T


def test_rotations_by_vectors_are_rotations_and_turn_by_their_length():
    vectors = np.array([[0.0, 0.0, 0.0], [1e-10, 0, 0], [0.3, -0.2, 1.1], [0, 0, np.pi / 2]])
    matrices = turn(vectors)
    assert np.allclose(matrices @ matrices.transpose(0, 2, 1), np.eye(3), atol=1e-12)
    assert np.allclose(matrices[3] @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    angles = np.arccos((np.trace(matrices, axis1=1, axis2=2).clip(max=3) - 1) / 2)
    assert np.allclose(angles, np.linalg.norm(vectors, axis=1), atol=1e-7)


def test_jacobians_agree_with_finite_differences():
    bundle, seen = world()
    by_pose, by_point, by_focal = jacobians(bundle, seen)
    step = 1e-6
    for axis in range(6):
        move = np.zeros((1, 6))
        move[0, axis] = step
        turns, shifts = turn(move[:, :3]) @ bundle.rotations, bundle.translations + move[:, 3:]
        moved = Bundle(turns, shifts, bundle.points, bundle.log_focal, bundle.lens)
        assert np.allclose((errors(moved, seen) - errors(bundle, seen)) / step, by_pose[..., axis], atol=1e-2)
    for axis in range(3):
        moved = Bundle(
            bundle.rotations, bundle.translations, bundle.points + step * np.eye(3)[axis], bundle.log_focal, bundle.lens
        )
        assert np.allclose((errors(moved, seen) - errors(bundle, seen)) / step, by_point[..., axis], atol=1e-2)
    moved = Bundle(bundle.rotations, bundle.translations, bundle.points, bundle.log_focal + step, bundle.lens)
    assert np.allclose((errors(moved, seen) - errors(bundle, seen)) / step, by_focal, atol=1e-2)


def test_adjustment_recovers_poses_and_the_focal_length_from_exact_sightings():
    truth, seen = world()
    start = disturbed(truth, np.random.default_rng(1), 0.02, 1.3)
    found = adjust(start, seen, spread=np.array([2.0]), steps=100, tolerance=1e-9)
    assert np.abs(errors(found, seen)).max() < 0.1
    assert found.focal[0] == pytest.approx(FOCAL, rel=0.02)
    assert np.abs(relative(found) - relative(truth)).max() < 2e-3


def test_a_trusted_focal_length_stays_and_wrong_matches_hardly_matter():
    truth, seen = world()
    rng = np.random.default_rng(2)
    offset = seen.offset.copy()
    wrong = rng.choice(len(offset), 8, replace=False)
    offset[wrong] += rng.uniform(-60, 60, (8, 2))
    seen = Sightings(seen.photo, seen.point, offset)
    found = adjust(disturbed(truth, rng, 0.005, 1.0), seen, spread=np.array([1e-4]), steps=60)
    assert found.focal[0] == pytest.approx(FOCAL, rel=1e-3)
    assert np.abs(relative(found) - relative(truth)).max() < 1e-2  # the wrong ones are off by up to 60 px


def test_triangulation_inverts_projection_and_refuses_parallel_rays():
    bundle, seen = world()
    assert np.allclose(triangulated(bundle, seen), bundle.points, atol=1e-9)
    alone = seen[seen.photo == 0]
    assert np.all(triangulated(bundle, alone) == 0) and np.allclose(spread_of_rays(bundle, alone), 0, atol=1e-5)


def test_the_spread_of_two_rays_is_the_angle_between_them():
    bundle, seen = world(2, 1)
    middle = Bundle(bundle.rotations, bundle.translations, np.zeros((1, 3)), bundle.log_focal, bundle.lens)
    centred = Sightings(seen.photo, seen.point, np.zeros((2, 2)))
    assert np.allclose(spread_of_rays(middle, centred), np.degrees(0.9), atol=1e-6)
