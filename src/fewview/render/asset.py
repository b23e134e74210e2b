"""A radiance field in a world: an Asset that can be rendered, queried, saved and loaded."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fewview.cameras import Cameras, Rays
from fewview.checkpoint import load_model, save_model
from fewview.geometry.transforms import apply
from fewview.render.field import FieldConfig, InstantNGP
from fewview.render.occupancy import Occupancy, OccupancyConfig
from fewview.render.volume import VolumeConfig, render_rays
from fewview.views import Render

RAYS_AT_ONCE = 16384


@dataclass(frozen=True)
class FieldAssetConfig:
    """A field, how it is rendered, and an occupancy grid or none."""

    ngp: FieldConfig = field(default_factory=FieldConfig)
    volume: VolumeConfig = field(default_factory=VolumeConfig)
    occupancy: OccupancyConfig | None = field(default_factory=OccupancyConfig)

    def __post_init__(self) -> None:
        bounds = {part.bound for part in (self.ngp, self.volume, self.occupancy) if part is not None}
        if len(bounds) > 1:
            raise ValueError(f"ngp, volume and occupancy must have one bound, not {sorted(bounds)}")


class FieldAsset(nn.Module):
    """An InstantNGP in a normalised frame, and the similarity that leads there from the world."""

    norm_from_world: Tensor

    def __init__(
        self,
        config: FieldAssetConfig,
        norm_from_world: Float[Tensor, "4 4"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.field = InstantNGP(config.ngp, generator=generator)
        self.occupancy = Occupancy(config.occupancy) if config.occupancy is not None else None
        self.register_buffer("norm_from_world", torch.eye(4) if norm_from_world is None else norm_from_world.clone())

    @property
    def scale(self) -> float:
        """Length in the normalised frame of one world unit."""
        return torch.linalg.det(self.norm_from_world[:3, :3]).abs().item() ** (1 / 3)

    @torch.no_grad()
    def render(self, cameras: Cameras) -> Render:
        """Colours, coverage and world z-depth, with samples in the middle of intervals."""
        rays = cameras.transformed(self.norm_from_world).rays()
        flat = rays.flatten()
        parts = [self._render(flat[i : i + RAYS_AT_ONCE]) for i in range(0, len(flat.origins), RAYS_AT_ONCE)]
        colour, alpha, distance = (torch.cat(part).reshape(*rays.shape, -1) for part in zip(*parts))
        cosine = (cameras.rays().directions * cameras.forward[..., None, None, :]).sum(dim=-1, keepdim=True)
        depth = distance * cosine / self.scale
        return Render(*(x.movedim(-1, -3) for x in (colour, alpha, depth)))

    def _render(self, rays: Rays) -> tuple[Tensor, Tensor, Tensor]:
        seen = render_rays(self.field, rays, self.config.volume, occupancy=self.occupancy)
        return seen.features, seen.alpha, seen.distance

    @torch.no_grad()
    def query(self, points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
        """Density per world unit of length, and colour, at world points."""
        chunks = apply(self.norm_from_world, points).split(2**18)
        parts = [self.field(chunk, torch.zeros_like(chunk)) for chunk in chunks]
        density, colour = (torch.cat(part) for part in zip(*parts))
        return density * self.scale, colour

    def density(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        """Density per world unit of length at world points."""
        return self.query(points)[0]

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors."""
        save_model(folder, self, self.config)

    @classmethod
    def load(cls, folder: Path) -> "FieldAsset":
        """Read what `save` wrote; InputError where it is not whole."""
        return load_model(folder, cls, FieldAssetConfig)
