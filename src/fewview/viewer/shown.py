"""What the viewer shows of a scene, read from a results folder or a file of splats, and where it stands on the page."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.data import PhotoScene, open_scene
from fewview.data.camera_file import read_origin
from fewview.data.instead import scene_mend
from fewview.errors import InputError
from fewview.export.package import is_walk
from fewview.export.page import first_view, middle, spread
from fewview.export.scenes import AXES, load_scene
from fewview.geometry.origin import Origin, between
from fewview.geometry.transforms import normalise
from fewview.paths import CameraPrior
from fewview.render.asset import GaussianAsset
from fewview.render.gaussians import Gaussians
from fewview.views import shrunk

MOST_CAMERAS = 24  # more frusta hide the scene
PHOTO_SIZE = 256  # px, the longest side
APART = 2.6  # between the middles of neighbouring scenes, whose radius is about one


@dataclass(frozen=True, eq=False)
class Posed:
    """Cameras (batch shape (n,)) and thumbnails of what they saw."""

    cameras: Cameras
    photos: list[Float[Tensor, "3 _ _"]]


@dataclass(frozen=True, eq=False)
class Shown:
    """Splats with RGB features, the direction up, cameras and a mesh (GLB, y up) where there are some; one world.

    The cameras stand around it, or, with `walk`, in it.
    """

    name: str
    asset: GaussianAsset
    up: Float[Tensor, "3"]
    posed: Posed | None = None
    mesh: bytes | None = None
    walk: bool = False

    @property
    def gaussians(self) -> Gaussians:
        return self.asset.gaussians

    def views(self) -> Cameras:
        """The cameras, or one from which all is seen."""
        if self.posed is not None:
            return self.posed.cameras
        view = first_view(self.gaussians, self.up)
        return view.reshape(1)

    def page_from_world(self, place: int = 0) -> Float[Tensor, "4 4"]:
        """The similarity to the page: z is up, the splats' middle at (APART * place, 0, 0), nine tenths within one."""
        centre = middle(self.gaussians)
        radius = spread(self.gaussians)
        turn = z_up(self.up).to(centre)
        matrix = torch.eye(4)
        matrix[:3, :3] = turn / radius
        matrix[:3, 3] = torch.tensor([APART * place, 0, 0]) - turn @ centre / radius
        return matrix


def z_up(up: Float[Tensor, "3"]) -> Float[Tensor, "3 3"]:
    """A rotation that takes the direction `up` to +z."""
    z = torch.nn.functional.normalize(up.double(), dim=0)
    x = torch.eye(3).to(z)[z.abs().argmin()]
    x = torch.nn.functional.normalize(x - (x @ z) * z, dim=0)
    return torch.stack([x, torch.linalg.cross(z, x), z]).to(up)


def open_shown(path: Path, photos: Path | None = None, up: str | None = None, *, spz_axes: str | None = None) -> Shown:
    """A results folder or a file of splats. InputError where there are no splats of three channels.

    Cameras are those of the folder `photos`, if given, or of the results. `up` is x, y, z, -x, -y or -z; by default it
    is the axis that the cameras stand around, and -y where there are none, as files of splats have it.
    """
    folder = path.is_dir()
    asset = _splats(path) if folder else load_scene(path, spz_axes)
    if not len(asset.gaussians) or asset.gaussians.features.shape[1] != 3:
        raise InputError(f"{path} has no splats of three colour channels; there is nothing to show.")
    source = photos or (_cameras_in(path) if folder else None)
    posed = None if source is None else _posed(source, asset.origin)
    if up is not None and up not in AXES:
        raise InputError(f"--up is '{up}'; it is one of {', '.join(AXES)}.")
    walk = is_walk(path / "transforms.json")
    if up is None and posed is not None:
        cameras = posed.cameras
        axis = normalise(cameras.up.mean(0)) if walk else CameraPrior.fit(cameras).circle.normal
    else:
        axis = torch.tensor(AXES[up or "-y"])
    mesh = path / "mesh.glb"
    name = path.resolve().name if folder else path.stem
    return Shown(name, asset, axis, posed, mesh.read_bytes() if folder and mesh.is_file() else None, walk)


def _splats(folder: Path) -> GaussianAsset:
    if (folder / "splats.ply").is_file():
        return load_scene(folder / "splats.ply")
    for place in (folder / "scene", folder):
        if (place / "gaussians.safetensors").is_file():
            poses = folder / "transforms.json"
            asset = GaussianAsset.load(place)
            return replace(asset, origin=read_origin(poses)) if poses.is_file() else asset
    if not any((folder / name).exists() for name in ("scene", "config.json", "mesh.glb", "inputs")):
        raise InputError(f"{folder} holds no scene; {scene_mend(folder)}.")
    raise InputError(
        f"{folder} has no splats.ply; name the results of `fewview reconstruct`, or write one into it: "
        f"fewview export {folder} -o {folder / 'splats.ply'}"
    )


def _cameras_in(folder: Path) -> Path | None:
    """The input photos that results hold, or else the poses of their renderings."""
    places = [folder / "inputs", folder]
    return next((place for place in places if (place / "transforms.json").is_file()), None)


def _posed(source: Path, origin: Origin) -> Posed:
    """Photos and their cameras in the world that counts from `origin`; from their own where that is unknown."""
    scene = open_scene(source)
    if not isinstance(scene, PhotoScene):
        raise InputError(f"{source} has photos without cameras; name a folder with transforms.json or a COLMAP model.")
    count = min(len(scene), MOST_CAMERAS)
    chosen = [i * len(scene) // count for i in range(count)]
    images = [scene.photos[i].read().images for i in chosen]
    cameras = [scene.photos[i].camera for i in chosen]
    height, width = cameras[0].height, cameras[0].width
    placed = Cameras.stack([camera.resized(height, width) for camera in cameras])
    if any(origin):
        placed = placed.transformed(between(scene.origin, origin))
    return Posed(placed, [shrunk(image, PHOTO_SIZE) for image in images])
