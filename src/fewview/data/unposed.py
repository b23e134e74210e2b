"""Photos whose cameras are unknown: a folder of them. (A video is one too: video.py.)"""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.data.fields import shown
from fewview.data.images import PHOTO_SUFFIXES, exif_focal, is_file, path_inside, read_image, read_mask, upright_size
from fewview.data.lens import Lens
from fewview.data.photos import OPAQUE, Photo, PhotoScene, counted, find_mask
from fewview.errors import InputError
from fewview.views import Views

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi")


@dataclass(frozen=True, eq=False)
class UnposedPhotos:
    """Photos without cameras. Sizes (height, width) and focal lengths (pixels) are of the upright photos.

    A focal length is what EXIF says, None where it says nothing. `names` tell the photos apart; `paths` need not (all
    frames of a video have its path), and hold stored pixels, so take the pixels from `image`.
    """

    name: str
    paths: tuple[Path, ...]
    focal: list[float | None]
    sizes: list[tuple[int, int]]
    masks: list[Path | None]
    kind: str = field(default="photos without cameras", kw_only=True)

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def names(self) -> list[str]:
        return [path.name for path in self.paths]

    def describe(self) -> str:
        """What was found, such as "photos without cameras, 8 photos, 8 with masks"."""
        masked = sum(mask is not None for mask in self.masks)
        return f"{self.kind}, {counted(len(self), 'photo')}" + (f", {masked} with mask files" if masked else "")

    def image(self, index: int) -> tuple[Float[Tensor, "3 height width"], Float[Tensor, "1 height width"] | None]:
        """One upright photo in [0, 1] and its mask: the mask file, or alpha that varies, or None."""
        image, alpha = read_image(self.paths[index], upright=True)
        mask = self.masks[index]
        if mask is None:
            return image, None if alpha is None or bool(alpha.min() >= OPAQUE) else alpha
        return image, read_mask(mask, self.sizes[index])

    def read(self, indices: Sequence[int], size: tuple[int, int] | int | None = None) -> Views:
        """InputError: posed views need cameras."""
        raise InputError(
            f"{self.name} has photos but no cameras; estimate them first (COLMAP's sparse/0, or transforms.json)."
        )

    def posed(self, cameras: Mapping[int, Cameras], lenses: Mapping[int, Lens] | None = None) -> PhotoScene:
        """The photos that have a camera (batch shape (), of the photo's size) by now, as a scene.

        With a lens, the camera's intrinsics give way to those of the undistorted photo (`Lens.pinhole`).
        """
        photos = []
        for i in sorted(cameras):
            lens, camera = (lenses or {}).get(i), cameras[i]
            if (camera.height, camera.width) != self.sizes[i]:
                raise ValueError(f"the camera of {self.names[i]} must have its size, {self.sizes[i]}")
            camera = camera if lens is None else lens.pinhole(camera, where=self.names[i])
            photos.append(self._photo(i, camera, lens))
        return PhotoScene(self.name, tuple(photos), kind=f"{self.kind}, cameras estimated")

    def _photo(self, index: int, camera: Cameras, lens: Lens | None) -> Photo:
        return Photo(camera, self.paths[index], self.masks[index], lens=lens, upright=True)


def find_photos(root: Path) -> list[str]:
    """Names (relative to `root`) of the pictures in root/images, or else in root, in natural order."""
    for folder in ("images", "."):
        names = [path.name for path in (root / folder).glob("*") if _is_photo(path)]
        if names:
            return [f"{folder}/{name}" if folder != "." else name for name in sorted(names, key=natural)]
    return []


def open_photos(root: Path) -> UnposedPhotos:
    """A folder of photos, with masks in root/masks or in their alpha channel."""
    names = find_photos(root)
    copies = _copies([root / name for name in names])
    names = [name for name in names if root / name not in copies]
    if not names:
        raise InputError(f"{root} has no photos; put them there or in {root / 'images'} as JPEG, PNG or HEIC.")
    paths = tuple(path_inside(root, name, where=str(root)) for name in names)
    masks = [find_mask(root, name) for name in names]
    sizes = [upright_size(path) for path in paths]
    focal, told = [exif_focal(path) for path in paths], _told(copies)
    return UnposedPhotos(root.resolve().name, paths, focal, sizes, masks, kind=f"photos without cameras{told}")


def _copies(paths: Sequence[Path]) -> dict[Path, Path]:
    """Files that have the same bytes as an earlier one, with that one: from one place, nothing can be measured."""
    first: dict[tuple[int, str], Path] = {}
    copies = {}
    sizes = Counter(path.stat().st_size for path in paths if is_file(path))
    for path in paths:
        if is_file(path) and sizes[size := path.stat().st_size] > 1:
            earlier = first.setdefault((size, hashlib.sha256(path.read_bytes()).hexdigest()), path)
            if earlier is not path:
                copies[path] = earlier
    return copies


def _told(copies: Mapping[Path, Path]) -> str:
    """What is said of copies that are left out; nothing where there are none."""
    if not copies:
        return ""
    copy, original = next(iter(copies.items()))
    if len(copies) == 1:
        return f" ({shown(copy.name)} is a copy of {shown(original.name)} and left out)"
    return f" ({len(copies)} copies of others are left out, such as {shown(copy.name)} of {shown(original.name)})"


def natural(name: str) -> list[tuple[int, str]]:
    """A sorting key by which IMG_9 comes before IMG_10."""
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in re.split(r"(\d+)", name)]


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in PHOTO_SUFFIXES and not path.name.startswith(".")
