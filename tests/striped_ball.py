"""A ball in closed form whose stripes are finer than its blurred renderings tell."""

import math
from dataclasses import replace

import torch
from torch.nn import functional as F

from fewview.cameras import Cameras
from fewview.detail.prior import PseudoViews, pseudo_views
from fewview.detail.starts import lifted
from fewview.render.gaussians import Gaussians
from fewview.views import Render, Views

CENTRE, RADIUS = torch.tensor([0.3, -0.2, 0.5]), 1.2


def ball(cameras: Cameras, frequency: float = 14.0) -> Render:
    """Coverage is soft over one pixel at the rim; colours wave `frequency` radians a unit."""
    rays = cameras.rays()
    offset = CENTRE - rays.origins
    along = (offset * rays.directions).sum(-1)
    miss = (offset.square().sum(-1) - along**2).clamp(min=0).sqrt()
    alpha = ((RADIUS - miss) * cameras.intrinsics[..., 0, 0, None, None] / along + 0.5).clamp(0, 1)
    distance = along - (RADIUS**2 - miss**2).clamp(min=0).sqrt()
    points = rays.origins + distance[..., None] * rays.directions
    cosine = (rays.directions * cameras.forward[..., None, None, :]).sum(-1)
    colour = 0.5 + 0.4 * torch.sin(frequency * (points - CENTRE) + torch.tensor([0.0, 1.0, 2.0]))
    depth = torch.where(alpha > 0, distance * cosine, torch.zeros_like(alpha))
    image = (colour * alpha[..., None]).movedim(-1, -3)
    return Render(image, alpha.unsqueeze(-3), depth.unsqueeze(-3))


def around(count: int, size: int) -> Cameras:
    """Cameras spread over a sphere; the first look from one side."""
    z = 0.85 * (1 - 2 * (torch.arange(count) + 0.5) / count)
    turn = torch.arange(count) * math.pi * (3 - math.sqrt(5))
    flat = (1 - z * z).sqrt()
    centers = CENTRE + 6 * torch.stack([flat * turn.cos(), flat * turn.sin(), z], dim=-1)
    return Cameras.look_at(centers, CENTRE, torch.tensor([0.0, 0, 1]), focal=1.9 * size, height=size, width=size)


def blurred(seen: Render, width: int = 9) -> Render:
    """Coverage and depth stay; colours are means over a square of so many pixels."""
    total, weight = (F.avg_pool2d(x, width, 1, width // 2) for x in (seen.image, seen.alpha))
    return replace(seen, image=total / weight.clamp(min=1e-6) * seen.alpha)


def photographed(cameras: Cameras) -> Views:
    seen = ball(cameras)
    return Views(seen.image, cameras, seen.alpha)


def known(photos: Cameras, size: int = 40, count: int = 12) -> PseudoViews:
    """What an asset knows that has lost the fine stripes."""
    cameras = around(count, size)
    return pseudo_views(blurred(ball(cameras)), cameras, blurred(ball(photos)), photos=photos)


def first(photos: Cameras, prior: PseudoViews, generator: torch.Generator, count: int = 2500) -> Gaussians:
    return Gaussians.cat(
        [
            lifted(blurred(ball(photos), 15), photos, count, generator=generator),
            lifted(prior.seen, prior.cameras, count // 2, weights=prior.weights, generator=generator),
        ]
    )


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return -10 * (a - b).square().mean().log10().item()
