import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fewview.data.images import image_size, path_inside, read_half_depth, read_image, read_mask
from fewview.errors import InputError

ORIENTATION = 0x0112  # EXIF tag


def pixels(height: int = 4, width: int = 6, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and ends after its header."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 10)
    chunk = lambda body: struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk(header) + chunk(data) + chunk(b"IEND")


def test_pixels_come_back_as_they_were(tmp_path):
    array = pixels()
    Image.fromarray(array).save(tmp_path / "a.png")
    image, alpha = read_image(tmp_path / "a.png")
    assert alpha is None
    np.testing.assert_allclose(image.numpy(), array.transpose(2, 0, 1) / 255, atol=1e-6)


def test_alpha_is_apart_from_colour(tmp_path):
    array = pixels(channels=4)
    Image.fromarray(array).save(tmp_path / "a.png")
    image, alpha = read_image(tmp_path / "a.png")
    assert alpha is not None
    np.testing.assert_allclose(torch.cat([image, alpha]).numpy(), array.transpose(2, 0, 1) / 255, atol=1e-6)


@pytest.mark.parametrize("mode", ["L", "P", "1", "LA", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    suffix = "jpg" if mode == "CMYK" else "png"
    Image.new(mode, (6, 4)).save(tmp_path / f"a.{suffix}")
    assert read_image(tmp_path / f"a.{suffix}")[0].shape == (3, 4, 6)


def test_sixteen_bits_keep_their_range(tmp_path):
    Image.fromarray(np.array([[0, 32768, 65535]], np.uint16)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[0][0, 0].tolist() == pytest.approx([0, 32768 / 65535, 1])


def turned(path: Path) -> np.ndarray:
    """A stored picture of 4 x 6 whose tag says that it must be turned by a quarter to stand upright."""
    array = pixels()
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(array).save(path, exif=exif)
    return array


def test_photos_are_turned_upright(tmp_path):
    array = turned(tmp_path / "a.png")
    image, _ = read_image(tmp_path / "a.png")
    np.testing.assert_allclose(image.numpy() * 255, np.rot90(array, -1).transpose(2, 0, 1), atol=1e-4)
    assert image_size(tmp_path / "a.png") == (4, 6)


def test_a_camera_of_the_stored_size_sees_the_stored_pixels(tmp_path):
    array = turned(tmp_path / "a.png")
    image, _ = read_image(tmp_path / "a.png", (4, 6))
    np.testing.assert_allclose(image.numpy() * 255, array.transpose(2, 0, 1), atol=1e-4)


def test_a_camera_of_the_upright_size_sees_the_upright_pixels(tmp_path):
    turned(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", (6, 4))[0].shape == (3, 6, 4)


def test_a_mask_is_grey_or_alpha(tmp_path):
    grey = pixels(channels=1)[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.merge("LA", [Image.new("L", (6, 4), 255), Image.fromarray(grey)]).save(tmp_path / "alpha.png")
    Image.merge("LA", [Image.fromarray(grey), Image.new("L", (6, 4), 255)]).save(tmp_path / "opaque.png")
    for name in ("grey", "alpha", "opaque"):
        mask = read_mask(tmp_path / f"{name}.png", (4, 6))
        np.testing.assert_allclose(mask[0].numpy() * 255, grey, atol=1e-4)


def test_half_floats_survive_their_png(tmp_path):
    depth = np.array([[0.1, 3.25, 6e4], [np.nan, np.inf, -1]], np.float16)
    Image.fromarray(depth.view(np.uint16)).save(tmp_path / "d.png")
    read = read_half_depth(tmp_path / "d.png")[0].numpy()
    np.testing.assert_array_equal(read, [[np.float16(0.1), 3.25, np.float16(6e4)], [0, 0, 0]])


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def truncated(path: Path, suffix: str) -> None:
    whole = path.with_name(f"whole.{suffix}")
    Image.fromarray(pixels(64, 64)).save(whole)
    path.write_bytes(whole.read_bytes()[:2000])


HOSTILE = {
    "missing": (lambda path: None, "does not exist"),
    "folder": (lambda path: path.mkdir(), "does not exist"),
    "empty": (lambda path: write(path, b""), "not a readable image"),
    "text": (lambda path: write(path, b"hello" * 99), "not a readable image"),
    "truncated PNG": (lambda path: truncated(path, "png"), "truncated or damaged"),
    "truncated JPEG": (lambda path: truncated(path, "jpg"), "truncated or damaged"),
    "cut header": (lambda path: write(path, png_header(4, 4)[:20]), "not a readable image"),
    "no pixels": (lambda path: write(path, png_header(400, 400)), "truncated or damaged"),
    "oversized": (lambda path: write(path, png_header(2**14, 2**13)), "megapixels"),
    "absurd": (lambda path: write(path, png_header(2**30, 2**30)), "not a readable image|megapixels"),
    "zero": (lambda path: write(path, png_header(0, 4)), "not a readable image|truncated"),
    "bad TIFF": (lambda path: write(path, b"II*\0" + b"\xff" * 60), "not a readable image"),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning", "ignore:Corrupt EXIF", "ignore:Truncated")
def test_broken_images_are_refused_by_name(tmp_path, case):
    make, words = HOSTILE[case]
    path = tmp_path / "photo.png"
    make(path)
    with pytest.raises(InputError, match=words) as caught:
        read_image(path)
    assert str(path) in str(caught.value)


def test_a_size_that_the_camera_does_not_have_is_refused(tmp_path):
    Image.fromarray(pixels()).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="6 x 4 pixels, its camera says 8 x 6"):
        read_image(tmp_path / "a.png", (6, 8))


def test_depth_of_eight_bits_is_refused(tmp_path):
    Image.fromarray(pixels()).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="not a 16-bit image"):
        read_half_depth(tmp_path / "a.png")


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../out.png", "a/../../out.png", "", ".", "a\0b", "none.png", "link.png"]
)
def test_paths_that_leave_the_folder_are_refused(tmp_path, name):
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (tmp_path / "out.png").write_bytes(b"x")
    (root / "link.png").symlink_to(tmp_path / "out.png")
    with pytest.raises(InputError, match=r"transforms\.json"):
        path_inside(root, name, where="transforms.json: frame 0")


def test_paths_and_links_inside_the_folder_are_fine(tmp_path):
    real = tmp_path / "real"
    (real / "a").mkdir(parents=True)
    (real / "a" / "x.png").write_bytes(b"x")
    (real / "link.png").symlink_to(real / "a" / "x.png")
    (tmp_path / "root").symlink_to(real)
    for name in ("a/x.png", "./a/x.png", "a/../a/x.png", "link.png"):
        assert path_inside(tmp_path / "root", name, where="w").read_bytes() == b"x"
