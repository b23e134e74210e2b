"""WildFusion as functions: one photo, two photos, or a class in; 3D objects out."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from fewview.checkpoint import load_model
from fewview.errors import InputError
from fewview.export.images import write_png
from fewview.export.ply import write_ply
from fewview.export.video import write_video
from fewview.pipeline.reconstruction import Reconstruction
from fewview.pipeline.single import in_view_space
from fewview.progress import Progress, silent
from fewview.render.asset import GaussianAsset
from fewview.render.gaussians import Gaussians
from fewview.views import Views
from fewview.weights import model_folder
from fewview.wildfusion.frame import input_cameras, orbit, swing
from fewview.wildfusion.scene import PlaneScene, splats_of
from fewview.wildfusion.whole import WholeConfig, WildFusion

PATH = 24  # cameras of the film within the trusted angles
FILM = 96  # pictures of a film from object to object
TURNS = ((-25.0, 0.0), (0.0, 0.0), (25.0, 0.0), (0.0, 12.0))  # degrees, of a contact sheet's columns
UP = (0.0, -1.0, 0.0)  # in view space, where y points down


class WildFusionMethod:
    """The networks, and what is made with them; all objects are in view space (docs/wildfusion.md)."""

    def __init__(self, model: WildFusion) -> None:
        self.model = model.eval()

    @classmethod
    def from_pretrained(cls, source: str | Path = "tiny") -> "WildFusionMethod":
        """Weights by name, or from a model folder; InputError where there are none."""
        return cls(load_model(model_folder(source, "wildfusion"), WildFusion, WholeConfig))

    @property
    def size(self) -> int:
        """Pixels a side of what the networks see."""
        return self.model.autoencoder.size

    def __call__(
        self,
        views: Views,
        *,
        depth: Float[Tensor, "1 1 size size"] | None = None,
        name: str = "scene",
        generator: torch.Generator | None = None,
        progress: Progress | None = None,
    ) -> Reconstruction:
        """The scene of one photo (`read_single`), in one pass; with its depth as z in view space, or without."""
        tell = progress or silent
        tell("encoding the photo", 0)
        photo = in_view_space(views)
        scene = self.scene(self.encode(photo, depth))
        tell("encoding the photo", 1)
        tell("making splats", 0)
        generator = generator or torch.Generator().manual_seed(0)
        asset = GaussianAsset(splats_of(scene, photo, generator=generator))
        tell("making splats", 1)
        return reconstruction(asset, photo, name=name, progress=progress)

    @torch.no_grad()
    def encode(
        self, photo: Views, depth: Float[Tensor, "1 1 size size"] | None = None
    ) -> Float[Tensor, "1 channels cells cells"]:
        """Latents of a photo in view space."""
        small = photo.resized(self.size, self.size)
        assert small.masks is not None
        return self.model.autoencoder.encode(small.images, small.masks, depth)

    @torch.no_grad()
    def scene(self, latents: Float[Tensor, "1 channels cells cells"]) -> PlaneScene:
        """The object that latents stand for."""
        return PlaneScene(self.model.autoencoder, self.model.autoencoder.planes(latents))

    @torch.no_grad()
    def scenes(self, latents: Float[Tensor, "n channels cells cells"]) -> list[PlaneScene]:
        return [self.scene(one[None]) for one in latents]

    @torch.no_grad()
    def generate(
        self, names: Sequence[str], *, steps: int = 50, guidance: float = 1.0, generator: torch.Generator
    ) -> list[PlaneScene]:
        """New objects, one of each of the named classes; "any" stands for all."""
        labels = self.model.prior.labels(names)
        return self.scenes(self.model.generate(labels, steps=steps, guidance=guidance, generator=generator))

    @torch.no_grad()
    def between(
        self, first: Views, second: Views, count: int, *, names: tuple[str, str] = ("any", "any"), steps: int = 50
    ) -> list[PlaneScene]:
        """Objects on the way from one photo (in view space) to another, both ends included."""
        pair = torch.cat([self.encode(first), self.encode(second)])
        shares = torch.linspace(0, 1, count).tolist()
        return self.scenes(self.model.between(pair, self.model.prior.labels(names), shares, steps=steps))

    @torch.no_grad()
    def resampled(
        self,
        photo: Views,
        strengths: Sequence[float],
        *,
        name: str = "any",
        steps: int = 50,
        generator: torch.Generator,
    ) -> list[PlaneScene]:
        """The photo's object, noised by each of the strengths in [0, 1] and generated again."""
        label = self.model.prior.label(name)
        how = {"steps": steps, "generator": generator}
        return self.scenes(self.model.resampled(self.encode(photo), label, list(strengths), **how))


def reconstruction(
    asset: GaussianAsset, photo: Views | None, *, name: str = "scene", progress: Progress | None = None
) -> Reconstruction:
    """An object in view space with a film that stays within the trusted angles."""
    cameras = swing(PATH, 128)
    return Reconstruction(asset, cameras, up=torch.tensor(UP), walk=True, views=photo, name=name, progress=progress)


@torch.no_grad()
def looks(scenes: Sequence[PlaneScene], turns: Sequence[tuple[float, float]], size: int) -> list[list[Tensor]]:
    """Images of each scene (on black), from angles (degrees to the right and upwards)."""
    angles = torch.deg2rad(torch.tensor(turns, dtype=torch.float32))
    cameras = orbit(angles[:, 0], angles[:, 1], size)
    return [list(scene.render(cameras).image) for scene in scenes]


def distance_to(scene: PlaneScene, photo: Views) -> float:
    """Mean absolute difference of the scene, seen by P0, and a photo in view space."""
    size = scene.maker.size
    seen = scene.render(input_cameras(1, size)).image
    return float((seen - photo.resized(size, size).on_black().images).abs().mean())


def write_contact(path: Path, scenes: Sequence[PlaneScene]) -> None:
    """A sheet: a row for each scene, from the left, the front, the right and above."""
    rows = looks(scenes, TURNS, scenes[0].maker.size)
    gap = 2
    padded = [torch.cat([F.pad(image, (0, gap, 0, gap), value=1.0) for image in row], dim=2) for row in rows]
    write_png(path, torch.cat(padded, dim=1)[:, :-gap, :-gap])


def write_splats(path: Path, scene: PlaneScene) -> None:
    """Splats within the trusted angles; a scene in which nothing is solid gives one that nobody sees."""
    generator = torch.Generator().manual_seed(0)
    try:
        made = splats_of(scene, generator=generator)
    except InputError:
        one = torch.ones(1, 3)
        made = Gaussians(0 * one, 0.01 * one, torch.tensor([[1.0, 0, 0, 0]]), torch.full((1,), 0.01), 0 * one)
    write_ply(path, made)


@torch.no_grad()
def write_film(path: Path, scenes: Sequence[PlaneScene]) -> None:
    """From scene to scene and back while the camera swings within the trusted angles."""
    order = [*scenes, *reversed(scenes)]
    each = max(1, -(-FILM // len(order)))
    cameras = swing(each * len(order), scenes[0].maker.size)
    frames = (order[i // each].render(cameras[i : i + 1]).image[0] for i in range(len(cameras)))
    write_video(path, frames)
