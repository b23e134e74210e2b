"""More of what people reported of other programs' readers, on files that are valid, in our own words and numbers."""

import json
import struct
from pathlib import Path

import numpy as np
import plyfile
import pytest
import torch
from data.test_colmap_folders import HEIGHT, WIDTH, model, photos, posed
from export.test_foreign_splats import COUNT, ply, table
from PIL import Image
from variants.test_ply_kinds import same, vertices, written
from variants.test_reported import listed
from viewer.scenes import ball

from fewview.data import open_scene
from fewview.data.unposed import UnposedPhotos
from fewview.errors import InputError
from fewview.export.compressed_ply import write_compressed_ply
from fewview.export.scenes import load_scene

# -- splats -----------------------------------------------------------------------------------------------------------


def extra(name: str, kind: str, values: list[float]) -> plyfile.PlyElement:
    return plyfile.PlyElement.describe(np.array([(v,) for v in values], [(name, kind)]), name)


SHARP = [  # what Apple's ml-sharp puts beside the splats
    extra("extrinsic", "f4", [float(i % 5 == 0) for i in range(16)]),
    extra("intrinsic", "f4", [20, 0, 8, 0, 20, 6, 0, 0, 1]),
    extra("image_size", "u4", [16, 12]),
    extra("frame", "i4", [1, COUNT]),
    extra("disparity", "f4", [0.1, 0.9]),
    extra("color_space", "u1", [1]),
    extra("version", "u1", [1, 5, 0]),
]


@pytest.mark.parametrize("before", [0, 3, 7])
def test_cameras_and_metadata_beside_the_splats_are_passed_over(tmp_path, before):
    """antimatter15/splat pull request 69, gsplat-unity 33, splat-transform 119, Babylon.js 17492."""
    same(written(tmp_path / "x.ply", *SHARP[:before], vertices(), *SHARP[before:]))


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("line", [b"obj_info made by hand", b"comment Exported by Geomagic", b"comment"])
def test_headers_of_windows_programs_are_read(tmp_path, end, line):
    """SuperSplat issue 203, UnityGaussianSplatting issue 159."""
    data = ply(tmp_path / "x.ply", table(), head=line + b"\n").read_bytes()
    header, rows = data.split(b"end_header\n", 1)
    (tmp_path / "x.ply").write_bytes(header.replace(b"\n", end) + b"end_header" + end + rows)
    same(tmp_path / "x.ply")


@pytest.mark.parametrize("order", range(4))
def test_columns_may_stand_in_any_order(tmp_path, order):
    """XScene-UEPlugin issue 38, of Polycam's files."""
    names = list(table())
    np.random.default_rng(order).shuffle(names)
    same(ply(tmp_path / "x.ply", {name: table()[name] for name in names}))


def test_compressed_files_of_supersplat_1_have_no_bounds_of_colours(tmp_path):
    """Spark pull request 82, MetalSplatter issue 7: colours count in [0, 1] then."""
    splats = ball(40)
    splats.features[:] = splats.features.clamp(0, 1)
    write_compressed_ply(tmp_path / "new.compressed.ply", splats)
    new = plyfile.PlyData.read(tmp_path / "new.compressed.ply")
    chunk, vertex = new["chunk"].data, new["vertex"].data.copy()
    bounds = [name for name in chunk.dtype.names if name[:3] in ("min", "max") and name[4:] in "rgb"]
    low, high = (np.array([chunk[f"{side}_{c}"][0] for c in "rgb"]) for side in ("min", "max"))
    word = vertex["packed_color"]
    channels = np.stack([word >> 24 & 255, word >> 16 & 255, word >> 8 & 255]).T / 255
    colours = np.round(255 * (low + (high - low) * channels).clip(0, 1)).astype("u4")
    vertex["packed_color"] = colours[:, 0] << 24 | colours[:, 1] << 16 | colours[:, 2] << 8 | word & 255
    kept = np.empty(len(chunk), [(name, "f4") for name in chunk.dtype.names if name not in bounds])
    for name in kept.dtype.names:
        kept[name] = chunk[name]
    describe = plyfile.PlyElement.describe
    written(tmp_path / "old.ply", describe(kept, "chunk"), describe(vertex, "vertex"))
    new_splats, old_splats = (load_scene(tmp_path / name).gaussians for name in ("new.compressed.ply", "old.ply"))
    assert torch.equal(new_splats.means, old_splats.means)
    torch.testing.assert_close(old_splats.features, new_splats.features, atol=1 / 255, rtol=0)


def test_zip_archives_of_splats_are_called_so(tmp_path):
    """SuperSplat issue 534: Luma gives an archive with the PLY in it."""
    import zipfile

    with zipfile.ZipFile(tmp_path / "capture.zip", "w") as bundle:
        bundle.write(ply(tmp_path / "point_cloud.ply", table()), "point_cloud.ply")
    with pytest.raises(InputError, match=r"archive|unpack"):
        load_scene(tmp_path / "capture.zip")


# -- transforms.json --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["transform_train.json", "transforms_all.json", "nerf.json", "Transforms.JSON"])
def test_the_only_json_with_cameras_counts_whatever_its_name(tmp_path, name):
    """Brush issue 41: transform_train.json, and others."""
    listed(tmp_path, lambda i, frame: None)
    (tmp_path / "transforms.json").rename(tmp_path / name)
    scene = posed(tmp_path)
    assert len(scene) == 4 and scene.cameras[0].intrinsics[0, 0] == 20


def test_of_several_files_with_cameras_one_has_to_be_named(tmp_path):
    listed(tmp_path, lambda i, frame: None)
    for i in range(4):
        (tmp_path / "images" / f"{i}.png").rename(tmp_path / f"{i}.png")
    text = (tmp_path / "transforms.json").read_text()
    (tmp_path / "transforms.json").rename(tmp_path / "transforms_val.json")
    (tmp_path / "transforms_test.json").write_text(text)
    assert "'transforms_test.json', 'transforms_val.json' have cameras: name one" in open_scene(tmp_path).describe()


@pytest.mark.parametrize(
    "written_, stored", [("0001", "0001.png"), ("0001.png", "0001.png"), ("a.b_f000{i}f", "a.b_f000{i}f.png")]
)
def test_names_with_and_without_their_suffix(tmp_path, written_, stored):
    """text2room issue 7, instant-ngp issue 72, BlenderNeRF issue 48."""
    name = lambda text, i: text.replace("0001", f"000{i}").replace("{i}", str(i))
    listed(tmp_path, lambda i, frame: frame.update(file_path=f"./images/{name(written_, i)}"))
    for i in range(4):
        (tmp_path / "images" / f"{i}.png").rename(tmp_path / "images" / name(stored, i))
    assert [photo.image.name for photo in posed(tmp_path).photos] == [name(stored, i) for i in range(4)]


@pytest.mark.parametrize("wanted", ["0001.png", "0001"])
def test_suffixes_that_were_written_twice(tmp_path, wanted):
    """BlenderNeRF issues 47 and 48: the pictures are 0001.png.png."""
    name = lambda i: wanted.replace("0001", f"000{i}")
    listed(tmp_path, lambda i, frame: frame.update(file_path=f"images/{name(i)}"))
    for i in range(4):
        (tmp_path / "images" / f"{i}.png").rename(tmp_path / "images" / f"000{i}.png.png")
    assert [photo.image.name for photo in posed(tmp_path).photos] == [f"000{i}.png.png" for i in range(4)]


@pytest.mark.parametrize("where", ["frames", "top"])
def test_a_file_without_sizes_takes_those_of_the_pictures(tmp_path, where):
    """nerfstudio issue 1669, LichtFeld-Studio pull request 1608: all numbers in the frames, and none at the top."""
    numbers = {"fl_x": 21, "fl_y": 22, "cx": 7, "cy": 5, "camera_model": "PINHOLE"}
    listed(
        tmp_path,
        lambda i, frame: frame.update(numbers if where == "frames" else {}),
        {"fl_x": None} | (numbers if where == "top" else {}),
    )
    camera = posed(tmp_path).cameras[2]
    assert (camera.width, camera.height) == (WIDTH, HEIGHT)
    assert camera.intrinsics[:2].tolist() == [[21, 0, 7], [0, 22, 5]]


def test_each_frame_has_its_own_lens(tmp_path):
    """nerfstudio pull request 1268: the first frame's distortion was taken for all."""
    listed(tmp_path, lambda i, frame: frame.update(k1=0.02 * i, k2=0.0, p1=0.0, p2=0.001 * i, camera_model="OPENCV"))
    lenses = [photo.lens for photo in posed(tmp_path).photos]
    assert lenses[0] is None and len({repr(lens) for lens in lenses[1:]}) == 3


@pytest.mark.parametrize(
    "split", [{"test_filenames": []}, {"train_filenames": [], "test_filenames": [], "val_filenames": []}]
)
def test_empty_splits_are_none(tmp_path, split):
    """nerfstudio pull request 3054: the Eyeful Tower set has an empty list of test photos."""
    scene = posed(listed(tmp_path, lambda i, frame: None, split))
    assert len(scene) == 4 and len(scene.inputs or range(4)) == 4 and not scene.targets


def test_what_other_programs_keep_in_the_file_changes_nothing(tmp_path):
    """instant-ngp issues 61, 1095, NeuS2 issue 46: boxes, offsets, depth and masks that are for them."""
    more = {"aabb_scale": 16, "scale": 0.5, "offset": [0.5, 0.5, 0.5], "n_frames": 4, "enable_depth_loading": True,
            "integer_depth_scale": 1 / 65535, "render_aabb": [[0, 0, 0], [1, 1, 1]], "from_na": True}  # fmt: skip
    depth = lambda i, frame: frame.update(
        depth_path=f"depth/{i}.png", sharpness=30.5, colmap_im_id=i, rolling_shutter=[0, 0, 0, 0]
    )
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    plain, rich = posed(listed(tmp_path / "a", lambda i, frame: None)), posed(listed(tmp_path / "b", depth, more))
    for a, b in zip(plain.cameras, rich.cameras):
        assert torch.equal(a.world_from_cam, b.world_from_cam) and torch.equal(a.intrinsics, b.intrinsics)


# -- COLMAP -----------------------------------------------------------------------------------------------------------


def test_images_keep_their_poses_in_whichever_order_they_are_listed(tmp_path):
    """COLMAP issue 988, gaussian-splatting pull request 735: numbers are not those of the names."""
    photos(tmp_path / "images", 12)
    path = model(tmp_path / "sparse" / "0", 12) / "images.txt"
    want = {name: camera.world_from_cam for name, camera in zip(posed(tmp_path).names, posed(tmp_path).cameras)}
    lines = path.read_text().splitlines()
    pairs = [lines[i : i + 2] for i in range(0, 24, 2)]
    path.write_text("\n".join("\n".join(pairs[i]) for i in np.random.default_rng(0).permutation(12)))
    scene = posed(tmp_path)
    assert all(torch.equal(want[name], camera.world_from_cam) for name, camera in zip(scene.names, scene.cameras))


def test_numbers_as_realityscan_writes_them(tmp_path):
    """LichtFeld-Studio issue 810: exponents of three digits, names with spaces, observations that are all there is."""
    photos(tmp_path / "images", 3)
    for i in range(3):
        (tmp_path / "images" / f"{i}.png").rename(tmp_path / "images" / f"A-DJI_{i} wp-2 (402).png")
    path = model(tmp_path / "sparse" / "0", 3) / "images.txt"
    rows = [
        f"{i} 1 0.0e+000 {i}.5e-002 0 1.0e+001 -2.0e-001 3 1 A-DJI_{i} wp-2 (402).png\n"
        "775.26 1029.3 8574 11.5 9.7e+001 8770 \n"
        for i in range(3)
    ]
    path.write_text("# Image list\r\n" + "".join(rows).replace("\n", "\r\n"))
    scene = posed(tmp_path)
    assert scene.names[2].endswith("A-DJI_2 wp-2 (402).png")
    np.testing.assert_allclose(scene.cameras[1].cam_from_world[:3, 3], [10, -0.2, 3], rtol=1e-5)


def test_decimal_commas_are_refused_as_such(tmp_path):
    """COLMAP issues 715, 766 and 4315: models that were written under another locale."""
    photos(tmp_path / "images", 3)
    path = model(tmp_path / "sparse" / "0", 3) / "images.txt"
    path.write_text(path.read_text().replace(" 0.1 ", " 0,1 "))
    with pytest.raises(InputError, match="comma"):
        posed(tmp_path)


def test_rigs_and_frames_of_colmap_3_12_beside_the_model(tmp_path):
    """COLMAP pull request 3436: poses in images stay whole."""
    photos(tmp_path / "images", 3)
    folder = model(tmp_path / "sparse" / "0", 3)
    (folder / "rigs.txt").write_text("# Rig calib list\n1 1 CAMERA 1\n")
    (folder / "frames.txt").write_text("# Frame list\n1 1 1 0 0 0 9 9 9 1 CAMERA 1 1\n")
    (folder / "points3D.txt").write_text("")
    assert len(posed(tmp_path)) == 3 and posed(tmp_path).cameras[0].cam_from_world[2, 3] == 3


def test_names_of_other_alphabets_in_binary_models(tmp_path):
    """MegaScenes issue 3: names are UTF-8."""
    names = ["Łazienki_0.png", "東京 1.png", "été.png"]
    photos(tmp_path / "images", 3)
    folder = tmp_path / "sparse" / "0"
    folder.mkdir(parents=True)
    (folder / "cameras.bin").write_bytes(struct.pack("<QIiQQ4d", 1, 1, 1, WIDTH, HEIGHT, 20, 20, 8, 6))
    rows = b""
    for i, name in enumerate(names):
        (tmp_path / "images" / f"{i}.png").rename(tmp_path / "images" / name)
        rows += struct.pack("<I7dI", i + 1, 1, 0, 0, 0, 0.1 * i, 0, 3, 1) + name.encode() + b"\0" + struct.pack("<Q", 0)
    (folder / "images.bin").write_bytes(struct.pack("<Q", 3) + rows)
    (folder / "points3D.bin").write_bytes(struct.pack("<Q", 0))
    assert {Path(name).name for name in posed(tmp_path).names} == set(names)


@pytest.mark.parametrize("named", [True, False])
def test_an_image_without_a_pose_is_left_out_with_a_count(tmp_path, named):
    """COLMAP pull request 3147: images that were not registered, as a quaternion of zeros."""
    photos(tmp_path / "images", 4)
    path = model(tmp_path / "sparse" / "0", 3) / "images.txt"
    path.write_text(path.read_text() + f"4 0 0 0 0 0 0 0 1 {'3.png' if named else 'gone.png'}\n\n")
    scene = posed(tmp_path)
    assert len(scene) == 3 and any("1" in note and "pose" in note for note in scene.notes)


# -- other programs ---------------------------------------------------------------------------------------------------


def test_polycams_raw_data_are_named_before_cameras_are_estimated(tmp_path):
    """nerfstudio pull requests 3294 and 3725, polyform issue 12: a file for each photo, in a folder beside."""
    pictures, cameras = tmp_path / "keyframes" / "images", tmp_path / "keyframes" / "cameras"
    photos(pictures, 3)
    cameras.mkdir()
    pose = {f"t_{r}{c}": float(r == c) for r in range(3) for c in range(4)}
    for i in range(3):
        (cameras / f"{i}.json").write_text(json.dumps({"fx": 20, "fy": 20, "cx": 8, "cy": 6, **pose}))
    found = open_scene(pictures)
    assert isinstance(found, UnposedPhotos) and "Polycam's cameras" in found.describe()


def test_camera_paths_of_nerfstudio_are_no_photos(tmp_path):
    """nerfstudio issue 1101: camera_path.json beside transforms.json is not it."""
    listed(tmp_path, lambda i, frame: None)
    path = {"keyframes": [], "camera_type": "perspective", "camera_path": [{"camera_to_world": [0] * 16, "fov": 50}]}
    (tmp_path / "camera_path.json").write_text(json.dumps(path))
    (tmp_path / "dataparser_transforms.json").write_text(
        json.dumps({"transform": np.eye(4)[:3].tolist(), "scale": 0.2})
    )
    assert len(posed(tmp_path)) == 4


def test_photos_that_were_turned_by_their_tag_alone(tmp_path):
    """nerfstudio issue 2516: sizes in the file are those of the photo as it is seen."""
    listed(tmp_path, lambda i, frame: None, {"w": HEIGHT, "h": WIDTH})
    for i in range(4):
        tags = Image.Exif()
        tags[0x0112] = 8
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images" / f"{i}.jpg", exif=tags)
        (tmp_path / "images" / f"{i}.png").unlink()
    text = (tmp_path / "transforms.json").read_text().replace(".png", ".jpg")
    (tmp_path / "transforms.json").write_text(text)
    assert posed(tmp_path).read([0]).images.shape == (1, 3, WIDTH, HEIGHT)
