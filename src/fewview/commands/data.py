"""`fewview data`: make a set to learn from, and look at what a folder holds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from tyro.conf import Positional, arg, subcommand

from fewview.commands.console import say


@dataclass(frozen=True)
class Build:
    """Render a multi-view set of openly licensed and procedural objects, in the layout of CO3Dv2."""

    root: Annotated[Positional[Path], arg(metavar="ROOT")]
    """Folder for the set; objects that are there already are kept."""

    interrupted: ClassVar[str] = "the same command goes on with the objects that are missing"

    def run(self) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Inspect:
    """Say what a scene holds, and whether it can be reconstructed."""

    input: Annotated[Positional[Path], arg(metavar="INPUT")]
    """Folder with transforms.json, a COLMAP model, or a sequence of CO3Dv2."""

    def run(self) -> None:
        from fewview.data import check_reconstructable, open_scene

        scene = open_scene(self.input)
        views = scene.read(range(len(scene)))
        height, width = views.images.shape[-2:]
        say(f"{scene.name}: {len(scene)} photos, read as {width} x {height}")
        say("masks: " + ("yes" if views.masks is not None else "no (the whole photo counts as the object)"))
        check_reconstructable(views)
        say("It can be reconstructed.")


@dataclass(frozen=True)
class Data:
    """Build a set to learn from, or inspect a folder of photos."""

    action: Annotated[Build, subcommand("build")] | Annotated[Inspect, subcommand("inspect")]

    @property
    def interrupted(self) -> str:
        return getattr(self.action, "interrupted", "")

    def run(self) -> None:
        self.action.run()
