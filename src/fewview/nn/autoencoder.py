"""The KL autoencoder of latent diffusion (Rombach et al., 2112.10752), with diffusers' parameter names.

One class serves the small one that we train and Stable Diffusion's: only the config differs.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from fewview.checkpoint import load_foreign, load_state
from fewview.errors import InputError
from fewview.nn.compvis import from_compvis, is_compvis
from fewview.processes import own, whole


@dataclass(frozen=True)
class AutoencoderConfig:
    """Defaults are Stable Diffusion v1's kl-f8: 256x256x3 to 32x32x4."""

    channels: tuple[int, ...] = (128, 256, 512, 512)  # one per resolution; each further one halves the size
    blocks: int = 2
    latent_channels: int = 4
    groups: int = 32
    scale: float = 0.18215  # makes latents of unit variance
    middle_attention: bool = True
    chroma_scale: float = 0.0  # ours: above 0, two more latent channels hold chroma at latent resolution, times this

    @property
    def total_channels(self) -> int:
        """Channels of what `encode` returns."""
        return self.latent_channels + (2 if self.chroma_scale else 0)

    @property
    def factor(self) -> int:
        """Pixels per latent cell."""
        return 2 ** (len(self.channels) - 1)


class ResBlock(nn.Module):
    """GroupNorm, SiLU, convolution, twice, around a shortcut."""

    def __init__(self, inputs: int, outputs: int, groups: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inputs, eps=1e-6)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, outputs, eps=1e-6)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        hidden = self.conv1(F.silu(self.norm1(x)))
        return self.conv_shortcut(x) + self.conv2(F.silu(self.norm2(hidden)))


class Attention(nn.Module):
    """One-head self-attention over all cells of a map."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        tokens = self.group_norm(x).flatten(2).mT
        mixed = F.scaled_dot_product_attention(self.to_q(tokens), self.to_k(tokens), self.to_v(tokens))
        return x + self.to_out[0](mixed).mT.reshape(x.shape)


class Resample(nn.Module):
    """Halve (stride 2, padded right and below) or double (nearest) the resolution, with a convolution."""

    def __init__(self, channels: int, *, down: bool):
        super().__init__()
        self.down = down
        self.conv = nn.Conv2d(channels, channels, 3, stride=2 if down else 1, padding=0 if down else 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
        return self.conv(F.pad(x, (0, 1, 0, 1)) if self.down else F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Stage(nn.Module):
    """Residual blocks at one resolution, then a change of resolution."""

    def __init__(self, widths: tuple[int, int], config: AutoencoderConfig, blocks: int, *, resample: str | None):
        super().__init__()
        sizes = [widths[0]] + [widths[1]] * blocks
        self.resnets = nn.ModuleList(ResBlock(a, b, config.groups) for a, b in pairwise(sizes))
        if resample == "down":
            self.downsamplers = nn.ModuleList([Resample(widths[1], down=True)])
        if resample == "up":
            self.upsamplers = nn.ModuleList([Resample(widths[1], down=False)])

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        for block in self.resnets:
            x = block(x)
        for resample in [*getattr(self, "downsamplers", []), *getattr(self, "upsamplers", [])]:
            x = resample(x)
        return x


class Middle(nn.Module):
    """Block, attention, block at the lowest resolution."""

    def __init__(self, channels: int, config: AutoencoderConfig):
        super().__init__()
        self.resnets = nn.ModuleList(ResBlock(channels, channels, config.groups) for _ in range(2))
        self.attentions = nn.ModuleList([Attention(channels, config.groups)] if config.middle_attention else [])

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        x = self.resnets[0](x)
        for attention in self.attentions:
            x = attention(x)
        return self.resnets[1](x)


class Encoder(nn.Module):
    """Images in [-1, 1] to mean and log variance."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        widths = config.channels
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        pairs = list(zip((widths[0], *widths), widths))
        last = len(pairs) - 1
        self.down_blocks = nn.ModuleList(
            Stage(pair, config, config.blocks, resample="down" if i < last else None) for i, pair in enumerate(pairs)
        )
        self.mid_block = Middle(widths[-1], config)
        self.conv_norm_out = nn.GroupNorm(config.groups, widths[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(widths[-1], 2 * config.latent_channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b c h w"]:
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))


class Decoder(nn.Module):
    """Latents to images in [-1, 1]."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        widths = config.channels[::-1]
        self.conv_in = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.mid_block = Middle(widths[0], config)
        pairs = list(zip((widths[0], *widths), widths))
        last = len(pairs) - 1
        self.up_blocks = nn.ModuleList(
            Stage(pair, config, config.blocks + 1, resample="up" if i < last else None) for i, pair in enumerate(pairs)
        )
        self.conv_norm_out = nn.GroupNorm(config.groups, widths[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, z: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 height width"]:
        x = self.mid_block(self.conv_in(z))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class Autoencoder(nn.Module):
    """Images in [0, 1] to scaled latents and back; a Codec."""

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.quant_conv = nn.Conv2d(2 * config.latent_channels, 2 * config.latent_channels, 1)
        self.post_quant_conv = nn.Conv2d(config.latent_channels, config.latent_channels, 1)

    def posterior(self, images: Float[Tensor, "b 3 height width"]) -> tuple[Tensor, Tensor]:
        """Mean and log variance (clamped to [-30, 20]) of q(z | image), unscaled."""
        mean, logvar = self.quant_conv(self.encoder(images * 2 - 1)).chunk(2, dim=1)
        return mean, logvar.clamp(-30, 20)

    def encode(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channels h w"]:
        """The posterior's mode, times `scale`; then chroma, if so configured."""
        latents = self.posterior(images)[0] * self.config.scale
        if not self.config.chroma_scale:
            return latents
        return torch.cat([latents, self.chroma(images)], dim=1)

    def decode(self, latents: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch 3 height width"]:
        """Images, nominally in [0, 1], not clamped."""
        if not self.config.chroma_scale:
            return (self.decoder(self.post_quant_conv(latents / self.config.scale)) + 1) / 2
        detail, chroma = latents.split([self.config.latent_channels, 2], dim=1)
        grey = (self.decoder(self.post_quant_conv(detail / self.config.scale)) + 1) / 2
        red, blue = (chroma / self.config.chroma_scale).split(1, dim=1)
        colour = torch.cat([red, -red - blue, blue], dim=1)
        return grey + F.interpolate(colour, grey.shape[-2:], mode="bilinear", align_corners=False)

    def chroma(self, images: Float[Tensor, "b 3 height width"]) -> Float[Tensor, "b 2 h w"]:
        """`chroma_of` latent cells, at about unit variance.

        A small network with few latents spends them all on luminance and takes very long to find colour by itself.
        """
        return chroma_of(images, self.config.factor) * self.config.chroma_scale


def chroma_of(images: Float[Tensor, "b 3 height width"], factor: int) -> Float[Tensor, "b 2 h w"]:
    """Red and blue less the mean channel, averaged over cells: JPEG's subsampling, which needs no learning."""
    return F.avg_pool2d((images - images.mean(1, keepdim=True))[:, [0, 2]], factor)


def kl_divergence(mean: Float[Tensor, "b c h w"], logvar: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    """Mean over cells of KL(q(z | image) || N(0, 1)), in nats per number."""
    return 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()


def load_stable_diffusion(path: Path) -> Autoencoder:
    """Stable Diffusion's autoencoder from a diffusers-format file or folder (vae/diffusion_pytorch_model.safetensors),
    or from a checkpoint (.ckpt, .safetensors) as CompVis saved it, of it alone or of the whole model.

    Both of diffusers' namings of the attention layers (query/key/value/proj_attn and to_q/to_k/to_v/to_out.0) are read.
    """
    if path.is_dir():
        candidates = [
            path / "diffusion_pytorch_model.safetensors",
            path / "vae" / "diffusion_pytorch_model.safetensors",
        ]
        path = next((file for file in candidates if file.is_file()), candidates[0])
    state = load_foreign(path)
    state = from_compvis(state) if is_compvis(state) else {_renamed(name): t for name, t in state.items()}
    config = _config_of(state, path)
    model = Autoencoder(config)
    own = model.state_dict()
    state = {n: t.reshape(own[n].shape) if n in own and t.numel() == own[n].numel() else t for n, t in state.items()}
    load_state(model, state, where=str(path))
    return model.eval()


def _renamed(name: str) -> str:
    for old, new in {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}.items():
        name = name.replace(f".attentions.0.{old}.", f".attentions.0.{new}.")
    return name


def _config_of(state: dict[str, Tensor], path: Path) -> AutoencoderConfig:
    """The sizes of an autoencoder, read off its tensors."""
    try:
        stages = 1 + max(int(name.split(".")[2]) for name in state if name.startswith("encoder.down_blocks."))
        blocks = 1 + max(int(name.split(".")[4]) for name in state if name.startswith("encoder.down_blocks.0.resnets."))
        channels = tuple(state[f"encoder.down_blocks.{i}.resnets.0.conv1.weight"].shape[0] for i in range(stages))
        latent = state["post_quant_conv.weight"].shape[0]
    except (KeyError, ValueError, IndexError):
        raise InputError(f"{path} does not hold a diffusers AutoencoderKL; give the vae folder of the model.") from None
    groups = min(32, *channels)
    attention = "encoder.mid_block.attentions.0.to_q.weight" in state
    return AutoencoderConfig(channels, blocks, latent, groups, middle_attention=attention)


def gaussian_sample(
    mean: Float[Tensor, "b c h w"], logvar: Float[Tensor, "b c h w"], generator: torch.Generator | None = None
) -> Float[Tensor, "b c h w"]:
    """One draw of the posterior."""
    device = mean.device if generator is None else generator.device
    shape = whole(len(mean), generator), *mean.shape[1:]
    noise = own(torch.randn(shape, generator=generator, device=device, dtype=mean.dtype), generator)
    return mean + (0.5 * logvar).exp() * noise.to(mean.device)
