"""Stable Video Diffusion's U-Net (2311.15127), as diffusers ships it, behind the interface of `MultiViewUNet`.

diffusers is optional and imported on use. Frames are ordered: its temporal convolutions see neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fewview.checkpoint import load_state, load_tensors, read_json
from fewview.config import from_json
from fewview.errors import InputError, MissingPackage
from fewview.nn.multiview_unet import noise_label

PARAMETERS = 1_524_623_082  # of UNetSpatioTemporalConditionModel at its defaults, with its last convolution


@dataclass(frozen=True)
class SVDConfig:
    """Sizes of UNetSpatioTemporalConditionModel, by diffusers' names; defaults are stable-video-diffusion-img2vid's."""

    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    down_block_types: tuple[str, ...] = (*("CrossAttnDownBlockSpatioTemporal",) * 3, "DownBlockSpatioTemporal")
    up_block_types: tuple[str, ...] = ("UpBlockSpatioTemporal", *("CrossAttnUpBlockSpatioTemporal",) * 3)
    layers_per_block: int = 2
    num_attention_heads: tuple[int, ...] = (5, 10, 20, 20)
    cross_attention_dim: int = 1024
    addition_time_embed_dim: int = 256
    projection_class_embeddings_input_dim: int = 768
    in_channels: int = 8
    fps: float = 6.0  # what the U-Net is told, as img2vid's pipeline does by default: (frames a second less one)
    motion: float = 127.0
    augmentation: float = 0.02
    checkpointing: bool = True  # recompute activations on the way back, to save memory


class SVDUNet(nn.Module):
    """The U-Net up to its last convolution. It sees no image embedding (zeros): references come in as latents.

    Noise levels differ by frame: references are clean. Camera maps are added before each block of the way down.
    """

    def __init__(self, config: SVDConfig, inputs: int):
        super().__init__()
        self.config = config
        widths = config.block_out_channels
        self.channels = widths[0]
        self.levels = (widths[0], *widths[:-1])
        self.unet = build_unet(replace(config, in_channels=inputs))
        self.unet.conv_out = nn.Identity()
        if config.checkpointing:
            self.unet.enable_gradient_checkpointing()

    def forward(
        self, latents: Float[Tensor, "b m c h w"], sigma: Float[Tensor, "b m"], poses: Sequence[Tensor]
    ) -> Float[Tensor, "b m d h w"]:
        b, m = sigma.shape
        unet, x = self.unet, self.unet.conv_in(latents.flatten(0, 1))
        where = {
            "temb": self.embedding(sigma.flatten()).to(x.dtype),
            "image_only_indicator": x.new_zeros(b, m),
        }
        words = {"encoder_hidden_states": x.new_zeros(b * m, 1, self.config.cross_attention_dim)}
        skips: list[Tensor] = [x]
        for block, pose in zip(unet.down_blocks, poses):
            x, kept = block(x + pose, **where, **(words if has_words(block) else {}))
            skips += kept
        x = unet.mid_block(x, **where, **words)
        for block in unet.up_blocks:
            count = len(block.resnets)
            skips, kept = skips[:-count], tuple(skips[-count:])
            size = skips[-1].shape[2:] if skips else None
            x = block(
                x, res_hidden_states_tuple=kept, upsample_size=size, **where, **(words if has_words(block) else {})
            )
        return unet.conv_act(unet.conv_norm_out(x)).unflatten(0, (b, m))

    def embedding(self, sigma: Float[Tensor, " n"]) -> Float[Tensor, "n e"]:
        """Of the noise levels, and of frame rate, motion and augmentation, which are constant."""
        unet, config = self.unet, self.config
        told = sigma.new_tensor([config.fps, config.motion, config.augmentation])
        extra = unet.add_time_proj(told).reshape(1, -1)
        weight = unet.conv_in.weight
        level = unet.time_embedding(unet.time_proj(noise_label(sigma)).to(weight.dtype))
        return level + unet.add_embedding(extra.to(weight.dtype))


def has_words(block: nn.Module) -> bool:
    """Whether a block of diffusers takes encoder_hidden_states."""
    return bool(getattr(block, "has_cross_attention", False))


def build_unet(config: SVDConfig) -> Any:
    """diffusers' own module with random weights; InputError where diffusers is not installed."""
    try:
        from diffusers import UNetSpatioTemporalConditionModel  # type: ignore[import-not-found]
    except ImportError:
        raise MissingPackage("This model needs diffusers; install it with: pip install diffusers") from None
    own = ("fps", "motion", "augmentation", "checkpointing")
    sizes = {f.name: getattr(config, f.name) for f in fields(config) if f.name not in own}
    return UNetSpatioTemporalConditionModel(out_channels=config.in_channels // 2, **sizes)


def svd_config(folder: Path) -> SVDConfig:
    """The sizes of a diffusers folder: the pipeline's, or its `unet` folder."""
    path = _unet_folder(folder) / "config.json"
    data = read_json(path)
    if not isinstance(data, dict) or data.get("_class_name") != "UNetSpatioTemporalConditionModel":
        raise InputError(
            f"{path} does not describe a UNetSpatioTemporalConditionModel; give Stable Video Diffusion's folder."
        )
    sizes = {f.name: data[f.name] for f in fields(SVDConfig) if f.name in data}
    if isinstance(sizes.get("num_attention_heads"), int):
        sizes["num_attention_heads"] = [sizes["num_attention_heads"]] * len(sizes["block_out_channels"])
    return from_json(SVDConfig, sizes, where=str(path))


def load_svd(model: SVDUNet, folder: Path) -> None:
    """Pre-trained weights into a model, whose further input channels start without effect (zeros)."""
    folder = _unet_folder(folder)
    plain, half = "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors"
    path = folder / (half if not (folder / plain).exists() and (folder / half).exists() else plain)
    state = {name: tensor for name, tensor in load_tensors(path).items() if not name.startswith("conv_out.")}
    want, have = model.unet.conv_in.weight, state.get("conv_in.weight")
    if have is not None and have.shape[1] < want.shape[1]:
        state["conv_in.weight"] = torch.cat(
            [have, have.new_zeros(len(have), want.shape[1] - have.shape[1], 3, 3)], dim=1
        )
    load_state(model.unet, state, where=str(path))


def _unet_folder(folder: Path) -> Path:
    return folder / "unet" if (folder / "unet").is_dir() else folder
