import pytest
import torch
from wild_balls import MICRO

from fewview.render.triplanes import triplanes
from fewview.wildfusion.encoder import encoder_input
from fewview.wildfusion.frame import BOUND, in_box, input_cameras, orbit
from fewview.wildfusion.losses import depth_loss, shrunk_depth
from fewview.wildfusion.model import WildAutoencoder
from fewview.wildfusion.renderer import FAINT, PlaneField, low_res


class Slab(PlaneField):
    """Opaque where the first feature is positive, whose colour is the second."""

    def forward(self, x):
        return 200.0 * (x[:, 0] > 0), x[:, 1:2].expand(-1, 4)


def slab(front: float, cells: int = 64) -> torch.Tensor:
    """Planes whose first feature is positive where z > front; the second is 0.5 everywhere."""
    z = ((torch.arange(cells) + 0.5) / cells * 2 - 1) * BOUND
    planes = torch.zeros(1, 3, 2, cells, cells)
    planes[0, 1, 0] = (z - front)[:, None]  # rows of the plane (x, z)
    planes[0, 0, 1] = 0.5
    return planes


def test_a_slab_is_seen_at_its_depth_and_colour():
    seen = low_res(Slab(2, 2, 4), slab(0.3), input_cameras(1, 8), samples=96)
    torch.testing.assert_close(seen.z, torch.full_like(seen.z, 0.3), atol=0.03, rtol=0)
    torch.testing.assert_close(seen.image, torch.full_like(seen.image, 0.5), atol=0.01, rtol=0)
    assert float(seen.alpha.min()) > 0.98


def test_the_first_plane_lies_on_the_photo():
    """What P0 shows left of the middle is the left half of the plane, at any depth."""
    left = slab(0.3)
    left[0, 0, 1, :, 32:] = 0.0
    seen = low_res(Slab(2, 2, 4), left, input_cameras(1, 8), samples=96).image[0, 0]
    torch.testing.assert_close(seen[:, :4], torch.full((8, 4), 0.5), atol=0.01, rtol=0)
    assert float(seen[:, 4:].abs().max()) < 0.01
    points = torch.tensor([[0.3, -0.2, 0.5], [0.1, 0.7, -0.9]])
    pixels, _ = input_cameras(1, 2).project(points[None])
    torch.testing.assert_close(in_box(points)[:, :2], pixels[0] - 1)


def test_chroma_reaches_the_colours_without_learning():
    """The photo's own, inside the mask up to its rim, whatever the untrained networks make."""
    torch.manual_seed(0)
    model, field = WildAutoencoder(MICRO), PlaneField(8, 8, 8, chroma=True)
    masks = torch.zeros(1, 1, 16, 16)
    masks[..., 4:13, 3:12] = 1
    images = torch.tensor([0.6, 0.3, 0.3])[:, None, None] * masks
    planes = model.planes(model.latents(torch.zeros(1, 2, 4, 4), images, masks))
    points = torch.tensor([[0.0, 0.0, 0.0], [0.4, 0.4, -0.2], [-0.5, 0.1, 0.7]])
    chroma = triplanes(planes[:, :, -2:], in_box(points), torch.tensor([0, 3]))
    torch.testing.assert_close(chroma, torch.tensor([[0.2, -0.1]] * 3), atol=1e-3, rtol=0)
    torch.nn.init.zeros_(field.first.weight[:, -2:])
    grey, red = (field(torch.cat([torch.ones(3, 6), c], dim=1))[1][:, :3] for c in (0 * chroma, chroma))
    torch.testing.assert_close(red - grey, torch.tensor([[0.2, -0.1, -0.1]] * 3), atol=2e-3, rtol=0)


def test_depth_of_a_novel_view_is_relative_to_the_middle():
    """The face of the slab passes through the origin, which is z = 0 for every camera on the orbit."""
    seen = low_res(Slab(2, 2, 4), slab(0.0), orbit(torch.tensor([0.5]), torch.tensor([0.0]), 9), samples=192)
    assert float(seen.z[0, 0, 4, 4]) == pytest.approx(0.0, abs=0.03)
    assert float(seen.z[0, 0, 4, 7]) < -0.1 < 0.1 < float(seen.z[0, 0, 4, 1])  # the camera stands to the right


def test_a_new_field_is_half_transparent():
    density, features = (part.detach() for part in PlaneField(4, 8, 6)(torch.zeros(3, 4)))
    assert 0 < float(density.max()) * 2 * BOUND < 3 and features[:, :3].min() > 0 and FAINT > 0


def test_super_resolution_starts_as_the_enlarged_colours():
    torch.manual_seed(0)
    model = WildAutoencoder(MICRO)
    planes = model.planes(torch.randn(2, MICRO.channels, 4, 4))
    low = model.low_res(planes, input_cameras(2, 16))
    images = model.upsample(low)
    assert images.shape == (2, 3, 16, 16) and low.z.shape == (2, 1, 8, 8)
    torch.testing.assert_close(images.mean((2, 3)), low.image.mean((2, 3)))


def test_without_depth_the_encoder_sees_none():
    photo, mask, depth = torch.rand(2, 3, 8, 8), torch.ones(2, 1, 8, 8), torch.rand(2, 1, 8, 8)
    seen = encoder_input(photo, mask, depth, known=torch.tensor([1.0, 0.0]))
    assert float(seen[1, 4].abs().max()) == 0 and seen[0, 4].equal(depth[0, 0])
    assert seen[0, 5].unique().tolist() == [1.0] and seen[1, 5].unique().tolist() == [-1.0]


def test_rims_of_depth_are_not_compared():
    z = torch.zeros(1, 1, 4, 4)
    z[..., 2:] = -0.5
    known = (z != 0).float()
    known[..., 2, 2] = 0
    small, certain = shrunk_depth(z, known, 2)
    assert certain[0, 0].tolist() == [[0, 1], [0, 0]] and float(small[0, 0, 0, 1]) == -0.5
    assert float(depth_loss(small + 0.2, small, certain)) == pytest.approx(0.2)
