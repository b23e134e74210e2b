from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ggs_rooms import MICRO, lively, room

from fewview.checkpoint import save_model
from fewview.errors import InputError
from fewview.ggs.camera_encoder import CameraEncoder
from fewview.ggs.losses import LossConfig, denoiser_loss
from fewview.ggs.model import GGS
from fewview.nn.autoencoder import Autoencoder
from fewview.nn.svd import PARAMETERS, SVDConfig, SVDUNet, build_unet, load_svd, svd_config
from fewview.recipes.ggs import start

pytest.importorskip("diffusers", reason="diffusers is an optional dependency: pip install diffusers")

TINY = SVDConfig(
    block_out_channels=(32, 64),
    down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
    up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
    layers_per_block=1,
    num_attention_heads=(2, 4),
    cross_attention_dim=8,
    addition_time_embed_dim=32,
    projection_class_embeddings_input_dim=96,
    checkpointing=False,
)


def saved(folder: Path):
    """A tiny U-Net in diffusers' layout, and the module itself."""
    torch.manual_seed(0)
    unet = build_unet(TINY).eval()
    unet.save_pretrained(folder / "unet")
    return unet


def poses_of(network: SVDUNet, n: int, side: int) -> list[torch.Tensor]:
    return [torch.zeros(n, c, side >> i, side >> i) for i, c in enumerate(network.levels)]


def test_features_are_those_of_diffusers_own_forward_pass(tmp_path, generator):
    theirs = saved(tmp_path)
    ours = SVDUNet(svd_config(tmp_path), 8).eval()
    load_svd(ours, tmp_path)
    latents, sigma = torch.randn(2, 3, 8, 8, 8, generator=generator), torch.tensor([0.7, 3.0])
    told = torch.tensor([[6.0, 127.0, 0.02]]).expand(2, -1)
    expected = theirs(latents, sigma.log() / 4, torch.zeros(2, 1, 8), told).sample
    features = ours(latents, sigma[:, None].expand(2, 3), poses_of(ours, 6, 8))
    got = theirs.conv_out(features.flatten(0, 1)).unflatten(0, (2, 3))
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


def test_further_input_channels_start_without_effect(tmp_path, generator):
    saved(tmp_path)
    plain, wide = SVDUNet(TINY, 8).eval(), SVDUNet(TINY, 14).eval()
    for network in (plain, wide):
        load_svd(network, tmp_path)
    latents, sigma = torch.randn(1, 2, 14, 8, 8, generator=generator), torch.ones(1, 2)
    poses = poses_of(plain, 2, 8)
    torch.testing.assert_close(wide(latents, sigma, poses), plain(latents[:, :, :8], sigma, poses))


def test_a_config_is_read_from_the_folder(tmp_path):
    saved(tmp_path)
    assert replace(svd_config(tmp_path), checkpointing=False) == TINY


def test_references_are_told_unscaled_beside_scaled_noisy_latents(generator):
    """As diffusers' pipeline concatenates: the image's latents are not multiplied by the autoencoder's scale."""
    autoencoder = replace(MICRO.autoencoder, scale=0.25)
    model = GGS(replace(MICRO, backbone=TINY, autoencoder=autoencoder))
    told = []
    model.backbone.register_forward_pre_hook(lambda _, given: told.append(given[0]))
    clip = room(1, 2, 2, 1)
    inputs = model.inputs(clip.references, clip.targets.cameras)
    x = torch.randn(1, 2, 4, *model.config.cells, generator=generator)
    model.features(inputs, x, torch.ones(1, 2))
    (latents,) = told
    c = autoencoder.total_channels
    torch.testing.assert_close(latents[:, :2, :c], inputs.references)
    torch.testing.assert_close(latents[:, :2, c : 2 * c], inputs.references / 0.25)
    torch.testing.assert_close(latents[:, :2, c : 2 * c], model.codec.posterior(clip.references.images[0])[0][None])
    assert not latents[:, 2:, c : 2 * c].any()


def test_a_denoiser_starts_from_a_folder_of_diffusers_and_trains_on(tmp_path):
    unet = saved(tmp_path / "svd")
    save_model(tmp_path / "codec", Autoencoder(MICRO.autoencoder), MICRO.autoencoder)
    model = start(replace(MICRO, scene=True), autoencoder=tmp_path / "codec", init=tmp_path / "svd")
    assert isinstance(model.backbone, SVDUNet) and replace(model.config.backbone, checkpointing=False) == TINY
    theirs, ours = unet.state_dict(), model.backbone.unet.state_dict()
    same = [name for name in ours if name != "conv_in.weight"]
    assert len(same) > 100 and all(torch.equal(ours[name], theirs[name]) for name in same)
    assert torch.equal(ours["conv_in.weight"][:, :8], theirs["conv_in.weight"])
    assert not ours["conv_in.weight"][:, 8:].any()
    before = {name: tensor.clone() for name, tensor in ours.items()}
    model.requires_grad_(True).train()
    optimiser = torch.optim.SGD(model.backbone.parameters(), lr=1e-2)
    denoiser_loss(model, room(1, 2, 2, 1), LossConfig(), generator=torch.Generator().manual_seed(0))["loss"].backward()
    optimiser.step()
    assert any(not torch.equal(before[name], t) for name, t in model.backbone.unet.state_dict().items())


def test_other_folders_are_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    with pytest.raises(InputError, match="Stable Video Diffusion"):
        svd_config(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        svd_config(tmp_path / "nowhere")


def test_frames_may_have_any_size(generator):
    network = SVDUNet(TINY, 8).eval()
    latents = torch.randn(1, 2, 8, 10, 6, generator=generator)
    maps = CameraEncoder(network.levels, 1, width=8)(
        room(1, 1, 1, 0, size=16).references.cameras.resized(10, 6)[:, [0, 0]]
    )
    assert network(latents, torch.ones(1, 2), maps).shape == (1, 2, 32, 10, 6)


def test_the_full_size_has_the_published_number_of_parameters():
    with torch.device("meta"):
        unet = build_unet(SVDConfig())
        ours = SVDUNet(SVDConfig(), 8)
    count = lambda module: sum(p.numel() for p in module.parameters())
    assert count(unet) == PARAMETERS
    assert count(ours) == PARAMETERS - count(unet.conv_out)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_ggs_trains_on_this_backbone(generator, checkpointing):
    model = lively(GGS(replace(MICRO, backbone=replace(TINY, checkpointing=checkpointing))))
    with torch.autocast("cpu", torch.bfloat16):
        losses = denoiser_loss(model, room(1, 2, 2, 1), LossConfig(), generator=generator)
    losses["loss"].backward()
    reached = [bool(p.grad is not None and p.grad.any()) for p in model.backbone.parameters()]
    assert sum(reached) > 0.8 * len(reached)  # all but what meets the image embedding, which is zero
