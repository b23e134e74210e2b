"""Pictures of unusual pixels, by their formats' own words: TIFF 6.0's tags, Netpbm, PNG; and masks of every kind."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewview.data.images import image_size, read_image, read_mask
from fewview.errors import InputError

HEIGHT, WIDTH = 6, 8
SHARES = np.linspace(0, 1, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
UNSIGNED, SIGNED, REAL = 1, 2, 3  # SampleFormat
BLACK_IS_ZERO, WHITE_IS_ZERO = 1, 0
INSIDE = np.zeros((HEIGHT, WIDTH), bool)
INSIDE[1:4, 2:6] = True


def tiff(path: Path, values: np.ndarray, *, kind: int = UNSIGNED, white: int = BLACK_IS_ZERO, turned: int = 1) -> Path:
    """One strip of one sample a pixel, uncompressed, by TIFF 6.0."""
    order, mark = ("<", b"II") if values.dtype.byteorder != ">" else (">", b"MM")
    tags = [(256, 3, WIDTH), (257, 3, HEIGHT), (258, 3, 8 * values.itemsize), (259, 3, 1), (262, 3, white)]
    tags += [(273, 4, 8 + 2 + 12 * 11 + 4), (274, 3, turned), (277, 3, 1), (278, 3, HEIGHT)]
    tags += [(279, 4, values.nbytes), (339, 3, kind)]
    table = mark + struct.pack(f"{order}HIH", 42, 8, len(tags))
    for tag, form, value in tags:
        content = struct.pack(f"{order}I", value) if form == 4 else struct.pack(f"{order}HH", value, 0)
        table += struct.pack(f"{order}HHI", tag, form, 1) + content
    path.write_bytes(table + struct.pack(f"{order}I", 0) + values.tobytes())
    return path


DEEP = {
    "8 bits": (np.round(SHARES * 255).astype("u1"), {}),
    "8 bits whose white is 0": (np.round(255 - SHARES * 255).astype("u1"), {"white": WHITE_IS_ZERO}),
    "16 bits": (np.round(SHARES * 65535).astype("<u2"), {}),
    "16 bits of a large endian": (np.round(SHARES * 65535).astype(">u2"), {}),
    "16 bits whose white is 0": (np.round(65535 - SHARES * 65535).astype("<u2"), {"white": WHITE_IS_ZERO}),
    "16 bits with a sign": (np.round(SHARES * 32767).astype("<i2"), {"kind": SIGNED}),
    "32 bits": (np.round(SHARES * (2**32 - 1)).astype("<u4"), {}),
    "32 bits with a sign": (np.round(SHARES * (2**31 - 1)).astype("<i4"), {"kind": SIGNED}),
    "floats": (SHARES.astype("<f4"), {"kind": REAL}),
    "floats of a large endian": (SHARES.astype(">f4"), {"kind": REAL}),
    "floats to 255": ((SHARES * 255).astype("<f4"), {"kind": REAL}),
}


@pytest.mark.parametrize("case", DEEP)
def test_tiff_has_the_brightness_that_its_tags_say(tmp_path, case):
    values, tags = DEEP[case]
    image, alpha = read_image(tiff(tmp_path / "x.tif", values, **tags))
    assert alpha is None
    np.testing.assert_allclose(image[2], SHARES, atol=0.0021)


@pytest.mark.parametrize(
    ("values", "tags"),
    [
        (SHARES.astype("<f8"), {"kind": REAL}),
        (SHARES.astype("<f2"), {"kind": REAL}),
        (np.round(SHARES * 65535).astype(">u2"), {"white": WHITE_IS_ZERO}),
        (np.round(SHARES * 65535).astype(">u4"), {}),
    ],
)
def test_tiff_that_pillow_does_not_know_is_refused_in_one_sentence(tmp_path, values, tags):
    with pytest.raises(InputError, match=r"x\.tif is not a readable image \(UnidentifiedImageError\); export it again"):
        read_image(tiff(tmp_path / "x.tif", values, **tags))


@pytest.mark.parametrize("turned", [3, 6, 8])
def test_deep_tiff_of_an_unusual_kind_is_turned_too(tmp_path, turned):
    """Orientation 3: by 180 degrees; 6: the top row is the right column; 8: the left."""
    values = np.round(65535 - SHARES * 65535).astype("<u2")
    path = tiff(tmp_path / "x.tif", values, white=WHITE_IS_ZERO, turned=turned)
    upright = {3: SHARES[::-1, ::-1], 6: np.rot90(SHARES, -1), 8: np.rot90(SHARES)}[turned]
    np.testing.assert_allclose(read_image(path)[0][0], upright, atol=1e-4)
    np.testing.assert_allclose(read_image(path, (HEIGHT, WIDTH))[0][0], SHARES, atol=1e-4)
    assert image_size(path) == (HEIGHT, WIDTH)


@pytest.mark.parametrize("turned", [5, 6, 7, 8])
@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16", "1"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_every_mode_of_tiff_is_turned_without_mixing_its_rows(tmp_path, mode, turned, compression):
    """Pillow 13 maps uncompressed files of some modes into memory at the turned size."""
    plain = np.round(SHARES * 255).astype("u1")
    picture = Image.fromarray(plain.astype("u2") * 257) if mode == "I;16" else Image.fromarray(plain).convert(mode)
    for name, orientation in (("straight", 1), ("turned", turned)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture.save(tmp_path / f"{name}.tif", compression=compression, exif=exif)
    straight = read_image(tmp_path / "straight.tif")[0]
    stored = read_image(tmp_path / "turned.tif", (HEIGHT, WIDTH))[0]
    np.testing.assert_array_equal(stored, straight)
    rows = straight[0].numpy()
    upright = {5: rows.T, 6: np.rot90(rows, -1), 7: rows[::-1, ::-1].T, 8: np.rot90(rows)}[turned]
    np.testing.assert_array_equal(read_image(tmp_path / "turned.tif")[0][0], upright)


def grey() -> Image.Image:
    return Image.fromarray(np.round(SHARES * 255).astype("u1"))


def indexed(alpha: bytes | int) -> Image.Image:
    picture = grey().quantize(64)
    picture.info["transparency"] = alpha
    return picture


PICTURES = {  # name, how, whether there is an alpha channel, and how far the grey may be off
    "grey and alpha": ("x.png", lambda: grey().convert("LA"), True, 0.002),
    "four inks": ("x.tif", lambda: grey().convert("RGB").convert("CMYK"), False, 0.002),
    "four inks of a JPEG": ("x.jpg", lambda: grey().convert("RGB").convert("CMYK"), False, 0.03),
    "a palette": ("x.png", lambda: grey().convert("P"), False, 0.002),
    "a palette with one clear colour": ("x.png", lambda: indexed(0), True, 0.02),
    "a palette with alphas": ("x.png", lambda: indexed(bytes(range(64))), True, 0.02),
    "a palette with an alpha channel": ("x.tif", lambda: grey().convert("PA"), True, 0.002),
    "luma and chroma": ("x.tif", lambda: grey().convert("RGB").convert("YCbCr"), False, 0.01),
    "a bitmap of colours": ("x.bmp", lambda: grey().convert("RGB"), False, 0.002),
    "a bitmap with alpha": ("x.webp", lambda: grey().convert("RGBA"), None, 0.03),
    "an upper-case suffix": ("x.TIFF", grey, False, 0.002),
}


@pytest.mark.parametrize("case", PICTURES)
def test_photos_of_every_mode_look_alike(tmp_path, case):
    name, make, clear, off = PICTURES[case]
    make().save(tmp_path / name)
    image, alpha = read_image(tmp_path / name)
    assert clear is None or (alpha is not None) == clear
    np.testing.assert_allclose(image[1], SHARES, atol=off)


@pytest.mark.parametrize(
    ("head", "body", "want"),
    [
        (b"P5 8 6 1023\n", np.round(SHARES * 1023).astype(">u2").tobytes(), SHARES),
        (b"P5 8 6 65535\n", np.round(SHARES * 65535).astype(">u2").tobytes(), SHARES),
        (b"P6 8 6 65535\n", np.repeat(np.round(SHARES * 65535).astype(">u2")[..., None], 3, 2).tobytes(), SHARES),
        (b"P2\n# a comment\n8 6\n255\n", " ".join(str(round(x)) for x in (SHARES * 255).ravel()).encode(), SHARES),
        (b"P4 8 6\n", bytes([0b01010101] * 6), np.tile([1.0, 0], (6, 4))),
    ],
)
def test_netpbm_of_every_depth_is_read(tmp_path, head, body, want):
    (tmp_path / "x.ppm").write_bytes(head + body)
    np.testing.assert_allclose(read_image(tmp_path / "x.ppm")[0][0], want, atol=0.0021)


def rgb(*colour: int) -> Image.Image:
    return Image.fromarray((INSIDE[..., None] * np.array(colour)).astype("u1"))


def with_alpha(picture: Image.Image, values: np.ndarray) -> Image.Image:
    picture = picture.copy()
    picture.putalpha(Image.fromarray(values.astype("u1")))
    return picture


def swapped() -> Image.Image:
    picture = Image.fromarray((~INSIDE).astype("u1"), "P")
    picture.putpalette([1, 1, 1, 0, 0, 0] + [0] * 762)
    return picture


FULL = np.full((HEIGHT, WIDTH), 255)
MASKS = {
    "0 and 1 in three channels": ("m.png", lambda: rgb(1, 1, 1)),
    "0 and 1 in three channels with an opaque alpha": ("m.png", lambda: with_alpha(rgb(1, 1, 1), FULL)),
    "0 and 1 of grey with an opaque alpha": ("m.png", lambda: with_alpha(Image.fromarray(INSIDE.astype("u1")), FULL)),
    "one dark colour on black": ("m.png", lambda: rgb(128, 0, 0)),
    "one colour on black of TIFF": ("m.tif", lambda: rgb(0, 9, 0)),
    "white in three channels": ("m.png", lambda: rgb(255, 255, 255)),
    "alpha alone": ("m.png", lambda: with_alpha(rgb(7, 7, 7), INSIDE * 255)),
    "1 bit": ("m.png", lambda: Image.fromarray(INSIDE)),
    "1 bit of TIFF": ("m.tif", lambda: Image.fromarray(INSIDE)),
    "1 bit of a bitmap": ("m.bmp", lambda: Image.fromarray(INSIDE)),
    "0 and 1 in a palette of the other order": ("m.png", swapped),
    "32-bit labels": ("m.tif", lambda: Image.fromarray(INSIDE.astype("i4") * 40)),
}  # fmt: skip


@pytest.mark.parametrize("case", MASKS)
def test_masks_say_where_the_object_is_in_every_mode(tmp_path, case):
    name, make = MASKS[case]
    make().save(tmp_path / name)
    mask = read_mask(tmp_path / name, (HEIGHT, WIDTH))
    np.testing.assert_allclose(mask[0], INSIDE, atol=1e-6)


def test_a_mask_of_signed_tiff_is_labels_still(tmp_path):
    path = tiff(tmp_path / "m.tif", INSIDE.astype("<i2"), kind=SIGNED)
    np.testing.assert_array_equal(read_mask(path, (HEIGHT, WIDTH))[0], INSIDE)


def test_a_soft_mask_in_three_channels_stays_soft(tmp_path):
    Image.fromarray(np.repeat(np.round(SHARES * 255).astype("u1")[..., None], 3, 2)).save(tmp_path / "m.png")
    np.testing.assert_allclose(read_mask(tmp_path / "m.png", (HEIGHT, WIDTH))[0], SHARES, atol=0.003)


def test_a_photo_as_a_mask_is_its_grey(tmp_path):
    """More colours than labels have."""
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT * 4, WIDTH * 4, 3)).astype("u1")
    Image.fromarray(noise).save(tmp_path / "m.png")
    np.testing.assert_allclose(read_mask(tmp_path / "m.png", (24, 32))[0], noise.mean(-1) / 255, atol=1e-6)
