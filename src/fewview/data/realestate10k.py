"""RealEstate10K clips: a text file of poses, and frames in a folder or a video; the format, read and written.

Line 1 is the address of the footage; then 19 numbers a frame: microseconds, fx fy cx cy in widths and heights, two
zeros, and the 3 x 4 camera-from-world matrix by rows, OpenCV axes (google.github.io/realestate10k). The scale of a clip
is arbitrary; that of our rooms is metres.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from fewview.cameras import Cameras
from fewview.checkpoint import atomic_folder, atomic_path
from fewview.data.images import DECODING_ERRORS, PHOTO_SUFFIXES, image_size, is_file, open_image, path_inside
from fewview.data.photos import Photo, PhotoScene, cover, located, origin_notes, pinhole, resampled, rigid
from fewview.errors import InputError
from fewview.views import Views

COLUMNS, JPEG_QUALITY = 19, 95
MAX_BYTES = 2**26  # a quarter of a million frames
DEPTH_SUFFIX, MILLIMETRES = ".depth.png", 1000.0


@dataclass(frozen=True, eq=False)
class Poses:
    """The contents of one text file: microseconds, fx fy cx cy relative to the picture, world-from-camera."""

    path: Path
    url: str
    timestamps: tuple[int, ...]
    pinholes: Float[np.ndarray, "n 4"]
    world_from_cam: Float[np.ndarray, "n 4 4"]

    def camera(self, i: int, size: tuple[int, int]) -> Cameras:
        """Frame i as a picture of size (height, width), in float64."""
        scale = np.array([size[1], size[0]])
        focal, centre = self.pinholes[i, :2] * scale, self.pinholes[i, 2:] * scale
        where = f"{self.path}, frame {i}"
        return pinhole(self.world_from_cam[i], focal, centre, size=size, where=where, dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Video:
    """A video file whose frames are those of the text file, in order; decoded once, when the first is read."""

    path: Path
    count: int  # frames that the text file has; at most one more is decoded, which bounds the memory

    @cached_property
    def frames(self) -> list[np.ndarray]:
        from fewview.data.video import decoding

        with decoding(self.path) as frames:
            return [frame.to_ndarray(format="rgb24") for frame in islice(frames, self.count + 1)]


@dataclass(frozen=True, eq=False)
class VideoFrame(Photo):
    """One frame of a video; `image` is the video's path with the timestamp as its last part."""

    video: Video | None = None
    number: int = 0

    def read(self, *, opaque: bool = False) -> Views:
        assert self.video is not None
        picture = torch.from_numpy(np.ascontiguousarray(self.video.frames[self.number]))
        return Views(picture.permute(2, 0, 1).float() / 255, self.camera)


@dataclass(frozen=True, eq=False)
class ClipScene(PhotoScene):
    """A clip as a Scene, with depth maps where the clip has them (ours do)."""

    url: str = ""
    depths: tuple[Path, ...] = ()

    def read_depth(self, indices: Sequence[int], size: tuple[int, int] | int | None = None) -> Float[Tensor, "n 1 h w"]:
        """z-depth in metres of what `read` with the same arguments gives, nearest pixels; 0 is unknown."""
        if not self.depths:
            folder = self.photos[0].image.parent
            raise InputError(f"{folder} has no depth maps; rooms made by `fewview data rooms` have them.")
        height, width = (size, size) if isinstance(size, int) else size or self.common_size()
        maps = []
        for i in indices:
            depth, camera = read_depth(self.depths[i]), self.photos[i].camera
            if depth.shape[1:] != (camera.height, camera.width):
                raise InputError(f"{self.depths[i]} has another size than its picture; fetch the clip again.")
            blank = Views(torch.zeros(3, camera.height, camera.width), camera)
            maps.append(resampled(depth, camera, cover(blank, height, width).cameras))
        return torch.stack(maps)


def read_poses(path: Path) -> Poses:
    """A text file of the data set, checked line by line."""
    if not path.is_file():
        raise InputError(f"{path} does not exist; name the .txt file of a clip.")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path} is larger than {MAX_BYTES >> 20} MiB; it is no clip.")
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a readable text file ({error}); fetch it again.") from None
    rows = [_row(line, f"{path}, line {n}") for n, line in enumerate(lines[1:], 2) if line.strip()]
    if not rows:
        raise InputError(
            f"{path} has no frame: RealEstate10K has an address, then a line of {COLUMNS} numbers a frame."
        )
    table = np.array(rows)
    poses = [rigid(row[7:].reshape(3, 4), where=f"{path}, frame {i}") for i, row in enumerate(table)]
    return Poses(path, lines[0].strip(), tuple(int(r[0]) for r in rows), table[:, 1:5], np.linalg.inv(np.stack(poses)))


def open_clip(path: Path | str) -> ClipScene:
    """The clip of a pose file `<id>.txt` with frames in `<id>/<timestamp>.jpg` (or .png) or in `<id>.mp4` beside it.

    Raises InputError where a pose or a frame is malformed or missing."""
    path = Path(path)
    poses, folder = read_poses(path), path.with_suffix("")
    if folder.is_dir():
        images = [_frame(folder, stamp) for stamp in poses.timestamps]
        sizes = [image_size(image) for image in images]
        photos = [Photo(poses.camera(i, sizes[i]), image) for i, image in enumerate(images)]
        depths = tuple(folder / f"{stamp}{DEPTH_SUFFIX}" for stamp in poses.timestamps)
        have = all(depth.is_file() for depth in depths)
        depths = tuple(path_inside(folder, depth.name, where=str(folder)) for depth in depths) if have else ()
        return _scene(folder.name, photos, poses.url, depths=depths)
    film = path.with_suffix(".mp4")
    if not film.is_file():
        raise InputError(f"{path} has no frames: neither the folder {folder} nor {film} exists.")
    video = Video(film, len(poses.timestamps))
    if len(video.frames) != video.count:
        found = len(video.frames) if len(video.frames) < video.count else "more"
        raise InputError(f"{film} has {found} frames, {path.name} {video.count} poses; fetch both again.")
    photos = [
        VideoFrame(poses.camera(i, video.frames[i].shape[:2]), film / str(stamp), None, video, i)
        for i, stamp in enumerate(poses.timestamps)
    ]
    return _scene(folder.name, photos, poses.url)


def _scene(name: str, photos: Sequence[Photo], url: str, *, depths: tuple[Path, ...] = ()) -> ClipScene:
    placed, origin = located(photos)
    return ClipScene(name, placed, url, depths, origin=origin, notes=origin_notes(origin))


def list_clips(root: Path | str, split: str | None = None) -> list[Path]:
    """Pose files below a root: those of `<split>/`, or those that `<split>.txt` lists by id; without a split, all."""
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; name the root of a RealEstate10K set.")
    if split is None:
        found = sorted(p for p in [*root.glob("*.txt"), *root.glob("*/*.txt")] if p.stem not in ("train", "test"))
    elif (root / split).is_dir():
        found = sorted((root / split).glob("*.txt"))
    elif (root / f"{split}.txt").is_file():
        found = [root / f"{name}.txt" for name in (root / f"{split}.txt").read_text().split()]
    else:
        raise InputError(f"{root} has neither a folder {split} nor a list {split}.txt; name another split.")
    missing = next((p for p in found if not p.is_file()), None)
    if missing is not None:
        raise InputError(f"{root / f'{split}.txt'} lists {missing.name}, which does not exist; fetch it.")
    if not found:
        raise InputError(f"{root} has no clip (<id>.txt){f' in {split}' if split else ''}.")
    return found


def write_clip(
    path: Path, pictures: Sequence[np.ndarray], cameras: Cameras, *, url: str,
    depths: Sequence[np.ndarray] | None = None, seconds: float = 1 / 30, suffix: str = ".jpg",
) -> None:  # fmt: skip
    """Pictures (h w 3, sRGB in [0, 1]) and perhaps z-depths (h w, metres) in the folder, then the poses in `path`."""
    stamps = [round(i * seconds * 1e6) for i in range(len(pictures))]
    with atomic_folder(path.with_suffix("")) as folder:
        for i, (stamp, picture) in enumerate(zip(stamps, pictures)):
            image = Image.fromarray((picture.clip(0, 1) * 255).round().astype(np.uint8))
            image.save(folder / f"{stamp}{suffix}", quality=JPEG_QUALITY, subsampling=0)  # a PNG minds neither
            if depths is not None:
                millimetres = (depths[i] * MILLIMETRES).round().clip(0, 65535).astype(np.uint16)
                Image.fromarray(millimetres).save(folder / f"{stamp}{DEPTH_SUFFIX}")
    lines = [url]
    scale = np.array([cameras.width, cameras.height])
    for i, stamp in enumerate(stamps):
        k = cameras.intrinsics[i].double().numpy()
        pose = cameras[i].cam_from_world.double().numpy()[:3].reshape(-1)
        numbers = [*np.diag(k)[:2] / scale, *k[:2, 2] / scale, 0.0, 0.0, *pose]
        lines.append(f"{stamp} " + " ".join(f"{x:.9f}" for x in numbers))
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n")


def read_depth(path: Path) -> Float[Tensor, "1 height width"]:
    """A 16-bit PNG of millimetres as metres; 0 is unknown."""
    with open_image(path) as picture:
        if not picture.mode.startswith("I"):
            raise InputError(f"{path} is not a 16-bit image; depth maps hold millimetres in 16 bits.")
        try:
            values = np.array(picture).astype(np.float32)
        except DECODING_ERRORS as error:
            raise InputError(f"{path} is damaged ({type(error).__name__}); write the depth maps again.") from None
    return torch.from_numpy(values)[None] / MILLIMETRES


def _row(line: str, where: str) -> list[float]:
    parts = line.split()
    if len(parts) != COLUMNS:
        raise InputError(f"{where} has {len(parts)} numbers instead of {COLUMNS}; fetch the file again.")
    try:
        row = [float(x) for x in parts]
    except ValueError:
        raise InputError(f"{where} holds something that is not a number; fetch the file again.") from None
    if not np.isfinite(row).all() or min(row[1:3]) <= 0:
        raise InputError(f"{where} has a focal length or pose that is not finite and positive; fetch the file again.")
    return row


def _frame(folder: Path, stamp: int) -> Path:
    for suffix in (each for known in PHOTO_SUFFIXES for each in (known, known.upper())):
        path = folder / f"{stamp}{suffix}"
        if is_file(path):
            return path_inside(folder, path.name, where=str(folder))
    raise InputError(f"{folder} has no picture {stamp}.jpg or .png; extract the frame at {stamp} microseconds.")
