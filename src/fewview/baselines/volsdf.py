"""VolSDF (Yariv et al., NeurIPS 2021, 2106.12052): density is a Laplace distribution's CDF of a signed distance."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fewview.baselines.bounded import bounded_edges
from fewview.baselines.pictures import seen_by, starting
from fewview.cameras import Cameras, Rays
from fewview.nn.layers import harmonic
from fewview.render.sampling import near_far, pack
from fewview.render.volume import composite
from fewview.sparsefusion.method import ImageAsset
from fewview.views import Views


@dataclass(frozen=True)
class VolSDFConfig:
    """The release's sizes, rates and weights; lengths in units of the normalised frame, whose box has `bound`."""

    size: int = 256
    bound: float = 4.0
    width: int = 256
    layers: int = 8
    colour_layers: int = 4
    octaves: int = 6
    radius: float = 1.5  # of the sphere that the surface starts as (geometric initialisation, 1911.10414)
    beta: float = 0.1
    samples: int = 64  # rays are asked here, by the opacity that the bound allows ...
    search: int = 128  # ... starting from so many ...
    rounds: int = 5  # ... and at most so many refinements ...
    error: float = 0.1  # ... until opacity is known to this (epsilon)
    eikonal: float = 0.1
    silhouette: float = 0.1
    rate: float = 5e-4
    steps: int = 100_000
    rays: int = 1024


TINY = VolSDFConfig(
    size=64,
    width=64,
    layers=3,
    colour_layers=2,
    octaves=4,
    samples=24,
    search=24,
    rounds=2,
    rays=256,
    steps=200,
    rate=2e-3,
)


def laplace_density(distance: Float[Tensor, "*batch"], beta: Tensor | float) -> Float[Tensor, "*batch"]:
    """sigma = Psi_beta(-d) / beta (Eq. 2, 3), d < 0 inside."""
    tail = 0.5 * torch.exp(-distance.abs() / beta)
    return torch.where(distance > 0, tail, 1 - tail) / beta


class SDF(nn.Module):
    """A signed distance, features, and colours that know where, how the surface lies and from where it is seen."""

    def __init__(self, config: VolSDFConfig):
        super().__init__()
        c = config
        self.config, inputs = config, 3 * (2 * c.octaves + 1)
        widths = [inputs, *[c.width] * c.layers]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.last = nn.Linear(c.width, 1 + c.width)
        sizes = [9 + c.width, *[c.width] * c.colour_layers]
        pairs = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())]
        self.colour = nn.Sequential(*pairs, nn.Linear(c.width, 3))
        self.raw_beta = nn.Parameter(torch.tensor(c.beta))
        self._start_as_sphere()

    @property
    def beta(self) -> Tensor:
        return self.raw_beta.abs() + 1e-4

    def forward(self, points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n c"]]:
        """Signed distance and features."""
        x = harmonic(points, self.config.octaves)
        for layer in self.layers:
            x = nn.functional.softplus(layer(x), beta=100)
        x = self.last(x)
        return x[:, 0], x[:, 1:]

    def shade(
        self, points: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"], *, train: bool = False
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
        """Density, colour and the gradient of the distance."""
        with torch.enable_grad():
            points = points.requires_grad_()
            distance, features = self(points)
            (normal,) = torch.autograd.grad(distance.sum(), points, create_graph=train, retain_graph=True)
        colour = self.colour(torch.cat([points, normal, directions, features], dim=-1)).sigmoid()
        return laplace_density(distance, self.beta), colour, normal

    @torch.no_grad()
    def _start_as_sphere(self) -> None:
        """Weights with which the distance is about |x| - radius (1911.10414, Theorem 1; waves start unheard)."""
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, nn.Linear)
            nn.init.zeros_(layer.bias)
            nn.init.normal_(layer.weight, std=math.sqrt(2 / layer.out_features))
            if i == 0:
                layer.weight[:, 3:] = 0
        nn.init.normal_(self.last.weight[:1], math.sqrt(math.pi / self.last.in_features), 1e-4)
        self.last.bias[0] = -self.config.radius


class VolSDF:
    """A Reconstructor."""

    def __init__(self, config: VolSDFConfig = TINY):
        self.config = config

    def reconstruct(
        self, views: Views, *, path: Cameras | None = None, generator: torch.Generator | None = None
    ) -> ImageAsset:
        """A surface in the world of the views, fitted to them alone."""
        c, generator = self.config, generator or torch.Generator().manual_seed(0)
        prepared = seen_by(views, c.size)
        with starting(generator):
            sdf = SDF(c)
        fit(sdf, prepared.context, generator)
        sdf.requires_grad_(False)
        return ImageAsset(c.size, prepared, lambda camera: picture(sdf, camera))


def fit(sdf: SDF, views: Views, generator: torch.Generator) -> None:
    """Colours and coverage of random rays, and |gradient| = 1 where rays are asked and at random points (Eq. 17)."""
    c, optimiser = sdf.config, torch.optim.Adam(sdf.parameters(), lr=sdf.config.rate)
    rays, colours = views.cameras.rays().flatten(), views.images.movedim(-3, -1).reshape(-1, 3)
    masks = None if views.masks is None else views.masks.reshape(-1)
    for _ in range(c.steps):
        chosen = torch.randint(len(colours), (c.rays,), generator=generator)
        seen, alpha, normals = render(sdf, rays[chosen], generator, train=True)
        loss = (seen - colours[chosen]).abs().mean()
        if masks is not None:
            loss = loss + c.silhouette * (alpha - masks[chosen]).square().mean()
        anywhere = c.bound * (2 * torch.rand(c.rays, 3, generator=generator) - 1)
        normals = torch.cat([normals, sdf.shade(anywhere, torch.zeros_like(anywhere), train=True)[2]])
        loss = loss + c.eikonal * (normals.norm(dim=-1) - 1).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()


def render(
    sdf: SDF, rays: Rays, generator: torch.Generator | None = None, *, train: bool = False
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, " n"], Float[Tensor, "k 3"]]:
    """Colours and coverage of flat rays, and the distance's gradients at the samples."""
    c = sdf.config
    box = rays.origins.new_tensor([[-c.bound] * 3, [c.bound] * 3])
    near, far = near_far(rays, box, 0.1)
    hit = far > near
    edges = bounded_edges(lambda x: sdf(x)[0], rays[hit], near[hit], far=far[hit], beta=sdf.beta.detach(), config=c)
    samples = pack(edges, hit, generator)
    directions = rays.directions[samples.rays]
    points = rays.origins[samples.rays] + samples.distances[:, None] * directions
    density, colour, normals = sdf.shade(points, directions, train=train)
    seen, alpha, _, _ = composite(density, colour, samples)
    return seen, alpha, normals


def picture(sdf: SDF, camera: Cameras) -> Float[Tensor, "4 h w"]:
    """Colours and coverage of one camera."""
    flat = camera.rays().flatten()
    parts = [render(sdf, flat[i : i + 2048]) for i in range(0, len(flat.origins), 2048)]
    seen = torch.cat([torch.cat([colour.detach(), alpha.detach()[:, None]], dim=-1) for colour, alpha, _ in parts])
    return seen.mT.unflatten(1, (camera.height, camera.width))
