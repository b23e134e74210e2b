import io
import struct
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.data import open_scene
from fewview.data.lens import Lens
from fewview.data.video import VideoFrames, VideoPhoto, open_video, read_frame
from fewview.errors import InputError
from fewview.export.video import write_video

HEIGHT, WIDTH, COUNT = 48, 64, 12
SHARP = (1, 5, 6, 11)  # one in each three frames


def frame(index: int) -> Float[Tensor, "3 h w"]:
    """A checkerboard on which every number has its own brightness; only some frames are sharp."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    board = ((x // 8 + y // 8) % 2) * (0.5 if index in SHARP else 0.02)
    grey = torch.from_numpy(board).float() + 0.04 * index
    grey[:8] = 1  # a bright bar on top
    return grey.expand(3, -1, -1).clamp(0, 1)


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_video(path, [frame(i) for i in range(COUNT)])
    return path


def test_the_sharpest_frame_of_each_part_is_taken(film):
    video = open_video(film, 4)
    assert len(video) == 4 and video.sizes == [(HEIGHT, WIDTH)] * 4 and video.focal == [None] * 4
    assert video.names == ["film_000.png", "film_001.png", "film_002.png", "film_003.png"]
    for i, number in enumerate(SHARP):
        image, mask = video.image(i)
        assert mask is None and (image - frame(number)).abs().mean() < 0.02
    assert video.describe() == "video without cameras (12 frames), 4 sharp frames of it"


def test_a_video_is_recognised_and_a_short_one_gives_all_its_frames(film):
    video = open_scene(film)
    assert isinstance(video, VideoFrames) and len(video) == COUNT
    order = [video.image(i)[0][:, 20:].mean().item() for i in range(COUNT)]
    assert len(set(video.stamps)) == COUNT and max(order) - min(order) > 0.3


def test_posed_frames_are_a_scene(film):
    video = open_video(film, 4)
    camera = Cameras(torch.eye(4), torch.tensor([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]]), HEIGHT, WIDTH)
    lens = Lens((60.0, 60.0), (32.0, 24.0), (-0.2,))
    scene = video.posed({1: camera, 3: camera}, {3: lens})
    assert isinstance(scene.photos[0], VideoPhoto) and scene.names == ["film_001.png", "film_003.png"]
    torch.testing.assert_close(scene.photos[0].read().images, video.image(1)[0])
    assert not torch.allclose(scene.photos[1].read().images, video.image(3)[0], atol=0.05)
    with pytest.raises(InputError, match="no frame at 77"):
        read_frame(film, 77)


def turned(data: bytes) -> bytes:
    """The film with the display matrix of a phone held upright: (x, y) is shown at (-y, x), a turn to the right."""
    start = data.index(b"tkhd") + 4 + 40
    assert struct.unpack_from(">9i", data, start) == (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    matrix = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    return data[:start] + matrix + data[start + 36 :]


def test_a_phone_held_upright_gives_upright_frames(film, tmp_path):
    (tmp_path / "a.mov").write_bytes(turned(film.read_bytes()))
    video = open_video(tmp_path / "a.mov", 4)
    image, _ = video.image(0)
    assert video.sizes[0] == (WIDTH, HEIGHT) == tuple(image.shape[1:])
    assert image[:, :, -7:].mean() > 0.9 > 0.7 > image[:, :7].mean(), "the bar is on the right"


def archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("a.mp4", b"\0" * 99)
    return stream.getvalue()


def sound() -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\0" * 4000)
    return stream.getvalue()


def picture() -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (64, 64)).save(stream, "PNG")
    return stream.getvalue()


def patched(data: bytes, box: bytes, offset: int, value: bytes) -> bytes:
    """The film with bytes inside of the first such box replaced."""
    start = data.index(box) + 4 + offset
    return data[:start] + value + data[start + len(value) :]


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n%s\n#EXT-X-ENDLIST\n"
HOSTILE = {
    "empty": lambda film: b"",
    "text": lambda film: b"hello world\n" * 99,
    "noise": lambda film: np.random.default_rng(0).bytes(9999),
    "playlist": lambda film: PLAYLIST % b"film.mp4",
    "playlist of a secret": lambda film: PLAYLIST % b"file:///etc/passwd",
    "list of files": lambda film: b"ffconcat version 1.0\nfile film.mp4\n",
    "picture": lambda film: picture(),
    "sound": lambda film: sound(),
    "archive": lambda film: archive(),
    "pickle": lambda film: b"\x80\x04\x95\x0b\0\0\0\0\0\0\0\x8c\x02os\x94.",
    "header alone": lambda film: film[:40],
    "cut": lambda film: film[: len(film) // 3],
    "no pictures": lambda film: film[: film.index(b"mdat") + 4],
    "moov in moov": lambda film: film[: film.index(b"moov") - 4] + struct.pack(">I4s", 8 * 4000, b"moov") * 4000,
    "huge box": lambda film: patched(film, b"moov", -8, struct.pack(">I", 2**31 - 1))[:900],
    "damaged pictures": lambda film: film[: film.index(b"mdat") + 4] + b"\xff" * (len(film) - film.index(b"mdat") - 4),
    "huge count": lambda film: patched(film, b"stsz", 8, struct.pack(">I", 2**32 - 1)),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused_by_name(film, tmp_path, case):
    (tmp_path / "film.mp4").write_bytes(film.read_bytes())
    path = tmp_path / "hostile.mp4"
    path.write_bytes(HOSTILE[case](film.read_bytes()))
    with pytest.raises(InputError, match=r"not a whole video|no pictures in it|no frames") as caught:
        open_scene(path)
    assert str(path) in str(caught.value) and len(list(tmp_path.iterdir())) == 2


def test_a_size_in_the_container_does_not_count(film, tmp_path):
    (tmp_path / "a.mp4").write_bytes(patched(film.read_bytes(), b"avc1", 24, struct.pack(">HH", 65535, 65535)))
    assert open_video(tmp_path / "a.mp4", 2).sizes == [(HEIGHT, WIDTH)] * 2


def test_too_long_and_missing_films_are_refused(film, tmp_path, monkeypatch):
    monkeypatch.setattr("fewview.data.video.MAX_FRAMES", 5)
    with pytest.raises(InputError, match="more than 5 frames"):
        open_video(film)
    monkeypatch.setattr("fewview.data.video.MAX_PIXELS", 99)
    with pytest.raises(InputError, match="64 x 48 pixels"):
        open_video(film)
    with pytest.raises(InputError, match="does not exist"):
        open_video(tmp_path / "none.mp4")
