"""What people reported of other programs' readers, on files that are valid: each kind in our own words and numbers."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from data.test_colmap_folders import HEIGHT, WIDTH, model, photos, posed
from data.test_far_worlds import centres, write_json
from export.test_foreign_splats import table
from PIL import Image
from variants.test_ply_kinds import vertices, written
from viewer.scenes import ball

from fewview.data import open_scene
from fewview.data.unposed import UnposedPhotos
from fewview.errors import InputError
from fewview.export.scenes import load_scene
from fewview.export.sog import write_sog
from fewview.export.spz import read_spz, write_spz
from fewview.pipeline.photos import PhotoChoice, read_photos

NEAR = np.zeros(3)


def listed(root: Path, change, top: dict | None = None) -> Path:
    """A transforms.json of six photos, each frame changed."""
    photos(root / "images")
    write_json(root, centres(0.3, NEAR, 4))
    data = json.loads((root / "transforms.json").read_text()) | (top or {})
    for i, frame in enumerate(data["frames"]):
        change(i, frame)
    (root / "transforms.json").write_text(json.dumps(data))
    return root


PATHS = {  # of another computer, or of this one
    "Linux": "/home/someone/scans/fox/images/{i}.png",
    "Windows": "C:\\Users\\Some One\\fox\\images\\{i}.png",
    "Windows, slashes": "D:/fox/images/{i}.png",
    "a share": "\\\\server\\scans\\fox\\images\\{i}.png",
    "this one": "{root}/images/{i}.png",
    "another case": "/Users/x/Fox/Images/{i}.PNG",
    "twice the folder's name": "/data/images/old/images/{i}.png",
}


@pytest.mark.parametrize("case", PATHS)
def test_whole_paths_are_found_by_the_end_that_is_here(tmp_path, case):
    """Metashape, RealityCapture and instant-ngp's scripts write them (nerfstudio issues 2618, 3365)."""
    name = lambda i: PATHS[case].format(i=i, root=tmp_path)
    scene = posed(listed(tmp_path, lambda i, frame: frame.update(file_path=name(i))))
    assert [photo.image for photo in scene.photos] == [tmp_path / "images" / f"{i}.png" for i in range(4)]


def test_whole_paths_in_a_colmap_model_are_found_too(tmp_path):
    photos(tmp_path / "images", 3)
    path = model(tmp_path / "sparse" / "0", 3) / "images.txt"
    path.write_text(_whole(path))
    assert posed(tmp_path).photos[2].image == tmp_path / "images" / "2.png"


def _whole(path: Path) -> str:
    text = path.read_text()
    for i in range(3):
        text = text.replace(f" {i}.png", f" E:\\scan\\images\\{i}.png")
    return text


def mask(path: Path, value: int = 255) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((HEIGHT, WIDTH), value, np.uint8)).save(path)


def test_masks_of_some_photos_alone_are_told_and_left_out(tmp_path):
    """LichtFeld-Studio issue 1612."""
    listed(tmp_path, lambda i, frame: None)
    mask(tmp_path / "masks" / "1.png")
    said: list[str] = []
    found = read_photos(tmp_path, PhotoChoice(mask="none"), tell=said.append)
    assert found.views.masks is None and any("Only 1 of 4 photos have masks" in line for line in said)


@pytest.mark.parametrize("named", [True, False])
def test_masks_in_folders_of_cameras_belong_to_the_photos_there(tmp_path, named):
    """LichtFeld-Studio issue 1422: the same base names in images/front and images/back."""
    write_json(tmp_path, centres(0.3, NEAR, 4))
    data = json.loads((tmp_path / "transforms.json").read_text())
    for i, frame in enumerate(data["frames"]):
        side, name = ("front", "back")[i % 2], f"{i // 2}"
        photos(tmp_path / "images" / side, 2)
        mask(tmp_path / "masks" / side / f"{name}.png", 255 if side == "front" else 0)
        frame["file_path"] = f"images/{side}/{name}.png"
        if named:
            frame["mask_path"] = f"masks/{side}/{name}.png"
    (tmp_path / "transforms.json").write_text(json.dumps(data))
    masks = posed(tmp_path).read(range(4)).masks
    assert masks is not None and masks.mean((1, 2, 3)).tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("name", ["0.jpg.png", "0.png", "0.JPG.PNG", "0.jpg", "0.PNG"])
def test_masks_are_found_by_each_programs_name_for_them(tmp_path, name):
    """COLMAP appends .png, Metashape and others replace the suffix (LichtFeld-Studio issue 547)."""
    photos(tmp_path / "images", 1)
    (tmp_path / "images" / "0.png").rename(tmp_path / "images" / "0.jpg")
    path = model(tmp_path / "sparse" / "0", 1) / "images.txt"
    path.write_text(path.read_text().replace("0.png", "0.jpg"))
    mask(tmp_path / "masks" / name)
    assert posed(tmp_path).photos[0].mask == tmp_path / "masks" / name


def test_an_opencv_camera_of_zeros_has_no_lens(tmp_path):
    """RealityScan's undistorted photos (LichtFeld-Studio issue 719)."""
    photos(tmp_path, 3)
    model(tmp_path, 3, camera="FULL_OPENCV", numbers="20.5 20.5 8 6 0 0 0 0 0 0 0.0 0.0")
    scene = posed(tmp_path)
    assert scene.photos[0].lens is None and scene.cameras[0].intrinsics[0, 0] == 20.5


def odd_name(folder: Path) -> None:
    _renamed(folder, "01/DJI 0001 (2).JPG", "01/DJI 0001 (2).JPG")


def other_case(folder: Path) -> None:
    """Brush issue 172: RealityCapture writes names in another case than Windows has them."""
    _renamed(folder, "01/Img_0.PNG", "01/IMG_0.png")


def _renamed(folder: Path, written: str, stored: str) -> None:
    path, images = folder / "images.txt", folder.parents[1] / "images"
    path.write_text(path.read_text().replace(" 0.png", f" {written}"))
    (images / stored).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(images / stored, "PNG")


def camera_each(folder: Path) -> None:
    """RealityScan writes a camera for each photo."""
    path = folder / "images.txt"
    text, rows = path.read_text(), []
    for i in range(3):
        text = text.replace(f" 1 {i}.png", f" {39 - i} {i}.png")
        rows.append(f"{39 - i} FULL_OPENCV {WIDTH} {HEIGHT} 20 20 8 6 0 0 0 0 0 0 0.0 0.0\n")
    path.write_text(text)
    (folder / "cameras.txt").write_text(
        "# Camera list\n#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]\n" + "".join(rows)
    )


def empty_beside(folder: Path) -> None:
    """COLMAP issue 775: a model without cameras beside one that has some."""
    other = folder.parent / "1"
    other.mkdir()
    for name in ("cameras", "images", "points3D"):
        (other / f"{name}.txt").write_text("# Camera list with one line of data per camera:\n# Number of cameras: 0\n")


def copies_beside(folder: Path) -> None:
    """Brush issue 279: copies of the model beside it."""
    for name in ("sparse.bak", "sparse.aaa", "exports_colmap"):
        model(folder.parents[1] / name, 2)


def rubbish_beside(folder: Path) -> None:
    """LLFF issue 36: what macOS leaves among photos."""
    images = folder.parents[1] / "images"
    (images / "._0.png").write_bytes(b"\0\5\26\7")
    (images / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (images / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")


def no_points(folder: Path) -> None:
    (folder / "points3D.txt").write_text("# 3D point list with one line of data per point:\n")


MODELS = [odd_name, other_case, camera_each, empty_beside, copies_beside, rubbish_beside, no_points]


@pytest.mark.parametrize("change", MODELS, ids=lambda change: change.__name__)
def test_models_as_people_have_them_give_three_cameras(tmp_path, change):
    photos(tmp_path / "images", 3)
    change(model(tmp_path / "sparse" / "0", 3))
    scene = posed(tmp_path)
    assert len(scene) == 3
    first = scene.cameras[scene.names.index("1.png")]
    assert first.intrinsics[0, 0] == 20
    turned = first.cam_from_world[:3, :3]
    want = 2 * math.atan2(math.sin(1 / 20), math.cos(1 / 20))  # the quaternion's own angle, about y
    assert math.atan2(-turned[2, 0].item(), turned[0, 0].item()) == pytest.approx(want, abs=1e-5)


def test_a_translation_in_place_of_the_quaternion_is_told_by_its_length(tmp_path):
    """COLMAP issue 1902: images.txt by hand, with TX TY TZ first."""
    photos(tmp_path / "images", 3)
    path = model(tmp_path / "sparse" / "0", 3) / "images.txt"
    path.write_text("2 2.69 -4.17 -0.62 0.997 -0.05 -0.05 -0.03 1 1.png\n\n")
    with pytest.raises(InputError, match=r"not length 1\); write QW QX QY QZ TX TY TZ"):
        posed(tmp_path)


def test_undistorted_photos_go_with_the_undistorted_model(tmp_path):
    """gaussian-splatting issue 272: what convert.py leaves, originals in input/, and both models."""
    model(tmp_path / "distorted" / "sparse" / "0", 3, scale=2, camera="SIMPLE_RADIAL", numbers="40 16 12 0.1")
    photos(tmp_path / "input", 3, (2 * WIDTH, 2 * HEIGHT))
    model(tmp_path / "sparse" / "0", 3)
    photos(tmp_path / "images", 3)
    scene = posed(tmp_path)
    assert scene.photos[0].image.parent.name == "images" and scene.photos[0].lens is None


def test_each_frame_may_have_a_size_of_its_own(tmp_path):
    """nerfstudio issue 3057: a camera for each photo."""
    sizes = [(30, 20), (20, 30), (25, 25), (40, 10)]
    listed(tmp_path, lambda i, frame: frame.update(w=sizes[i][0], h=sizes[i][1], fl_x=20 + i, fl_y=21 + i))
    for i, size in enumerate(sizes):
        Image.new("RGB", size).save(tmp_path / "images" / f"{i}.png")
    cameras = posed(tmp_path).cameras
    assert [(camera.width, camera.height) for camera in cameras] == sizes
    assert [camera.intrinsics[1, 1].item() for camera in cameras] == [21, 22, 23, 24]


def test_a_size_that_is_that_of_the_turned_photo_turns_it(tmp_path):
    """nerfstudio issue 3585: Metashape states the size of the photo as it is seen."""
    listed(tmp_path, lambda i, frame: None, {"w": HEIGHT, "h": WIDTH})
    for i in range(4):
        tags = Image.Exif()
        tags[0x0112] = 6
        pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        pixels[0, :] = 255  # the upper edge: seen upright, the right one
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png", exif=tags)
    image = posed(tmp_path).read([0]).images[0]
    assert image.shape == (3, WIDTH, HEIGHT) and image[:, :, -1].min() > 0.99 and image[:, :, :-1].max() < 0.01


FOREIGN = {  # a file beside photos whose cameras are not read, and whose it is
    "Metashape": ("cameras.xml", '<?xml version="1.0"?>\n<document version="2.0.0">\n  <chunk label="Chunk 1">\n'),
    "RealityCapture": ("cams.csv", "#name,x,y,alt,heading,pitch,roll,f,px,py,k1,k2,k3,k4,t1,t2\n"),
    "Bundler": ("bundle.out", "# Bundle file v0.3\n3 10\n"),
    "VisualSFM": ("model.nvm", "NVM_V3 \n\n3\n"),
    "3D Gaussian Splatting": ("cameras.json", '[{"id": 0, "img_name": "00001", "width": 16, "height": 12}]'),
}


@pytest.mark.parametrize("whose", FOREIGN)
def test_cameras_that_are_not_read_are_named_before_others_are_estimated(tmp_path, whose):
    """nerfstudio issues 2608, 3118, 3573: people have them beside the photos, and want them used."""
    name, content = FOREIGN[whose]
    photos(tmp_path, 3)
    (tmp_path / name).write_text(content)
    found = open_scene(tmp_path)
    assert isinstance(found, UnposedPhotos) and len(found) == 3
    assert f"'{name}' has {whose}'s cameras, which are not read" in found.describe()


@pytest.mark.parametrize("name", ["notes.xml", "table.csv", "log.out", "settings.json"])
def test_other_files_beside_photos_are_not_taken_for_cameras(tmp_path, name):
    photos(tmp_path, 3)
    (tmp_path / name).write_text('<settings/>\nname,x\n[{"id": 1}]')
    assert open_scene(tmp_path).describe() == "photos without cameras, 3 photos"


@pytest.mark.parametrize("make", [write_json, lambda root, places: model(root / "sparse" / "0", 4)])
def test_a_folder_of_photos_tells_that_cameras_lie_beside_it(tmp_path, make):
    photos(tmp_path / "images", 4)
    make(tmp_path, centres(0.3, NEAR, 4))
    assert f"name {tmp_path.resolve()} to use its cameras" in open_scene(tmp_path / "images").describe()


def test_exported_camera_lists_are_no_transforms(tmp_path):
    """nerfstudio pull request 1191: `ns-export cameras` writes a list under the name of Blender's file."""
    rows = [{"file_path": "images/0.png", "transform": np.eye(4)[:3].tolist()}]
    (tmp_path / "transforms_train.json").write_text(json.dumps(rows))
    with pytest.raises(InputError, match=r"transforms_train\.json must be an object"):
        open_scene(tmp_path)


def test_most_photos_missing_is_told_with_how_many(tmp_path):
    """LichtFeld-Studio issue 1830: exports whose photos lie elsewhere."""
    listed(tmp_path, lambda i, frame: frame.update(file_path=f"elsewhere/{i}.png"))
    with pytest.raises(InputError, match=r"frame 0 names the file 'elsewhere/0.png'.*\(4 of 4 listed photos are not"):
        open_scene(tmp_path)


def test_a_log_scale_of_minus_infinity_is_a_flat_splat(tmp_path):
    """SuperSplat issue 189: optimisers leave scales of 0."""
    columns = table()
    columns["scale_1"] = columns["scale_1"].copy()
    columns["scale_1"][1] = -np.inf
    found = load_scene(written(tmp_path / "x.ply", vertices(columns))).gaussians
    assert len(found) == len(columns["x"]) and found.scales[1, 1] == 0 and found.scales[0, 1] > 0


def test_points_far_along_an_axis_survive_spz(tmp_path):
    """spz issue 52: 12 bits behind the point wrap x = -2050."""
    splats = ball(8)
    splats.means[:] = torch.tensor([[-2050.0 + 50 * (i % 2), -50.0 * (i // 2 % 2), 50 * (i // 4)] for i in range(8)])
    write_spz(tmp_path / "x.spz", splats)
    np.testing.assert_allclose(load_scene(tmp_path / "x.spz").gaussians.means, splats.means, atol=1e-3)


def test_impossible_fraction_bits_of_spz_are_named(tmp_path):
    """Spz.NET pull request 3: a writer that left -1 there, which reads as 255 bits."""
    write_spz(tmp_path / "x.spz", ball(8))
    data = bytearray((tmp_path / "x.spz").read_bytes())
    data[13] = 255
    (tmp_path / "x.spz").write_bytes(data)
    with pytest.raises(InputError, match="states 255 bits behind the point of its 24"):
        read_spz(tmp_path / "x.spz")


def test_sog_that_lies_unpacked_in_a_folder_is_read(tmp_path):
    """supersplat-viewer issue 47: splat-transform writes meta.json and its pictures into a folder."""
    import zipfile

    splats = ball(50)
    write_sog(tmp_path / "x.sog", splats)
    with zipfile.ZipFile(tmp_path / "x.sog") as bundle:
        bundle.extractall(tmp_path / "scene")
    packed, loose = (load_scene(tmp_path / name).gaussians for name in ("x.sog", "scene/meta.json"))
    assert torch.equal(packed.means, loose.means) and torch.equal(packed.features, loose.features)
    (tmp_path / "scene" / "quats.webp").unlink()
    with pytest.raises(InputError, match=r"meta\.json has no quats\.webp"):
        load_scene(tmp_path / "scene" / "meta.json")


@pytest.mark.parametrize("name", ["scan.ply", "scan.OBJ", "scan.spz", "scan.glb"])
def test_a_scene_where_photos_are_wanted_is_called_one(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match="holds 3D already, not photos of it"):
        open_scene(tmp_path / name)


def test_a_small_photo_among_large_ones_is_named(tmp_path):
    listed(tmp_path, lambda i, frame: None, {"w": 2 * WIDTH, "h": 2 * HEIGHT})
    for i in range(1, 4):
        Image.new("RGB", (2 * WIDTH, 2 * HEIGHT)).save(tmp_path / "images" / f"{i}.png")
    said: list[str] = []
    read_photos(tmp_path, PhotoChoice(mask="none"), tell=said.append)
    assert any(f"as small as 0.png, {WIDTH} x {HEIGHT}" in line for line in said)
    said.clear()
    found = read_photos(tmp_path, PhotoChoice(numbers=(1, 2, 3), mask="none"), tell=said.append)
    assert found.views.images.shape[-2:] == (2 * HEIGHT, 2 * WIDTH) and not any("small" in line for line in said)
