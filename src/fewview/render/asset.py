"""Assets that can be rendered, saved and loaded: a radiance field in a world, and splats."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fewview.cameras import Cameras, Rays
from fewview.checkpoint import (
    FORMAT,
    atomic_folder,
    load_model,
    load_tensors,
    read_json,
    save_model,
    save_tensors,
    write_json,
)
from fewview.errors import InputError
from fewview.geometry.harmonics import COUNTS
from fewview.geometry.origin import NO_ORIGIN, Origin
from fewview.geometry.transforms import apply
from fewview.render.field import FieldConfig, InstantNGP
from fewview.render.gaussians import LARGEST, Gaussians
from fewview.render.occupancy import Occupancy, OccupancyConfig
from fewview.render.splatting import splat
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
        depth = distance * cameras.cosines()[..., None] / self.scale
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


@dataclass(frozen=True, eq=False)
class GaussianAsset:
    """Gaussians whose features are what they show: RGB in [0, 1], or latents.

    `notes` are what a user should know of how a file of them was read, each half a sentence. Coordinates of the input's
    world are those of the splats plus `origin`, which files of splats may state.
    """

    gaussians: Gaussians
    antialiased: bool = False
    notes: tuple[str, ...] = ()
    origin: Origin = NO_ORIGIN

    def render(self, cameras: Cameras) -> Render:
        return splat(self.gaussians, cameras, antialiased=self.antialiased)

    def to(self, device: torch.device | str) -> "GaussianAsset":
        return replace(self, gaussians=self.gaussians.to(device))

    def transformed(self, new_from_world: Float[Tensor, "4 4"]) -> "GaussianAsset":
        return replace(self, gaussians=self.gaussians.transformed(new_from_world))

    def save(self, folder: Path) -> None:
        """config.json and gaussians.safetensors, written whole."""
        config = {"antialiased": self.antialiased}
        tensors = {name: tensor.detach().cpu() for name, tensor in self.gaussians.tensors().items()}
        with atomic_folder(folder) as temporary:
            write_json(temporary / "config.json", {"format": FORMAT, "class": "GaussianAsset", "config": config})
            save_tensors(temporary / "gaussians.safetensors", tensors)

    @staticmethod
    def load(folder: Path) -> "GaussianAsset":
        """The asset that `save` wrote; InputError where a file is missing, malformed or of another kind."""
        header = read_json(folder / "config.json")
        if not isinstance(header, dict) or (header.get("format"), header.get("class")) != (FORMAT, "GaussianAsset"):
            raise InputError(f"{folder / 'config.json'} does not describe a GaussianAsset of format {FORMAT}.")
        path = folder / "gaussians.safetensors"
        tensors = load_tensors(path)
        config = header.get("config")
        if not isinstance(config, dict):
            raise InputError(f"{folder / 'config.json'} has no settings under 'config'; write it again.")
        antialiased = bool(config.get("antialiased", False))
        return GaussianAsset(gaussians_of(tensors, path), antialiased)


def gaussians_of(tensors: dict[str, Tensor], path: Path | str) -> Gaussians:
    """Splats of a file's tensors; InputError, naming the file, where their shapes or numbers are none of splats."""
    tails: dict[str, tuple[int | None, ...]]
    tails = {"means": (3,), "scales": (3,), "quaternions": (4,), "opacities": (), "features": (None,)}
    if set(tensors) - {"harmonics"} != set(tails):
        raise InputError(
            f"{path} holds {sorted(tensors)}, not {sorted(tails)}; write it again with GaussianAsset.save."
        )
    count = len(tensors["means"])
    if "harmonics" in tensors:
        coefficients = tensors["harmonics"].shape[1:2].numel()
        tails["harmonics"] = (coefficients if coefficients in COUNTS[1:] else COUNTS[1], *tensors["features"].shape[1:])
    for name, tail in tails.items():
        shape = tuple(tensors[name].shape)
        fits = len(shape) == 1 + len(tail) and all(want in (None, have) for want, have in zip(tail, shape[1:]))
        if not fits or shape[0] != count:
            raise InputError(f"{path}: '{name}' has the shape {shape}; write the file again with GaussianAsset.save.")
        if not tensors[name].is_floating_point() or not bool((tensors[name].abs() < LARGEST).all()):
            raise InputError(f"{path}: '{name}' holds NaN or numbers beyond {LARGEST:g}; write the file again.")
    return Gaussians(**{name: tensor.float() for name, tensor in tensors.items()})
