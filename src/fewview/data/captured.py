"""What a capture does to pictures of a clean set: exposure, white balance, noise, defocus, masks and poses in error."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from fewview.geometry.transforms import axis_angle, normalise
from fewview.views import Views

RADIUS = 3  # pixels: the widest defocus that is drawn reaches no farther


@dataclass(frozen=True)
class Capture:
    """How far the views of a scene may differ, each by draws of its own; zeros change nothing. All ours.

    `exposure` and `white_balance` are standard deviations of log gains, of a view and of its channels; `noise` and
    `defocus` the largest standard deviations, of values in [0, 1] and in pixels; `edge` the standard deviation of a
    mask's edge in pixels, in patches of a quarter of the picture; `turn` that of a camera's rotation about the world's
    origin, where the object is, in degrees.
    """

    exposure: float = 0.1
    white_balance: float = 0.03
    noise: float = 0.02
    defocus: float = 0.7
    edge: float = 0.7
    turn: float = 0.5


def as_captured(views: Views, capture: Capture, generator: torch.Generator | None = None) -> Views:
    """Views (batch axes "*b", foreground on black) as somebody would have photographed them."""

    def draw(*shape: int) -> Tensor:
        return torch.randn(*views.images.shape[:-3], *shape, generator=generator).to(views.images)

    def upto(limit: float) -> Tensor:
        return limit * torch.rand(*views.images.shape[:-3], generator=generator).to(views.images)

    images = blurred(views.images, upto(capture.defocus))
    gain = (capture.exposure * draw(1, 1, 1) + capture.white_balance * draw(3, 1, 1)).exp()
    noise = upto(capture.noise)[..., None, None, None] * draw(*images.shape[-3:])
    masks, images = views.masks, images * gain
    if masks is None:
        images = images + noise
    else:
        seen = moved_edge(masks, capture.edge * draw(1, 4, 4))
        behind = torch.rand(*images.shape[:-3], 3, 1, 1, generator=generator).to(images)
        kept = torch.where(masks > 0, (seen / masks.clamp(min=1e-3)).clamp(max=1), 0)
        images = images * kept + behind * (seen - masks).clamp(min=0) + noise * seen
        masks = seen
    turn = torch.eye(4).to(images).repeat(*images.shape[:-3], 1, 1)
    turn[..., :3, :3] = axis_angle(normalise(draw(3)), math.radians(capture.turn) * draw(1)[..., 0])
    return Views(images.clamp(0, 1), views.cameras.transformed(turn), masks)


def moved_edge(masks: Float[Tensor, "*b 1 h w"], offset: Float[Tensor, "*b 1 n m"]) -> Float[Tensor, "*b 1 h w"]:
    """Masks whose edges lie `offset` pixels farther out (in, if negative), bilinearly between n x m patches."""
    flat, size = masks.flatten(0, -4), masks.shape[-2:]
    far = F.interpolate(offset.flatten(0, -4), size, mode="bilinear", align_corners=False)
    inside = torch.special.ndtri(blurred(flat, torch.ones(len(flat)).to(flat)).double())  # pixels from a straight edge
    moved = (0.5 + inside.to(flat) + far).clamp(0, 1)
    return moved.reshape(masks.shape)


def blurred(images: Float[Tensor, "*b c h w"], sigma: Float[Tensor, "*b"]) -> Float[Tensor, "*b c h w"]:
    """Gaussian blur of `sigma` pixels, of each image its own; the border is repeated."""
    flat, widths = images.flatten(0, -4), sigma.reshape(-1, 1).clamp(min=0.05)
    x = torch.arange(-RADIUS, RADIUS + 1).to(flat)
    kernel = (-0.5 * (x / widths) ** 2).exp()
    kernel = (kernel / kernel.sum(-1, keepdim=True)).repeat_interleave(flat.shape[1], 0)[:, None]
    one = flat.reshape(1, -1, *flat.shape[-2:])
    padded = F.pad(one, (RADIUS,) * 4, mode="replicate")
    rows = F.conv2d(padded, kernel[:, :, None], groups=one.shape[1])
    return F.conv2d(rows, kernel[..., None], groups=one.shape[1]).reshape(images.shape)
