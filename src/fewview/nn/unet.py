"""The denoising UNet of the thesis (Tables A.2 and A.3), built as Imagen's (Saharia et al., 2205.11487) without text.

Letters: b batch, c and d channels, h and w cells. The condition is a feature map that is concatenated to the input.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class UNetConfig:
    """Defaults are the thesis' 400 M parameters (Table A.2), but for `token_keys`."""

    channels: int = 4
    dim: int = 256
    dim_mults: tuple[int, ...] = (1, 2, 4, 4)
    num_resnet_blocks: tuple[int, ...] = (2, 2, 2, 2)
    layer_attns: tuple[bool, ...] = (False, False, False, True)
    cond_images_channels: int = 256
    kernels: tuple[int, int, int] = (3, 7, 15)  # of the first convolutions (release)
    groups: int = 8
    heads: int = 8
    head_dim: int = 64
    time_harmonics: int = 16  # learned frequencies of the log-SNR embedding (release)
    time_tokens: int = 2  # the middle blocks attend to these (release); 0 leaves that attention out
    token_keys: bool = False  # self-attention of levels sees them as well, if there are any (release: yes)


class ChannelNorm(nn.Module):
    """Layer norm over the channels of a map, with a gain and no offset."""

    def __init__(self, channels: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        return F.layer_norm(x, x.shape[-1:], self.gain)


class TimeEmbedding(nn.Module):
    """log-SNR to a vector of 4 dim, through learned frequencies; and to tokens for the middle blocks."""

    def __init__(self, config: UNetConfig):
        super().__init__()
        width = 4 * config.dim
        self.frequencies = nn.Parameter(torch.randn(config.time_harmonics // 2))
        self.hidden = nn.Sequential(nn.Linear(config.time_harmonics + 1, width), nn.SiLU())
        self.vector = nn.Linear(width, width)
        self.tokens = nn.Linear(width, config.dim * config.time_tokens) if config.time_tokens else None
        self.norm = nn.LayerNorm(config.dim) if config.time_tokens else None

    def forward(self, logsnr: Float[Tensor, " b"]) -> tuple[Float[Tensor, "b width"], Float[Tensor, "b n c"] | None]:
        angles = 2 * math.pi * logsnr[:, None] * self.frequencies
        hidden = self.hidden(torch.cat([logsnr[:, None], angles.sin(), angles.cos()], dim=-1))
        if self.tokens is None or self.norm is None:
            return self.vector(hidden), None
        tokens = self.tokens(hidden).unflatten(-1, (-1, self.norm.normalized_shape[0]))
        return self.vector(hidden), self.norm(tokens)


class CrossEmbed(nn.Module):
    """Convolutions of three sizes side by side, with a half, a quarter and a quarter of the channels."""

    def __init__(self, inputs: int, outputs: int, kernels: tuple[int, int, int]):
        super().__init__()
        widths = (outputs // 2, outputs // 4, outputs - outputs // 2 - outputs // 4)
        self.convs = nn.ModuleList(nn.Conv2d(inputs, w, k, padding=k // 2) for w, k in zip(widths, kernels))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        return torch.cat([conv(x) for conv in self.convs], dim=1)


class GlobalContext(nn.Module):
    """Channel gates from an attention-pooled cell (Cao et al., 1904.11492)."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(3, channels // 2)
        self.score = nn.Conv2d(channels, 1, 1)
        self.gate = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.SiLU(), nn.Conv2d(hidden, channels, 1), nn.Sigmoid()
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 1 1"]:
        weights = self.score(x).flatten(2).softmax(-1)
        return self.gate((x.flatten(2) @ weights.mT)[..., None])


class NullAttention(nn.Module):
    """What attention with queries of several heads and one learned null token begins with."""

    def __init__(self, dim: int, config: UNetConfig):
        super().__init__()
        self.heads = config.heads
        self.norm = ChannelNorm(dim)
        self.null = nn.Parameter(torch.randn(2, config.head_dim))
        self.to_q = nn.Linear(dim, config.heads * config.head_dim, bias=False)


class TokenAttention(NullAttention):
    """Queries from a map, keys and values from tokens and one learned null token; the output is normalised."""

    def __init__(self, dim: int, context_dim: int, config: UNetConfig):
        super().__init__(dim, config)
        inner = config.heads * config.head_dim
        self.to_kv = nn.Linear(context_dim, 2 * inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, dim, bias=False), ChannelNorm(dim))

    def forward(self, x: Float[Tensor, "b n c"], tokens: Float[Tensor, "b m e"]) -> Float[Tensor, "b n c"]:
        q, k, v = (self._split(t) for t in (self.to_q(self.norm(x)), *self.to_kv(tokens).chunk(2, dim=-1)))
        null = self.null[:, None, None, None].expand(2, *k.shape[:2], 1, k.shape[-1])
        mixed = F.scaled_dot_product_attention(q, torch.cat([null[0], k], 2), torch.cat([null[1], v], 2))
        return self.to_out(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b heads n e"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class SelfAttention(NullAttention):
    """Multi-query self-attention (one key and value head) with a learned null token, then a feed-forward layer.

    With `tokens`, these are keys and values too, through a layer of their own.
    """

    def __init__(self, dim: int, config: UNetConfig, *, feed_forward: bool = True, tokens: bool = False):
        super().__init__(dim, config)
        inner = config.heads * config.head_dim
        self.to_kv = nn.Linear(dim, 2 * config.head_dim, bias=False)
        self.tokens_to_kv = None
        if tokens:
            self.tokens_to_kv = nn.Sequential(nn.LayerNorm(config.dim), nn.Linear(config.dim, 2 * config.head_dim))
        self.to_out = nn.Sequential(nn.Linear(inner, dim, bias=False), ChannelNorm(dim))
        self.mlp = None
        if feed_forward:
            widen, narrow = nn.Linear(dim, 2 * dim, bias=False), nn.Linear(2 * dim, dim, bias=False)
            self.mlp = nn.Sequential(ChannelNorm(dim), widen, nn.GELU(), ChannelNorm(2 * dim), narrow)

    def forward(
        self, x: Float[Tensor, "b c h w"], tokens: Float[Tensor, "b n e"] | None = None
    ) -> Float[Tensor, "b c h w"]:
        cells = x.flatten(2).mT
        hidden = self.norm(cells)
        q = self.to_q(hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        parts = [self.null.flatten().expand(len(x), 1, -1), self.to_kv(hidden)]
        if self.tokens_to_kv is not None and tokens is not None:
            parts.append(self.tokens_to_kv(tokens))
        k, v = (t[:, None].expand(-1, self.heads, -1, -1) for t in torch.cat(parts, dim=1).chunk(2, dim=-1))
        mixed = F.scaled_dot_product_attention(q, k, v)
        cells = cells + self.to_out(mixed.transpose(1, 2).flatten(2))
        if self.mlp is not None:
            cells = cells + self.mlp(cells)
        return cells.mT.reshape(x.shape)


class ResBlock(nn.Module):
    """Two normalised 3x3 convolutions; time scales and shifts the second; optional gates and token attention."""

    def __init__(self, inputs: int, outputs: int, config: UNetConfig, *, gated: bool = False, tokens: bool = False):
        super().__init__()
        self.time = nn.Sequential(nn.SiLU(), nn.Linear(4 * config.dim, 2 * outputs))
        self.norm1 = nn.GroupNorm(config.groups, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = nn.GroupNorm(config.groups, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.gate = GlobalContext(outputs) if gated else None
        self.attention = TokenAttention(outputs, config.dim, config) if tokens else None
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(
        self, x: Float[Tensor, "b c h w"], time: Float[Tensor, "b t"], tokens: Float[Tensor, "b n e"] | None = None
    ) -> Float[Tensor, "b d h w"]:
        hidden = self.conv1(F.silu(self.norm1(x)))
        if self.attention is not None and tokens is not None:
            cells = hidden.flatten(2).mT
            hidden = (cells + self.attention(cells, tokens)).mT.reshape(hidden.shape)
        scale, shift = self.time(time)[..., None, None].chunk(2, dim=1)
        hidden = self.conv2(F.silu(self.norm2(hidden) * (scale + 1) + shift))
        if self.gate is not None:
            hidden = hidden * self.gate(hidden)
        return hidden + self.shortcut(x)


class LastDown(nn.Module):
    """At the lowest resolution: a 3x3 and a 1x1 convolution, added."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.wide, self.narrow = nn.Conv2d(inputs, outputs, 3, padding=1), nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        return self.wide(x) + self.narrow(x)


def halve(inputs: int, outputs: int) -> nn.Module:
    """A 4x4 convolution with stride two (a 1x1 one after pixel-unshuffle would miss the published count by 2 %)."""
    return nn.Conv2d(inputs, outputs, 4, 2, 1)


def double(inputs: int, outputs: int) -> nn.Module:
    """A 1x1 convolution, SiLU, then channels become 2x2 cells (sub-pixel convolution)."""
    return nn.Sequential(nn.Conv2d(inputs, 4 * outputs, 1), nn.SiLU(), nn.PixelShuffle(2))


class Level(nn.Module):
    """One resolution, on the way down or up: a plain block, gated blocks, optional attention, a change of size."""

    def __init__(self, inputs: int, outputs: int, config: UNetConfig, index: int, *, skip: int, resample: nn.Module):
        super().__init__()
        self.first = ResBlock(inputs + skip, outputs, config)
        blocks = range(config.num_resnet_blocks[index])
        self.blocks = nn.ModuleList(ResBlock(outputs + skip, outputs, config, gated=True) for _ in blocks)
        told = config.token_keys and config.time_tokens > 0
        self.attention = SelfAttention(outputs, config, tokens=told) if config.layer_attns[index] else None
        self.resample = resample

    def down(self, x: Float[Tensor, "b c h w"], time: Tensor, tokens: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """The next level's input and the maps that the way up wants again; time "b t", tokens "b n e"."""
        skips = []
        x = self.first(x, time)
        for block in self.blocks:
            x = block(x, time)
            skips.append(x)
        skips.append(self.attend(x, tokens))
        return self.resample(skips[-1]), skips

    def up(
        self, x: Float[Tensor, "b c h w"], skips: list[Tensor], *, time: Tensor, tokens: Tensor | None
    ) -> Float[Tensor, "b d h2 w2"]:
        """Takes `skips` from the end, scaled by 1/sqrt 2."""
        for block in (self.first, *self.blocks):
            x = block(torch.cat([x, skips.pop() * 2**-0.5], dim=1), time)
        return self.resample(self.attend(x, tokens))

    def attend(self, x: Float[Tensor, "b c h w"], tokens: Tensor | None) -> Float[Tensor, "b c h w"]:
        return x if self.attention is None else self.attention(x, tokens)


class UNet(nn.Module):
    """(noisy latents, log-SNR, condition map) to predicted noise, all at the latents' resolution."""

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config = config
        widths = [config.dim * mult for mult in config.dim_mults]
        pairs = list(zip([config.dim, *widths], widths))
        last = len(pairs) - 1
        self.time = TimeEmbedding(config)
        self.embed = CrossEmbed(config.channels + config.cond_images_channels, config.dim, config.kernels)
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for i, (inputs, outputs) in enumerate(pairs):
            resample = halve(inputs, outputs) if i < last else LastDown(inputs, outputs)
            self.downs.append(Level(inputs, inputs, config, i, skip=0, resample=resample))
        self.middle1 = ResBlock(widths[-1], widths[-1], config, tokens=config.time_tokens > 0)
        self.middle_attention = SelfAttention(widths[-1], config, feed_forward=False)
        self.middle2 = ResBlock(widths[-1], widths[-1], config, tokens=config.time_tokens > 0)
        for i, (inputs, outputs) in reversed(list(enumerate(pairs))):
            resample = double(outputs, inputs) if i > 0 else nn.Identity()
            self.ups.append(Level(outputs, outputs, config, i, skip=inputs, resample=resample))
        self.final = ResBlock(config.dim, config.dim, config, gated=True)
        self.out = nn.Conv2d(config.dim, config.channels, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(
        self, x: Float[Tensor, "b c h w"], logsnr: Float[Tensor, " b"], condition: Float[Tensor, "b y h w"]
    ) -> Float[Tensor, "b c h w"]:
        time, tokens = self.time(logsnr)
        x = self.embed(torch.cat([condition, x], dim=1))
        skips: list[Tensor] = []
        for level in self.downs:
            x, kept = level.down(x, time, tokens)  # type: ignore[operator]
            skips += kept
        x = self.middle2(self.middle_attention(self.middle1(x, time, tokens)), time, tokens)
        for level in self.ups:
            x = level.up(x, skips, time=time, tokens=tokens)  # type: ignore[operator]
        return self.out(self.final(x, time))
