import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from fewview.cameras import Cameras
from fewview.data import PhotoScene, open_scene
from fewview.data.realestate10k import list_clips, open_clip, read_poses, write_clip
from fewview.errors import InputError

IDENTITY = "1 0 0 0 0 1 0 0 0 0 1 0"


def walk(n=3, height=12, width=16):
    g = torch.Generator().manual_seed(1)
    centres = torch.randn(n, 3, generator=g)
    up = torch.tensor([[0.0, 1.0, 0.0]]).expand(n, 3)
    return Cameras.look_at(
        centres, centres + torch.randn(n, 3, generator=g), up, focal=11.0, height=height, width=width
    )


def pictures(n=3, height=12, width=16):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (height, width, 3)) / 255 for _ in range(n)]


def one_frame(root, numbers=f"0 0.5 0.9 0.5 0.5 0 0 {IDENTITY}"):
    (root / "a").mkdir(exist_ok=True)
    Image.new("RGB", (40, 20), (255, 0, 0)).save(root / "a" / "0.png")
    (root / "a.txt").write_text(f"https://example.org/film\n{numbers}\n")
    return root / "a.txt"


def film(path, n, height=16, width=32):
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(n):
            frame = np.full((height, width, 3), 60 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def test_what_is_written_is_read_back(tmp_path):
    cameras, images = walk(), pictures()
    depth = [np.full((12, 16), 1.2345 + i, np.float32) for i in range(3)]
    write_clip(tmp_path / "c.txt", images, cameras, url="x:y", depths=depth, seconds=1 / 3, suffix=".png")
    clip = open_clip(tmp_path / "c.txt")
    views = clip.read(range(3))
    assert (clip.name, clip.url, len(clip)) == ("c", "x:y", 3)
    assert read_poses(tmp_path / "c.txt").timestamps == (0, 333333, 666667)
    torch.testing.assert_close(views.cameras.world_from_cam, cameras.world_from_cam, atol=2e-6, rtol=0)
    torch.testing.assert_close(views.cameras.intrinsics, cameras.intrinsics, atol=1e-5, rtol=0)
    torch.testing.assert_close(views.images[1], torch.from_numpy(images[1]).permute(2, 0, 1).float())
    torch.testing.assert_close(clip.read_depth([2])[0, 0], torch.full((12, 16), 3.234), atol=5.1e-4, rtol=0)


def test_depth_is_cut_as_the_pictures_are(tmp_path):
    column = np.broadcast_to(np.arange(16, dtype=np.float32) + 1, (12, 16))
    images = [np.repeat(column[..., None] / 20, 3, -1)]
    write_clip(tmp_path / "c.txt", images, walk(1), url="x", depths=[column], suffix=".png")
    clip = open_clip(tmp_path / "c.txt")
    picture, depth = clip.read([0], 12).images, clip.read_depth([0], 12)
    assert depth.shape == (1, 1, 12, 12)
    torch.testing.assert_close(depth[:, 0], 20 * picture[:, 0], atol=0.05, rtol=0)


def test_focal_lengths_are_in_widths_and_heights_and_the_matrix_maps_world_to_camera(tmp_path):
    turned = "0 0 -1 5 0 1 0 6 1 0 0 7"  # camera z = world x
    camera = open_clip(one_frame(tmp_path, f"0 0.5 0.9 0.5 0.25 0 0 {turned}")).cameras[0]
    assert (camera.height, camera.width) == (20, 40)
    torch.testing.assert_close(camera.intrinsics.diagonal(), torch.tensor([20.0, 18.0, 1.0]))
    torch.testing.assert_close(camera.intrinsics[:2, 2], torch.tensor([20.0, 5.0]))
    pixel, depth = camera.project(torch.tensor([[3.0, 0.0, 0.0]]))  # to (5, 6, 3 + 7)
    torch.testing.assert_close(depth, torch.tensor([10.0]))
    torch.testing.assert_close(pixel, torch.tensor([[20 * 0.5 + 20, 18 * 0.6 + 5]]))


def test_frames_of_a_film_are_read_in_order(tmp_path):
    (tmp_path / "f.txt").write_text("url\n" + "".join(f"{1000 * i} 1 1 0.5 0.5 0 0 {IDENTITY}\n" for i in range(4)))
    film(tmp_path / "f.mp4", 4)
    clip = open_clip(tmp_path / "f.txt")
    levels = clip.read([3, 1]).images.mean((1, 2, 3)) * 255
    torch.testing.assert_close(levels, torch.tensor([180.0, 60.0]), atol=4.0, rtol=0)
    assert clip.names == ["0", "1000", "2000", "3000"]
    with pytest.raises(InputError, match="no depth maps"):
        clip.read_depth([0])
    film(tmp_path / "f.mp4", 3)
    with pytest.raises(InputError, match="has 3 frames"):
        open_clip(tmp_path / "f.txt")
    film(tmp_path / "f.mp4", 5)
    with pytest.raises(InputError, match="has more frames"):
        open_clip(tmp_path / "f.txt")
    for spoilt in (b"no film", (tmp_path / "f.mp4").read_bytes()[:200], b""):
        (tmp_path / "f.mp4").write_bytes(spoilt)
        with pytest.raises(InputError, match=r"not a whole video|no pictures"):
            open_clip(tmp_path / "f.txt")


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        (f"0 0.5 0.9 0.5 0.5 0 {IDENTITY}", "18 numbers instead of 19"),
        (f"0 0.5 zero 0.5 0.5 0 0 {IDENTITY}", "not a number"),
        (f"0 0.5 nan 0.5 0.5 0 0 {IDENTITY}", "not finite"),
        (f"0 -0.5 0.9 0.5 0.5 0 0 {IDENTITY}", "positive"),
        ("0 0.5 0.9 0.5 0.5 0 0 1 0 0 0 0 1 0 0 0 0 -1 0", "not a rotation"),
        (f"7 0.5 0.9 0.5 0.5 0 0 {IDENTITY}", "no picture 7.jpg"),
        ("", "no frame"),
    ],
)
def test_malformed_clips_are_refused(tmp_path, numbers, says):
    with pytest.raises(InputError, match=says):
        open_clip(one_frame(tmp_path, numbers))


def test_clips_without_pictures_or_poses_are_refused(tmp_path):
    path = one_frame(tmp_path)
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(InputError, match="has no frames"):
        open_clip(path)
    with pytest.raises(InputError, match="does not exist"):
        open_clip(tmp_path / "b.txt")


def test_a_picture_that_is_a_link_out_of_the_folder_or_is_truncated_is_refused(tmp_path):
    path = one_frame(tmp_path)
    picture = next((tmp_path / "a").glob("0.*"))
    whole = picture.read_bytes()
    picture.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=picture.name):
        open_clip(path).read([0])
    outside = tmp_path / f"outside{picture.suffix}"
    outside.write_bytes(whole)
    picture.unlink()
    picture.symlink_to(outside)
    with pytest.raises(InputError, match="not inside"):
        open_clip(path)


def test_a_pose_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00url")
    with pytest.raises(InputError, match="not a readable text"):
        open_clip(tmp_path / "a.txt")


def test_clips_of_a_split_come_from_its_folder_or_its_list(tmp_path):
    for name in ("train/b", "train/a", "c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.txt").write_text("url\n")
    (tmp_path / "test.txt").write_text("c\n")
    assert [p.stem for p in list_clips(tmp_path, "train")] == ["a", "b"]
    assert [p.stem for p in list_clips(tmp_path, "test")] == ["c"]
    assert sorted(p.stem for p in list_clips(tmp_path)) == ["a", "b", "c"]
    with pytest.raises(InputError, match="neither"):
        list_clips(tmp_path, "val")
    (tmp_path / "test.txt").write_text("d\n")
    with pytest.raises(InputError, match=r"lists d\.txt"):
        list_clips(tmp_path, "test")


def test_a_clip_of_any_source_is_an_input_by_its_text_file(tmp_path):
    write_clip(tmp_path / "c.txt", pictures(), walk(), url="fewview:rooms/seed=0", suffix=".png")
    scene = open_scene(tmp_path / "c.txt")
    assert isinstance(scene, PhotoScene) and scene.kind == "RealEstate10K clip" and len(scene) == 3
