import re

import pytest
import torch

from fewview.checkpoint import save_tensors
from fewview.nn.autoencoder import Autoencoder, AutoencoderConfig, load_stable_diffusion
from fewview.nn.compvis import from_compvis, is_compvis

CONFIG = AutoencoderConfig((8, 16, 16), blocks=1, groups=8)


def compvis_name(name: str, stages: int) -> str:
    """Our (diffusers') name as CompVis has it; written the other way round than the reader."""
    side, *words = name.split(".")
    if side not in ("encoder", "decoder"):
        return name
    if words[0] in ("down_blocks", "up_blocks"):
        i = int(words[1])
        level = f"down.{i}" if side == "encoder" else f"up.{stages - 1 - i}"
        if words[2] == "resnets":
            rest = ["nin_shortcut" if w == "conv_shortcut" else w for w in words[4:]]
            return ".".join([side, level, "block", words[3], *rest])
        return ".".join([side, level, words[2].removesuffix("rs").removesuffix("e") + "e", *words[4:]])
    if words[0] == "mid_block" and words[1] == "resnets":
        return ".".join([side, "mid", f"block_{int(words[2]) + 1}", *words[3:]])
    if words[0] == "mid_block":
        part = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out": "proj_out"}[words[3]]
        return ".".join([side, "mid", "attn_1", part, words[-1]])
    return ".".join([side, *[re.sub("^conv_norm_out$", "norm_out", w) for w in words]])


def compvis_state(model: Autoencoder) -> dict[str, torch.Tensor]:
    state = {}
    for name, tensor in model.state_dict().items():
        if ".attentions.0.to_" in name and tensor.dim() == 2:
            tensor = tensor[:, :, None, None]  # 1 x 1 convolutions
        state[compvis_name(name, len(model.config.channels))] = tensor.clone()
    return state


@pytest.mark.parametrize("prefix", ["", "first_stage_model."])
def test_a_checkpoint_of_compvis_is_the_same_autoencoder(prefix, tmp_path):
    torch.manual_seed(0)
    model = Autoencoder(CONFIG).eval()
    state = {prefix + name: tensor for name, tensor in compvis_state(model).items()}
    state |= {"model.diffusion_model.out.0.weight": torch.ones(3), f"{prefix}loss.logvar": torch.ones(1)}
    assert (
        f"{prefix}decoder.up.2.upsample.conv.weight" in state
        and f"{prefix}encoder.down.0.downsample.conv.bias" in state
    )
    torch.save({"state_dict": state, "global_step": 7}, tmp_path / "vae.ckpt")
    save_tensors(tmp_path / "vae.safetensors", state)
    for name in ("vae.ckpt", "vae.safetensors"):
        again = load_stable_diffusion(tmp_path / name)
        images = torch.rand(1, 3, 16, 16)
        latents = model.encode(images)
        torch.testing.assert_close(again.encode(images), latents)
        torch.testing.assert_close(again.decode(latents), model.decode(latents))


def test_names_of_diffusers_are_not_taken_for_compvis():
    model = Autoencoder(CONFIG)
    assert not is_compvis(model.state_dict()) and is_compvis(compvis_state(model))
    assert set(from_compvis(compvis_state(model))) == set(model.state_dict())
