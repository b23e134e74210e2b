import pytest
import torch
from evaluation.planes import BOX, HALF, WALL, camera, depth, on_plane

from fewview.cameras import Cameras
from fewview.evaluation.rooms.visibility import Region, classify, mask_of


def _regions(judged: Cameras, *references: Cameras, box: bool = True):
    cameras = Cameras.cat(references)
    return classify(judged, depth(judged, box=box), cameras, reference_depth=depth(cameras, box=box))


def test_unprojected_points_lie_on_the_wall_and_project_back():
    cameras = Cameras.look_at(
        torch.tensor([[1.0, -0.5, 0.3]]), torch.tensor([0.2, 0, 4]), torch.tensor([0.0, -1, 0]),
        focal=20.0, height=12, width=16,
    )  # fmt: skip
    rays = cameras.rays()
    z = (WALL - rays.origins[..., 2]) / rays.directions[..., 2] * (rays.directions * cameras.forward[0]).sum(-1)
    points = cameras.unproject(z)
    torch.testing.assert_close(points[..., 2], torch.full((1, 12, 16), WALL), atol=1e-4, rtol=0)
    torch.testing.assert_close(cameras.project(points.flatten(1, 2))[1].reshape(z.shape), z)


def test_a_reference_sees_all_of_its_own_view():
    own = camera(size=32, focal=32.0)
    assert (_regions(own, own) == Region.SEEN).all()


def test_a_shifted_reference_leaves_a_strip_out_of_its_frame():
    """Cameras a unit apart before a wall 4 away see it 16 pixels apart (focal 64)."""
    regions = _regions(camera(1.0), camera(0.0), box=False)[0]
    assert (regions[:, :48] == Region.SEEN).all() and (regions[:, 48:] == Region.OUTSIDE).all()


def test_behind_the_box_is_occluded_to_the_reference():
    """The reference's box hides the wall over |x| < 1 (twice its half side); seen from (1, 0, 0), none of it is
    behind the box from x = 0 on, which projects to 1 + 2 (x_box - 1) there: the box itself covers wall x in (-2, 0)."""
    judged, reference = camera(1.0), camera(0.0)
    regions = _regions(judged, reference)[0]
    wall = on_plane(judged, WALL)[0]
    on_box = (on_plane(judged, BOX)[0].abs() < HALF).all(-1)
    hidden = (wall.abs() < HALF * WALL / BOX).all(-1) & ~on_box
    margin = 1.5 * WALL / 64  # the four pixels around a projection blur edges by one
    certain = (wall.abs() < HALF * WALL / BOX - margin).all(-1) & ~on_box
    occluded = regions == Region.OCCLUDED
    assert certain.sum() > 50 and occluded[certain].all()
    assert not occluded[~hidden].any()
    assert (regions[on_box] == Region.SEEN).all()


def test_a_second_reference_sees_what_the_first_misses():
    judged = camera(1.0)
    one, two = _regions(judged, camera(0.0))[0], _regions(judged, camera(0.0), camera(1.0))[0]
    assert (one != Region.SEEN).any() and (two == Region.SEEN).all()


def test_points_behind_a_camera_are_out_of_its_frame():
    pose = camera().world_from_cam.clone()
    pose[:, 0, 0] = pose[:, 2, 2] = -1  # turned by 180 degrees about y
    away = Cameras(pose, camera().intrinsics, 64, 64)
    regions = classify(camera(), depth(camera(), box=False), away, reference_depth=torch.full((1, 64, 64), 5.0))
    assert (regions == Region.OUTSIDE).all()


def test_a_slanted_wall_does_not_hide_itself():
    """A floor seen at a grazing angle, its depth changing by tens of percent a pixel."""
    cameras = [Cameras.look_at(torch.tensor([[x, -0.3, 0.0]]), torch.tensor([x, -0.2, 1.0]), torch.tensor([0.0, -1, 0]),
                               focal=16.0, height=16, width=16) for x in (0.0, 0.05)]  # fmt: skip

    def floor(c: Cameras) -> torch.Tensor:
        rays = c.rays()
        distance = -rays.origins[..., 1] / rays.directions[..., 1]
        z = distance * (rays.directions * c.forward[0]).sum(-1)
        return torch.where(distance > 0, z, torch.zeros_like(z))

    regions = classify(cameras[0], floor(cameras[0]), cameras[1], reference_depth=floor(cameras[1]))
    assert not mask_of(regions, Region.OCCLUDED).any() and mask_of(regions, Region.SEEN).any()


def test_unknown_depth_is_of_no_class_and_hides_nothing():
    judged = camera(size=16, focal=16.0)
    z = depth(judged, box=False)
    z[0, :4] = 0
    regions = classify(judged, z, judged, reference_depth=torch.zeros(1, 16, 16))[0]
    assert (regions[:4] == Region.UNKNOWN).all() and (regions[4:] == Region.SEEN).all()


@pytest.mark.parametrize("region", list(Region))
def test_every_class_has_a_title(region):
    assert region.title
