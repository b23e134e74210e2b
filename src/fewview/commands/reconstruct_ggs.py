"""`fewview reconstruct --method ggs`: whole photos and a path in, a scene of splats out."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fewview.commands.console import Stages, say
from fewview.errors import InputError

if TYPE_CHECKING:
    from fewview.cameras import Cameras
    from fewview.commands.reconstruct import Reconstruct
    from fewview.geometry.origin import Origin
    from fewview.ggs.method import RoomInput
    from fewview.pipeline.methods import GenerativeGaussianSplatting
    from fewview.pipeline.photos import Photos

AUTO = "auto"
WHOLE = 0.99  # share of a photo: what is cut beyond is told
SMALLEST = 16  # pixels, of photos that splats are fitted to


def check_options(command: "Reconstruct") -> None:
    """InputError for options that belong to other methods, and for numbers that make no sense."""
    unset = {"--path": AUTO, "--frames": None, "--refine": 0, "--metres": None}
    given = [name for name, value in unset.items() if getattr(command, name[2:]) != value]
    if command.method != "wildfusion" and (command.depth, command.depth_answer) != (AUTO, "disparity"):
        raise InputError("--depth and --depth-answer are options of --method wildfusion; leave them out.")
    if command.photo_size < SMALLEST:
        raise InputError(f"--photo-size is {command.photo_size}; ask for {SMALLEST} or more.")
    if command.method != "ggs":
        if given:
            raise InputError(f"{given[0]} is an option of --method ggs; leave it out.")
        if command.method == "splats" and command.refine_poses:
            raise InputError("--refine-poses is an option of --method sparsefusion; leave it out.")
        return
    if command.mask not in ("auto", "none"):
        raise InputError(f"--mask {command.mask}: ggs takes whole photos; leave it out.")
    if command.refine_poses:
        raise InputError("--refine-poses is an option of --method sparsefusion; leave it out.")
    if command.frames is not None and command.frames < 1:
        raise InputError(f"--frames is {command.frames}; ask for at least one.")
    if command.refine < 0:
        raise InputError(f"--refine is {command.refine}; give a number of steps, or leave it out.")


def generation(command: "Reconstruct", photos: "Photos") -> "Generation":
    """The method with its weights, on the device, and its path; InputError where these do not fit the photos."""
    from fewview.ggs.grow import GGSMethodConfig
    from fewview.pipeline.methods import GenerativeGaussianSplatting

    config = GGSMethodConfig.preset(command.preset)
    config = replace(config, refine=command.refine, metres=command.metres, detail=command.detail())
    if command.frames is not None:
        config = replace(config, frames=command.frames)
    method = GenerativeGaussianSplatting.from_pretrained(command.weights, config).in_metres(photos.views)
    method.model.to(command.device)
    path = None if command.path == AUTO else cameras_of(Path(command.path), command.frames, photos.origin)
    room = method.prepare(photos.views, path)
    tell_window(photos.views.cameras, room.given.cameras)
    if method.model.config.metric and command.metres is None:
        say(f"A unit of the cameras' world is taken for {method.config.metres:.3g} m (--metres says it better).")
    return Generation(command, method, room, photos)


def tell_window(photos: "Cameras", given: "Cameras") -> None:
    """Says what of the photos the model sees, where that is not all of them."""
    from fewview.ggs.walks import WIDEST, window

    h, w, _, _ = window(photos, given.height, given.width)
    share = h * w / (photos.height * photos.width)
    if share < WHOLE:
        say(
            f"GGS sees pictures of at most {WIDEST:g} to 1: of each photo, {photos.width} x {photos.height}, the "
            f"middle {w} x {h} are used ({100 * share:.0f} %)."
        )


def cameras_of(path: Path, frames: int | None, origin: "Origin") -> "Cameras":
    """Cameras of a .json file (transforms.json), whose images need not exist, or of any posed photos.

    They count from `origin`. With `frames`, so many cameras on the way through them.
    """
    from fewview.cameras import Cameras
    from fewview.data import PhotoScene, open_scene
    from fewview.data.camera_file import read_cameras
    from fewview.geometry.origin import between
    from fewview.paths import interpolate

    if path.suffix.lower() == ".json":
        cameras = read_cameras(path, origin=origin)
    else:
        scene = open_scene(path)
        if not isinstance(scene, PhotoScene):
            raise InputError(f"--path {path} has no cameras; name a transforms.json or posed photos.")
        first = scene.cameras[0]
        cameras = Cameras.stack([camera.resized(first.height, first.width) for camera in scene.cameras])
        cameras = cameras.transformed(between(scene.origin, origin))
    if frames is None:
        return cameras
    if len(cameras) < 2:
        raise InputError(f"{path} has one camera; a path through it needs two, so leave out --frames.")
    return interpolate(cameras, frames)


@dataclass(frozen=True, eq=False)
class Generation:
    """A method, with photos and a path that it takes."""

    command: "Reconstruct"
    method: "GenerativeGaussianSplatting"
    room: "RoomInput"
    photos: "Photos"

    def __call__(self, report: Stages, folder: Path) -> None:
        """Makes the scene and writes the results; `folder` keeps what a stopped run needs to go on."""
        import torch

        from fewview.export.package import Record

        scene = self.method.scene(
            self.room,
            name=self.command.input.resolve().name,
            generator=torch.Generator().manual_seed(self.command.seed),
            progress=report,
            directory=folder,
        )
        scene.origin = self.photos.origin
        record = Record(scene.name, self.settings(), dict(report.seconds), report.profile, report.began)
        scene.save(self.command.out, record)

    def settings(self) -> dict:
        """What the report says about how the scene was made."""
        from fewview.config import to_json

        given = {name: getattr(self.command, name) for name in ("method", "preset", "seed", "device")}
        named = {"weights": Path(self.command.weights).name, "path": Path(self.command.path).name}
        return {
            **given,
            **named,
            "views": list(self.photos.numbers),
            "path's cameras": len(self.room.path),
            **to_json(self.method.config),
        }
