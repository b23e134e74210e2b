import runpy
import sys
from pathlib import Path

import pytest
import torch

from fewview.data import open_scene
from fewview.synthetic.objects import build, demo

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "count", "size", "most"), [("demo_input", 3, 256, 4e5), ("demo_input_truth", 12, 128, 3e5)]
)
def test_bundled_views_are_masked_small_and_free(name, count, size, most):
    folder = EXAMPLES / name
    views = open_scene(folder).read(range(count))
    assert views.images.shape == (count, 3, size, size)
    assert ((views.masks.mean(dim=(1, 2, 3)) > 0.1) & (views.masks.mean(dim=(1, 2, 3)) < 0.7)).all()
    assert views.masks[:, :, [0, -1]].max() == 0 and views.masks[..., [0, -1]].max() == 0
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < most
    assert "CC0" in (folder / "README.md").read_text()


def test_neighbouring_input_views_are_40_to_90_degrees_apart():
    forward = torch.stack([camera.forward for camera in open_scene(EXAMPLES / "demo_input").cameras])
    angles = torch.rad2deg(torch.acos((forward[:-1] * forward[1:]).sum(-1)))
    assert ((angles > 40) & (angles < 90)).all()


def test_truth_sees_the_object_that_the_input_shows():
    """Points on rays through an input mask that all truth masks cover exist: the silhouettes share a visual hull."""
    inputs, truth = (open_scene(EXAMPLES / name) for name in ("demo_input", "demo_input_truth"))
    views, others = inputs.read([0, 1, 2]), truth.read(range(12))
    grid = torch.cartesian_prod(*[torch.linspace(-2.5, 2.5, 24)] * 3)
    held = [inside(views, i, grid) for i in range(3)] + [inside(others, i, grid) for i in range(12)]
    hull = torch.stack(held).all(0)
    assert hull.sum() > 200
    for view in (views, others):
        for i in range(len(view.cameras)):
            pixels, _ = view.cameras[i].project(grid[hull])
            extent, mask = pixels.amax(0) - pixels.amin(0), view.masks[i, 0].nonzero()
            box = (mask.amax(0) - mask.amin(0)).flip(0)
            assert (extent > 0.75 * box).all()


def inside(views, i: int, points: torch.Tensor) -> torch.Tensor:
    pixels, depth = views.cameras[i].project(points)
    column, row = pixels.long().clamp(0, views.cameras.width - 1).T
    return (views.masks[i, 0][row, column] > 0.5) & (depth > 0)


@pytest.mark.parametrize(("old", "new"), [("demo", demo), ("synthetic", build)])
def test_commands_under_their_former_names_lead_to_the_builders(old, new, monkeypatch):
    given = []
    monkeypatch.setattr(new, "main", given.append)
    monkeypatch.setattr(sys, "argv", ["fewview", "there", "--tiny"])
    runpy.run_module(f"fewview.data.{old}", run_name="__main__")
    assert given == [["there", "--tiny"]]


@pytest.mark.parametrize("module", [demo, build])
@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["--help"], 0), (["a", "b", "c", "d"], 2)])
def test_builders_called_wrongly_say_how_and_write_nothing(module, arguments, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        module.main(arguments)
    assert left.value.code == code and not any(tmp_path.iterdir())
