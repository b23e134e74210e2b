"""`fewview data`: make a set to learn from, and look at what a folder holds."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from tyro.conf import Positional, arg, subcommand

from fewview.commands.console import counted, say
from fewview.commands.inspect import Inspect
from fewview.commands.targets import check_folder
from fewview.errors import InputError


@dataclass(frozen=True)
class Build:
    """Render a multi-view set of procedural objects and library models, in the layout of CO3Dv2; this takes hours."""

    root: Annotated[Positional[Path], arg(metavar="ROOT")]
    """Folder for the set; objects that are there already are kept."""
    train: Annotated[int, arg(metavar="N")] = 130
    """Instances of each training category."""
    test: Annotated[int, arg(metavar="N")] = 14
    """Held-out instances of each category."""
    frames: Annotated[int, arg(metavar="N")] = 16
    """Pictures of each instance."""
    size: Annotated[int, arg(metavar="PIXELS")] = 128
    """Side of the pictures."""
    furniture: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Unpacked Sweet Home 3D furniture libraries (.sh3f; Debian's sweethome3d-furniture), as further objects."""
    variants: Annotated[int, arg(metavar="N")] = 2
    """Recoloured and reshaped variants of each library model for training, at most 10; 0 leaves the held-out models."""
    seed: int = 0
    """The same seed gives the same set."""
    workers: Annotated[int, arg(metavar="N")] = 2
    """Processes."""

    interrupted: ClassVar[str] = "the same command goes on with the objects that are missing"

    def run(self) -> None:
        options = asdict(self)
        root = options.pop("root")
        if min(self.train, self.test, self.frames, self.size, self.workers) < 1:
            raise InputError("--train, --test, --frames, --size and --workers must be at least 1.")
        if not 0 <= self.variants <= 10:
            raise InputError("--variants must be between 0 and 10.")
        check_folder(root)
        from fewview.synthetic.objects.build import BuildConfig, build, planned

        config = BuildConfig(**{**options, "furniture": str(self.furniture or "")})
        total = len(planned(config))
        say(f"Building {total} objects in {root}")
        with counted("objects", total) as tell:
            build(root, config, progress=lambda done, _: tell(done, ""))
        say(f"The set is in {root}.")


@dataclass(frozen=True)
class Rooms:
    """Render clips of furnished rooms with exact depth, in the format of RealEstate10K."""

    root: Annotated[Positional[Path], arg(metavar="ROOT")]
    """Folder for the set; rooms that are there already are kept."""
    train: Annotated[int, arg(metavar="N")] = 400
    """Training rooms."""
    test: Annotated[int, arg(metavar="N")] = 40
    """Held-out rooms, furnished with held-out pieces alone."""
    clips: Annotated[int, arg(metavar="N")] = 1
    """Walks through each room."""
    frames: Annotated[int, arg(metavar="N")] = 24
    """Pictures of each walk."""
    size: Annotated[int, arg(metavar="PIXELS")] = 64
    """Side of the pictures."""
    furniture: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Sweet Home 3D libraries (*.sh3f, Debian's sweethome3d-furniture); procedural furniture alone without."""
    pieces: Annotated[int, arg(metavar="N")] = 32
    """Procedural training instances of each kind of furniture."""
    seed: int = 0
    """The same seed gives the same rooms."""
    workers: Annotated[int, arg(metavar="N")] = 1
    """Processes."""
    pack: bool = False
    """Also write train.safetensors and test.safetensors, for training."""

    interrupted: ClassVar[str] = "the same command goes on with the rooms that are missing"

    def run(self) -> None:
        options = asdict(self)
        root, packed = options.pop("root"), options.pop("pack")
        if min(self.train + self.test, self.clips, self.size, self.pieces, self.workers) < 1 or self.frames < 2:
            raise InputError("--frames must be at least 2, --clips, --size, --pieces and --workers at least 1.")
        check_folder(root)
        from fewview.synthetic.rooms.build import RoomsConfig, build_rooms, pack_splits, planned_rooms

        config = RoomsConfig(**{**options, "furniture": str(self.furniture or "")})
        total = len(planned_rooms(config))
        say(f"Building {total} rooms in {root}")
        with counted("rooms", total) as tell:
            build_rooms(root, config, progress=lambda done, _: tell(done, ""))
        if packed:
            for path in pack_splits(root, config.size):
                say(f"Packed {path}")
        say(f"The set is in {root}.")


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
