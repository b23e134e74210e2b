"""GGS from end to end: posed photos and a path to a scene of splats, and to the images generated on the way."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch

from fewview.cameras import Cameras
from fewview.checkpoint import load_model, save_model
from fewview.errors import InputError
from fewview.ggs.frame import growth_frame
from fewview.ggs.grow import GGSMethodConfig, Grown, GrowthPlan, add_unshown, empty_latents, grow
from fewview.ggs.lift import lift, refine, sharpened
from fewview.ggs.model import GGS, GGSConfig
from fewview.ggs.walks import automatic_path, checked_path, framed, framed_cameras, pace_of, size_for
from fewview.progress import Progress, silent, steps_of, through
from fewview.render.asset import GaussianAsset
from fewview.states import Keeper
from fewview.views import Views
from fewview.weights import model_folder

Method = TypeVar("Method", bound="GGSMethod")


@dataclass(frozen=True, eq=False)
class RoomInput:
    """Photos as they came, and as the model sees them; the cameras of frames to generate. All in the photos' world."""

    photos: Views
    given: Views  # of the photos' shape, the shorter side the model's, and on its device; without masks
    path: Cameras  # likewise; none for a regressor, which generates no frames


@dataclass(frozen=True, eq=False)
class Generated:
    """A scene, and what it was made of; all in the world of the photos, images of the size that the model saw."""

    scene: GaussianAsset
    images: Views  # of the path, in its order; none for a regressor, which makes none
    given: Views  # the photos as the model saw them
    counts: tuple[int, ...]  # splats after each chunk


class GGSMethod:
    """A Reconstructor: splats that hold what the photos show and invent, along a path, what they do not."""

    def __init__(self, model: GGS, config: GGSMethodConfig | None = None):
        self.model, self.config = model.eval().requires_grad_(False), config or GGSMethodConfig()

    @classmethod
    def from_pretrained(
        cls: type[Method], source: str | Path = "ggs-tiny", config: GGSMethodConfig | None = None
    ) -> Method:
        """Weights by name (shipped with the package; the "ggs-" may be left out) or from a model folder."""
        return cls(load_model(model_folder(source, "ggs"), GGS, GGSConfig), config)

    def save_pretrained(self, folder: Path) -> None:
        """A model folder that `from_pretrained` reads."""
        save_model(folder, self.model, self.model.config)

    def reconstruct(
        self, views: Views, *, path: Cameras | None = None, generator: torch.Generator | None = None
    ) -> GaussianAsset:
        """The scene of `generate`."""
        return self.generate(views, path, generator=generator).scene

    def generate(
        self,
        views: Views | RoomInput,
        path: Cameras | None = None,
        *,
        generator: torch.Generator | None = None,
        progress: Progress | None = None,
        keeper: Keeper | None = None,
    ) -> Generated:
        """A scene of one or more whole photos along a path in their world, or an automatic one; or of what `prepare`
        gave.

        With a `keeper` a killed run goes on behind its last whole chunk.
        """
        room = views if isinstance(views, RoomInput) else self.prepare(views, path)
        generator = generator or torch.Generator().manual_seed(0)
        given, cameras = room.given, room.path
        model = self.model.sized(given.cameras.height, given.cameras.width)
        seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
        chunks = -(-len(cameras) // self.config.chunk)
        pace = pace_of(given.cameras, cameras, chunks)
        unit = 1 / (self.config.metres or 1.0) if self.model.config.metric else pace
        frame = growth_frame(given.cameras, unit)
        inside = torch.linalg.inv(frame)
        report = through(progress or silent, lambda cameras: cameras.transformed(inside))
        plan = GrowthPlan(given.transformed(inside), cameras.transformed(inside), pace / unit, seed)
        if self.config.regressor:
            scene, grown = self.regressed(model, plan), None
        else:
            grown = grow(model, plan, self.config, progress=report, keeper=keeper)
            scene = self.finished(model, plan, grown=grown, report=report)
        images = given.images[:0] if grown is None else grown.images
        made = Views(images, cameras[: len(images)])
        scene = self.sharpened(scene.transformed(frame), room, seed=seed, progress=progress or silent)
        return Generated(scene, made, given, () if grown is None else grown.counts)

    def path(self, views: Views) -> Cameras:
        """The automatic path: `config.frames` cameras between the photos, or a stroll about the only one."""
        return self.prepare(views).path

    def prepare(self, views: Views, path: Cameras | None = None) -> RoomInput:
        """Photos (masks are not used) and path as the model takes them; InputError for what does not fit.

        Without a path, `config.frames` cameras between the photos, or a stroll about the only one.
        """
        self.check()
        device = next(self.model.parameters()).device
        if len(views) < 1:
            raise InputError("There is no photo; a scene needs one or more.")
        config = self.model.config
        size = size_for(views.cameras, config.height, config.width, step=config.autoencoder.factor)
        given = framed(views, *size).to(device)
        if self.config.regressor:
            cameras = given.cameras[:0]
        elif path is None:
            cameras = automatic_path(given.cameras, self.config.frames)
        else:
            cameras = checked_path(framed_cameras(path, *size).to(device), given.cameras)
        return RoomInput(views, given, cameras)

    def check(self) -> None:
        """InputError where the config asks for what cannot be done, or not with this model."""
        for name in ("steps", "chunk", "references", "most"):
            if getattr(self.config, name) < 1:
                raise InputError(f"The method's '{name}' is {getattr(self.config, name)}; it must be at least 1.")
        if self.config.refine < 0:
            raise InputError(f"The method's 'refine' is {self.config.refine}; it must be 0 or more steps.")
        if not 0 <= self.config.temperature < math.inf:
            raise InputError(f"The method's 'temperature' is {self.config.temperature}; it must be 0 or more.")
        if self.config.metres is not None and not 0 < self.config.metres < math.inf:
            raise InputError(f"The method's 'metres' is {self.config.metres}; it must be a positive length.")
        if self.config.conditioning == "scene" and not self.model.config.scene:
            raise InputError(
                "These weights take no scene so far (their config says scene: false); take others, or leave the "
                "method's 'conditioning' at auto."
            )
        if self.config.regressor and self.model.splats is None:
            raise InputError("These weights make no splats (their config says no_3d), so they are no regressor.")

    def regressed(self, model: GGS, plan: GrowthPlan) -> GaussianAsset:
        """The splats of the photos alone."""
        none = empty_latents(model, plan.given)
        return model.scene(plan.given, plan.given.cameras[:0], none, fine=self.config.decoder)

    def sharpened(self, scene: GaussianAsset, room: RoomInput, *, seed: int, progress: Progress) -> GaussianAsset:
        """The scene, in the photos' world, fitted to them at their own size and shape, where the config says how."""
        config = self.config.detail
        if config is None or not len(scene.gaussians):
            return scene
        generator = torch.Generator().manual_seed(seed)
        photos, tell = room.photos.to(room.given.images.device), steps_of(progress, "fitting splats", config.steps)
        return sharpened(scene, photos, room.path, config=config, generator=generator, progress=tell)

    def finished(self, model: GGS, plan: GrowthPlan, *, grown: Grown, report: Progress) -> GaussianAsset:
        """All photos' splats in the scene and, where asked for, all views fitted; lifted, where there are no splats."""
        config = self.config
        generator = torch.Generator().manual_seed(plan.seed)
        seen = Views.cat([plan.given, Views(grown.images, plan.path)])
        if model.splats is None or config.lifted:
            near, far = model.config.splats.near, model.config.splats.far  # of chunks' frames, about that of growth
            fit = replace(config.fit, steps=config.fit.steps + config.refine)
            tell = steps_of(report, "fitting splats", fit.steps)
            return lift(seen, near, far, config=fit, generator=generator, progress=tell)
        scene = add_unshown(model, plan, config, grown=grown).scene
        if not config.refine:
            return GaussianAsset(scene)
        tell = steps_of(report, "refining splats", config.refine)
        return refine(scene, seen, replace(config.fit, steps=config.refine), generator=generator, progress=tell)
