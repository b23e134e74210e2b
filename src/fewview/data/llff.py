"""poses_bounds.npy beside images/, as LLFF writes it (github.com/Fyusion/LLFF, "Using your own poses").

A row for each image in order of name: a 3 x 5 matrix (rotation, centre, [height, width, focal length in pixels]) and
the depths of the nearest and farthest content. The rotation's columns are the camera's down, right and backward axes in
the world; the principal point is the middle of the image.
"""

import math
from pathlib import Path
from tokenize import TokenError

import numpy as np
import torch

from fewview.data.images import image_size, path_inside, same_shape
from fewview.data.names import photo_names
from fewview.data.photos import Photo, PhotoScene, find_mask, located, origin_notes, pinhole, rigid
from fewview.errors import InputError

FILE = "poses_bounds.npy"
COLUMNS, MOST_ROWS = 17, 2**20
FOLDERS = ("images", "images_2", "images_4", "images_8")  # the first that is there; smaller ones scale the focal length
HEADER_ERRORS = (OSError, ValueError, TypeError, LookupError, ArithmeticError, SyntaxError, RecursionError, TokenError)


def open_llff(folder: Path) -> PhotoScene:
    """The images of a folder with poses_bounds.npy."""
    rows = read_rows(folder / FILE)
    images = next((name for name in FOLDERS if (folder / name).is_dir()), None)
    if images is None:
        raise InputError(f"{folder} has {FILE} but no folder 'images'; put the photos there.")
    names = photo_names(folder / images)
    if len(names) != len(rows):
        raise InputError(f"{folder / FILE} has {len(rows)} poses, but {folder / images} has {len(names)} photos.")
    photos = [_photo(folder, f"{images}/{name}", row, index=i) for i, (name, row) in enumerate(zip(names, rows))]
    placed, origin = located(photos)
    kind = f"LLFF poses ({FILE})"
    return PhotoScene(folder.resolve().name, placed, kind=kind, origin=origin, notes=origin_notes(origin))


def read_rows(path: Path) -> np.ndarray:
    """The file's finite float64 rows; its header is believed only where the file has as many bytes."""
    try:
        with path.open("rb") as stream:
            version = np.lib.format.read_magic(stream)
            header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            shape, fortran, dtype = header(stream)
            start = stream.tell()
            size = path.stat().st_size - start
            whole = dtype.kind == "f" and math.prod(shape) * dtype.itemsize == size <= MOST_ROWS * COLUMNS * 8
            values = np.frombuffer(stream.read(), dtype) if whole else None
    except HEADER_ERRORS as error:
        name = type(error).__name__
        raise InputError(f"{path} is not a NumPy file of numbers ({name}); write it by np.save.") from None
    if values is None or len(shape) != 2 or shape[1] != COLUMNS or shape[0] < 1:
        raise InputError(f"{path} says {shape} of {dtype}; it must be whole, of shape (images, {COLUMNS}) and floats.")
    rows = values.reshape(shape, order="F" if fortran else "C").astype(np.float64)
    if not np.isfinite(rows).all():
        raise InputError(f"{path} holds NaN or infinity; estimate the poses again.")
    return rows


def _photo(folder: Path, name: str, row: np.ndarray, *, index: int) -> Photo:
    where = f"{folder / FILE}: row {index}"
    matrix = row[:15].reshape(3, 5)
    down, right, back, centre, (height, width, focal) = matrix.T
    if min(height, width, focal) <= 0:
        raise InputError(f"{where} has height, width and focal length {height:g}, {width:g}, {focal:g}: not positive.")
    world_from_cam = rigid(np.column_stack([right, down, -back, centre]), where=f"{where}: the pose")
    path = path_inside(folder, name, where=where)
    size = image_size(path)
    scale = size[0] / height, size[1] / width
    if not same_shape(size, (height, width)):
        raise InputError(f"{where} says {width:g} x {height:g} pixels, but {path} is {size[1]} x {size[0]}.")
    focals = np.array([focal * scale[1], focal * scale[0]])
    camera = pinhole(world_from_cam, focals, np.array(size[::-1]) / 2, size=size, where=where, dtype=torch.float64)
    return Photo(camera, path, find_mask(folder, name))
