"""Splats in 20 bytes each, for a page that holds them as text; `viewer_page/decode.js` unpacks them.

Harmonics take 16 bytes more for each degree, behind the words of all splats.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8, UInt32
from torch import Tensor

from fewview.geometry.harmonics import COUNTS
from fewview.render.gaussians import Gaussians
from fewview.render.splatting import ALPHA_MIN

WORDS, MORE = 5, 4  # of 32 bits for a splat, and for each degree of its harmonics
HALF = 127  # steps from 0 to the largest harmonic of a degree
PLACE_BITS, FINE_BITS = 21, 10


@dataclass(frozen=True, eq=False)
class PackedSplats:
    """Quantised splats, and the box and the range of log scales that the integers stand for.

    `colours` is the range of colours of degree 0, [0, 1] without harmonics; `limits` are the largest harmonics of each
    degree, which bytes of 0 and 254 stand for: red, green and blue of one harmonic after those of another, then zeros.
    """

    words: UInt32[np.ndarray, "n 5"]
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    log_scale: tuple[float, float]
    colours: tuple[float, float]
    limits: tuple[float, ...]
    harmonics: UInt8[np.ndarray, "n bytes"]

    def to_bytes(self) -> bytes:
        """Little-endian, splat after splat, then the harmonics of splat after splat."""
        return self.words.astype("<u4").tobytes() + self.harmonics.tobytes()


@torch.no_grad()
def most_visible(gaussians: Gaussians, most: int) -> Gaussians:
    """At most `most` splats, those of the largest opacity times area (product of the two larger scales), in order.

    Splats that no renderer shows, of less than 1/255 opacity, are left out in any case.
    """
    seen = torch.nonzero(gaussians.opacities >= ALPHA_MIN)[:, 0]
    if len(seen) > most:
        areas = gaussians.scales[seen].sort(dim=-1).values[:, 1:].prod(dim=-1)
        seen = seen[(gaussians.opacities[seen] * areas).topk(most).indices].sort().values
    return gaussians[seen]


@torch.no_grad()
def pack(gaussians: Gaussians) -> PackedSplats:
    """Quantise RGB splats: places to 2^-21 of their box, log scales and quaternions to 10 bits, colours to 8.

    Harmonics have 8 bits too.

    ValueError if there are no splats or their features are not RGB.
    """
    if not len(gaussians) or gaussians.features.shape[1] != 3:
        raise ValueError(f"a page shows splats of 3 channels, not {tuple(gaussians.features.shape)}")
    means = gaussians.means.double().cpu()
    low, high = means.amin(0), means.amax(0)
    logs = gaussians.scales.double().cpu().clamp(min=1e-12).log()
    narrow, wide = logs.min(), logs.max()
    x, y, z = _levels((means - low) / (high - low).clamp(min=1e-12), PLACE_BITS).T
    sizes = _levels((logs - narrow) / (wide - narrow).clamp(min=1e-12), FINE_BITS).T
    dark, bright = (
        (0.0, 1.0) if gaussians.degree == 0 else (f(gaussians.features).item() for f in (torch.min, torch.max))
    )
    shares = (gaussians.features.double() - dark) / max(bright - dark, 1e-12)
    rgba = _levels(torch.cat([shares, gaussians.opacities[:, None].double()], dim=-1).cpu(), 8).T
    limits, harmonics = _harmonics(gaussians)
    words = [
        x | (y << 21),
        (y >> 11) | (z << 10),
        sizes[0] | (sizes[1] << 10) | (sizes[2] << 20),
        _turns(gaussians.quaternions),
        rgba[0] | (rgba[1] << 8) | (rgba[2] << 16) | (rgba[3] << 24),
    ]
    table = np.stack([(word & 0xFFFFFFFF).astype(np.uint32) for word in words], axis=-1)
    spans = _three(low), _three(high), (narrow.item(), wide.item()), (dark, bright)
    return PackedSplats(table, *spans, limits, harmonics)


def _harmonics(gaussians: Gaussians) -> tuple[tuple[float, ...], UInt8[np.ndarray, "n bytes"]]:
    """The largest harmonic of each degree, and bytes of which HALF stands for 0."""
    packed = np.zeros((len(gaussians), 4 * MORE * gaussians.degree), np.uint8)
    if gaussians.harmonics is None:
        return (), packed
    values, limits = gaussians.harmonics.double().cpu(), []
    for degree in range(1, gaussians.degree + 1):
        start, end = COUNTS[degree - 1], COUNTS[degree]
        part = values[:, start:end]
        limits.append(max(part.abs().max().item(), 1e-12))
        packed[:, 3 * start : 3 * end] = (part / limits[-1] * HALF + HALF).round().flatten(1).numpy()
    return tuple(limits), packed


def _turns(quaternions: Float[Tensor, "n 4"]) -> np.ndarray:
    """The place of the largest component in the upper 2 bits, the others in order, in [-1/sqrt 2, 1/sqrt 2], below."""
    unit = torch.nn.functional.normalize(quaternions.double().cpu(), dim=-1)
    largest = unit.abs().argmax(-1, keepdim=True)
    unit = unit * torch.where(unit.gather(-1, largest) < 0, -1.0, 1.0)
    others = torch.tensor([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])[largest[:, 0]]
    rest = _levels((unit.gather(-1, others) * 2**0.5 + 1) / 2, FINE_BITS).T
    return rest[0] | (rest[1] << 10) | (rest[2] << 20) | (largest[:, 0].numpy() << 30)


def _levels(shares: Float[Tensor, "n k"], bits: int) -> np.ndarray:
    """Shares in [0, 1], clipped, as integers of `bits` bits."""
    return (shares.clamp(0, 1) * (2**bits - 1)).round().long().numpy()


def _three(values: Float[Tensor, "3"]) -> tuple[float, float, float]:
    x, y, z = values.tolist()
    return x, y, z
