"""`fewview generate`, `interpolate` and `resample`: 3D objects of WildFusion's latent diffusion."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from fewview.commands.console import check_device, counted, effort, say
from fewview.commands.reconstruct_wildfusion import loaded
from fewview.commands.targets import check_empty
from fewview.errors import InputError

if TYPE_CHECKING:
    from fewview.pipeline.wildfusion import WildFusionMethod
    from fewview.views import Views
    from fewview.wildfusion.scene import PlaneScene

MOST = 256  # objects of one call


@dataclass(frozen=True, kw_only=True)
class _Making:
    """What all three are asked."""

    out: Annotated[Path, arg(aliases=["-o"], metavar="OUT")]
    """Folder for the results; it is written whole at the end, or not at all."""
    weights: str = "tiny"
    """Shipped weights by name, or a model folder of your own."""
    device: Annotated[str, arg(metavar="cpu|cuda")] = "cpu"
    """Where to compute."""

    def ready(self) -> "WildFusionMethod":
        """The networks on the device; InputError where they, the device or the folder do not serve."""
        if self.device not in ("cpu", "cuda"):
            raise InputError(f"--device is '{self.device}'; it is cpu or cuda.")
        check_device(self.device)
        check_empty(self.out)
        method = loaded(self.weights)
        method.model.to(self.device)
        return method


@dataclass(frozen=True, kw_only=True)
class _OfPhotos(_Making):
    """What those are asked that begin with photos."""

    mask: Annotated[str, arg(metavar="auto|grabcut|none|FILE.onnx")] = "auto"
    """As for `fewview reconstruct`."""

    def seen(self, path: Path) -> "Views":
        """A photo in view space, on the device."""
        from fewview.pipeline.single import in_view_space, read_single

        return in_view_space(read_single(path, mask=self.mask, tell=say)).to(self.device)


@dataclass(frozen=True)
class Generate(_Making):
    """New 3D objects of a class, or of any: splats of each, and a contact sheet."""

    category: Annotated[str, arg(name="class", metavar="CLASS")] = "any"
    """A class that the weights were trained on, or any."""
    count: Annotated[int, arg(metavar="N")] = 16
    """So many objects."""
    guidance: Annotated[float, arg(metavar="W")] = 1.0
    """Above 1, objects are more typical of their class and less diverse."""
    steps: Annotated[int, arg(metavar="N")] = 50
    """Steps of the sampler."""
    seed: int = 0
    """The same seed gives the same objects on the same machine."""

    def run(self) -> None:
        import torch

        start, method = time.monotonic(), self.ready()
        if not 1 <= self.count <= MOST:
            raise InputError(f"--count is {self.count}; ask for 1 to {MOST} objects.")
        method.model.prior.label(self.category)
        made, generator = [], torch.Generator().manual_seed(self.seed)
        with counted(f"generating {self.category}", self.count) as tell:
            while len(made) < self.count:
                names = [self.category] * min(4, self.count - len(made))
                how = {"steps": self.steps, "guidance": self.guidance, "generator": generator}
                made += method.generate(names, **how)
                tell(len(made), "")
        facts = {"class": self.category, "seed": self.seed, "guidance": self.guidance, "steps": self.steps}
        write(self.out, made, facts)
        say(f"{self.count} objects are in {self.out}: contact.png shows them, `fewview view` turns a .ply.")
        say(f"Took {effort(start)}.")


@dataclass(frozen=True)
class Interpolate(_OfPhotos):
    """3D objects on the way from one photo to another: splats of each, a contact sheet, and a film."""

    first: Annotated[Positional[Path], arg(metavar="A")]
    """A photo of an object."""
    second: Annotated[Positional[Path], arg(metavar="B")]
    """A photo of another."""
    count: Annotated[int, arg(metavar="N")] = 8
    """Objects on the way, both ends included."""
    steps: Annotated[int, arg(metavar="N")] = 50
    """Steps to noise, and back."""

    def run(self) -> None:
        start, method = time.monotonic(), self.ready()
        if not 2 <= self.count <= MOST:
            raise InputError(f"--count is {self.count}; ask for 2 to {MOST} objects.")
        first, second = (self.seen(path) for path in (self.first, self.second))
        say("Finding the noise of both photos, and the objects between")
        made = method.between(first, second, self.count, steps=self.steps)
        write(self.out, made, {"first": self.first.name, "second": self.second.name, "steps": self.steps}, film=True)
        say(f"{self.count} objects are in {self.out}: contact.png and film.mp4 show the way.")
        say(f"Took {effort(start)}.")


@dataclass(frozen=True)
class Resample(_OfPhotos):
    """Variations of a photo's object: noised by some of the way to noise, and generated again."""

    photo: Annotated[Positional[Path], arg(metavar="PHOTO")]
    """A photo of an object."""
    strengths: Annotated[str, arg(metavar="0.2,0.4,...")] = "0.2,0.4,0.6,0.8"
    """How far to noise, from 0 (the photo's object itself) to 1 (a new one)."""
    category: Annotated[str, arg(name="class", metavar="CLASS")] = "any"
    """What the object becomes."""
    steps: Annotated[int, arg(metavar="N")] = 50
    """Steps from full noise; fewer from less."""
    seed: int = 0
    """Of the noise, which is the same for all strengths."""

    def run(self) -> None:
        import torch

        from fewview.pipeline.wildfusion import distance_to

        start, method = time.monotonic(), self.ready()
        strengths = strengths_of(self.strengths)
        method.model.prior.label(self.category)
        photo = self.seen(self.photo)
        how = {"name": self.category, "steps": self.steps, "generator": torch.Generator().manual_seed(self.seed)}
        made = method.resampled(photo, strengths, **how)
        distances = [round(distance_to(scene, photo), 4) for scene in made]
        facts = {"photo": self.photo.name, "strengths": strengths, "distances": distances, "class": self.category}
        write(self.out, made, facts)
        say("Mean difference from the photo: " + ", ".join(f"{s:g}: {d:.3f}" for s, d in zip(strengths, distances)))
        say(f"Took {effort(start)}.")


def strengths_of(text: str) -> list[float]:
    """The numbers of --strengths; InputError unless they lie in [0, 1]."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 <= number <= 1 for number in found):
        raise InputError(f"--strengths is '{text}'; write numbers from 0 to 1 with commas, such as 0.2,0.4.")
    return found


def write(out: Path, scenes: Sequence["PlaneScene"], facts: dict, *, film: bool = False) -> None:
    """The folder of results, whole or not at all: contact.png, NN.ply, perhaps film.mp4, and scenes.json."""
    from fewview.checkpoint import atomic_folder, write_json
    from fewview.pipeline.wildfusion import write_contact, write_film, write_splats

    with atomic_folder(out) as folder:
        write_contact(folder / "contact.png", scenes)
        names = [f"{i:02d}.ply" for i in range(len(scenes))]
        with counted("writing splats", len(scenes)) as tell:
            for i, (name, scene) in enumerate(zip(names, scenes)):
                write_splats(folder / name, scene)
                tell(i + 1, "")
        if film:
            write_film(folder / "film.mp4", scenes)
        write_json(folder / "scenes.json", {**facts, "scenes": names})
