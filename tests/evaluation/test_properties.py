import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from worlds import Balls, photograph, ring, write_co3d, write_transforms

FILE = Path(__file__).parents[2] / "papers" / "sparsefusion" / "properties.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("sparsefusion_properties", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Knows:
    """The balls themselves, or with noise in each picture, or with another colour for each seed."""

    def __init__(self, *, noise: float = 0.0, colour: float = 0.0):
        self.noise, self.colour = noise, colour

    def reconstruct(self, views, *, path=None, generator=None):
        gain = 1 - self.colour * torch.rand((), generator=generator)
        balls, noise = Balls(), self.noise

        class Asset:
            def render(self, cameras):
                seen = balls.render(cameras)
                grain = noise * torch.rand(seen.image.shape, generator=generator)
                return type(seen)(seen.image * gain * (1 - grain), seen.alpha, seen.depth)

        return Asset()


def test_a_rolled_camera_sees_the_turned_picture(script):
    cameras = ring(2, 16).cropped(1, 3, 12, 16)  # the principal point is off the middle, and the picture no square
    seen, turned = (Balls().render(c).image for c in (cameras, script.rolled(cameras)))
    assert seen.std() > 0.1
    torch.testing.assert_close(torch.rot90(seen, -1, (-2, -1)), turned, atol=1e-4, rtol=0)


def test_one_scene_answers_alike_and_pictures_of_chance_do_not(script):
    views = photograph(ring(3, 32))
    one, noisy, drawn = (
        script.measured("m", method, "s", views) for method in (Knows(), Knows(noise=0.5), Knows(colour=0.8))
    )
    assert one.same_ray_psnr > 60 and one.psnr > 60 and one.draws == 0 and one.flat_psnr < 30
    assert noisy.same_ray_psnr < 30
    assert drawn.same_ray_psnr > 60 and drawn.draws > 5


def test_rows_are_kept_and_tabled(script, tmp_path, monkeypatch):
    write_transforms(tmp_path / "photos", photograph(ring(5, 16)))
    made = {"a": Knows(), "b": Knows()}
    monkeypatch.setattr(script, "reconstructors", lambda names, *_: {name: made[name] for name in names})
    out = tmp_path / "rows.jsonl"
    how = dict(scenes=None, size=16, preset="fast")
    assert "| a |" in script.run(tmp_path / "photos", out, ["a"], **how)
    text = script.run(tmp_path / "photos", out, ["a", "b"], **how)
    assert "| b |" in text and len(out.read_text().splitlines()) == 2
    write_co3d(tmp_path / "set", sequences=3, size=16)
    assert "| 1 |" in script.run(tmp_path / "set", tmp_path / "set.jsonl", ["a"], **how)
