"""Real spherical harmonics of degrees 0 to 3 with the Condon-Shortley phase, in the order and with the signs of 3DGS.

Degree l has 2 l + 1 of them, m from -l to l: -y, z, -x for degree 1, up to its constant. These are what the release of
arXiv 2308.04079 stores as f_rest_*, what SPZ holds, and appendix A of glTF's KHR_gaussian_splatting.
"""

import math
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.geometry.transforms import normalise

SH_DC = 0.28209479177387814  # 1 / (2 sqrt(pi)): the harmonic of degree 0
HIGHEST = 3
COUNTS = (0, 3, 8, 15)  # of the harmonics of degrees 1 to d
A = math.sqrt(3 / (4 * math.pi))
B, C, D = math.sqrt(15 / (4 * math.pi)), math.sqrt(5 / (16 * math.pi)), math.sqrt(15 / (16 * math.pi))
E, F = math.sqrt(35 / (32 * math.pi)), math.sqrt(105 / (4 * math.pi))
G, H, I = math.sqrt(21 / (32 * math.pi)), math.sqrt(7 / (16 * math.pi)), math.sqrt(105 / (16 * math.pi))  # noqa: E741
TINY = 1e-12  # what is left of a zero in double precision
SAMPLES = 64  # directions on which rotations are solved for


def degree_of(count: int) -> int:
    """The degree whose harmonics, from degree 1 up, are so many. ValueError if there is none."""
    if count not in COUNTS:
        raise ValueError(f"there are {COUNTS[1:]} harmonics of degrees 1 to 1, 2 and 3, not {count}")
    return COUNTS.index(count)


def basis(directions: Float[Tensor, "*n 3"], degree: int) -> Float[Tensor, "*n coefficients"]:
    """The harmonics of degrees 1 to `degree` (at most 3) in unit directions."""
    x, y, z = directions.unbind(-1)
    columns = [-A * y, A * z, -A * x]
    if degree > 1:
        columns += [B * x * y, -B * y * z, C * (2 * z * z - x * x - y * y), -B * x * z, D * (x * x - y * y)]
    if degree > 2:
        columns += [
            -E * y * (3 * x * x - y * y),
            F * x * y * z,
            -G * y * (4 * z * z - x * x - y * y),
            H * z * (2 * z * z - 3 * x * x - 3 * y * y),
            -G * x * (4 * z * z - x * x - y * y),
            I * z * (x * x - y * y),
            -E * x * (x * x - 3 * y * y),
        ]
    return torch.stack(columns[: COUNTS[degree]], dim=-1) if degree else directions[..., :0]


def directional(
    colours: Float[Tensor, "n channels"], harmonics: Float[Tensor, "n k channels"], directions: Float[Tensor, "n 3"]
) -> Float[Tensor, "n channels"]:
    """Colours of degree 0 and harmonics, in unit directions from the eye; not below 0, as in 3DGS."""
    weights = basis(directions, degree_of(harmonics.shape[1]))
    return (colours + (weights[:, None] @ harmonics)[:, 0]).clamp(min=0)


def turned(
    harmonics: Float[Tensor, "n k channels"], new_from_old: Float[Tensor, "3 3"]
) -> Float[Tensor, "n k channels"]:
    """Coefficients in a frame that is rotated or reflected: h'(M d) = h(d) for every direction d.

    Degrees do not mix, and within one the matrix is Wigner's, found by solving on more directions than coefficients.
    """
    degree = degree_of(harmonics.shape[1])
    samples = _directions().to(harmonics.device)
    old = basis(samples @ new_from_old.detach().to(samples), degree)
    matrix = torch.linalg.lstsq(basis(samples, degree), old).solution
    matrix = torch.where(matrix.abs() < TINY, torch.zeros_like(matrix), matrix)  # so that swaps of axes are exact
    return matrix.to(harmonics) @ harmonics


@lru_cache(maxsize=1)
def _directions() -> Float[Tensor, "samples 3"]:
    """Directions spread evenly, on a spiral by the golden angle."""
    i = torch.arange(SAMPLES, dtype=torch.float64)
    z = (2 * i + 1) / SAMPLES - 1
    angle = i * (math.pi * (3 - math.sqrt(5)))
    flat = (1 - z * z).sqrt()
    return normalise(torch.stack([flat * angle.cos(), flat * angle.sin(), z], dim=-1))
