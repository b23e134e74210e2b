"""ViewFormer (Kulhánek et al., ECCV 2022, 2203.10157): a transformer over the codes of posed pictures, without any 3D.

Letters: b scenes, m context views, q query views of a scene, c cells of a picture.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from fewview.baselines.codebook import Codebook, CodebookConfig
from fewview.cameras import Cameras
from fewview.geometry.quaternions import quaternions_of
from fewview.geometry.transforms import inverse_rigid
from fewview.nn.layers import TransformerLayer
from fewview.views import Views

HIDDEN = -1e4  # the score of a key that is not to be seen


@dataclass(frozen=True)
class ViewFormerConfig:
    """Defaults are the paper's (section 4): 12 layers, 768 numbers, 12 heads."""

    codebook: CodebookConfig = field(default_factory=CodebookConfig)
    dim: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    dropout: float = 0.1
    position_scale: float = 0.05  # of camera centres (the release's pose multiplier for CO3D)

    @property
    def size(self) -> int:
        return self.codebook.size


class ViewFormer(nn.Module):
    """Codes of all cells of a query view at once, given the codes and poses of the context.

    Poses are position and quaternion in the frame of the first context camera; intrinsics are not told.
    """

    def __init__(self, config: ViewFormerConfig):
        super().__init__()
        c = config
        self.config, self.size = config, config.size
        self.codebook = Codebook(c.codebook).requires_grad_(False)
        self.embed = nn.Embedding(c.codebook.codes + 1, c.dim)  # the last is the cell that is asked for
        self.cell = nn.Parameter(0.02 * torch.randn(c.codebook.cells**2, c.dim))
        self.pose = nn.Linear(7, c.dim)
        self.layers = nn.ModuleList(
            TransformerLayer(c.dim, heads=c.heads, hidden=c.hidden, dropout=c.dropout, norm_first=True)
            for _ in range(c.layers)
        )
        self.norm = nn.LayerNorm(c.dim)
        self.head = nn.Linear(c.dim, c.codebook.codes)
        nn.init.normal_(self.embed.weight, std=0.02)

    def forward(self, codes: Int[Tensor, "b m c"], context: Cameras, queries: Cameras) -> Float[Tensor, "b q c codes"]:
        """Logits of the query views' codes."""
        b, m, c = codes.shape
        q = queries.shape[1]
        asked = torch.full((b, q, c), self.config.codebook.codes, dtype=codes.dtype, device=codes.device)
        poses = self.poses(Cameras.cat([context, queries], 1))
        x = self.embed(torch.cat([codes, asked], dim=1)) + self.cell + self.pose(poses)[:, :, None]
        x = x.flatten(1, 2)
        bias = torch.where(branches(m, q, c).to(x.device), 0.0, HIDDEN).to(x.dtype).expand(b, -1, -1)
        for layer in self.layers:
            x = layer(x, bias)
        return self.head(self.norm(x[:, m * c :])).unflatten(1, (q, c))

    def poses(self, cameras: Cameras) -> Float[Tensor, "b v 7"]:
        """Positions and quaternions (w >= 0) in the frame of the first camera."""
        moved = inverse_rigid(cameras.world_from_cam[:, :1]) @ cameras.world_from_cam
        turn = quaternions_of(moved[..., :3, :3].flatten(0, 1)).unflatten(0, moved.shape[:2])
        return torch.cat([self.config.position_scale * moved[..., :3, 3], turn], dim=-1)

    @torch.no_grad()
    def codes(self, images: Float[Tensor, "b v 3 h w"]) -> Int[Tensor, "b v c"]:
        return self.codebook.encode(images.flatten(0, 1)).unflatten(0, images.shape[:2])

    def look(self, context: Views) -> tuple[Tensor, Cameras]:
        """Codes and cameras of context views (m,)."""
        views = context.whole()[None]
        return self.codes(views.images), views.cameras

    @torch.no_grad()
    def picture(
        self, seen: tuple[Tensor, Cameras], camera: Cameras, generator: torch.Generator | None = None
    ) -> Float[Tensor, "3 {self.size} {self.size}"]:
        """The likeliest code of every cell, decoded; or a draw of each, with a generator."""
        logits = self(*seen, camera.reshape(1, 1))[0, 0]
        if generator is None:
            numbers = logits.argmax(-1)
        else:
            numbers = torch.multinomial(logits.softmax(-1).cpu(), 1, generator=generator)[:, 0].to(logits.device)
        return self.codebook.decode(numbers[None])[0].clamp(0, 1)


def branches(m: int, q: int, c: int) -> Bool[Tensor, "tokens tokens"]:
    """Who sees whom: context views see each other; a query view sees them and itself, and is seen by nobody else
    (branching attention, section 3.2)."""
    view = torch.arange(m + q).repeat_interleave(c)
    return (view[None] < m) | (view[None] == view[:, None])


@dataclass
class ViewFormerTask:
    """Cross-entropy of the query views' codes."""

    model: ViewFormer
    batches: Callable[[torch.Generator], tuple[Views, Views]]
    held_out: Mapping[str, tuple[Views, Views]]

    def loss(self, generator: torch.Generator) -> dict[str, Tensor]:
        return {"loss": code_loss(self.model, *self.batches(generator))}

    def validate(self, model: nn.Module) -> dict[str, float]:
        assert isinstance(model, ViewFormer)
        numbers = {}
        for name, (context, queries) in self.held_out.items():
            numbers[f"{name}cross_entropy"] = float(code_loss(model, context, queries))
            logits = model(model.codes(context.images), context.cameras, queries.cameras)
            drawn = model.codebook.decode(logits.argmax(-1).flatten(0, 1)).clamp(0, 1)
            error = (drawn - queries.images.flatten(0, 1)).square().mean()
            numbers[f"{name}psnr"] = float(-10 * error.log10())
        return numbers


def code_loss(model: ViewFormer, context: Views, queries: Views) -> Tensor:
    """Mean over cells of -log p(code), in nats."""
    logits = model(model.codes(context.images), context.cameras, queries.cameras)
    return F.cross_entropy(logits.flatten(0, 2), model.codes(queries.images).flatten())
