import pytest
import torch
from baselines.scenes import CLASSES, SIZE, network, pixels, scene, turn

from fewview.baselines.lfn import LFN
from fewview.baselines.rays import RayTask, held_out_psnr, ray_loss
from fewview.cameras import pixel_centres
from fewview.views import Views

NAMES = list(CLASSES)
IN_WORLD = ("nerformer", "lfn")  # they are told where the world's axes are


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_ranges(name):
    context, queries = scene(queries=2)
    seen = network(name)(network(name).encode(context.whole()), queries.cameras, pixels(queries=2))
    for colours in seen:
        assert colours.shape in ((1, 2, 12, 3), (1, 2, 12, 4))
        assert colours.min() >= 0 and colours.max() <= 1 + 1e-5


@pytest.mark.parametrize("name", [name for name in NAMES if name not in IN_WORLD])
def test_only_relative_poses_matter(name):
    context, queries = scene()
    net = network(name)
    before = net(net.encode(context.whole()), queries.cameras, pixels())[-1]
    moved = context.transformed(turn()).whole()
    after = net(net.encode(moved), queries.cameras.transformed(turn()), pixels())[-1]
    torch.testing.assert_close(before, after, atol=2e-3, rtol=0)
    assert before.std() > 0 or name == "srt"


@pytest.mark.parametrize("name", NAMES)
def test_context_order_does_not_matter(name):
    """SRT's first view gives the frame, so there it is the order of the others."""
    context, queries = scene(context=3)
    net, order = network(name), [0, 2, 1] if name == "srt" else [2, 0, 1]
    if isinstance(net, LFN):
        pytest.skip("its latent is fitted to random rays of the views")
    before = net(net.encode(context.whole()), queries.cameras, pixels())[-1]
    after = net(net.encode(context[:, order].whole()), queries.cameras, pixels())[-1]
    torch.testing.assert_close(before, after, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "lfn"])
def test_steps_lower_the_loss(name):
    context, queries = scene()
    net = network(name).train()
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    losses = []
    for _ in range(6):
        loss = ray_loss(net, context, queries, rays=64, generator=torch.Generator().manual_seed(0))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert min(losses[1:]) < losses[0]


@pytest.mark.parametrize("name", ["pixelnerf", "nerformer", "gpnr"])
def test_every_pass_learns(name):
    """PixelNeRF's coarse field, and GPNR's blend, have gradients of their own."""
    context, queries = scene()
    net = network(name).train()
    ray_loss(net, context, queries, rays=16, generator=torch.Generator().manual_seed(0))["loss"].backward()
    silent = [n for n, p in net.named_parameters() if p.grad is None]
    assert silent == []


def test_a_picture_is_the_colours_at_pixel_centres():
    context, queries = scene()
    net = network("gpnr")
    drawn = net.picture(net.look(context[0]), queries.cameras[0, 0])
    centres = pixel_centres(SIZE, SIZE).reshape(1, 1, -1, 2)
    colours = net(net.encode(context.whole()), queries.cameras, centres)[-1][0, 0]
    assert torch.allclose(drawn.flatten(1).mT, colours, atol=1e-5)


def test_the_validation_is_the_same_each_time_and_knows_the_truth():
    context, queries = scene()
    net = network("gpnr")
    assert held_out_psnr(net, context, queries) == held_out_psnr(net, context, queries)
    torch.nn.init.zeros_(net.colour.weight)
    torch.nn.init.constant_(net.colour.bias, -30.0)
    black = Views(torch.zeros_like(queries.images), queries.cameras, queries.masks)
    assert held_out_psnr(net, context, black) > 90
    task = RayTask(net, lambda generator: (context, queries), {"clean_": (context, queries)})
    assert set(task.validate(net)) == {"clean_psnr"}
