"""`fewview render` and `fewview export`: pictures, videos and files of a reconstructed scene."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    pass

PATHS = ("orbit", "spiral", "keyframes")


@dataclass(frozen=True)
class Render:
    """Render a scene along a path, as a video or as pictures."""

    scene: Annotated[Positional[Path], arg(metavar="SCENE")]
    """The results of `fewview reconstruct`."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="OUT")]
    """A .mp4 file, or a folder for pictures."""
    path: Annotated[str, arg(metavar="orbit|spiral|keyframes|FILE")] = "orbit"
    """Around the object, in a spiral, through the input cameras, or the cameras of a transforms.json."""
    size: Annotated[int | None, arg(metavar="PIXELS")] = None
    """Height of the pictures; that of the input photos unless given."""
    frames: Annotated[int, arg(metavar="N")] = 60
    """Pictures along the path."""
    fps: int = 30
    """Pictures a second of a video."""
    overwrite: bool = False
    """Replace OUT."""

    def run(self) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Export:
    """Write a scene as a mesh (.glb, .ply, .obj), splats (.ply) or a video (.mp4)."""

    scene: Annotated[Positional[Path], arg(metavar="SCENE")]
    """The results of `fewview reconstruct`."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="OUT")]
    """The file; its ending says what it is."""
    overwrite: bool = False
    """Replace OUT."""

    def run(self) -> None:
        raise NotImplementedError
