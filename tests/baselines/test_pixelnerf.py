from dataclasses import replace

import torch
from baselines.scenes import SMALL, network, pixels, scene
from torch.nn import functional as F

from fewview.baselines.pixelnerf import PixelNeRF, PixelNeRFConfig


def test_paper_size_has_the_numbers_of_parameters_of_the_paper_s_layers():
    """B.1: a first layer of 42 inputs, three linear layers on 512 features, five residual blocks, four outputs."""
    with torch.device("meta"):
        net = PixelNeRF(PixelNeRFConfig())
    square = 512 * 512 + 512
    mlp = (42 * 512 + 512) + 3 * square + 5 * 2 * square + (512 * 4 + 4)
    count = lambda module: sum(p.numel() for p in module.parameters())
    assert count(net.coarse) == count(net.fine) == mlp == 3_438_596
    assert count(net.backbone) == 8_170_304  # torchvision's ResNet-34 without layer4 (13,114,368) and fc (513,000)


def test_embedding_before_sampling_changes_no_number():
    context, queries = scene()
    fast = network("pixelnerf")
    slow = PixelNeRF(replace(SMALL["pixelnerf"], embed_first=False)).eval()
    slow.load_state_dict(fast.state_dict())
    a, b = (net(net.encode(context.whole()), queries.cameras, pixels()) for net in (fast, slow))
    for x, y, close in zip(a, b, (1e-4, 1e-2)):  # the fine pass' places follow rounding
        torch.testing.assert_close(x, y, atol=close, rtol=0)


def test_the_field_equals_the_paper_s_equations_point_by_point():
    """Eq. 4 and 5, one point and one view after the other."""
    context, _ = scene()
    net = network("pixelnerf")
    views, maps = PixelNeRF(replace(SMALL["pixelnerf"], embed_first=False)).encode(context.whole())
    mlp = net.fine
    torch.nn.init.normal_(mlp.blocks[4].second.weight, std=0.3)
    generator = torch.Generator().manual_seed(3)
    points, direction = 0.6 * torch.randn(1, 1, 4, 3, generator=generator), F.normalize(torch.ones(1, 1, 3), dim=-1)
    slow_net = PixelNeRF(replace(SMALL["pixelnerf"], embed_first=False))
    density, colours = slow_net._field(mlp, views, maps[0])(points, direction)
    for k in range(4):
        between = []
        for m in range(2):
            cam_from_world = views.cameras.cam_from_world[0, m]
            x = cam_from_world[:3, :3] @ points[0, 0, k] + cam_from_world[:3, 3]
            d = cam_from_world[:3, :3] @ direction[0, 0]
            waves = [x]
            for wave in (torch.sin, torch.cos):
                waves += [torch.stack([wave(1.5 * 2**o * c) for c in x for o in range(6)])]
            image = views.cameras.intrinsics[0, m] @ x
            at = image[:2] / image[2] / views.cameras.width * 2 - 1
            w = F.grid_sample(maps[0][0, m][None], at.reshape(1, 1, 1, 2), align_corners=False, padding_mode="border")
            w = mlp.inject(w.flatten())
            y = mlp.first(torch.cat([*waves, d]))
            for i in range(3):
                y = y + w.chunk(3)[i]
                block = mlp.blocks[i]
                y = y + block.second(F.relu(block.first(F.relu(y))))
            between.append(y)
        y = torch.stack(between).mean(0)
        for block in mlp.blocks[3:]:
            y = y + block.second(F.relu(block.first(F.relu(y))))
        y = mlp.last(F.relu(y))
        torch.testing.assert_close(density[0, 0, k], F.softplus(y[0] - 1), atol=1e-4, rtol=0)
        torch.testing.assert_close(colours[0, 0, k], y[1:].sigmoid(), atol=1e-4, rtol=0)
