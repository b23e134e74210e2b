import torch
from baselines.scenes import scene

from fewview.baselines.features import Pyramid, at_size, pixel_aligned


def parameters(module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_a_resnet_34_has_the_published_number_of_parameters():
    """torchvision's documentation: 21,797,672 of resnet34, of which fc has 513,000; 11,689,512 of resnet18."""
    with torch.device("meta"):
        assert parameters(Pyramid(34, 4)) == 21_797_672 - 513_000
        assert parameters(Pyramid(18, 4)) == 11_689_512 - 513_000


def test_maps_halve_from_stage_to_stage():
    maps = Pyramid(18, 4)(torch.rand(1, 3, 64, 64))
    assert [tuple(x.shape[1:]) for x in maps] == [(64, 32, 32), (64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2)]
    assert at_size([x[None] for x in maps], 8, 8).shape == (1, 1, 1024, 8, 8)


def test_a_map_of_image_points_says_where_a_point_is_seen():
    context, _ = scene()
    size = context.cameras.width
    y, x = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    maps = torch.stack([x, y]).expand(1, 2, 2, size, size)
    points = 0.5 * torch.randn(1, 9, 3, generator=torch.Generator().manual_seed(0))
    found, seen = pixel_aligned(maps, context, points)
    expected, _ = context.cameras.project(points[:, None].expand(-1, 2, -1, -1))
    assert seen.all()
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)
