"""Diffusion distillation: a radiance field whose renderings are modes of a Prior (thesis 4.4, Eq. 4.3-4.5, A.3)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from fewview.cameras import Cameras, Rays
from fewview.diffusion.denoiser import Denoiser
from fewview.diffusion.samplers import euler, plms, plms_ancestral
from fewview.diffusion.schedules import COSINE, multistep_times
from fewview.geometry.transforms import normalise
from fewview.nn.lpips import Lpips
from fewview.priors import Prior
from fewview.progress import Steps, show
from fewview.render.asset import FieldAsset, FieldAssetConfig
from fewview.render.volume import RayRender, render_rays
from fewview.sparsefusion.context import suited
from fewview.sparsefusion.hull import Carving
from fewview.states import Keeper
from fewview.views import Render, Views, resize

SAMPLERS = {"plms": plms, "plms_ancestral": plms_ancestral, "ddim": euler}
Perceptual = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class DistillConfig:
    """Defaults are the thesis', else the release's (docs/presets.md). Table 5.5: space, denoising and the perceptual
    weight."""

    steps: int = 3000  # thesis 5.1
    bootstrap_steps: int = 1000  # thesis 5.1: fit to EFT's images first; equal to `steps`, this is mean seeking
    pseudo_views: int = 50  # release: cached cameras of the prior distribution
    context_views: int = 6  # photos, at most, that the prior is shown for a pseudo view (thesis: 2-6)
    render_size: int = 128  # thesis A.3
    space: Literal["pixel", "latent"] = "pixel"
    denoising: Literal["multiple", "single"] = "multiple"
    sampler: Literal["plms", "plms_ancestral", "ddim"] = "plms"
    max_evaluations: int = 50  # caps Eq. A.1
    max_time: float = 1.0  # t is uniform in (0, max_time]
    reuse: int = 1  # optimiser steps on each denoised target
    bootstrap_rays: int = 0  # ours: rays of all first images a step; 0 takes one whole image (thesis)
    final_rate: float = 1.0  # ours: rates decay exponentially to this share while distilling; 1 keeps them (thesis)
    perceptual_weight: float = 0.1  # release; 0 leaves L_Perp of Eq. 4.5 out
    perceptual_mean: bool = False  # ours: the perceptual term also while fitting to first images (Table 5.4, fairly)
    distance: Literal["l1", "l2"] = "l2"  # Eq. 4.5; release: l1
    photos_a_step: Literal["all", "one"] = "all"  # thesis A.3; release: one, each step the next
    input_rays: int = 0  # rays of a photo a step; 0 takes the whole photo at render_size (thesis)
    input_weight: float = 1.0
    pseudo_weight: float = 1.0  # 0 leaves the photos alone: the same field without any prior
    silhouette_weight: float = 1.0
    coverage_weight: float = 0.0  # ours: keeps renderings inside the feed-forward coverage while distilling
    anchor_weight: float = 0.0  # ours: holds 8 x 8 block means of renderings at the feed-forward image's
    hue_share: float = 0.0  # ours: of the hues of targets, so much is the feed-forward image's; their light stays
    opacity_weight: float = 1e-3
    rendering_distance: Literal["pseudo_huber", "huber"] = "pseudo_huber"  # release; ours: torch's
    updates: Literal["summed", "separate"] = "summed"  # of Adam: one of both losses; release: one after each
    adam_eps: float = 1e-8  # torch's default
    grid_rate: float = 5e-3  # release: ten times the MLP's
    mlp_rate: float = 5e-4  # thesis A.3
    pose_rate: float = 0.0  # ours: of turns (radians) and shifts of all photos' cameras but the first; 0 trusts them
    save_every: int = 500
    occupancy_every: int = 16  # steps between updates of the occupancy grid
    asset: FieldAssetConfig = field(default_factory=FieldAssetConfig)


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a scene is distilled from, in the normalised frame: photos, and pseudo views with first images of them."""

    photos: Views
    context: Views  # the photos as the prior wants them
    queries: Cameras
    first: Views  # feed-forward (mean) images of the queries; masks, where known, are coverage


def distill(
    prior: Prior,
    evidence: Evidence,
    config: DistillConfig,
    *,
    generator: torch.Generator,
    perceptual: Perceptual | None = None,
    progress: Steps | None = None,
    keeper: Keeper | None = None,
) -> FieldAsset:
    """A field that explains the photos and whose renderings the prior finds likely.

    A `keeper` keeps the run every `save_every` steps, and the run goes on from what it has; as step i draws from
    (seed, i) alone, a continued run equals an unbroken one.
    """
    run = _Run(prior, evidence, config, generator, perceptual)
    run.restore(keeper)
    while run.step < config.steps:
        losses = run.advance()
        if keeper is not None and run.step % config.save_every == 0:
            run.save(keeper)
        if progress is not None:
            progress(run.step, losses)
            show(progress, run.asset.render)
    return run.asset.eval()


class _Run:
    """The state of one distillation."""

    def __init__(
        self,
        prior: Prior,
        evidence: Evidence,
        config: DistillConfig,
        generator: torch.Generator,
        perceptual: Perceptual | None,
    ):
        self.prior, self.evidence, self.config, self.perceptual = prior, evidence, config, perceptual
        self.seed = int(torch.randint(2**40, (), generator=generator))
        self.asset = FieldAsset(config.asset, generator=torch.Generator().manual_seed(self.seed))
        self.field, self.occupancy = self.asset.field, self.asset.occupancy
        self.carving = None if self.occupancy is None else Carving(self.occupancy, evidence.photos, evidence.first)
        groups = self.field.parameter_groups(config.grid_rate, config.mlp_rate)
        self.moves = torch.zeros(len(evidence.photos), 6, device=evidence.photos.images.device)
        if config.pose_rate > 0:
            groups.append({"params": [self.moves.requires_grad_()], "lr": config.pose_rate})
        self.optimiser = torch.optim.Adam(groups, fused=True, eps=config.adam_eps)
        self.rates = [group["lr"] for group in groups]
        size = (config.render_size, config.render_size)
        photos = evidence.photos.cameras
        self.photo_rays = (photos if config.input_rays else photos.resized(*size)).rays()
        self.query_rays = evidence.queries.resized(*size).rays()
        self.first = evidence.first.resized(*size) if len(evidence.first) else evidence.first
        self.denoisers: dict[int, Denoiser] = {}
        self.step = 0
        self.target: tuple[int, Tensor, Tensor] | None = None
        self.wanted: tuple[Tensor, Callable[[Tensor], Tensor]] | None = None  # what `_wanted` says of the target

    def advance(self) -> dict[str, float]:
        """One step: of the photos, and of one pseudo view."""
        config = self.config
        draws = torch.Generator().manual_seed(self.seed + self.step)
        self.decay()
        losses = {"photo": config.input_weight * self.photo_loss(draws)}
        if config.updates == "separate":
            self.update(losses["photo"])
        if config.pseudo_weight > 0:
            mean = self.step < config.bootstrap_steps
            loss = self.bootstrap_loss(draws) if mean else self.distillation_loss(draws)
            losses["bootstrap" if mean else "distillation"] = config.pseudo_weight * loss
        if config.updates == "summed":
            self.update(torch.stack(list(losses.values())).sum())
        elif config.pseudo_weight > 0:
            self.update(list(losses.values())[-1])
        self.step += 1
        if self.carving is not None and self.step % config.occupancy_every == 0:
            self.carving.occupancy.update(self.field, generator=draws)
            self.carving.apply(self.step // config.occupancy_every)
        return {name: loss.item() for name, loss in losses.items()}

    def decay(self) -> None:
        """Set the rates of this step."""
        config = self.config
        done = max(0, self.step - config.bootstrap_steps) / max(1, config.steps - config.bootstrap_steps)
        for group, rate in zip(self.optimiser.param_groups, self.rates):
            group["lr"] = rate * config.final_rate**done

    def update(self, loss: Tensor) -> None:
        """One optimiser step."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()

    def see(self, rays: Rays, draws: torch.Generator) -> RayRender:
        """A differentiable rendering of flat rays."""
        return render_rays(self.field, rays, self.config.asset.volume, occupancy=self.occupancy, generator=draws)

    def render(self, rays: Rays, draws: torch.Generator) -> Render:
        """A differentiable rendering of one camera's rays (height, width)."""
        out, shape = self.see(rays.flatten(), draws), rays.shape
        image, alpha = out.features.T.unflatten(-1, shape), out.alpha.unflatten(-1, shape)[None]
        return Render(image, alpha, out.distance.unflatten(-1, shape)[None])

    def moved(self, rays: Rays, index: int) -> Rays:
        """Rays of a photo whose camera is refined; the first photo stays, so that the world does."""
        if self.config.pose_rate == 0 or index == 0:
            return rays
        turn, shift = self.moves[index].split(3)
        directions = rays.directions + torch.linalg.cross(turn.expand_as(rays.directions), rays.directions)
        return Rays(rays.origins + shift, normalise(directions))

    def photo_loss(self, draws: torch.Generator) -> Tensor:
        """Colour and silhouette of rays of the input photos (thesis A.3: rendering loss on all input images)."""
        count = len(self.evidence.photos)
        if self.config.photos_a_step == "one":
            return self.loss_of_photo(self.step % count, draws)
        return torch.stack([self.loss_of_photo(i, draws) for i in range(count)]).mean()

    def loss_of_photo(self, index: int, draws: torch.Generator) -> Tensor:
        """The same of one photo."""
        view, config = self.evidence.photos[index], self.config
        if config.input_rays:
            chosen = torch.randint(view.images[0].numel(), (config.input_rays,), generator=draws)
            target, masks = view.images.flatten(1)[:, chosen].T, None
            if view.masks is not None:
                masks = view.masks.flatten()[chosen]
            out = self.see(self.moved(self.photo_rays[index].flatten()[chosen], index), draws)
            return self._rendering_loss(out.features, out.alpha, target, masks)
        rendered = self.render(self.moved(self.photo_rays[index], index), draws)
        small = view.resized(*self.photo_rays.shape[1:])
        return self._rendering_loss(rendered.image, rendered.alpha, small.images, small.masks)

    def bootstrap_loss(self, draws: torch.Generator) -> Tensor:
        """Rendering loss against the feed-forward image of a random pseudo view (thesis: EFT's colours)."""
        if self.config.bootstrap_rays and not self.config.perceptual_mean:  # which takes whole images
            return self._loss_of_first_rays(draws)
        index = int(torch.randint(len(self.evidence.queries), (), generator=draws))
        rendered = self.render(self.query_rays[index], draws)
        first = self.first[index]
        loss = self._rendering_loss(rendered.image, rendered.alpha, first.images, first.masks)
        if self.config.perceptual_mean and self.perceptual is not None:
            pair = (self._at_prior_size(image) for image in (rendered.image, first.images))
            loss = loss + self.config.perceptual_weight * self.perceptual(*pair).mean()
        return loss

    def _loss_of_first_rays(self, draws: torch.Generator) -> Tensor:
        """The same of random rays of all of them."""
        chosen = torch.randint(self.query_rays.origins[..., 0].numel(), (self.config.bootstrap_rays,), generator=draws)
        out = self.see(self.query_rays.flatten()[chosen], draws)
        colours = self.first.images.movedim(1, -1).flatten(0, 2)[chosen]
        masks = None if self.first.masks is None else self.first.masks.flatten()[chosen]
        return self._rendering_loss(out.features, out.alpha, colours, masks)

    def distillation_loss(self, draws: torch.Generator) -> Tensor:
        """Eq. 4.5: distance of a rendering to what the prior makes of its noised self, times w_t = 1 - alphabar."""
        config = self.config
        before = None if (self.step - config.bootstrap_steps) % config.reuse == 0 else self.target
        index = before[0] if before else int(torch.randint(len(self.evidence.queries), (), generator=draws))
        rendered = self.render(self.query_rays[index], draws)
        image = self._at_prior_size(rendered.image)
        if before is None:
            self.wanted = None
        goal = before or (index, *self.denoised(image.detach(), index, draws))
        self.target, (_, latent, weight) = goal, goal
        self.wanted = self.wanted or self._wanted(index, latent)
        target, perceptual = self.wanted
        if config.space == "latent":
            loss = weight * _distance(self.prior.codec.encode(image), latent, config.distance)
        else:
            loss = weight * _distance(image, target, config.distance)
        if self.perceptual is not None and config.perceptual_weight > 0:
            loss = loss + config.perceptual_weight * perceptual(image).mean()
        return loss + self._feed_forward_loss(rendered, index) + self._opacity(rendered.alpha)

    @torch.no_grad()
    def _wanted(self, index: int, latent: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The picture of a target's latent, and the perceptual distance to it."""
        picture = self.prior.codec.decode(latent).clamp(0, 1)
        if self.config.hue_share > 0:
            hues = resize(self.evidence.first[index].images[None], *picture.shape[-2:])
            picture = with_hues(picture, hues, self.config.hue_share)
        return picture, towards(self.perceptual, picture)

    def _feed_forward_loss(self, rendered: Render, index: int) -> Tensor:
        """What the feed-forward image knows better than any mode: where the object is, and its colours at large."""
        config, first = self.config, self.evidence.first
        loss = rendered.alpha.new_zeros(())
        if first.masks is not None and config.coverage_weight > 0:
            coverage = resize(first.masks[index], *self.query_rays.shape[1:])
            loss = loss + config.coverage_weight * self.difference(rendered.alpha, coverage)
        if config.anchor_weight > 0:
            means, wanted = (F.adaptive_avg_pool2d(x, 8) for x in (rendered.image, first.images[index]))
            loss = loss + config.anchor_weight * self.difference(means, wanted)
        return loss

    @torch.no_grad()
    def denoised(self, image: Float[Tensor, "1 3 h w"], index: int, draws: torch.Generator) -> tuple[Tensor, Tensor]:
        """z0-hat of Eq. 4.4 (one evaluation) or 4.5 (Eq. A.1's number of them), and w_t."""
        config = self.config
        latent = self.prior.codec.encode(image)
        time = float(config.max_time * (1 - torch.rand((), generator=draws)))  # uniform in (0, max_time]
        noise = torch.randn(latent.shape, generator=draws).to(latent)
        sigmas = self.levels(time).to(latent)
        noised = latent + sigmas[0] * noise
        if config.denoising == "single":
            result = self.denoiser(index)(noised, sigmas[:1])
        else:
            result = SAMPLERS[config.sampler](self.denoiser(index), noised, sigmas, generator=draws)
        return result, sigmas[0] ** 2 / (1 + sigmas[0] ** 2)

    def levels(self, time: float) -> Float[Tensor, " points"]:
        """Descending noise levels of the chain from `time`, thinned to at most `max_evaluations` steps."""
        times = multistep_times(time)
        if len(times) - 1 > self.config.max_evaluations:
            times = torch.linspace(time, 0, self.config.max_evaluations + 1)
        return COSINE.sigmas(times)

    def denoiser(self, index: int) -> Denoiser:
        """The prior bound to one pseudo view, once."""
        if index not in self.denoisers:
            with torch.no_grad():
                one = self.evidence.queries[index : index + 1]
                context = suited(self.evidence.context, one[0], self.config.context_views)
                self.denoisers[index] = self.prior.condition(context, one)
        return self.denoisers[index]

    def _at_prior_size(self, image: Float[Tensor, "3 h w"]) -> Float[Tensor, "1 3 height width"]:
        """Bilinear upsampling to the size that the prior was trained at (thesis A.3)."""
        size = (self.evidence.queries.height, self.evidence.queries.width)
        return F.interpolate(image[None], size, mode="bilinear", align_corners=False)

    def _rendering_loss(self, image: Tensor, alpha: Tensor, target: Tensor, masks: Tensor | None) -> Tensor:
        loss = self.difference(image, target)
        if masks is not None:
            loss = loss + self.config.silhouette_weight * self.difference(alpha, masks.reshape(alpha.shape))
        return loss + self._opacity(alpha)

    def difference(self, a: Tensor, b: Tensor) -> Tensor:
        """The configured distance of renderings, per number, averaged."""
        return (pseudo_huber if self.config.rendering_distance == "pseudo_huber" else huber)(a, b)

    def _opacity(self, alpha: Tensor) -> Tensor:
        """Release: 1e-3 * mean sqrt(alpha^2 + 0.01) keeps empty space empty."""
        return self.config.opacity_weight * (alpha.square() + 0.01).sqrt().mean()

    def save(self, keeper: Keeper) -> None:
        """Field, optimiser and occupancy, then the step that they belong to."""
        tensors = {f"asset/{name}": tensor for name, tensor in self.asset.state_dict().items()}
        for i, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser/{i}/{name}": value for name, value in state.items()}
        if self.config.pose_rate > 0:
            tensors |= {"poses/moves": self.moves}
        if self.target is not None:
            tensors |= {"target/index": torch.tensor(self.target[0]), "target/latent": self.target[1]}
            tensors |= {"target/weight": self.target[2]}
        keeper.keep(tensors, step=self.step, seed=self.seed)

    def restore(self, keeper: Keeper | None) -> None:
        """Continue from what `save` kept for the same seed."""
        if keeper is None:
            return
        with keeper.kept() as state:
            if state is None or state.numbers["seed"] != self.seed:
                return
            tensors, self.step = state.tensors, state.numbers["step"]
            self.asset.load_state_dict(_part(tensors, "asset"))
            optimiser = self.optimiser.state_dict()
            for name, value in _part(tensors, "optimiser").items():
                index, key = name.split("/")
                optimiser["state"].setdefault(int(index), {})[key] = value
            self.optimiser.load_state_dict(optimiser)
            if self.config.pose_rate > 0:
                self.moves.data.copy_(tensors["poses/moves"])
            target = _part(tensors, "target")
            if target:
                self.target = (int(target["index"]), target["latent"], target["weight"])


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}/"): t for name, t in tensors.items() if name.startswith(f"{prefix}/")}


def towards(perceptual: Perceptual | None, truth: Tensor) -> Callable[[Tensor], Tensor]:
    """The distance to one picture, which is looked at only once where the perceptual distance knows how."""
    if isinstance(perceptual, Lpips):
        return perceptual.towards(truth)
    return lambda image: image.new_zeros(1) if perceptual is None else perceptual(image, truth)


def huber(a: Tensor, b: Tensor, scale: float = 0.1) -> Tensor:
    """Quadratic below `scale` and linear above: 0.05 at a difference of 0.1, 0.95 at one of 1; averaged."""
    return F.huber_loss(a, b, delta=scale) / scale


def pseudo_huber(a: Tensor, b: Tensor, scale: float = 0.1) -> Tensor:
    """scale (sqrt(1 + (d / scale)^2) - 1): 0.0414 at a difference d of 0.1, 0.905 at one of 1; averaged (release)."""
    return scale * ((1 + ((a - b) / scale).square()).sqrt() - 1).mean()


def _distance(a: Tensor, b: Tensor, kind: str) -> Tensor:
    return (a - b).abs().mean() if kind == "l1" else (a - b).square().mean()


def with_hues(
    images: Float[Tensor, "b 3 h w"], hues: Float[Tensor, "b 3 h w"], share: float
) -> Float[Tensor, "b 3 h w"]:
    """Images with their own brightness (mean of the channels) and, by a share in [0, 1], the hues of others.

    What is darker than 0.1 in the others tells less of its hue, and black nothing.
    """
    light, their_light = images.mean(1, keepdim=True), hues.mean(1, keepdim=True)
    tinted = hues * (light / their_light.clamp(min=1e-3)).clamp(max=4)
    known = share * (their_light / 0.1).clamp(max=1)
    return (images + known * (tinted - images)).clamp(0, 1)
