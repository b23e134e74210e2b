import pytest
import torch

from fewview.cameras import Cameras, pixel_centres
from fewview.views import Asset, Render, Scene, Views, resize


def views(height: int = 8, width: int = 12, masks: bool = True) -> Views:
    """Two images that hold each pixel's own coordinates, in units of the image."""
    grid = pixel_centres(height, width) / torch.tensor([width, height])
    images = torch.cat([grid, torch.ones(height, width, 1)], dim=-1).permute(2, 0, 1).expand(2, -1, -1, -1)
    pinhole = torch.tensor([[10.0, 0, 6], [0, 10, 4], [0, 0, 1]]).expand(2, 3, 3)
    mask = (grid[..., :1] < 0.5).float().permute(2, 0, 1).expand(2, -1, -1, -1)
    return Views(images, Cameras(torch.eye(4).expand(2, 4, 4), pinhole, height, width), mask if masks else None)


@pytest.mark.parametrize(("height", "width"), [(4, 6), (16, 24), (4, 24)])
def test_a_resized_photo_shows_what_its_resized_camera_sees(height, width):
    """The coordinates in the image are the camera's own, away from the border, at any size."""
    small = views().resized(height, width)
    assert (small.cameras.height, small.cameras.width) == (height, width)
    seen = small.images[0, :2].permute(1, 2, 0)
    expected = pixel_centres(height, width) / torch.tensor([width, height])
    inner = slice(height // 4, -height // 4), slice(width // 4, -width // 4)
    torch.testing.assert_close(seen[inner], expected[inner], atol=1e-5, rtol=0)
    corner = torch.tensor([[[0.0, 0, 1]]]) @ torch.linalg.inv(small.cameras.intrinsics[0]).mT
    torch.testing.assert_close(corner, torch.tensor([[[-0.6, -0.4, 1]]]))  # the image's corner stays on its ray


def test_shrinking_averages_without_aliasing():
    stripes = torch.tensor([0.0, 1]).repeat(8).expand(1, 3, 4, 16)
    small = resize(stripes, 4, 4)
    torch.testing.assert_close(small[..., 1:-1], torch.full((1, 3, 4, 2), 0.5), atol=0.02, rtol=0)
    assert resize(torch.full((2, 1, 5, 7), 0.3), 3, 11).allclose(torch.tensor(0.3))


def test_resizing_to_the_same_size_is_nothing():
    same = views()
    assert same.resized(8, 12) is same


def test_masked_views_are_black_outside_of_the_mask():
    dark = views().on_black()
    assert dark.images[..., 6:].abs().sum() == 0 and dark.images[:, 2, :, :6].min() == 1
    bare = views(masks=False)
    assert bare.on_black() is bare


def test_picking_a_view_picks_its_image_camera_and_mask():
    both = views()
    one = both[1]
    assert one.images.shape == (3, 8, 12) and one.cameras.shape == () and one.masks is not None
    assert one.masks.shape == (1, 8, 12) and len(both[:1]) == 1 and views(masks=False)[0].masks is None
    assert both.to("cpu").images.equal(both.images)


def test_shapes_are_checked():
    good = views()
    with pytest.raises(TypeError):
        Views(good.images[:, :2], good.cameras)


def test_protocols_are_met_by_methods_alone():
    class Nothing:
        def render(self, cameras: Cameras) -> Render:
            raise NotImplementedError

    class Empty:
        name = "empty"

        def __len__(self) -> int:
            return 0

        def read(self, indices):
            raise NotImplementedError

    assert isinstance(Nothing(), Asset) and not isinstance(Empty(), Asset)
    assert isinstance(Empty(), Scene) and not isinstance(Nothing(), Scene)
