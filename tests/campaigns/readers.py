"""The readers of a campaign: a small valid input each, made as for the hostile suite, and what reads all of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from data.test_co3d import write_set
from export.test_ksplat import COUNT, ksplat, section, wanted
from hostile import clips, colmap, furniture, posed, scenes, sets
from PIL import Image

from fewview.data import PhotoScene, check_reconstructable, open_scene
from fewview.data.camera_file import read_cameras
from fewview.data.co3d import open_co3d
from fewview.data.images import PHOTO_SUFFIXES, exif_focal, read_image, read_mask, upright_size
from fewview.data.packed import load_packed
from fewview.data.packed_rooms import load_rooms
from fewview.data.realestate10k import open_clip
from fewview.errors import InputError
from fewview.export.compressed_ply import write_compressed_ply
from fewview.export.glb import write_splat_glb
from fewview.export.scenes import load_scene
from fewview.export.sog import write_sog
from fewview.pipeline.reconstruction import load_asset
from fewview.render.gaussians import Gaussians
from fewview.synthetic.objects.furniture import catalogue, load_piece

SIDE = 16  # pixels


@dataclass(frozen=True, eq=False)
class Fuzzed:
    """`make` writes an input into a folder; `read` reads all of it, or raises InputError; `damaged` are its files."""

    make: Callable[[Path], object]
    read: Callable[[Path], object]
    damaged: tuple[str, ...]  # patterns of names


def photos_of(path: Path) -> None:
    """All photos of a scene, as `fewview reconstruct` reads them."""
    scene = open_scene(path)
    scene.describe()
    if isinstance(scene, PhotoScene):
        check_reconstructable(scene.read(range(len(scene)), SIDE), where=str(path))
    else:
        for i in range(len(scene)):
            scene.image(i)


def pictures(root: Path) -> None:
    """One photo in every format that is read."""
    picture = Image.effect_noise((SIDE, SIDE), 50)
    (root / "images").mkdir()
    for suffix in ("png", "jpg", "webp", "tif", "bmp", "ppm"):
        exif = Image.Exif()
        exif[0x0112], exif[0x920A] = 6, 35.0
        more = {"exif": exif} if suffix in ("png", "jpg", "webp", "tif") else {}
        picture.convert("RGBA" if suffix == "png" else "RGB").save(root / "images" / f"a.{suffix}", **more)


def picture(root: Path) -> None:
    """Every picture of a folder as a photo and as a mask; the first refusal is told once all have been tried."""
    refused = None
    for path in sorted((root / "images").iterdir()):
        if path.suffix in PHOTO_SUFFIXES:
            for read in (lambda p: read_image(p, upright=True), lambda p: read_mask(p, (SIDE, SIDE)), upright_size):
                try:
                    read(path)
                except InputError as error:
                    refused = refused or error
            exif_focal(path)
    if refused is not None:
        raise refused


def set_of(root: Path) -> None:
    """Every scene of a set in CO3Dv2's layout."""
    for scene in open_co3d(root, size=SIDE, crop=False):
        scene.read(range(len(scene)), SIDE)


def photos_of_film(root: Path) -> None:
    """All sharp frames of the only film in a folder."""
    photos_of(next(root.glob("*.mp4")))


def furnished(root: Path) -> None:
    """Every piece of a furniture library."""
    for piece in catalogue(root):
        load_piece(piece)


def bucketed(root: Path) -> None:
    """A .ksplat file of the level that has buckets, and harmonics of bytes."""
    ksplat(root / "scene.ksplat", 2, section(2, 2, wanted(2)), section(2, 1, wanted(1)), count=2 * COUNT)


def shiny(root: Path, name: str, write: Callable[[Path, Gaussians], object]) -> None:
    """A file of splats with harmonics of degree 1."""
    plain = scenes.splats()
    write(root / name, replace(plain, harmonics=plain.means[:, :, None].expand(-1, -1, 3).clamp(-0.9, 0.9)))


def of_gltf(path: Path, splats: Gaussians) -> None:
    write_splat_glb(path, splats, torch.tensor([0.0, -1, 0]))


def splats_in(name: str, write: Callable[[Path, Gaussians], object]) -> Fuzzed:
    """What reads a file of splats of this name."""
    return Fuzzed(lambda root: shiny(root, name, write), lambda root: load_scene(root / name), (name,))


READERS = {
    "transforms.json": Fuzzed(posed.transforms, photos_of, ("transforms.json",)),
    "Blender": Fuzzed(posed.blender, photos_of, ("*.json",)),
    "splits": Fuzzed(posed.split, lambda root: photos_of(root / "train_test_split_1.json"), ("train_*.json",)),
    "LLFF": Fuzzed(posed.llff, photos_of, ("*.npy",)),
    "COLMAP text": Fuzzed(colmap.colmap, photos_of, ("*.txt",)),
    "COLMAP binary": Fuzzed(colmap.colmap_binary, photos_of, ("*.bin",)),
    "RealEstate10K": Fuzzed(clips.clip, lambda root: photos_of(root / "walk.txt"), ("*.txt",)),
    "CO3D": Fuzzed(lambda root: write_set(root, frames=2), set_of, ("*.jgz", "*.json")),
    "depth of clips": Fuzzed(
        clips.clip, lambda root: open_clip(root / "walk.txt").read_depth([0, 1]), ("*.depth.png",)
    ),
    "furniture": Fuzzed(furniture.library, furnished, (furniture.NAME,)),
    "packed rooms": Fuzzed(sets.rooms, lambda root: load_rooms(root / "train.safetensors"), ("train.safetensors",)),
    "packed objects": Fuzzed(sets.objects, lambda root: load_packed(root / "packed.safetensors"), ("*.safetensors",)),
    "estimated cameras": Fuzzed(sets.cached, lambda root: photos_of(root / "out.cameras"), ("poses.json", "*.txt")),
    "video": Fuzzed(sets.film, photos_of_film, ("*.mp4",)),
    "pictures": Fuzzed(pictures, picture, ("a.*",)),
    "photos": Fuzzed(sets.photos, photos_of, ("*.png",)),
    "PLY": Fuzzed(scenes.PLY.make, lambda root: load_scene(root / scenes.FILE), ("*.ply",)),
    "SPZ": Fuzzed(scenes.SPZ.make, lambda root: load_scene(root / scenes.PACKED), ("*.spz",)),
    ".splat": Fuzzed(scenes.SPLAT.make, lambda root: load_scene(root / scenes.BARE), ("*.splat",)),
    "compressed PLY": splats_in("scene.compressed.ply", write_compressed_ply),
    "SOG": splats_in("scene.sog", write_sog),
    ".gltf": splats_in("scene.gltf", of_gltf),
    ".glb": splats_in("scene.glb", of_gltf),
    ".ksplat": Fuzzed(bucketed, lambda root: load_scene(root / "scene.ksplat"), ("*.ksplat",)),
    "scene of splats": Fuzzed(scenes.gaussians, load_asset, ("*.json", "*.safetensors")),
    "scene of a field": Fuzzed(scenes.field, load_asset, ("*.json", "*.safetensors")),
    "camera path": Fuzzed(scenes.path_file, lambda root: read_cameras(root / "path.json"), ("path.json",)),
}
