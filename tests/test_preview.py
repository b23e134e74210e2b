"""Pictures of unfinished scenes: who looks, through which frame, how often, and under which names."""

from pathlib import Path

import numpy as np
import pytest
import torch
import worlds
from PIL import Image

from fewview.commands import preview
from fewview.commands.preview import Preview, check_preview, numbered, standpoint
from fewview.errors import InputError
from fewview.progress import show, silent, steps_of, through


class Eye:
    """A progress that keeps what it is told, and looks from 1."""

    def __init__(self):
        self.told, self.saw = [], []

    def __call__(self, stage, fraction):
        self.told.append((stage, fraction))

    def look(self, see):
        self.saw.append(see(1))


def test_work_in_another_frame_is_seen_through_it_and_told_of_alike():
    eye = Eye()
    tell = steps_of(through(eye, lambda camera: camera + 10), "fitting", 4)
    tell(2, {"loss": 0.1})
    show(tell, lambda camera: 2 * camera)
    assert eye.told == [("fitting", 0.0), ("fitting", 0.5)] and eye.saw == [22]


def test_nobody_is_shown_nothing():
    refuse = lambda camera: pytest.fail("looked")
    for progress in (None, silent, steps_of(silent, "x", 1), lambda stage, fraction: None):
        show(progress, refuse)


def test_pictures_are_of_the_camera_and_no_more_often_than_time_allows(tmp_path, monkeypatch):
    monkeypatch.setattr(preview, "PATIENCE", 1000.0)
    views = worlds.photograph(worlds.ring(3))
    look = Preview(tmp_path / "p.png", views.cameras[0])
    balls = worlds.Balls()
    look(balls.render)
    first = np.asarray(Image.open(tmp_path / "p.png"))
    want = (views.images[0] * 255).round().byte().permute(1, 2, 0).numpy()
    solid = views.masks[0, 0].numpy() > 0.5
    np.testing.assert_allclose(first[..., :3][solid].astype(int), want[solid].astype(int), atol=1)
    assert (first[..., 3] == np.where(solid, 255, 0)).all()
    look(lambda cameras: pytest.fail("too soon"))
    assert look.count == 1 and [path.name for path in tmp_path.iterdir()] == ["p.png"]


def test_a_name_with_a_place_for_a_number_gives_a_file_for_each(tmp_path, monkeypatch):
    monkeypatch.setattr(preview, "PATIENCE", 0.0)
    monkeypatch.setattr(preview, "SHARE", float("inf"))
    look = Preview(tmp_path / "p%04d.png", worlds.ring(1)[0])
    for _ in range(3):
        look(worlds.Balls().render)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p0000.png", "p0001.png", "p0002.png"]
    assert numbered(Path("a.png"), 7) == Path("a.png")


@pytest.mark.parametrize(("name", "words"), [("x.jpg", "png"), ("x%s%d.png", "one number"), ("x%q.png", "one number")])
def test_names_that_cannot_be_written_are_refused_before_work(name, words):
    with pytest.raises(InputError, match=words):
        check_preview(Path(name))


def test_a_folder_is_no_picture(tmp_path):
    (tmp_path / "x.png").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        check_preview(tmp_path / "x.png")


def test_the_camera_is_that_of_the_films_first_picture_or_the_first_photo_of_a_room():
    from fewview.pipeline.reconstruction import FILM_FRAMES, FILM_SIZE, Reconstruction
    from fewview.render.asset import GaussianAsset
    from fewview.render.gaussians import Gaussians

    assert (preview.SIZE, preview.ORBIT) == (FILM_SIZE, FILM_FRAMES)
    views = worlds.photograph(worlds.ring(3))
    one = Gaussians(torch.zeros(1, 3), torch.ones(1, 3), torch.ones(1, 4), torch.ones(1), torch.ones(1, 3))
    film = Reconstruction.of(GaussianAsset(one), views).path(FILM_FRAMES)[0]
    torch.testing.assert_close(standpoint(views, room=False).world_from_cam, film.world_from_cam)
    torch.testing.assert_close(standpoint(views, room=True).world_from_cam, views.cameras.world_from_cam[0])
    assert standpoint(views, room=True).height == preview.SIZE
