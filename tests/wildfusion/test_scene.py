import pytest
import torch
from wild_balls import MICRO, photos

from fewview.errors import InputError
from fewview.views import Views
from fewview.wildfusion.frame import input_cameras, orbit
from fewview.wildfusion.renderer import LowRes
from fewview.wildfusion.scene import PlaneScene, seen_from, splats_of


class BallMaker:
    """Makes a red ball of radius 0.6 whatever the planes say, in closed form."""

    size = 32

    def __init__(self, radius: float = 0.6):
        self.radius = radius

    def low_res(self, planes, cameras, *, generator=None):
        cameras = cameras.resized(32, 32)
        rays = cameras.rays()
        along = (rays.directions * -rays.origins).sum(-1)
        inside = self.radius**2 - (rays.origins.square().sum(-1) - along**2)
        hit = (inside > 0).float()
        distance = along - inside.clamp(min=0).sqrt()
        cosine = (rays.directions * cameras.forward[:, None, None]).sum(-1)
        z = (distance * cosine - cameras.cam_from_world[:, 2, 3].reshape(-1, 1, 1)) * hit
        colour = torch.tensor([0.9, 0.1, 0.1]).reshape(1, 3, 1, 1) * hit[:, None]
        return LowRes(colour, hit[:, None], z[:, None])

    def upsample(self, low):
        return low.image


def scene(radius: float = 0.6) -> PlaneScene:
    return PlaneScene(BallMaker(radius), torch.zeros(1, 3, 1, 1, 1))


def test_renderings_have_the_cameras_size_and_their_depth():
    seen = scene().render(orbit(torch.tensor([0.0, 0.6]), torch.zeros(2), 48))
    assert seen.image.shape == (2, 3, 48, 48)
    centre = input_cameras(1, 48).centers.norm() - 0.6
    torch.testing.assert_close(seen.depth[:, 0, 24, 24], centre.expand(2), atol=0.03, rtol=0)
    assert float((seen.image - seen.alpha).max()) <= 1e-6 and float(seen.alpha[0, 0, 0, 0]) == 0


def test_splats_lie_on_the_ball_and_reach_around_it(generator):
    made = splats_of(scene(), generator=generator)
    radii = made.means.norm(dim=-1)
    assert float((radii - 0.6).abs().median()) < 0.02 and float(radii.max()) < 0.8
    sideways = torch.atan2(made.means[:, 0].abs(), -made.means[:, 2])
    assert float(sideways.max()) > 1.6  # farther than the front sees


def test_from_the_front_splats_have_the_photos_own_pixels(generator):
    green = torch.tensor([0.0, 1.0, 0.0]).reshape(1, 3, 1, 1).expand(1, 3, 64, 64)
    photo = Views(green, input_cameras(1, 64), torch.ones(1, 1, 64, 64))
    made = splats_of(scene(), photo, size=64, generator=generator)
    nearest = made.features[made.means[:, 2] < -0.5]
    assert float(nearest[:, 1].min()) > 0.9 and float(made.features[:, 0].max()) > 0.8


def test_what_the_front_sees_is_told_from_what_it_does_not():
    front = input_cameras(1, 64)
    points = torch.tensor([[0.0, 0, -0.6], [0, 0, 0.6], [0, 0, -1.0]])
    assert seen_from(points, scene().render(front), front).tolist() == [True, False, True]


def test_nothing_solid_is_refused(generator):
    with pytest.raises(InputError, match="Nothing solid"):
        splats_of(scene(0.0), generator=generator)


def test_a_mirror_turns_some_photos_with_their_masks_and_depth(generator):
    balls = photos(8)
    odd = type(balls)(balls.images * torch.linspace(0, 1, 16), balls.masks, balls.depth, balls.labels)
    turned = odd.mirrored(generator)
    same = [bool(a.equal(b)) for a, b in zip(odd.images, turned.images)]
    assert 0 < sum(same) < 8
    first = same.index(False)
    torch.testing.assert_close(turned.images[first].flip(-1), odd.images[first])
    assert MICRO.size == 16 and odd.known.tolist() == [1.0] * 8
