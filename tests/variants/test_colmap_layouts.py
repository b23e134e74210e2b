"""COLMAP's models as programs leave them: by every id of a camera, in every place, told by pycolmap where it writes."""

import struct
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from data.test_colmap_folders import HEIGHT, WIDTH, model, photos, posed

from fewview.data.colmap import read_model
from fewview.errors import InputError

READ = {"SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE", "FULL_OPENCV"}
READ |= {"SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "SIMPLE_FISHEYE", "FISHEYE"}


def made(folder: Path, number: int, count: int = 3, *, text: bool = False) -> pycolmap.Reconstruction:
    """A model that pycolmap writes: cameras of model `number` without distortion, on a line."""
    folder.mkdir(parents=True, exist_ok=True)
    built = pycolmap.Reconstruction()
    kind = pycolmap.CameraModelId(number)
    camera = pycolmap.Camera.create_from_model_id(1, kind, 20.0, WIDTH, HEIGHT)
    built.add_camera_with_trivial_rig(camera)
    for i in range(count):
        image = pycolmap.Image(f"{i}.png", image_id=i + 1, camera_id=1)
        move = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0, 0, 0, 1.0])), np.array([-0.1 * i, 0, 3]))
        built.add_image_with_trivial_frame(image, move)
    (built.write_text if text else built.write_binary)(folder)
    return built


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("number", range(18))
def test_every_camera_of_pycolmap_is_read_or_refused_by_its_name(tmp_path, number, text):
    """Beside rigs and frames, which pycolmap 4 writes; a fisheye without coefficients draws theta, not tan theta."""
    built = made(tmp_path / "sparse" / "0", number, text=text)
    photos(tmp_path / "images", 3)
    name = pycolmap.CameraModelId(number).name
    if name not in READ:
        with pytest.raises(InputError, match=f"model {name}; run colmap image_undistorter"):
            posed(tmp_path)
        return
    scene = posed(tmp_path)
    for camera, image in zip(scene.cameras, sorted(built.images.values(), key=lambda image: image.name)):
        np.testing.assert_allclose(camera.centers, image.projection_center(), atol=1e-6)
    lens = scene.photos[0].lens
    focal = scene.cameras[0].intrinsics[0, 0].item() if lens is None else lens.focal[0]
    assert focal == pytest.approx(20) and (lens is not None) == name.endswith("FISHEYE")


def test_rigs_of_several_cameras_place_each_image(tmp_path):
    """cam_from_world is that of the sensor in its rig times that of the frame, as pycolmap says it."""
    built = pycolmap.Reconstruction()
    rig = pycolmap.Rig(rig_id=1)
    for i in (1, 2):
        camera = pycolmap.Camera.create_from_model_id(i, pycolmap.CameraModelId.PINHOLE, 20.0, WIDTH, HEIGHT)
        built.add_camera(camera)
        if i == 1:
            rig.add_ref_sensor(camera.sensor_id)
        else:
            turn = pycolmap.Rotation3d(np.array([0, np.sin(0.1), 0, np.cos(0.1)]))
            rig.add_sensor(camera.sensor_id, pycolmap.Rigid3d(turn, np.array([-0.5, 0, 0])))
    built.add_rig(rig)
    for f in range(2):
        frame = pycolmap.Frame(frame_id=f + 1, rig_id=1)
        move = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0, 0, 0, 1.0])), np.array([-0.3 * f, 0, 3]))
        images = [pycolmap.Image(f"cam{c}/{f}.png", image_id=2 * f + c, camera_id=c) for c in (1, 2)]
        for image in images:
            frame.add_data_id(image.data_id)
        frame.rig_from_world = move
        built.add_frame(frame)
        for image in images:
            image.frame_id = f + 1
            built.add_image(image)
        built.register_frame(f + 1)
    folder = tmp_path / "sparse" / "0"
    folder.mkdir(parents=True)
    built.write_binary(folder)
    for c in (1, 2):
        photos(tmp_path / "images" / f"cam{c}", 2)
    scene = posed(tmp_path)
    assert scene.names == ["cam1/0.png", "cam1/1.png", "cam2/0.png", "cam2/1.png"]
    centres = {image.name: image.projection_center() for image in built.images.values()}
    for name, camera in zip(scene.names, scene.cameras):
        np.testing.assert_allclose(camera.centers, centres[name], atol=1e-6)


def bom(folder: Path) -> None:
    for name in ("cameras", "images"):
        path = folder / f"{name}.txt"
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


def odd_names(folder: Path) -> None:
    """Two spaces, and a line separator of Unicode, are parts of a name."""
    path, name = folder / "images.txt", "a  b\u2028c\x85d.png"
    path.write_text(path.read_text().replace("0.png", name), encoding="utf-8")
    (folder.parents[1] / "images" / "0.png").rename(folder.parents[1] / "images" / name)


def tabs(folder: Path) -> None:
    path = folder / "images.txt"
    path.write_text(path.read_text().replace(" ", "\t"))


def half_binary(folder: Path) -> None:
    """cameras.bin of a run that was stopped, beside a whole text model."""
    (folder / "cameras.bin").write_bytes(struct.pack("<Q", 0))


def exponents(folder: Path) -> None:
    path = folder / "cameras.txt"
    path.write_text(path.read_text().replace("20 20", "2e1 2.0E+01"))


def long_ids(folder: Path) -> None:
    for name in ("cameras", "images"):
        path = folder / f"{name}.txt"
        path.write_text(path.read_text().replace("1 PINHOLE", "4294967294 PINHOLE").replace(" 3 1 ", " 3 4294967294 "))


ODD = [bom, odd_names, tabs, half_binary, exponents, long_ids]


@pytest.mark.parametrize("change", ODD, ids=lambda change: change.__name__)
def test_text_that_editors_and_tools_leave_is_read(tmp_path, change):
    photos(tmp_path / "images", 3)
    change(model(tmp_path / "sparse" / "0", 3))
    scene = posed(tmp_path)
    assert len(scene) == 3 and scene.kind == "COLMAP model (text)"
    assert scene.cameras[0].intrinsics[0, 0] == 20


def test_photos_may_lie_beside_the_model(tmp_path):
    photos(tmp_path, 3)
    model(tmp_path / "sparse" / "0", 3)
    assert posed(tmp_path).photos[0].image == tmp_path / "0.png"


def test_names_may_begin_with_the_photos_folder(tmp_path):
    """As exporters write them that keep paths from the project's folder."""
    photos(tmp_path / "images", 3)
    folder = model(tmp_path / "sparse" / "0", 3)
    text = (folder / "images.txt").read_text()
    for i in range(3):
        text = text.replace(f" {i}.png", f" images/{i}.png")
    (folder / "images.txt").write_text(text)
    assert posed(tmp_path).photos[2].image == tmp_path / "images" / "2.png"


def test_the_folder_of_photos_is_the_one_that_has_them(tmp_path):
    """An empty images/ beside the photos in input/."""
    (tmp_path / "images").mkdir()
    photos(tmp_path / "input", 3)
    model(tmp_path / "sparse" / "0", 3)
    assert posed(tmp_path).photos[0].image == tmp_path / "input" / "0.png"


def test_a_binary_model_and_a_larger_text_model_stand_side_by_side(tmp_path):
    made(tmp_path / "sparse" / "0", 1, 2)
    model(tmp_path / "sparse" / "1", 5)
    photos(tmp_path / "images", 5)
    assert "the largest of 2 models, sparse/1; smaller are sparse/0 (2)" in posed(tmp_path).describe()


def test_names_of_digits_are_names(tmp_path):
    photos(tmp_path / "images", 3)
    folder = model(tmp_path / "sparse" / "0", 3)
    path = folder / "images.txt"
    path.write_text(path.read_text().replace(".png", ""))
    assert posed(tmp_path).names == ["0.png", "1.png", "2.png"] and len(read_model(folder).images) == 3


def test_points_of_a_large_number_are_exact(tmp_path):
    folder = model(tmp_path / "sparse" / "0", 2)
    (folder / "points3D.txt").write_text("18446744073709551614 4649776.125 -500000.25 120.5 1 2 3 0.5 1 0\n\n")
    assert read_model(folder).points.tolist() == [[4649776.125, -500000.25, 120.5]]
