"""From planes to pixels: an MLP, volume rendering at low resolution, and super-resolution."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from fewview.cameras import Cameras
from fewview.nn.autoencoder import ResBlock
from fewview.render.sampling import near_far, pack, uniform_edges
from fewview.render.triplanes import triplanes
from fewview.render.volume import composite
from fewview.wildfusion.frame import BOUND, in_box

DENSITY, FAINT = 8.0, 3.0  # of softplus(x - FAINT) * DENSITY: a box that starts half transparent


@dataclass(frozen=True, eq=False)
class LowRes:
    """Volume renderings: features (premultiplied, the first three are colours), coverage, z in view space.

    `z` is z-depth less the camera's distance from the middle: what `frame.canonical` gives for a photo; 0 where empty.
    """

    features: Float[Tensor, "b channels h w"]
    alpha: Float[Tensor, "b 1 h w"]
    z: Float[Tensor, "b 1 h w"]

    @property
    def image(self) -> Float[Tensor, "b 3 h w"]:
        return self.features[:, :3]

    @property
    def solid(self) -> Float[Tensor, "b 2 h w"]:
        """Depth times coverage, and coverage: what the depth discriminator sees."""
        return torch.cat([self.z * self.alpha, self.alpha], dim=1)


class PlaneField(nn.Module):
    """Summed plane features to density and features through one hidden layer, as in EG3D (arXiv:2112.07945)."""

    def __init__(self, planes: int, hidden: int, features: int, *, chroma: bool = False):
        super().__init__()
        self.chroma = chroma  # the last two features of planes are red and blue less the mean channel
        self.first = nn.Linear(planes, hidden)
        self.second = nn.Linear(hidden, 1 + features)

    def forward(self, x: Float[Tensor, "n planes"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n features"]]:
        """Density per unit length (>= 0); colours in [0, 1] (but for chroma's part), the other features are free."""
        out = self.second(F.relu(self.first(x)))
        colours = out[:, 1:4].sigmoid()
        if self.chroma:
            red, blue = x[:, -2:].split(1, dim=1)
            colours = colours + torch.cat([red, -red - blue, blue], dim=1)
        return F.softplus(out[:, 0] - FAINT) * DENSITY, torch.cat([colours, out[:, 4:]], dim=1)


def low_res(
    field: PlaneField,
    planes: Float[Tensor, "b 3 planes rows columns"],
    cameras: Cameras,
    *,
    samples: int,
    generator: torch.Generator | None = None,
) -> LowRes:
    """What a camera of batch shape (b,) sees of each box; samples are jittered with a generator."""
    rays = cameras.rays().flatten()
    box = planes.new_tensor([[-BOUND] * 3, [BOUND] * 3])
    near, far = near_far(rays, box, 0.1)
    hit = far > near
    taken = pack(uniform_edges(near[hit], far[hit], samples), hit, generator)
    index = taken.rays
    points = torch.addcmul(rays.origins[index], taken.distances[:, None], rays.directions[index])
    offsets = taken.offsets[:: cameras.height * cameras.width]
    density, features = field(triplanes(planes, in_box(points), offsets))
    blended, alpha, distance, _ = composite(density, features, taken)
    grid = (len(planes), cameras.height, cameras.width)
    middle = cameras.cam_from_world[:, 2, 3].reshape(-1, 1, 1)
    shape = lambda x: x.reshape(*grid, -1).movedim(-1, 1)
    alpha = alpha.reshape(grid)
    z = torch.where(alpha > 1e-3, distance.reshape(grid) * cameras.cosines() - middle, 0)
    return LowRes(shape(blended), alpha[:, None], z[:, None])


class SuperResolution(nn.Module):
    """Low-resolution features to images of `factor` times the size; the colours among them, enlarged, are the start."""

    def __init__(self, features: int, width: int, blocks: int, *, factor: int, groups: int):
        super().__init__()
        self.factor = factor
        self.first = nn.Conv2d(features + 1, width, 3, padding=1)
        self.blocks = nn.Sequential(*(ResBlock(width, width, groups) for _ in range(blocks)))
        self.out = nn.Conv2d(width, 3 * factor**2, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, low: LowRes) -> Float[Tensor, "b 3 height width"]:
        """Nominally in [0, 1], not clamped."""
        x = self.blocks(self.first(torch.cat([low.features, low.alpha], dim=1)))
        return enlarged(low.image, self.factor) + F.pixel_shuffle(self.out(F.silu(x)), self.factor)


def enlarged(images: Float[Tensor, "b c h w"], factor: int) -> Float[Tensor, "b c height width"]:
    """Bilinear, with pixel corners kept."""
    return F.interpolate(images, scale_factor=float(factor), mode="bilinear", align_corners=False)
