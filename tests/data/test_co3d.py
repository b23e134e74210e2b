import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import worlds
from PIL import Image

from fewview.cameras import Cameras
from fewview.data.co3d import Co3dScene, camera_from_pytorch3d, open_co3d, open_part, read_jgz
from fewview.data.co3d_writer import viewpoint as viewpoint_of
from fewview.errors import InputError

HEIGHT, WIDTH = 40, 60
FRAMES = 12


def project_pytorch3d(viewpoint: dict, points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Image points by PyTorch3D's own rules: row vectors, NDC with +x left and +y up."""
    in_cam = points @ np.array(viewpoint["R"]) + np.array(viewpoint["T"])
    ndc = np.array(viewpoint["focal_length"]) * in_cam[:, :2] / in_cam[:, 2:] + np.array(viewpoint["principal_point"])
    half = np.array([width, height]) / 2
    unit = half.min() if viewpoint.get("intrinsics_format") == "ndc_isotropic" else half
    return half - ndc * unit


def viewpoint(i: int, convention: str | None = "ndc_isotropic") -> dict:
    rng = np.random.default_rng(i)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    data = {
        "R": (q * np.sign(np.linalg.det(q))).tolist(),
        "T": [0.1 * i, -0.2, 6.0],
        "focal_length": [2.0, 2.2],
        "principal_point": [0.1, -0.05],
    }
    return data if convention is None else data | {"intrinsics_format": convention}


def write_set(root: Path, *, category: str = "hydrant", sequence: str = "1_2_3", frames: int = FRAMES) -> None:
    """A CO3Dv2 category with one sequence. The image's red is its column, its green its row; depth is row + 1."""
    folder = root / category / sequence
    for name in ("images", "masks", "depths"):
        (folder / name).mkdir(parents=True)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    image = np.stack([x, y, np.full_like(x, 9)], -1).astype(np.uint8)
    mask = ((x >= 20) & (x < 30) & (y >= 4) & (y < 12)) * 255
    depth = (y + 1).astype(np.float16).view(np.uint16)
    entries = []
    for i in range(frames):
        paths = {key: f"{category}/{sequence}/{key}s/frame{i + 1:06d}.png" for key in ("image", "mask", "depth")}
        Image.fromarray(image).save(root / paths["image"])
        Image.fromarray(mask.astype(np.uint8)).save(root / paths["mask"])
        Image.fromarray(depth).save(root / paths["depth"])
        entries.append(
            {
                "sequence_name": sequence,
                "frame_number": i,
                "frame_timestamp": i / 10,
                "image": {"path": paths["image"], "size": [HEIGHT, WIDTH]},
                "depth": {"path": paths["depth"], "scale_adjustment": 0.5, "mask_path": None},
                "mask": {"path": paths["mask"], "mass": 80.0},
                "viewpoint": viewpoint(i),
                "meta": {"frame_type": "train_known"},
            }
        )
    write_annotations(root, entries, category)
    lists = {"train": [[sequence, i, entries[i]["image"]["path"]] for i in range(frames)], "val": [], "test": []}
    (root / category / "set_lists").mkdir()
    (root / category / "set_lists" / "set_lists_fewview_train.json").write_text(json.dumps(lists))


def read_annotations(root: Path, category: str = "hydrant") -> list:
    return json.loads(gzip.decompress((root / category / "frame_annotations.jgz").read_bytes()))


def write_annotations(root: Path, entries: object, category: str = "hydrant") -> None:
    (root / category / "frame_annotations.jgz").write_bytes(gzip.compress(json.dumps(entries).encode()))


@pytest.fixture
def root(tmp_path) -> Path:
    write_set(tmp_path)
    return tmp_path


@pytest.mark.parametrize("convention", ["ndc_isotropic", "ndc_norm_image_bounds", None])
@pytest.mark.parametrize("size", [(40, 60), (60, 40)])
def test_cameras_project_like_pytorch3d(convention, size):
    data = viewpoint(3, convention)
    camera = camera_from_pytorch3d(data, *size, where="x")
    points = np.random.default_rng(0).normal(size=(20, 3))
    pixels, depth = camera.project(torch.from_numpy(points).float())
    np.testing.assert_allclose(pixels.numpy(), project_pytorch3d(data, points, *size), atol=1e-3)
    np.testing.assert_allclose(depth.numpy(), (points @ np.array(data["R"]) + data["T"])[:, 2], atol=1e-4)


@pytest.mark.parametrize("size", [(40, 60), (60, 40)])
def test_viewpoints_that_this_package_writes_are_the_inverse(size):
    camera = camera_from_pytorch3d(viewpoint(4), *size, where="x")
    again = camera_from_pytorch3d(viewpoint_of(camera), *size, where="x")
    torch.testing.assert_close(again.world_from_cam, camera.world_from_cam, atol=1e-5, rtol=0)
    torch.testing.assert_close(again.intrinsics, camera.intrinsics, atol=1e-4, rtol=0)


def test_scenes_have_their_frames_in_order(root):
    write_annotations(root, read_annotations(root)[::-1])
    (scene,) = open_co3d(root, "hydrant")
    assert isinstance(scene, Co3dScene) and scene.name == "hydrant/1_2_3" and len(scene) == FRAMES
    assert [photo.frame_number for photo in scene.photos] == list(range(FRAMES))


def test_a_crop_shows_the_same_pixels_through_its_camera(root):
    """The image holds each pixel's own coordinates: what the cropped camera maps back must be what the crop shows."""
    (scene,) = open_co3d(root, size=26)
    views = scene.read([0, 5])
    assert views.masks is not None and views.images.shape == (2, 3, 26, 26)
    side = 13  # the mask is 10 x 8, context 0.3
    camera, whole = views.cameras[1], scene.cameras[5]
    torch.testing.assert_close(camera.intrinsics[0, 0], whole.intrinsics[0, 0] * 26 / side)
    seen = views.masks[1, 0] > 0.9
    full_from_crop = whole.intrinsics @ torch.linalg.inv(camera.intrinsics)
    y, x = torch.meshgrid(torch.arange(26) + 0.5, torch.arange(26) + 0.5, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)], -1) @ full_from_crop.mT
    torch.testing.assert_close(
        views.images[1, :2].permute(1, 2, 0)[seen] * 255 + 0.5, points[seen][:, :2], atol=0.3, rtol=0
    )
    assert views.masks[1].mean() == pytest.approx(80 / side**2, abs=0.02)


def test_padding_is_black(root):
    (scene,) = open_co3d(root, size=26)
    entries = read_annotations(root)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:10, :10] = 255
    Image.fromarray(mask).save(root / entries[0]["mask"]["path"])
    views = scene.read([0])
    valid = (views.images[0].sum(0) > 0).float()
    assert valid[0, 0] == 0 and valid[-1, -1] == 1
    # two of 13 pixels lie beside the photo, either way; one is blended
    assert 22 / 26 <= valid.mean().sqrt() <= 23 / 26


def test_depth_is_float16_bits_times_the_adjustment_seen_through_the_crop(root):
    (scene,) = open_co3d(root, size=26)
    views = scene.read([2])
    depth = scene.read_depth([2], views.cameras)
    green = views.images[0, 1] * 255  # the row
    inner = (slice(4, -4), slice(4, -4))
    torch.testing.assert_close(depth[0, 0][inner] / 0.5 - 1, green[inner], atol=0.76, rtol=0)


def test_depth_that_is_not_finite_is_unknown(root):
    path = root / read_annotations(root)[0]["depth"]["path"]
    bits = np.full((HEIGHT, WIDTH), np.inf, np.float16)
    bits[:, 30:] = np.nan
    Image.fromarray(bits.view(np.uint16)).save(path)
    (scene,) = open_co3d(root, crop=False, size=20)
    assert scene.read_depth([0], scene.read([0]).cameras).abs().sum() == 0


@pytest.mark.parametrize("name", ["gone.png", "x" * 10_000, "\0", "\ud800"])
def test_frames_whose_depth_is_not_there_have_none(root, name):
    edit(lambda entry: entry["depth"].update(path=name))(root)
    (scene,) = open_co3d(root)
    assert scene.photos[0].depth is None and scene.photos[1].depth is not None


def test_without_crop_the_photo_is_cut_about_its_centre(root):
    (scene,) = open_co3d(root, crop=False, size=40)
    views = scene.read([0])
    torch.testing.assert_close(views.images[0, 0, 0] * 255, torch.arange(10, 50).float())
    torch.testing.assert_close(views.cameras[0].intrinsics[0, 2], scene.cameras[0].intrinsics[0, 2] - 10)


def test_set_lists_join_by_path_or_by_frame_number(root):
    path = root / "hydrant" / "set_lists" / "set_lists_fewview_train.json"
    lists = json.loads(path.read_text())
    lists["train"] = [["?", -1, entry[2]] for entry in lists["train"][:3]] + [
        [entry[0], entry[1], "?"] for entry in lists["train"][3:5]
    ]
    path.write_text(json.dumps(lists))
    (scene,) = open_co3d(root, min_frames=1)
    assert [photo.frame_number for photo in scene.photos] == [0, 1, 2, 3, 4]
    assert open_co3d(root) == []  # five frames are too few
    assert len(open_co3d(root, subset=None)[0]) == FRAMES


def test_black_and_maskless_frames_are_dropped(root):
    entries = read_annotations(root)
    entries[0]["mask"]["mass"] = 0.0
    entries[1]["mask"] = None
    write_annotations(root, entries)
    (scene,) = open_co3d(root, min_frames=1)
    assert [photo.frame_number for photo in scene.photos] == list(range(2, FRAMES))


def test_all_categories_are_found(root):
    write_set(root, category="apple", sequence="9")
    assert [scene.name for scene in open_co3d(root)] == ["apple/9", "hydrant/1_2_3"]


def edit(change):
    """Damage done to the first frame's annotation."""

    def damage(root: Path) -> None:
        entries = read_annotations(root)
        change(entries[0])
        write_annotations(root, entries)

    return damage


def truncated_photo(root: Path) -> None:
    path = root / read_annotations(root)[0]["image"]["path"]
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:3000])


def link_outside(root: Path) -> None:
    path = root / read_annotations(root)[0]["image"]["path"]
    outside = root.parent / f"{root.name}-outside.png"
    path.replace(outside)
    path.symlink_to(outside)


ANNOTATIONS = "frame_annotations.jgz"
HOSTILE = {
    "not gzip": (ANNOTATIONS, lambda root: (root / "hydrant" / ANNOTATIONS).write_bytes(b"[]")),
    "cut gzip": (
        ANNOTATIONS,
        lambda root: (root / "hydrant" / ANNOTATIONS).write_bytes(gzip.compress(b"[" * 999)[:-9]),
    ),
    "bad JSON": (ANNOTATIONS, lambda root: (root / "hydrant" / ANNOTATIONS).write_bytes(gzip.compress(b"[{]"))),
    "deep JSON": (ANNOTATIONS, lambda root: (root / "hydrant" / ANNOTATIONS).write_bytes(gzip.compress(b"[" * 10**5))),
    "no list": (ANNOTATIONS, lambda root: write_annotations(root, {})),
    "no annotations": (ANNOTATIONS, lambda root: (root / "hydrant" / ANNOTATIONS).unlink()),
    "NaN pose": (ANNOTATIONS, edit(lambda e: e["viewpoint"]["T"].__setitem__(0, float("nan")))),
    "stretched": (ANNOTATIONS, edit(lambda e: e["viewpoint"]["R"].__setitem__(0, [2, 0, 0]))),
    "zero focal": (ANNOTATIONS, edit(lambda e: e["viewpoint"].update(focal_length=[0, 1]))),
    "other NDC": (ANNOTATIONS, edit(lambda e: e["viewpoint"].update(intrinsics_format="pixels"))),
    "missing key": ("viewpoint", edit(lambda e: e.pop("viewpoint"))),
    "absolute path": (ANNOTATIONS, edit(lambda e: e["image"].update(path="/etc/passwd"))),
    "path upwards": (ANNOTATIONS, edit(lambda e: e["mask"].update(path="../x.png"))),
    "link outside": ("frame000001.png", link_outside),
    "wrong size": ("frame000001.png", edit(lambda e: e["image"].update(size=[WIDTH, WIDTH]))),
    "huge size": ("frame000001.png", edit(lambda e: e["image"].update(size=[10**9, 10**9]))),
    "truncated photo": ("frame000001.png", truncated_photo),
    "text as number": ("frame_number", edit(lambda e: e.update(frame_number="1"))),
    "bad mass": ("mass", edit(lambda e: e["mask"].update(mass="much"))),
    "no set list": ("fewview_train", lambda root: (root / "hydrant/set_lists/set_lists_fewview_train.json").unlink()),
    "odd set list": (
        "fewview_train",
        lambda root: (root / "hydrant/set_lists/set_lists_fewview_train.json").write_text('{"train": [["a"]]}'),
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_malformed_sets_are_refused_by_name(root, case):
    names, damage = HOSTILE[case]
    damage(root)
    with pytest.raises(InputError, match=names) as caught:
        open_co3d(root, "hydrant")[0].read([0])
    assert str(root) in str(caught.value)


def test_a_gzip_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "frame_annotations.jgz"
    path.write_bytes(gzip.compress(b" " * 2**25))
    with pytest.raises(InputError, match="unpacks to more than"):
        read_jgz(path)


def test_a_folder_without_categories_says_so(tmp_path):
    with pytest.raises(InputError, match="no <category>/frame_annotations"):
        open_co3d(tmp_path)


def test_the_cameras_are_in_the_opencv_frame():
    """PyTorch3D's identity camera sees +x on the left and +y above; OpenCV's x axis is then the world's -x."""
    data = {"R": np.eye(3).tolist(), "T": [0, 0, 0], "focal_length": [1, 1], "principal_point": [0, 0]}
    camera = camera_from_pytorch3d(data, 10, 10, where="x")
    assert isinstance(camera, Cameras)
    torch.testing.assert_close(camera.forward, torch.tensor([0.0, 0, 1]))
    torch.testing.assert_close(camera.up, torch.tensor([0.0, 1, 0]))
    pixels, _ = camera.project(torch.tensor([[0.5, 0.5, 1.0]]))
    assert pixels[0].tolist() == pytest.approx([2.5, 2.5])


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_part_without_long_sequences_is_refused(tmp_path, split):
    """Training on it ended in a traceback."""
    root = worlds.write_co3d(tmp_path, sequences=2, frames=3, size=16)
    with pytest.raises(InputError, match=rf"no sequence of 11 or more frames with masks in '{split}'"):
        open_part(root, split, size=16)
