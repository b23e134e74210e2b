import av
import numpy as np
import pytest
import torch
from PIL import Image

from fewview.cameras import Cameras
from fewview.data.nerfstudio import open_transforms
from fewview.export.images import colour_depth, straight, write_png
from fewview.export.transforms import write_transforms
from fewview.export.video import render_path, write_video, write_webp
from fewview.render.asset import GaussianAsset
from fewview.render.gaussians import Gaussians
from fewview.views import Render


def orbit(n: int, height: int = 24, width: int = 32) -> Cameras:
    angle = torch.arange(n) * (2 * torch.pi / n)
    centers = torch.stack([4 * angle.sin(), torch.ones(n), -4 * angle.cos()], dim=-1)
    return Cameras.look_at(centers, torch.zeros(3), torch.tensor([0.0, 1, 0]), focal=30.0, height=height, width=width)


def test_a_png_holds_the_rounded_bytes(tmp_path):
    ramp = torch.linspace(-0.1, 1.1, 3 * 5 * 7).reshape(3, 5, 7)
    write_png(tmp_path / "ramp.png", ramp)
    pixels = np.asarray(Image.open(tmp_path / "ramp.png"))
    np.testing.assert_array_equal(pixels, (ramp.clamp(0, 1) * 255).round().permute(1, 2, 0).numpy().astype(np.uint8))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (4, "RGBA")])
def test_grey_and_transparent_pngs_keep_their_mode(tmp_path, channels, mode):
    write_png(tmp_path / "x.png", torch.full((channels, 4, 4), 0.5))
    assert Image.open(tmp_path / "x.png").mode == mode


def test_near_is_brighter_than_far_and_nothing_is_black():
    depth = torch.tensor([[[1.0, 2.0, 3.0, 9.0]]])
    alpha = torch.tensor([[[1.0, 1.0, 1.0, 0.0]]])
    colours = colour_depth(depth, alpha)
    luminance = colours.mean(0)[0]
    assert luminance[0] > luminance[1] > luminance[2] > luminance[3] == 0
    assert not colour_depth(depth, torch.zeros_like(alpha)).any()
    assert torch.equal(colour_depth(depth[None, None], alpha[None, None])[0, 0], colours)


def test_a_film_has_its_frames_size_and_colours(tmp_path):
    colours = torch.tensor([[0.9, 0.2, 0.1], [0.1, 0.8, 0.2], [0.2, 0.3, 0.9]])
    frames = [colour[:, None, None].expand(3, 33, 47).clone() for colour in colours]
    write_video(tmp_path / "film.mp4", frames, fps=12)
    with av.open(str(tmp_path / "film.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264" and stream.pix_fmt == "yuv420p" and stream.average_rate == 12
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(decoded) == 3 and decoded[0].shape == (34, 48, 3)
    for picture, colour in zip(decoded, colours):
        np.testing.assert_allclose(picture.mean((0, 1)) / 255, colour, atol=0.02)


def test_a_film_of_nothing_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="frame"):
        write_video(tmp_path / "film.mp4", [])
    assert not list(tmp_path.iterdir())


def test_a_path_is_rendered_view_by_view():
    splat = Gaussians(torch.zeros(1, 3), torch.ones(1, 3), torch.eye(4)[:1], torch.ones(1), torch.ones(1, 3))
    asset, cameras = GaussianAsset(splat), orbit(3)
    together = asset.render(cameras)
    for i, seen in enumerate(render_path(asset, cameras)):
        assert torch.equal(seen.image, together.image[i])


def test_transforms_are_read_back_as_the_same_cameras(tmp_path):
    cameras = orbit(3)
    for i in range(3):
        write_png(tmp_path / f"views/{i}.png", torch.rand(3, 24, 32))
    write_transforms(tmp_path / "transforms.json", cameras, [f"views/{i}.png" for i in range(3)])
    views = open_transforms(tmp_path).read([0, 1, 2])
    torch.testing.assert_close(views.cameras.world_from_cam, cameras.world_from_cam, atol=1e-5, rtol=0)
    torch.testing.assert_close(views.cameras.intrinsics, cameras.intrinsics)
    assert views.images.shape == (3, 3, 24, 32)
    with pytest.raises(ValueError, match="2 files"):
        write_transforms(tmp_path / "transforms.json", cameras, ["a", "b"])


def test_an_animated_picture_keeps_its_frames_times_and_transparency(tmp_path):
    frames = [torch.full((4, 20, 30), share) for share in (0.2, 0.5, 0.9)]
    write_webp(tmp_path / "film.webp", frames, fps=24)
    with Image.open(tmp_path / "film.webp") as film:
        assert (film.n_frames, film.size, film.mode) == (3, (30, 20), "RGBA")
        times = []
        for i, frame in enumerate(frames):
            film.seek(i)
            np.testing.assert_allclose(np.asarray(film)[..., 3].mean(), float(frame.mean()) * 255, atol=2)
            times.append(film.info["duration"])
    assert sum(times) == 125
    with pytest.raises(ValueError, match="frame"):
        write_webp(tmp_path / "none.webp", [])


def test_straight_colours_are_those_before_blending():
    alpha = torch.tensor([1.0, 0.5, 0.0]).reshape(1, 1, 3)
    seen = straight(Render(torch.full((3, 1, 3), 0.8) * alpha, alpha, alpha))
    torch.testing.assert_close(seen[:3, 0, :2], torch.full((3, 2), 0.8))
    assert torch.equal(seen[3:], alpha) and not seen[:, 0, 2].any()
