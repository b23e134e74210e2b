"""`fewview data`: make a set to learn from, and look at what a folder holds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from tyro.conf import Positional, arg, subcommand

from fewview.commands.console import counted, say
from fewview.commands.inspect import Inspect
from fewview.commands.targets import check_folder
from fewview.synthetic.sets import ObjectsConfig, RoomsConfig


@dataclass(frozen=True)
class Build:
    """Render a multi-view set of procedural objects and library models, in the layout of CO3Dv2; this takes hours."""

    root: Annotated[Positional[Path], arg(metavar="ROOT")]
    """Folder for the set; objects that are there already are kept."""
    set: ObjectsConfig = field(default_factory=ObjectsConfig)

    interrupted: ClassVar[str] = "the same command goes on with the objects that are missing"

    def run(self) -> None:
        self.set.check()
        check_folder(self.root)
        from fewview.synthetic.objects.build import BuildConfig, build, planned

        config = BuildConfig(**vars(self.set))
        _made(self.root, "objects", len(planned(config)), make=lambda tell: build(self.root, config, tell))
        say(f"The set is in {self.root}.")


@dataclass(frozen=True)
class Rooms:
    """Render clips of furnished rooms with exact depth, in the format of RealEstate10K."""

    root: Annotated[Positional[Path], arg(metavar="ROOT")]
    """Folder for the set; rooms that are there already are kept."""
    set: RoomsConfig = field(default_factory=RoomsConfig)
    pack: bool = False
    """Also write train.safetensors and test.safetensors, for training."""

    interrupted: ClassVar[str] = "the same command goes on with the rooms that are missing"

    def run(self) -> None:
        self.set.check()
        check_folder(self.root)
        from fewview.synthetic.rooms.build import build_rooms, pack_splits, planned_rooms

        total = len(planned_rooms(self.set))
        _made(self.root, "rooms", total, make=lambda tell: build_rooms(self.root, self.set, tell))
        for path in pack_splits(self.root, self.set.size) if self.pack else ():
            say(f"Packed {path}")
        say(f"The set is in {self.root}.")


def _made(root: Path, things: str, total: int, *, make: Callable[[Callable[[int, int], None]], None]) -> None:
    say(f"Building {total} {things} in {root}")
    with counted(things, total) as tell:
        make(lambda done, _: tell(done, ""))


@dataclass(frozen=True)
class Data:
    """Build a set to learn from, or inspect a folder of photos."""

    action: (
        Annotated[Build, subcommand("build")]
        | Annotated[Rooms, subcommand("rooms")]
        | Annotated[Inspect, subcommand("inspect")]
    )

    @property
    def interrupted(self) -> str:
        return getattr(self.action, "interrupted", "")

    def run(self) -> None:
        self.action.run()
