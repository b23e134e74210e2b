"""Small pieces that several networks share."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def harmonic(x: Float[Tensor, "*batch n"], octaves: int) -> Float[Tensor, "*batch m"]:
    """(x, sin 2^k x, cos 2^k x) for k = 0..octaves-1: n * (2 * octaves + 1) numbers (thesis A.1: 6 octaves)."""
    angles = (x[..., None] * 2.0 ** torch.arange(octaves, device=x.device, dtype=x.dtype)).flatten(-2)
    return torch.cat([x, angles.sin(), angles.cos()], dim=-1)


class TransformerLayer(nn.Module):
    """Self-attention and a two-layer MLP with ReLU; post-norm as torch's default, or pre-norm."""

    def __init__(self, dim: int, *, heads: int, hidden: int, dropout: float, norm_first: bool):
        super().__init__()
        self.heads, self.norm_first = heads, norm_first
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, dim))
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch sequence dim"], bias: Float[Tensor, "batch #sequence sequence"]
    ) -> Float[Tensor, "batch sequence dim"]:
        if self.norm_first:
            x = x + self.dropout(self.attend(self.norm1(x), bias))
            return x + self.dropout(self.mlp(self.norm2(x)))
        x = self.norm1(x + self.dropout(self.attend(x, bias)))
        return self.norm2(x + self.dropout(self.mlp(x)))

    def attend(
        self, x: Float[Tensor, "batch sequence dim"], bias: Float[Tensor, "batch #sequence sequence"]
    ) -> Float[Tensor, "batch sequence dim"]:
        """Softmax attention; `bias` is added to the scores (a large negative number hides a key)."""
        batch, sequence, dim = x.shape
        q, k, v = self.qkv(x).reshape(batch, sequence, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.mT * (dim // self.heads) ** -0.5 + bias[:, None]
        mixed = scores.softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(batch, sequence, dim))


def key_bias(valid: Float[Tensor, "batch sequence"]) -> Float[Tensor, "batch 1 sequence"]:
    """Score bias that hides invalid keys (valid is 0 or 1); a sequence without any valid key sees them all."""
    nobody = valid.amax(-1, keepdim=True) == 0
    return torch.where(nobody, 0.0, (valid - 1) * 1e4)[:, None]
