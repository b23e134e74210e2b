"""Every example runs, at tiny sizes, and does what its first line says."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import worlds

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(number: str) -> ModuleType:
    (path,) = EXAMPLES.glob(f"{number}_*.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_examples_are_short_numbered_and_tested():
    paths = sorted(EXAMPLES.glob("*.py"))
    assert [path.name[:3] for path in paths] == [f"{i:02d}_" for i in range(1, len(paths) + 1)]
    assert all(len(path.read_text().splitlines()) <= 62 for path in paths)
    here = Path(__file__).read_text()
    assert all(f'load("{path.name[:2]}")' in here for path in paths)


def test_a_closed_form_field_covers_what_geometry_says(tmp_path):
    covered = load("01").main(size=32, out=tmp_path / "marble.png")
    tangent = 1.5 * 1.5 / (36 * 1.09 - 1.5**2) ** 0.5  # of the ball's radius, in image sides
    assert covered == pytest.approx(3.1416 * tangent**2, rel=0.05)
    assert (tmp_path / "marble.png").stat().st_size > 100


def test_an_oracle_is_distilled_into_what_it_knows():
    example = load("02")
    before, after = (example.main(steps=steps, size=16) for steps in (1, 60))
    assert after > before + 3


def test_a_folder_of_photos_is_seen_as_the_networks_see_it(tmp_path, capsys):
    folder = worlds.write_transforms(tmp_path, worlds.photograph(worlds.ring(3)))
    views = load("03").main(folder, size=16)
    assert views.images.shape == (3, 3, 16, 16)
    assert "3 photos of 32 x 32 pixels, masks" in capsys.readouterr().out


def test_a_training_run_goes_on_where_it_stopped(tmp_path):
    example = load("04")
    whole = example.main(tmp_path / "whole", steps=3)
    assert len(whole) == 3
    assert example.main(tmp_path / "whole", steps=3) == []


def test_methods_of_ones_own_are_compared(tmp_path):
    text = load("05").main(tmp_path, size=16)
    assert "| mean |" in text and "| nearest |" in text and "nearest minus" in text


def test_a_table_of_poses_is_a_scene(tmp_path, capsys):
    views = worlds.photograph(worlds.ring(3))
    lines = ["image,x,y,z,focal,width,height"]
    for i in range(3):
        worlds.save_image(tmp_path / f"{i}.png", worlds.torch.cat([views.images[i], views.masks[i]]))
        x, y, z = views.cameras.centers[i].tolist()
        lines.append(f"{i}.png,{x},{y},{z},44.8,32,32")
    table = tmp_path / "photos.csv"
    table.write_text("\n".join(lines))
    scene = load("06").open_table(table)
    poses = worlds.torch.stack([camera.world_from_cam for camera in scene.cameras])
    worlds.torch.testing.assert_close(poses, views.cameras.world_from_cam)
    load("06").main(table)
    assert f"3 photos, {views.masks.mean():.0%} covered" in capsys.readouterr().out


def test_splats_of_any_program_go_out_to_others(tmp_path):
    example = load("07")
    assert example.main(tmp_path / "a", size=24, frames=2) == 400
    assert example.main(tmp_path / "b", tmp_path / "a" / "scene.spz", size=24, frames=2) == 400
    assert {path.name for path in (tmp_path / "b").iterdir()} == {"scene.spz", "scene.gs.glb", "turn.webp"}


def test_a_room_grows_and_goes_on_where_it_stopped(tmp_path, capsys):
    counts = load("08").main(tmp_path, frames=3, steps=2)
    assert len(counts) == 2 and 0 < counts[0] <= 3 * 64 * 64
    assert "going on" in capsys.readouterr().out and (tmp_path / "splats.ply").stat().st_size > 10_000


def test_an_autoencoder_learns_balls_from_single_photos(tmp_path):
    before, after = load("09").main(tmp_path / "ball.png", steps=24)
    assert after > before + 1 and (tmp_path / "ball.png").stat().st_size > 100
