import math
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, TiffImagePlugin

from fewview.cameras import Cameras
from fewview.data import open_scene
from fewview.data.images import exif_focal, read_image, upright_size
from fewview.data.lens import Lens
from fewview.data.unposed import UnposedPhotos, natural, open_photos
from fewview.errors import InputError

HEIGHT, WIDTH = 12, 16
ORIENTATION, FOCAL, FOCAL_35, TAKEN_WIDTH, RESOLUTION, UNIT = 0x0112, 0x920A, 0xA405, 0xA002, 0xA20E, 0xA210


def picture(seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def save(path: Path, tags: dict[int, object] | None = None, image: Image.Image | None = None) -> Path:
    """A picture with EXIF tags; those of the camera go into the inner directory, as cameras write them."""
    exif = Image.Exif()
    for tag, value in (tags or {}).items():
        (exif if tag == ORIENTATION else exif.get_ifd(0x8769))[tag] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or picture()).save(path, exif=exif)
    return path


@pytest.fixture
def root(tmp_path) -> Path:
    for i, name in enumerate(("IMG_10.JPG", "IMG_9.jpg", "a.png")):
        save(tmp_path / "images" / name, image=picture(i))
    return tmp_path


def test_photos_come_in_natural_order_and_nothing_else_does(root):
    (root / "images" / "._IMG_9.jpg").write_bytes(b"a Mac's shadow")
    (root / "images" / "notes.txt").write_text("hello")
    scene = open_photos(root)
    assert scene.names == ["a.png", "IMG_9.jpg", "IMG_10.JPG"] and len(scene) == 3
    assert sorted(["b2", "b10", "B1"], key=natural) == ["B1", "b2", "b10"]
    assert scene.describe() == "photos without cameras, 3 photos"


def test_photos_may_lie_in_the_folder_itself(root):
    scene = open_scene(root / "images")
    assert isinstance(scene, UnposedPhotos) and len(scene) == 3 and scene.name == "images"


@pytest.mark.parametrize(("copies", "words"), [(1, "'b10.jpg' is a copy of 'b2.jpg' and left out"), (3, "3 copies")])
def test_copies_of_a_photo_are_left_out_with_a_count(root, copies, words):
    (root / "images" / "IMG_9.jpg").rename(root / "images" / "b2.jpg")
    for name in ("b10.jpg", "c.jpg", "d.jpg")[:copies]:
        (root / "images" / name).write_bytes((root / "images" / "b2.jpg").read_bytes())
    scene = open_photos(root)
    assert len(scene) == 3 and len({path.read_bytes() for path in scene.paths}) == 3
    assert words in scene.describe() and scene.describe().endswith("3 photos")


def test_photos_of_one_length_are_no_copies(tmp_path):
    for i in range(3):
        picture(i).save(tmp_path / f"{i}.bmp")
    assert len(open_photos(tmp_path)) == 3


def test_sizes_may_differ_and_are_those_of_the_upright_photos(root):
    array = np.asarray(picture(7, 10, 14))
    save(root / "images" / "b.png", {ORIENTATION: 6}, Image.fromarray(array))
    scene = open_photos(root)
    assert scene.sizes == [(HEIGHT, WIDTH), (14, 10), (HEIGHT, WIDTH), (HEIGHT, WIDTH)]
    image, mask = scene.image(1)
    assert mask is None
    np.testing.assert_allclose(image.numpy() * 255, np.rot90(array, -1).transpose(2, 0, 1), atol=1e-4)


def test_a_photo_upside_down_is_turned_although_its_size_stays(root):
    array = np.asarray(picture(7))
    save(root / "images" / "b.png", {ORIENTATION: 3}, Image.fromarray(array))
    scene = open_photos(root)
    upright = torch.from_numpy(array[::-1, ::-1].copy()).permute(2, 0, 1) / 255
    torch.testing.assert_close(scene.image(1)[0], upright)
    camera = Cameras(torch.eye(4), torch.tensor([[9.0, 0, 8], [0, 9, 6], [0, 0, 1]]), HEIGHT, WIDTH)
    torch.testing.assert_close(scene.posed({1: camera}).read([0]).images[0], upright)


def test_masks_are_files_or_alpha(root):
    Image.new("L", (WIDTH, HEIGHT), 100).save(root / "a.png")
    (root / "masks").mkdir()
    (root / "a.png").rename(root / "masks" / "IMG_9.png")
    clear = picture().convert("RGBA")
    clear.putalpha(51)
    clear.save(root / "images" / "b.png")
    scene = open_photos(root)
    assert scene.describe() == "photos without cameras, 4 photos, 1 with mask files"
    masks = dict(zip(scene.names, (scene.image(i)[1] for i in range(4))))
    assert masks["a.png"] is None and masks["IMG_10.JPG"] is None
    assert masks["IMG_9.jpg"].mean() == pytest.approx(100 / 255) and masks["b.png"].mean() == pytest.approx(0.2)


def test_posed_photos_are_a_scene(root):
    unposed = open_photos(root)
    camera = Cameras(torch.eye(4), torch.tensor([[20.0, 0, 8], [0, 20, 6], [0, 0, 1]]), HEIGHT, WIDTH)
    lens = Lens((20.0, 20.0), (8.0, 6.0), (-0.1,))
    scene = unposed.posed({2: camera, 0: camera}, {2: lens})
    assert scene.names == ["a.png", "IMG_10.JPG"] and scene.kind == "photos without cameras, cameras estimated"
    assert scene.photos[0].lens is None and scene.photos[1].lens == lens
    assert scene.cameras[0].intrinsics[0, 0] == 20 > scene.cameras[1].intrinsics[0, 0]
    with pytest.raises(ValueError, match="must have its size"):
        unposed.posed({0: camera.resized(3, 4)})


@pytest.mark.parametrize(
    ("tags", "focal"),
    [
        ({}, None),
        ({FOCAL_35: 26}, 26 * math.hypot(160, 120) / math.hypot(36, 24)),
        ({FOCAL_35: 0}, None),  # unknown
        ({FOCAL_35: 26, ORIENTATION: 6}, 26 * 200 / math.hypot(36, 24)),
        ({FOCAL: 50.0, RESOLUTION: 100.0, UNIT: 4}, None),  # 5000 pixels for a picture of 160: wrong
        ({FOCAL: 5.0, RESOLUTION: 40.0, UNIT: 4}, 5 * 40),  # pixels a mm
        ({FOCAL: 5.0, RESOLUTION: 1016.0}, 5 * 1016 / 25.4),  # inches unless told
        ({FOCAL: 5.0, RESOLUTION: 400.0, UNIT: 3, TAKEN_WIDTH: 320}, 5 * 40 / 2),  # made half as wide since
        ({FOCAL: 5.0}, None),  # a sensor of unknown size
        ({FOCAL: 5.0, RESOLUTION: 40.0, UNIT: 9}, None),
        ({FOCAL: TiffImagePlugin.IFDRational(1, 0), RESOLUTION: 40.0, UNIT: 4}, None),
        ({FOCAL_35: 60000}, None),
    ],
)
def test_the_focal_length_is_that_of_exif(tmp_path, tags, focal):
    path = save(tmp_path / "a.jpg", tags, picture(0, 120, 160))
    assert exif_focal(path) == (None if focal is None else pytest.approx(focal, rel=1e-4))


def test_heic_photos_are_read_upright(tmp_path):
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is optional")
    half = np.full((64, 96, 3), 200, np.uint8)
    half[:, :48] = 20
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    heif.from_pillow(Image.fromarray(half)).save(tmp_path / "a.HEIC", exif=exif.tobytes())
    scene = open_photos(tmp_path)
    assert scene.sizes == [upright_size(tmp_path / "a.HEIC")] == [(96, 64)]
    image, _ = scene.image(0)
    assert image[:, :40].mean() < 0.15 and image[:, 56:].mean() > 0.7


def test_a_missing_heic_decoder_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.heic").write_bytes(b"x" * 99)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(InputError, match="pip install pillow-heif"):
        open_photos(tmp_path)


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG that claims a size and holds these chunks."""
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = [kind + data for kind, data in (header, *chunks, (b"IEND", b""))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(b) - 4) + b + struct.pack(">I", zlib.crc32(b)) for b in body
    )


def write(data: bytes, name: str = "a.png"):
    return lambda root: (root / "images" / name).write_bytes(data)


def link(target: str):
    def damage(root: Path) -> None:
        (root / "images" / "a.png").unlink()
        (root / "images" / "a.png").symlink_to(target)

    return damage


def mask(image: Image.Image | bytes):
    def damage(root: Path) -> None:
        (root / "masks").mkdir()
        path = root / "masks" / "a.png"
        path.write_bytes(image) if isinstance(image, bytes) else image.save(path)

    return damage


def mask_link(root: Path) -> None:
    (root / "masks").mkdir()
    (root / "masks" / "a.png").symlink_to("/etc/hostname")


def truncated(root: Path) -> None:
    save(root / "images" / "a.png", image=picture(0, 64, 64))
    (root / "images" / "a.png").write_bytes((root / "images" / "a.png").read_bytes()[:3000])


def fifo(root: Path) -> None:
    import os

    (root / "images" / "a.png").unlink()
    os.mkfifo(root / "images" / "a.png")


TEXT_BOMB = (b"zTXt", b"k\0\0" + zlib.compress(b" " * 2**26))
SCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\nshowpage\n"
HOSTILE = {
    "no photos": (lambda root: [path.unlink() for path in (root / "images").iterdir()], "no photos"),
    "empty file": (write(b""), "not a readable image"),
    "text": (write(b"hello" * 99), "not a readable image"),
    "script": (write(SCRIPT), "not a readable image"),
    "a pickle": (write(b"\x80\x04\x95\x0b\0\0\0\0\0\0\0\x8c\x02os\x94."), "not a readable image"),
    "truncated": (truncated, "truncated or damaged"),
    "pixel bomb": (write(png(2**15, 2**15, (b"IDAT", zlib.compress(b"\0" * 99)))), "megapixels"),
    "bigger bomb": (write(png(2**31 - 1, 2**31 - 1)), "not a readable image|megapixels"),
    "text bomb": (write(png(4, 4, TEXT_BOMB, (b"IDAT", zlib.compress(b"\0" * 99)))), "not a readable|damaged"),
    "no pixels": (write(png(300, 300)), "truncated or damaged"),
    "TIFF of links": (write(b"II*\0\x08\0\0\0\xff\xff" + b"\0" * 40, "a.tif"), "not a readable image|damaged"),
    "link outside": (link("/etc/hostname"), "not inside"),
    "link upwards": (link("../../x.png"), "not inside|does not exist"),
    "circle of links": (link("a.png"), "not inside|does not exist"),
    "pipe": (fifo, "does not exist"),
    "mask of another size": (mask(Image.new("L", (5, 5))), "5 x 5 pixels"),
    "damaged mask": (mask(png(WIDTH, HEIGHT)), "truncated or damaged"),
    "mask is a link": (mask_link, "not inside"),
    "no image": (lambda root: (root / "images" / "b.heic").write_bytes(b"\0\0\0\x18ftypheic" + b"\xff" * 99), "b.heic"),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning", "ignore:Corrupt EXIF", "ignore:Truncated")
def test_hostile_folders_are_refused_by_name(root, case):
    damage, words = HOSTILE[case]
    damage(root)
    before = sorted(root.rglob("*"))
    with pytest.raises(InputError, match=words) as caught:
        scene = open_photos(root)
        [scene.image(i) for i in range(len(scene))]
    assert str(root) in str(caught.value) and sorted(root.rglob("*")) == before


def test_damaged_exif_is_as_good_as_none(tmp_path):
    path = save(tmp_path / "a.jpg", {FOCAL_35: 26, ORIENTATION: 6})
    data = path.read_bytes()
    start = data.index(b"Exif\0\0") + 6
    path.write_bytes(data[:start] + b"\xff" * 20 + data[start + 20 :])
    assert exif_focal(path) is None and upright_size(path) == (HEIGHT, WIDTH)
    assert read_image(path)[0].shape == (3, HEIGHT, WIDTH)
