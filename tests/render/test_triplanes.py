import torch

from fewview.render.triplanes import triplanes, triplanes_torch


def test_the_kernel_gives_the_values_and_gradients_of_its_twin(generator):
    """Points beyond the box, and boxes without points, among them."""
    planes = torch.randn(3, 3, 5, 7, 6, generator=generator, requires_grad=True)
    points = torch.rand(50, 3, generator=generator) * 2.6 - 1.3
    offsets = torch.tensor([0, 20, 20, 50])
    fast, slow = triplanes(planes, points, offsets), triplanes_torch(planes, points, offsets)
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-6)
    weights = torch.randn(fast.shape, generator=generator)
    gradients = [torch.autograd.grad((weights * out).sum(), planes)[0] for out in (fast, slow)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6)


def test_planes_that_hold_their_own_coordinates_give_them_back():
    """Bilinear sampling keeps straight lines: column + 10 row of each plane, at points inside the cell centres."""
    cells = 8
    middle = (torch.arange(cells) + 0.5) / cells * 2 - 1
    plane = middle[None, :] + 10 * middle[:, None]
    channels = torch.zeros(1, 3, 3, cells, cells)
    for i in range(3):
        channels[0, i, i] = plane
    points = torch.tensor([[0.3, -0.2, 0.5], [-0.8, 0.7, 0.1]])
    x, y, z = points.unbind(-1)
    expected = torch.stack([x + 10 * y, x + 10 * z, y + 10 * z], dim=-1)
    torch.testing.assert_close(triplanes(channels, points, torch.tensor([0, 2])), expected)
