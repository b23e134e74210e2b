"""Scenes of any size: a path in chunks, each generated from photos, from what was generated and the scene so far."""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.config import to_json
from fewview.detail.stage import DetailConfig
from fewview.diffusion.samplers import Callback, euler
from fewview.diffusion.schedules import COSINE, karras
from fewview.errors import InputError
from fewview.fitting import GaussianFitConfig
from fewview.ggs.compact import compact
from fewview.ggs.filling import COVERED, empty_scene, filled
from fewview.ggs.model import GGS
from fewview.ggs.references import chosen_references
from fewview.progress import Progress, show
from fewview.render.asset import GaussianAsset, gaussians_of
from fewview.render.gaussians import Gaussians
from fewview.states import Keeper, settings_tensor
from fewview.views import Views

SVD_SIGMAS = 0.002, 700.0  # 2311.15127 appendix D: the levels that SVD is sampled at


@dataclass(frozen=True)
class GGSMethodConfig:
    """How a scene is made of photos and a path; ours but for `steps`."""

    steps: int = 30  # of Euler's method (paper)
    temperature: float = 1.0  # of the noise that is started from; less invents less
    chunk: int = 6  # targets in one go, at most
    references: int = 2  # given or generated views that a chunk is told
    reach: float = 6.0  # references are at most so many paces (`walks.pace_of`) away
    decoder: bool = True  # splats of D_3D, or else the denoiser's own
    conditioning: Literal["auto", "scene", "views"] = "auto"  # on the scene so far: where the model takes it
    lifted: bool = False  # splats are fitted to the generated views, as No3D's, in place of the model's own
    regressor: bool = False  # of photos alone, without targets: the feed-forward baseline
    covered: float = COVERED  # a view adds no splats where the scene covers more than this already
    faint: float = 0.005  # splats of less opacity go
    merge: float = 1.5  # edge of the cells in which splats of a later chunk become one, in their deviations; 0: never
    most: int = 1_000_000  # splats
    frames: int = 24  # of an automatic path
    metres: float | None = None  # in a unit of the photos' world, for models that see metres; None is taken for 1
    refine: int = 0  # steps of splat fitting on all given and generated views, at the end
    detail: DetailConfig | None = None  # how splats are fitted to whole photos at last; None leaves them as they grew
    fit: GaussianFitConfig = field(default_factory=lambda: GaussianFitConfig(count=20_000, steps=1000))  # of No3D

    @staticmethod
    def preset(name: str) -> "GGSMethodConfig":
        """`fast`, `default`, `quality` and `thesis` differ in Euler's steps: 10, 30, 60, and the paper's 30."""
        steps = {"fast": 10, "default": 30, "quality": 60, "thesis": 30, "release": 30}
        if name not in steps:
            raise InputError(f"The preset '{name}' does not exist; choose from {', '.join(steps)}.")
        return GGSMethodConfig(steps=steps[name])


@dataclass(frozen=True, eq=False)
class Grown:
    """What a path has given so far, in the frame in which the scene grows."""

    scene: Gaussians  # colours; empty for a model without splats
    images: Float[Tensor, "n 3 height width"]  # generated, of the path's first n cameras
    shown: frozenset[int]  # given views whose splats are in the scene
    counts: tuple[int, ...]  # splats after each chunk


@dataclass(frozen=True, eq=False)
class GrowthPlan:
    """Given views and a path of the model's size, in the frame of growth; `pace` (`walks.pace_of`) in its units."""

    given: Views
    path: Cameras
    pace: float
    seed: int

    def chunks(self, most: int) -> list[tuple[int, int]]:
        """First frame and end of each chunk: as few as can be, as even as can be."""
        number = -(-len(self.path) // most)
        ends = [i * len(self.path) // number for i in range(number + 1)]
        return list(pairwise(ends))


def grow(
    model: GGS,
    plan: GrowthPlan,
    config: GGSMethodConfig,
    *,
    progress: Progress,
    keeper: Keeper | None = None,
) -> Grown:
    """All chunks of a path, going on from the last one that the `keeper` has.

    Chunk i draws from (seed, i) alone, so a run that was stopped gives the same bits as one that was not.
    """
    chunks = plan.chunks(config.chunk)
    grown = _start(plan) if keeper is None else _resume(keeper, plan, config)
    done = [end for _, end in chunks].index(len(grown.images)) + 1 if len(grown.images) else 0
    for i in range(done, len(chunks)):
        tell = lambda step, _, __, i=i: progress("imagining views", (i + (step + 1) / config.steps) / len(chunks))
        grown = next_chunk(model, plan, config, grown=grown, frames=chunks[i], number=i, callback=tell)
        show(progress, GaussianAsset(grown.scene).render)
        if keeper is not None:
            keeper.keep(_state_of(grown) | _run_of(plan, config))
    return grown


@torch.no_grad()
def next_chunk(
    model: GGS,
    plan: GrowthPlan,
    config: GGSMethodConfig,
    *,
    grown: Grown,
    frames: tuple[int, int],
    number: int,
    callback: Callback | None = None,
) -> Grown:
    """One chunk more: choose references, sample the targets, add what their splats show and the scene does not."""
    targets = plan.path[slice(*frames)]
    views = Views.cat([plan.given, Views(grown.images, plan.path[: frames[0]])])
    chosen = chosen_references(views.cameras, targets, config.references, pace=plan.pace, reach=config.reach)
    told = len(grown.scene) > 0 and model.config.scene and config.conditioning != "views"
    context = views[chosen]
    z0 = sample(
        model,
        context,
        targets,
        steps=config.steps,
        seed=plan.seed * 1_000_003 + number,
        temperature=config.temperature,
        scene=grown.scene if told else None,
        callback=callback,
    )
    images = torch.cat([grown.images, model.codec.decode(z0).float().clamp(0, 1)])
    if model.splats is None:
        return Grown(grown.scene, images, grown.shown, (*grown.counts, 0))
    new = model.scene(context, targets, z0, fine=config.decoder).gaussians
    fresh = [i for i, c in enumerate(chosen) if c < len(plan.given) and c not in grown.shown]
    made = range(len(chosen), len(chosen) + len(targets))
    cameras = Cameras.cat([context.cameras, targets])
    shown = grown.shown | {chosen[i] for i in fresh}
    scene = grown.scene
    for added in (fresh, *([i] for i in made)):
        scene = filled(scene, new, cameras, added=added, covered=config.covered)
    scene = _tidied(scene, config, merge=number > 0)
    return Grown(scene, images, shown, (*grown.counts, len(scene)))


def sample(
    model: GGS,
    context: Views,
    targets: Cameras,
    *,
    steps: int,
    seed: int,
    temperature: float = 1.0,
    scene: Gaussians | None = None,
    callback: Callback | None = None,
) -> Float[Tensor, "l c h w"]:
    """Latents of all targets jointly, from noise along the probability-flow ODE by Euler's method."""
    config = model.config
    if config.noise == "lognormal":
        sigmas = karras(steps, *SVD_SIGMAS)
    else:
        sigmas = COSINE.sigmas(torch.linspace(1, 0, steps + 1))
    shape = len(targets), config.autoencoder.total_channels, *config.cells
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(context.images)
    return euler(
        model.condition(context, targets, scene=scene), noise * temperature * sigmas[0], sigmas, callback=callback
    )


def _tidied(scene: Gaussians, config: GGSMethodConfig, *, merge: bool) -> Gaussians:
    """Without faint splats and, where asked for, without those that say the same; the first chunk's are not merged."""
    return compact(scene, faint=config.faint, edge=config.merge if merge else 0.0, most=config.most)


def add_unshown(model: GGS, plan: GrowthPlan, config: GGSMethodConfig, *, grown: Grown) -> Grown:
    """Splats of given views that no chunk was told: photos stay in the scene, wherever the path went.

    They are lifted beside the generated views next to them, whose latents are known by now.
    """
    if model.splats is None:
        return grown
    scene, shown = grown.scene, grown.shown
    for i in range(len(plan.given)):
        if i in shown:
            continue
        near = (plan.path.centers - plan.given.cameras.centers[i]).norm(dim=-1).argsort(stable=True)[: config.chunk]
        order = near.sort().values
        context, targets = plan.given[[i]], plan.path[order]
        with torch.no_grad():
            z0 = model.codec.encode(grown.images[order]).float()
            new = model.scene(context, targets, z0, fine=config.decoder).gaussians
        cameras = Cameras.cat([context.cameras, targets])
        scene, shown = (
            _tidied(filled(scene, new, cameras, added=[0], covered=config.covered), config, merge=True),
            shown | {i},
        )
    return Grown(scene, grown.images, shown, grown.counts)


def empty_latents(model: GGS, views: Views) -> Float[Tensor, "0 c h w"]:
    """Latents of no target at all."""
    return views.images.new_zeros(0, model.config.autoencoder.total_channels, *model.config.cells)


def _start(plan: GrowthPlan) -> Grown:
    return Grown(empty_scene(plan.given.images), plan.given.images[:0], frozenset(), ())


def _run_of(plan: GrowthPlan, config: GGSMethodConfig) -> dict[str, Tensor]:
    """What two runs must share for one to go on with the other."""
    growth = replace(config, frames=0, refine=0, detail=None, fit=GaussianFitConfig())  # these come before and after
    tensors = {"photos": plan.given.images.mean((2, 3)), "path": plan.path.world_from_cam}
    return {
        "settings": settings_tensor({"seed": plan.seed, **to_json(growth)}),
        **{name: tensor.cpu() for name, tensor in tensors.items()},
    }


def _state_of(grown: Grown) -> dict[str, Tensor]:
    """All that has been grown."""
    numbers = {"counts": list(grown.counts), "shown": sorted(grown.shown)}
    counted = {name: torch.tensor(values, dtype=torch.int64) for name, values in numbers.items()}
    return {**grown.scene.tensors(), **counted, "images": grown.images}


def _resume(keeper: Keeper, plan: GrowthPlan, config: GGSMethodConfig) -> Grown:
    with keeper.kept() as state:
        if state is None:
            return _start(plan)
        kept, where = state.tensors, keeper.where
        for name, tensor in _run_of(plan, config).items():
            if name not in kept or not torch.equal(kept[name], tensor):
                raise InputError(f"{where} is of another run (its {name} differ); name another folder, or delete it.")
        if len(kept["images"]) not in [end for _, end in plan.chunks(config.chunk)]:
            raise ValueError("its images end within a chunk")
        device, empty = plan.given.images.device, empty_scene(plan.given.images).tensors()
        scene = gaussians_of({name: kept[name] for name in empty}, where).to(device)
        shown, counts = (map(int, kept[name]) for name in ("shown", "counts"))
        return Grown(scene, kept["images"].to(device), frozenset(shown), tuple(counts))
