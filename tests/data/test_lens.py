import math

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras, pixel_centres
from fewview.data.lens import Lens
from fewview.errors import InputError

HEIGHT, WIDTH = 90, 120
INTRINSICS = {"focal": (100.0, 104.0), "centre": (62.0, 43.0)}
LENSES = {
    "barrel": Lens(**INTRINSICS, radial=(-0.28, 0.08, -0.01), tangential=(1e-3, -2e-3)),
    "pincushion": Lens(**INTRINSICS, radial=(0.15, 0.02)),
    "rational": Lens(**INTRINSICS, radial=(0.3, 0.1, 0.01, 0.5, 0.1, 0.02), tangential=(-1e-3, 1e-3)),
    "fisheye": Lens(**INTRINSICS, radial=(0.03, -0.01, 0.002, 0.0), fisheye=True),
}


def camera() -> Cameras:
    return Cameras(torch.eye(4), torch.eye(3), HEIGHT, WIDTH)


def scene(points: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n"]:
    """A smooth picture on the plane at depth 1."""
    return 0.5 + 0.25 * (9 * points[..., 0]).sin() + 0.25 * (7 * points[..., 1] + 1).cos()


def drawn(lens: Lens, height: int = HEIGHT, width: int = WIDTH) -> Float[Tensor, "1 h w"]:
    """What a photo through the lens shows: the scene at the point that each pixel sees."""
    points = (pixel_centres(height, width).double() - torch.tensor(lens.centre)) / torch.tensor(lens.focal)
    return scene(lens.undistort(points))[None].float()


def test_a_point_lands_where_opencv_says():
    """By hand for x = 0.5, y = -0.25, so r^2 = 0.3125: radial factor and tangential terms of OpenCV's documentation."""
    lens = Lens(**INTRINSICS, radial=(0.1, 0.01, 0.001, 0.2), tangential=(0.01, 0.02))
    radial = (1 + 0.1 * 0.3125 + 0.01 * 0.3125**2 + 0.001 * 0.3125**3) / (1 + 0.2 * 0.3125)
    x = 0.5 * radial + 2 * 0.01 * (-0.125) + 0.02 * (0.3125 + 0.5)
    y = -0.25 * radial + 0.01 * (0.3125 + 0.125) + 2 * 0.02 * (-0.125)
    found = lens.distort(torch.tensor([0.5, -0.25], dtype=torch.float64))
    assert found.tolist() == pytest.approx([x, y], abs=1e-9)


def test_a_fisheye_draws_angles_as_lengths():
    lens = Lens(**INTRINSICS, radial=(0.1, 0.0, 0.0, 0.0), fisheye=True)
    theta = math.radians(40)
    found = lens.distort(torch.tensor([[math.tan(theta), 0.0], [0.0, 0.0]], dtype=torch.float64))
    assert found[0].tolist() == pytest.approx([theta + 0.1 * theta**3, 0]) and found[1].tolist() == [0, 0]


@pytest.mark.parametrize("name", LENSES)
def test_undistort_inverts_distort(name, generator):
    points = 1.2 * torch.rand(200, 2, generator=generator, dtype=torch.float64) - 0.6
    torch.testing.assert_close(LENSES[name].undistort(LENSES[name].distort(points)), points, atol=1e-9, rtol=0)


def test_what_a_lens_cannot_draw_has_no_inverse():
    """r - 0.5 r^3 has its greatest value, 0.544, at r = 0.816."""
    lens = Lens(**INTRINSICS, radial=(-0.5,))
    points = torch.tensor([[0.54, 0.0], [0.55, 0.0]], dtype=torch.float64)
    found = lens.undistort(points)
    assert 0.6 < found[0, 0] < 0.816 and found[1].isnan().all()


@pytest.mark.parametrize("name", LENSES)
def test_an_undistorted_photo_is_the_pinhole_cameras(name):
    lens = LENSES[name]
    pinhole = lens.pinhole(camera(), where="x")
    seen = lens.undone(drawn(lens), pinhole)[0]
    k = pinhole.intrinsics
    want = scene((pixel_centres(HEIGHT, WIDTH) - k[:2, 2]) / k[[0, 1], [0, 1]])
    inner = (slice(2, -2), slice(2, -2))
    assert (seen - want)[inner].abs().max() < 0.003
    assert (drawn(lens)[0] - want)[inner].abs().max() > 0.05, "the lens did something"


@pytest.mark.parametrize("name", LENSES)
def test_the_pinhole_picture_is_filled_and_no_larger_than_it_must(name):
    lens = LENSES[name]
    k = lens.pinhole(camera(), where="x").intrinsics.double()
    x, y = np.meshgrid(np.linspace(0, WIDTH, 49), np.linspace(0, HEIGHT, 37))
    points = (torch.tensor(np.stack([x, y], axis=-1)) - k[:2, 2]) / k[[0, 1], [0, 1]]
    pixels = lens.distort(points) * torch.tensor(lens.focal) + torch.tensor(lens.centre)
    margins = torch.cat([pixels.flatten(0, 1), torch.tensor([WIDTH, HEIGHT]) - pixels.flatten(0, 1)])
    assert margins.min().abs() < 0.05
    assert k[0, 0] / lens.focal[0] == pytest.approx((k[1, 1] / lens.focal[1]).item())


def test_a_fisheye_of_more_than_half_a_turn_keeps_its_middle():
    lens = Lens((30.0, 30.0), (60.0, 45.0), (0.0,) * 4, fisheye=True)  # 229 degrees across
    pinhole = lens.pinhole(camera(), where="x")
    assert pinhole.intrinsics[0, 0] == 15
    assert lens.undone(drawn(lens), pinhole)[0, 45, 60] == pytest.approx(scene(torch.zeros(2)).item(), abs=0.05)


def test_corners_that_a_lens_cannot_have_drawn_are_left_out():
    """r - 0.33 r^3 ends at 0.670, which the corners pass and the sides do not."""
    lens = Lens(**INTRINSICS, radial=(-0.33,))
    pinhole = lens.pinhole(camera(), where="x")
    k = pinhole.intrinsics
    want = scene((pixel_centres(HEIGHT, WIDTH) - k[:2, 2]) / k[[0, 1], [0, 1]])
    assert (lens.undone(drawn(lens).nan_to_num(9), pinhole)[0] - want).abs().max() < 0.1


@pytest.mark.parametrize("radial", [(-5.0,), (-1.0,), (1e30,), (1e300, 1e300, 1e300), (0.0, 0.0, 0.0, -40.0)])
def test_a_lens_that_folds_the_picture_is_refused(radial):
    with pytest.raises(InputError, match=r"camera 7 has a lens distortion .* folds the picture"):
        Lens(**INTRINSICS, radial=radial).pinhole(camera(), where="camera 7")
