"""The methods as functions of photos: `pipe = SparseFusion.from_pretrained("tiny"); scene = pipe(views)`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.detail.stage import DetailConfig, detail, splats_for
from fewview.detail.starts import start
from fewview.evaluation.perceptual import find_lpips
from fewview.ggs.grow import GGSMethodConfig
from fewview.ggs.method import Generated, GGSMethod, RoomInput
from fewview.ggs.model import GGS
from fewview.ggs.walks import window
from fewview.pipeline.reconstruction import Reconstruction
from fewview.pipeline.scale import metres_per_unit
from fewview.progress import Progress, silent, steps_of
from fewview.sparsefusion.distill import Perceptual
from fewview.sparsefusion.method import SparseFusionConfig, SparseFusionMethod
from fewview.states import StateFile, StepFolder
from fewview.views import Asset, Views

GROWN = "grown.safetensors"  # the state of a stopped run of GGS


class SparseFusion(SparseFusionMethod):
    """EFT, VLDM and diffusion distillation, with the perceptual loss where its weights are found."""

    @classmethod
    def from_pretrained(
        cls, source: str | Path = "tiny", config: SparseFusionConfig | None = None, perceptual: Perceptual | None = None
    ) -> "SparseFusion":
        """Weights by name or from a model folder; presets are `SparseFusionConfig.preset(name)`, by default `default`.

        `perceptual` defaults to LPIPS (`fewview.evaluation.weights` says where it is looked for), or goes without.
        """
        made = super().from_pretrained(source, config, perceptual)
        assert isinstance(made, SparseFusion)
        config = made.config
        wanted = config.distill.perceptual_weight > 0 and (config.seeking == "mode" or config.distill.perceptual_mean)
        if perceptual is None and wanted:
            made.perceptual = find_lpips("vgg")
        return made

    def __call__(
        self,
        views: Views,
        *,
        name: str = "scene",
        generator: torch.Generator | None = None,
        progress: Progress | None = None,
        directory: Path | None = None,
    ) -> Reconstruction:
        """The scene of two or more photos, in their world, with all that can be made of it.

        The same generator seed gives the same scene on the same machine. `progress` is told (stage, fraction), now and
        when the scene is exported; with a `directory` a killed run continues from there.
        """
        keeper = None if directory is None else StepFolder(directory)
        asset = self.reconstruct(views, generator=generator, progress=progress, keeper=keeper)
        return Reconstruction.of(asset, views, name=name, progress=progress)


class PhotoSplats:
    """Splats of the photos alone: no field and no prior, in a fraction of the time. A Reconstructor."""

    def __init__(self, config: DetailConfig | None = None) -> None:
        self.config = config or DetailConfig()

    def __call__(
        self,
        views: Views,
        *,
        points: Float[Tensor, "n 3"] | None = None,
        name: str = "scene",
        generator: torch.Generator | None = None,
        progress: Progress | None = None,
    ) -> Reconstruction:
        """The scene of two or more photos, started on points of their world, or from stereo."""
        generator = generator or torch.Generator().manual_seed(0)
        init = start(views, points, splats_for(views, self.config) // 2, generator=generator)
        tell = steps_of(progress or silent, "fitting splats", self.config.steps)
        asset = detail(init, views, self.config, generator=generator, progress=tell)
        scene = Reconstruction.of(asset, views, name=name, progress=progress)
        scene.detail = self.config
        return scene

    def reconstruct(
        self, views: Views, *, path: Cameras | None = None, generator: torch.Generator | None = None
    ) -> Asset:
        """The splats alone; they need no `path`."""
        return self(views, generator=generator).asset


class GenerativeGaussianSplatting(GGSMethod):
    """GGS: splats that hold what the photos show, as sharp as they are, and invent, along a path, what they do not."""

    def __init__(self, model: GGS, config: GGSMethodConfig | None = None):
        """By default splats are fitted to the whole photos in the end (`GGSMethodConfig.detail`)."""
        super().__init__(model, config or GGSMethodConfig(detail=DetailConfig()))

    def __call__(
        self,
        views: Views,
        *,
        path: Cameras | None = None,
        name: str = "scene",
        generator: torch.Generator | None = None,
        progress: Progress | None = None,
        directory: Path | None = None,
    ) -> Reconstruction:
        """The scene of one or more whole photos along a path in their world (by default one between the photos).

        The film of the scene goes along that path. Generator, progress and directory are as those of SparseFusion.
        """
        method = self.in_metres(views)
        how = {"generator": generator, "progress": progress, "directory": directory}
        return method.scene(method.prepare(views, path), name=name, **how)

    def scene(
        self,
        room: RoomInput,
        *,
        name: str = "scene",
        generator: torch.Generator | None = None,
        progress: Progress | None = None,
        directory: Path | None = None,
    ) -> Reconstruction:
        """The same of what `prepare` gave."""
        asset = self.generate(room, generator=generator, progress=progress, directory=directory).scene
        walk = room.path if len(room.path) > 1 else Cameras.cat([room.given.cameras, room.path])
        height, width, _, _ = window(room.photos.cameras, walk.height, walk.width)
        walk = walk.resized(walk.height, round(walk.height * width / height))  # the photos' shape, to the pixel
        photos = room.photos.to("cpu")
        scene = Reconstruction.along(asset.to("cpu"), walk.to("cpu"), photos, name=name, progress=progress)
        scene.detail = self.config.detail or scene.detail
        return scene

    def generate(
        self, views: Views | RoomInput, path: Cameras | None = None, *, directory: Path | None = None, **how: Any
    ) -> Generated:
        """What `GGSMethod.generate` makes, and takes; with a `directory` a killed run continues from there."""
        keeper = None if directory is None else StateFile(directory / GROWN)
        return super().generate(views, path, keeper=keeper, **how)

    def in_metres(self, views: Views) -> "GenerativeGaussianSplatting":
        """The same method, told how many metres a unit of the photos' world has, where its model wants to know.

        Unless `config.metres` says so, that is estimated from what the photos share, or else taken for one.
        """
        if not self.model.config.metric or self.config.metres is not None:
            return self
        found = metres_per_unit(views.to("cpu"))
        return type(self)(self.model, replace(self.config, metres=1.0 if found is None else found))
