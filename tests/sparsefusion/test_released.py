import dataclasses

import pytest
import torch
from nn.plain_unet import plain_unet, unet_state
from sparsefusion.plain_eft import eft_state, plain_eft

from fewview.cameras import Cameras
from fewview.checkpoint import load_state
from fewview.nn.unet import UNet, UNetConfig
from fewview.recipes import sparsefusion
from fewview.sparsefusion.eft import EFT, EFTConfig
from fewview.sparsefusion.released import eft_from_release, unet_from_release
from fewview.views import Views

CONFIG = EFTConfig(
    16, (2, 2, 2), hidden=16, octaves=3, depth_samples=6, depth_range=2.5,
    depth_centre="scene",
    view_ray="middle", sampling="corners",
)  # fmt: skip
UNET = UNetConfig(
    4, 16, (1, 2, 2), (2, 2, 2), (False, False, True), cond_images_channels=6, head_dim=8, heads=4, token_keys=True
)
SIZE = 32


def released_eft(generator) -> tuple[dict, EFT]:
    state = eft_state(CONFIG.dim, 2, CONFIG.octaves, generator)
    eft = EFT(CONFIG).eval()
    load_state(eft, eft_from_release(state, CONFIG), where="test")
    return state, eft


def scene(generator, views: int = 3) -> tuple[Views, Cameras, torch.Tensor]:
    """Context views, a query camera, and image points of it; some rays leave the context's images."""
    directions = torch.nn.functional.normalize(torch.randn(1, views + 1, 3, generator=generator), dim=-1)
    centres = directions * torch.linspace(3.7, 4.3, views + 1)[:, None]
    aim = 0.3 * torch.randn(1, views + 1, 3, generator=generator)
    cameras = Cameras.look_at(centres, aim, torch.tensor([0.1, 0.2, 1.0]), focal=35.0, height=SIZE, width=SIZE)
    shifted = cameras.intrinsics + torch.tensor([[0, 0, 1.5], [0, 2.0, -2.5], [0, 0, 0]])
    cameras = dataclasses.replace(cameras, intrinsics=shifted)
    images = torch.rand(1, views, 3, SIZE, SIZE, generator=generator)
    pixels = SIZE * torch.rand(1, 1, 5, 2, generator=generator)
    return Views(images, cameras[:, :views]), cameras[:, views:], pixels


def pytorch3d(cameras: Cameras, query: Cameras) -> list[tuple[torch.Tensor, ...]]:
    """(R, T, focal, principal point) in the frame of the query camera, x left and y up, image points in [-1, 1]."""
    flip = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))
    result = []
    for pose, k in zip(cameras.cam_from_world[0], cameras.intrinsics[0]):
        motion = pose @ query.world_from_cam[0, 0]
        focal = torch.stack([k[0, 0], k[1, 1]]) * 2 / SIZE
        principal = 1 - k[:2, 2] * 2 / SIZE
        result.append(((flip @ motion[:3, :3] @ flip).T, flip @ motion[:3, 3], focal, principal))
    return result


def plain(state: dict, context: Views, query: Cameras, pixels: torch.Tensor, **options) -> tuple:
    s = float(context.cameras.centers.norm(dim=-1).mean())
    rays = query.in_cam(pixels)[0, 0] * torch.tensor([-1.0, -1.0, 1.0])
    cameras = pytorch3d(context.cameras, query)
    sizes = {"near": s - 2.5, "far": s + 2.5, "samples": 6, "octaves": CONFIG.octaves}
    return plain_eft(state, context.images[0], cameras, rays, **sizes, **options)


def test_eft_of_released_weights_equals_the_equations_written_down_again(generator):
    state, eft = released_eft(generator)
    context, query, pixels = scene(generator)
    with torch.no_grad():
        colours, features = eft(eft.encode(context), query, pixels)
    expected = plain(state, context, query, pixels)
    torch.testing.assert_close(colours[0, 0], expected[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(features[0, 0], expected[1], atol=1e-5, rtol=1e-5)
    assert float(colours.std(dim=2).mean()) > 1e-3  # rays differ


@pytest.mark.parametrize("change", [{"view_ray": "average"}, {"sampling": "seen"}, {"depth_centre": "query"}])
def test_each_option_of_the_release_matters(generator, change):
    _, eft = released_eft(generator)
    context, query, pixels = scene(generator)
    other = EFT(dataclasses.replace(CONFIG, **change)).eval()
    other.load_state_dict(eft.state_dict())
    with torch.no_grad():
        mine, theirs = (net(net.encode(context), query, pixels)[1] for net in (eft, other))
    assert not torch.allclose(mine, theirs, atol=1e-4)


def test_batch_statistics_are_the_contexts_own_and_change_nothing_learned(generator):
    state, _ = released_eft(generator)
    config = dataclasses.replace(CONFIG, batch_statistics=True)
    eft = EFT(config)
    load_state(eft, eft_from_release(state, config), where="test")
    eft.eval()
    context, query, pixels = scene(generator)
    with torch.no_grad():
        _, features = eft(eft.encode(context), query, pixels)
    expected = plain(state, context, query, pixels, batch_statistics=True)[1]
    torch.testing.assert_close(features[0, 0], expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(eft.backbone.bn1.running_mean, state["encoder_model.bn1.running_mean"])


def test_depths_are_centred_by_the_cameras_of_the_scene_that_are_given(generator):
    _, eft = released_eft(generator)
    context, query, pixels = scene(generator)
    far = Cameras(query.world_from_cam.clone(), query.intrinsics, SIZE, SIZE)
    far.world_from_cam[..., :3, 3] *= 10
    _, depths = eft.query_rays(query, pixels, eft.encode(context, scene=far).distance)
    assert depths.mean() == pytest.approx(43.0, rel=1e-4)


def test_unet_of_released_weights_equals_its_parts_written_down_again(generator):
    sizes = {"channels": 4, "condition": 6, "dim": 16, "mults": (1, 2, 2), "blocks": 2, "heads": 4, "head_dim": 8}
    state = unet_state(**sizes, generator=generator)
    unet = UNet(UNET).eval()
    load_state(unet, unet_from_release({f"unets.0.{n}": t for n, t in state.items()}), where="test")
    x, condition = torch.randn(2, 4, 8, 8, generator=generator), torch.randn(2, 6, 8, 8, generator=generator)
    logsnr = torch.tensor([-1.3, 4.0])
    expected = plain_unet(state, x, logsnr, condition, heads=4)
    with torch.no_grad():
        torch.testing.assert_close(unet(x, logsnr, condition), expected, atol=1e-5, rtol=1e-5)
    assert expected.std() > 0.05


def test_the_release_has_the_names_and_shapes_of_our_networks_at_full_size():
    with torch.device("meta"):
        generator = None  # meta tensors draw nothing
        model_eft, model_unet = EFT(sparsefusion.release().eft), UNet(sparsefusion.release().unet)
        eft = eft_from_release(eft_state(256, 4, 6, generator), EFTConfig())
        unet = unet_from_release(
            unet_state(channels=4, condition=256, dim=256, mults=(1, 2, 4, 4), blocks=2, generator=generator)
        )
    for model, state in ((model_eft, eft), (model_unet, unet)):
        own = model.state_dict()
        assert {n: tuple(t.shape) for n, t in own.items()} == {n: tuple(t.shape) for n, t in state.items()}
