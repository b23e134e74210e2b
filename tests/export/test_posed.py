"""Poses, points and depth for other programs: COLMAP, nerfstudio, PNG and OpenEXR."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from worlds import ring

from fewview.data.colmap import read_model
from fewview.errors import InputError
from fewview.export.colmap import write_sparse
from fewview.export.depth import depth_unit, read_depth_png, write_depth_png, write_exr
from fewview.export.transforms import write_transforms
from fewview.render.gaussians import Gaussians

NAMES = ["a.png", "b.png", "sub/c.png"]


@pytest.fixture
def points(generator) -> Gaussians:
    means, colours = torch.randn(6, 3, generator=generator), torch.rand(6, 3, generator=generator)
    opacities = torch.tensor([0.9, 0.4, 0.6, 1.0, 0.1, 0.7])
    return Gaussians(means, torch.ones(6, 3), torch.eye(4)[:1].expand(6, 4), opacities, colours)


@pytest.mark.parametrize("text", [False, True])
def test_our_reader_sees_the_same_cameras_and_points(tmp_path, points, text):
    cameras = ring(3)
    write_sparse(tmp_path, cameras, NAMES, points=points, text=text)
    model = read_model(tmp_path)
    assert len(model.cameras) == 1 and [image.name for image in model.images] == NAMES
    k = cameras.intrinsics[0].tolist()
    assert model.cameras[1].parameters == pytest.approx([k[0][0], k[1][1], k[0][2], k[1][2]])
    poses = torch.tensor([image.pose for image in model.images], dtype=torch.float64)
    centres = -_rotations(poses[:, :4]).mT @ poses[:, 4:, None]
    torch.testing.assert_close(centres[..., 0].float(), cameras.centers, atol=1e-5, rtol=0)
    solid = points.opacities > 0.5
    np.testing.assert_allclose(model.points, points.means[solid], rtol=1e-6)
    np.testing.assert_allclose(model.colours, points.features[solid], atol=0.5 / 255 + 1e-6)


def _rotations(quaternions):
    from fewview.render.gaussians import rotations

    return rotations(quaternions)


@pytest.mark.parametrize("text", [False, True])
def test_pycolmap_reads_the_model(tmp_path, points, text):
    pycolmap = pytest.importorskip("pycolmap", reason="pycolmap is the extra 'poses'")
    cameras = ring(3)
    write_sparse(tmp_path, cameras, NAMES, points=points, text=text)
    model = pycolmap.Reconstruction(str(tmp_path))
    assert (model.num_images(), model.num_points3D()) == (3, 4)
    image = next(image for image in model.images.values() if image.name == "b.png")
    pose = image.cam_from_world() if callable(image.cam_from_world) else image.cam_from_world
    np.testing.assert_allclose(pose.matrix(), cameras.cam_from_world[1, :3], atol=1e-5)
    seen = model.cameras[image.camera_id].img_from_cam(np.array([[0.1, -0.2, 1.0]]))[0]
    want = cameras.intrinsics[1] @ torch.tensor([0.1, -0.2, 1.0])
    np.testing.assert_allclose(seen, want[:2], atol=1e-4)


def test_views_with_other_lenses_get_cameras_of_their_own(tmp_path):
    cameras = ring(3)
    intrinsics = cameras.intrinsics.clone()
    intrinsics[2, 0, 0] += 5
    cameras = replace(cameras, intrinsics=intrinsics)
    write_sparse(tmp_path, cameras, NAMES)
    model = read_model(tmp_path)
    assert [image.camera for image in model.images] == [1, 1, 2] and len(model.points) == 0
    with pytest.raises(ValueError, match="2 files"):
        write_sparse(tmp_path, cameras, NAMES[:2])


def test_depth_in_png_is_right_to_half_a_step(tmp_path):
    depth = torch.rand(1, 12, 17) * 9
    depth[0, 3] = 0
    unit = depth_unit(float(depth.max()))
    write_depth_png(tmp_path / "d.png", depth, unit)
    torch.testing.assert_close(read_depth_png(tmp_path / "d.png"), depth, atol=unit / 2 * 1.01, rtol=0)
    with Image.open(tmp_path / "d.png") as image:
        assert image.mode.startswith("I") and float(image.info["depth_unit"]) == unit
        assert np.asarray(image).max() == 65535
    with pytest.raises(ValueError, match="16 bits"):
        write_depth_png(tmp_path / "d.png", depth * 2, unit)
    Image.new("I;16", (4, 4)).save(tmp_path / "other.png")
    with pytest.raises(InputError, match="depth_unit"):
        read_depth_png(tmp_path / "other.png")


@pytest.mark.parametrize("judge", ["OpenEXR", "minexr"])
def test_independent_readers_see_the_same_floats(tmp_path, judge):
    module = pytest.importorskip(judge, reason=f"{judge} reads OpenEXR, used in tests alone")
    planes = {"Z": torch.rand(7, 11) * 100, "A": torch.rand(7, 11)}
    write_exr(tmp_path / "d.exr", planes)
    for name, plane in planes.items():
        if judge == "OpenEXR":
            with module.File(str(tmp_path / "d.exr"), separate_channels=True) as file:
                seen = file.channels()[name].pixels
        else:
            with (tmp_path / "d.exr").open("rb") as file:
                seen = module.load(file).select([name])[..., 0]
        np.testing.assert_array_equal(seen, plane)


def test_an_exr_is_as_long_as_its_layout_says(tmp_path):
    write_exr(tmp_path / "d.exr", {"Z": torch.tensor([[1.0, 2.0]])})
    data = (tmp_path / "d.exr").read_bytes()
    assert struct.unpack_from("<I", data) == (20000630,) and struct.unpack_from("<2f", data, len(data) - 8) == (1, 2)


def test_transforms_name_depth_maps_and_their_unit(tmp_path):
    write_transforms(tmp_path / "t.json", ring(2), ["a", "b"], depths=["c", "d"], depth_unit_scale_factor=0.5)
    data = json.loads((tmp_path / "t.json").read_text())
    assert data["depth_unit_scale_factor"] == 0.5
    assert [frame["depth_file_path"] for frame in data["frames"]] == ["c", "d"]
