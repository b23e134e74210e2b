"""Kinds of pixels: deep grey, floats, labels as masks, and the orientation of TIFF."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from data.test_colmap_folders import model, photos, posed
from PIL import Image, ImageOps

from fewview.data import open_scene
from fewview.data.images import image_size, read_image, read_mask, upright_size
from fewview.data.photos import PhotoScene
from fewview.data.unposed import UnposedPhotos
from fewview.errors import InputError

HEIGHT, WIDTH = 6, 8
SHARES = np.linspace(0, 1, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)


def saved(path: Path, values: np.ndarray, mode: str | None = None) -> Path:
    Image.fromarray(values, mode).save(path) if mode else Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        ("f4", 1.0),
        ("f4", 255.0),
        ("f4", 65535.0),
        ("i4", 255),
        ("i4", 65535),
        ("i4", 2**31 - 1),
        ("u2", 65535),
        ("u1", 255),
    ],
)
@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_deep_grey_has_the_same_brightness_as_eight_bits(tmp_path, kind, most, suffix):
    if suffix == ".png" and kind in ("f4", "i4"):
        pytest.skip("PNG holds neither floats nor 32 bits")
    values = (SHARES * most).astype(kind)
    image, alpha = read_image(saved(tmp_path / f"x{suffix}", values))
    assert alpha is None and image.shape == (3, HEIGHT, WIDTH)
    np.testing.assert_allclose(image[1], values / most, atol=0.003)


def test_floats_that_are_no_numbers_or_beyond_white_are_clipped(tmp_path):
    values = SHARES.astype("f4")
    values[0, :4] = math.nan, -1.0, 1.25, math.inf
    image, _ = read_image(saved(tmp_path / "x.tif", values))
    assert image[0, 0, :4].tolist() == [0, 0, 1, 0]
    assert image[0, -1, -1] == 1


def marks(top: float = 1) -> np.ndarray:
    values = np.zeros((HEIGHT, WIDTH))
    values[1:4, 2:6] = top
    return values


def palette(values: np.ndarray, colours: list[int]) -> Image.Image:
    picture = Image.fromarray(values.astype("u1"), "P")
    picture.putpalette(colours + [0] * (768 - len(colours)))
    return picture


MASKS = {
    "0 and 255": lambda: Image.fromarray((marks() * 255).astype("u1")),
    "0 and 1": lambda: Image.fromarray(marks().astype("u1")),
    "0 and 2": lambda: Image.fromarray(marks(2).astype("u1")),
    "0 and 100": lambda: Image.fromarray(marks(100).astype("u1")),
    "1 bit": lambda: Image.fromarray(marks().astype(bool)),
    "0 and 1 of 16 bits": lambda: Image.fromarray(marks().astype("u2")),
    "0 and 65535": lambda: Image.fromarray(marks(65535).astype("u2")),
    "0 and 255 of 16 bits": lambda: Image.fromarray(marks(65535).astype("u2")),
    "labels with colours": lambda: palette(marks(), [0, 0, 0, 128, 0, 0]),
    "labels whose colour 0 is no black": lambda: palette(marks(), [200, 0, 90, 0, 0, 0]),
    "labels 0 and 7 with colours": lambda: palette(marks(7), [0, 0, 0] + [9, 0, 200] * 9),
    "labels without colours": lambda: palette(marks(), []),
    "labels by their number": lambda: palette(marks(), [0, 0, 0, 1, 1, 1]),
    "grey palette": lambda: palette(marks(), [0, 0, 0, 255, 255, 255]),
    "grey palette the other way": lambda: palette(1 - marks(), [255, 255, 255, 0, 0, 0]),
    "colours": lambda: Image.fromarray(np.repeat((marks() * 255).astype("u1")[..., None], 3, 2)),
}


@pytest.mark.parametrize("case", MASKS)
def test_all_but_zero_is_the_object_of_a_label_mask(tmp_path, case):
    MASKS[case]().save(tmp_path / "m.png")
    mask = read_mask(tmp_path / "m.png", (HEIGHT, WIDTH))
    np.testing.assert_allclose(mask[0], marks(), atol=1e-6)


@pytest.mark.parametrize("kind", ["i4", "f4"])
def test_labels_may_be_of_32_bits(tmp_path, kind):
    saved(tmp_path / "m.tif", marks().astype(kind))
    np.testing.assert_allclose(read_mask(tmp_path / "m.tif", (HEIGHT, WIDTH))[0], marks())


def test_several_objects_are_one_object(tmp_path):
    values = marks(1)
    values[0, 0], values[5, 7] = 2, 3
    saved(tmp_path / "m.png", values.astype("u1"))
    assert read_mask(tmp_path / "m.png", (HEIGHT, WIDTH)).sum() == 14


def test_soft_masks_stay_soft(tmp_path):
    values = (SHARES * 255).astype("u1")
    saved(tmp_path / "m.png", values)
    np.testing.assert_allclose(read_mask(tmp_path / "m.png", (HEIGHT, WIDTH))[0], values / 255, atol=1e-6)
    saved(tmp_path / "half.png", np.full((HEIGHT, WIDTH), 128, "u1"))
    assert read_mask(tmp_path / "half.png", (HEIGHT, WIDTH)).mean() == pytest.approx(128 / 255)


@pytest.mark.parametrize(("grey", "meant"), [(1, 1), (100, 100 / 255), (200, 200 / 255)])
def test_an_even_grey_is_soft_but_for_the_label_one(tmp_path, grey, meant):
    saved(tmp_path / "m.png", np.full((HEIGHT, WIDTH), grey, "u1"))
    assert read_mask(tmp_path / "m.png", (HEIGHT, WIDTH)).mean() == pytest.approx(meant)


def test_the_noise_of_a_jpeg_is_no_label(tmp_path):
    saved(tmp_path / "m.jpg", marks(3).astype("u1"))
    assert read_mask(tmp_path / "m.jpg", (HEIGHT, WIDTH)).max() < 0.1


def test_an_empty_mask_stays_empty(tmp_path):
    saved(tmp_path / "m.png", np.zeros((HEIGHT, WIDTH), "u1"))
    assert read_mask(tmp_path / "m.png", (HEIGHT, WIDTH)).sum() == 0


@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_mask_of_another_size_and_the_same_shape_is_scaled(tmp_path, times, orientation):
    """Its left half is the object; turned by 90 degrees on the disk, and as it is."""
    half = np.zeros((HEIGHT * times, WIDTH * times), "u1")
    half[:, : WIDTH * times // 2] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    (picture := Image.fromarray(half if orientation == 1 else np.rot90(half).copy())).save(
        tmp_path / "m.png", exif=exif
    )
    assert picture.size != (WIDTH, HEIGHT)
    mask = read_mask(tmp_path / "m.png", (HEIGHT, WIDTH))[0]
    assert (
        mask.shape == (HEIGHT, WIDTH) and mask[:, : WIDTH // 2 - 1].min() == 1 and mask[:, WIDTH // 2 + 1 :].max() == 0
    )
    assert abs(mask.mean() - 0.5) < 1e-6


@pytest.mark.parametrize("kind", ["L", "P"])
def test_a_mask_of_another_shape_stays_refused(tmp_path, kind):
    picture = palette(marks(), [0, 0, 0, 128, 0, 0]) if kind == "P" else Image.fromarray(marks().astype("u1"))
    picture.save(tmp_path / "m.png")
    with pytest.raises(InputError, match="8 x 6 pixels"):
        read_mask(tmp_path / "m.png", (HEIGHT, 2 * WIDTH))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".tif", ".jpg", ".png"])
def test_orientation_is_undone_once_in_every_format(tmp_path, orientation, suffix):
    """The same pixels and tag in three formats: EXIF's own meaning, as Pillow's exif_transpose has it for a PNG."""
    ramp = np.repeat(np.repeat(np.arange(6, dtype="u1").reshape(2, 3) * 40, 16, 0), 16, 1)
    picture, exif = Image.fromarray(np.stack([ramp] * 3, -1)), Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"x{suffix}"
    picture.save(path, exif=exif, quality=98)
    picture.getexif()[0x0112] = orientation
    seen = torch.from_numpy(np.array(ImageOps.exif_transpose(picture))).permute(2, 0, 1) / 255
    stored = torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255
    assert image_size(path) == (32, 48) and upright_size(path) == tuple(seen.shape[1:])
    torch.testing.assert_close(read_image(path)[0], seen, atol=0.02, rtol=0)
    torch.testing.assert_close(read_image(path, upright=True)[0], seen, atol=0.02, rtol=0)
    torch.testing.assert_close(read_image(path, (32, 48))[0], stored, atol=0.02, rtol=0)
    torch.testing.assert_close(read_image(path, upright_size(path), upright=True)[0], seen, atol=0.02, rtol=0)


def rgba(root: Path, alphas: list[int]) -> PhotoScene:
    """Photos of an even alpha in a folder with cameras."""
    photos(root / "images", len(alphas))
    model(root / "sparse" / "0", len(alphas))
    for i, alpha in enumerate(alphas):
        path = root / "images" / f"{i}.png"
        picture = Image.open(path).convert("RGBA")
        picture.putalpha(alpha)
        picture.save(path)
    return posed(root)


def test_opaque_alpha_is_no_mask(tmp_path):
    """Phones and Blender save RGBA of photos without any object cut out: the whole photo was taken for the object."""
    scene = rgba(tmp_path, [255, 255, 255])
    assert scene.read([0, 1, 2]).masks is None and scene.photos[0].read().masks is None
    shutil.rmtree(tmp_path / "sparse")
    found = open_scene(tmp_path)
    assert isinstance(found, UnposedPhotos) and found.image(0)[1] is None


def test_opaque_alpha_beside_alpha_that_varies_is_a_mask(tmp_path):
    masks = rgba(tmp_path, [255, 128, 0]).read([0, 1, 2]).masks
    assert masks is not None and masks.mean((1, 2, 3)).tolist() == pytest.approx([1, 128 / 255, 0])


def test_a_mask_file_that_is_all_object_stays_a_mask(tmp_path):
    photos(tmp_path / "images", 2)
    model(tmp_path / "sparse" / "0", 2)
    for i in range(2):
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.new("L", (WIDTH, HEIGHT), 255).save(tmp_path / "masks" / f"{i}.png")
    masks = posed(tmp_path).read([0, 1]).masks
    assert masks is not None and bool((masks == 1).all())
