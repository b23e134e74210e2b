"""The detail stage: splats fitted to photos at full size, coarse to fine, held by a prior where no photo looks."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fewview.cameras import Cameras
from fewview.detail.adjustments import Adjustments
from fewview.detail.losses import photo_loss, prior_loss
from fewview.detail.population import Population
from fewview.detail.prior import PseudoViews
from fewview.errors import InputError
from fewview.geometry.harmonics import HIGHEST
from fewview.progress import Steps, show
from fewview.render.asset import GaussianAsset
from fewview.render.gaussians import Gaussians
from fewview.render.splatting import splat
from fewview.views import Views

STEPS = {"fast": 200, "default": 300, "quality": 1000, "thesis": 30_000, "release": 30_000}  # arXiv 2308.04079: 30,000
MARGIN = 0.06  # of the larger side of what a mask shows, around it
INSIDE = 0.05  # of a mask: what shows more is not cut away


@dataclass(frozen=True)
class DetailConfig:
    """Sizes, weights and rates. Lengths are in units of the spacing of the first splats, so that no scale enters."""

    photo_size: int = 1024  # pixels of the longer side of photos, at most
    coarsest: int = 256  # pixels of the longer side of the smallest copies that are fitted first
    fine: float = 0.6  # share of the steps at full size
    steps: int = 400
    budget: int = 150_000  # splats, at most ...
    pixels_each: float = 2.0  # ... and one for so many pixels inside the masks of all photos
    similarity: float = 0.2  # weight of D-SSIM, arXiv 2308.04079
    alpha_weight: float = 0.5
    prior_weight: float = 1.0
    prior_every: int = 2  # steps
    opacity_weight: float = 0.01  # arXiv 2404.09591, of the mean opacity
    scale_weight: float = 0.01  # same, of the mean scale (here in spacings)
    noise: float = 5.0  # exploration noise, in units of the rate of means
    relocate_every: int = 50  # steps; arXiv 2404.09591: 100 of 30,000
    settled: float = 0.8  # share of the steps after which splats stay where they are
    mean_rate: float = 0.1
    scale_rate: float = 0.02  # of log scales
    quaternion_rate: float = 0.01
    opacity_rate: float = 0.05  # of logits; the release's
    feature_rate: float = 0.01
    sh_degree: int = 0  # of harmonics, 0 to 3; what a higher one does: docs/design.md
    harmonic_share: float = 0.05  # of the features' rate, for harmonics; arXiv 2308.04079's release: 1/20
    selective: bool = False  # Adam leaves alone, in each step, the splats that its pictures do not show
    colour_rate: float = 0.0  # of the photos' own affine colour transforms; 0 takes the photos as they are
    colour_weight: float = 0.01  # of the squares of their difference from the identity
    pose_rate: float = 0.0  # of turns (radians) and shifts (distances) of the photos' cameras; 0 trusts them
    pose_weight: float = 0.1  # of the squares of these
    final_rate: float = 0.05  # rates decay exponentially to this fraction

    @staticmethod
    def preset(name: str, photo_size: int = 1024) -> "DetailConfig":
        """The settings of a preset of the methods: `fast`, `default`, `quality`, `thesis` or `release`."""
        return DetailConfig(photo_size=photo_size, steps=STEPS[name])

    def __post_init__(self) -> None:
        if self.photo_size < 16:
            raise InputError(f"Photos of {self.photo_size} pixels show nothing; ask for 16 or more.")
        if not 0 <= self.sh_degree <= HIGHEST:
            raise InputError(f"Harmonics have degrees from 0 to {HIGHEST}, not {self.sh_degree}.")


def sized(photos: Views, longest: int) -> Views:
    """The photos with a longer side of at most so many pixels."""
    shrink = min(1.0, longest / max(photos.images.shape[-2:]))
    return photos.resized(*(max(1, round(side * shrink)) for side in photos.images.shape[-2:]))


def splats_for(photos: Views, config: DetailConfig) -> int:
    """How many splats the photos, at the size that they are fitted at, may have."""
    small = sized(photos, config.photo_size)
    pixels = small.images[:, 0].numel() if small.masks is None else float(small.masks.sum())
    return max(1, min(config.budget, round(pixels / config.pixels_each)))


def detail(
    init: Gaussians,
    photos: Views,
    config: DetailConfig | None = None,
    *,
    prior: PseudoViews | None = None,
    generator: torch.Generator,
    progress: Steps | None = None,
) -> GaussianAsset:
    """Splats that show the photos (inside their masks, where they have some) and elsewhere what the prior shows.

    Starts from `init`, in the photos' world. The same generator seed gives the same splats on the same machine.
    """
    config = config or DetailConfig()
    run = _Run(init, photos, config, prior, generator)
    for step in range(config.steps):
        losses = run.advance(step)
        if progress is not None:
            progress(step + 1, losses)
            show(progress, lambda cameras: GaussianAsset(run.population.alive(), antialiased=True).render(cameras))
    return GaussianAsset(run.population.alive(), antialiased=True)


class _Run:
    """The state of one fit."""

    def __init__(
        self,
        init: Gaussians,
        photos: Views,
        config: DetailConfig,
        prior: PseudoViews | None,
        generator: torch.Generator,
    ):
        self.config, self.prior, self.generator = config, prior, generator
        self.levels = pyramid(photos, config)
        self.budget = max(len(init), splats_for(photos, config))
        rates = {
            name: getattr(config, f"{name}_rate") for name in ("mean", "scale", "quaternion", "opacity", "feature")
        }
        rates["harmonic"] = config.harmonic_share * config.feature_rate
        self.population = Population(init.of_degree(config.sh_degree), rates, selective=config.selective)
        events = max(1, round(config.settled * config.steps / config.relocate_every))
        self.growth = (self.budget / len(init)) ** (1 / events)
        self.order: list[int] = []
        self.adjustments = Adjustments(
            len(photos),
            colour_rate=config.colour_rate,
            pose_rate=config.pose_rate,
            distance=_distance(init, photos.cameras),
        )

    def advance(self, step: int) -> dict[str, float]:
        """One optimiser step on one photo and, now and then, on one pseudo view."""
        config, splats = self.config, self.population
        splats.degree = degree_at(step, config)
        share = config.final_rate ** (step / max(1, config.steps))
        splats.decay(share)
        gaussians = splats.gaussians()
        losses = self._photo_losses(gaussians, step)
        if self.prior is not None and len(self.prior) and step % config.prior_every == 0:
            wanted, view, counts = self.prior[int(torch.randint(len(self.prior), (), generator=self.generator))]
            loss = prior_loss(splat(gaussians, view, antialiased=True), wanted, counts, alpha=config.alpha_weight)
            losses["prior"] = config.prior_weight * loss
        losses["opacity"] = config.opacity_weight * gaussians.opacities.mean()
        losses["scale"] = config.scale_weight * gaussians.scales.mean() / splats.spacing
        splats.descend(torch.stack(list(losses.values())).sum())
        self.adjustments.descend(share)
        self._explore(step)
        return {name: loss.item() for name, loss in losses.items()}

    def _photo_losses(self, gaussians: Gaussians, step: int) -> dict[str, Tensor]:
        """Of the next photo, in a random order that shows all of them, at the size of this step."""
        config, own = self.config, self.adjustments
        if not self.order:
            self.order = torch.randperm(len(self.levels[-1]), generator=self.generator).tolist()
        photo = self.order.pop()
        view = self.levels[level_at(step, len(self.levels), config)][photo]
        seen = splat(own.moved(gaussians, photo, view.cameras), view.cameras, antialiased=True)
        seen = own.recoloured(seen, photo)
        weights = {"similarity": config.similarity, "alpha": config.alpha_weight}
        return {
            "photo": photo_loss(seen, view.images, view.masks, **weights),
            "own": own.penalty(photo, colour=config.colour_weight, pose=config.pose_weight),
        }

    def _explore(self, step: int) -> None:
        config = self.config
        if step >= config.settled * config.steps:
            return
        if config.noise > 0:
            self.population.jitter(config.noise, self.generator)
        if (step + 1) % config.relocate_every == 0:
            self.population.relocate(self.generator)
            target = min(self.budget, round(len(self.population) * self.growth))
            self.population.grow(target - len(self.population), self.generator)


def _distance(splats: Gaussians, cameras: Cameras) -> float:
    """World units from the cameras to the splats: the median of their z-depths in front, over all cameras."""
    depths = [cameras[i].project(splats.means)[1] for i in range(len(cameras))]
    front = torch.cat([depth[depth > 0] for depth in depths])
    return float(front.median()) if len(front) else 1.0


def level_at(step: int, levels: int, config: DetailConfig) -> int:
    """Which copy of the photos is fitted in a step, from 0 (the smallest) to levels - 1."""
    coarse = round(config.steps * (1 - config.fine)) if levels > 1 else 0
    return levels - 1 if step >= coarse else step * (levels - 1) // max(1, coarse)


def degree_at(step: int, config: DetailConfig) -> int:
    """The degree of the harmonics that are fitted in a step: one more after each equal part of the steps."""
    return step * (config.sh_degree + 1) // max(1, config.steps)


def pyramid(photos: Views, config: DetailConfig) -> list[list[Views]]:
    """Copies of the photos on black, from small to full size, each cut to what its mask shows."""
    full = sized(photos, config.photo_size)
    longest = max(full.images.shape[-2:])
    sizes = [longest]
    while sizes[-1] >= 2 * config.coarsest:
        sizes.append(round(sizes[-1] / 2))
    return [[_cut(view) for view in _each(sized(full, size).on_black())] for size in reversed(sizes)]


def _each(views: Views) -> list[Views]:
    return [views[i] for i in range(len(views))]


def _cut(view: Views) -> Views:
    """The window around the mask, clipped to the photo; the photo itself without a mask."""
    if view.masks is None:
        return view
    inside = torch.nonzero(view.masks[0] > INSIDE)
    if len(inside) == 0:
        return view
    low, high = inside.amin(0), inside.amax(0) + 1
    margin = 2 + round(MARGIN * int((high - low).max()))
    height, width = view.images.shape[-2:]
    top, left = (max(0, int(side) - margin) for side in low)
    bottom, right = min(height, int(high[0]) + margin), min(width, int(high[1]) + margin)
    return view.cropped(left, top, bottom - top, right - left)
