"""`fewview reconstruct --method ggs` from photos to files, with the smallest random network."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import worlds
from ggs_rooms import MICRO, lively, painted, walk
from PIL import Image
from test_cli import fewview, refused

from fewview.checkpoint import load_tensors, save_model
from fewview.ggs.model import GGS
from fewview.render.asset import GaussianAsset
from fewview.viewer.shown import open_shown
from fewview.views import Views


@pytest.fixture(scope="module", autouse=True)
def small():
    with pytest.MonkeyPatch.context() as patch:
        worlds.quick_exports(patch)
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A folder with photos/, a path/ of three more cameras, weights/ and the results out/ of one reconstruction."""
    root = tmp_path_factory.mktemp("room")
    views = painted(walk(1, 5, size=24)[0])
    masked = Views(views.images, views.cameras, torch.ones_like(views.images[:, :1]))
    worlds.write_transforms(root / "photos", masked[:2])
    worlds.write_transforms(root / "path", masked[2:])
    torch.manual_seed(0)
    save_model(root / "weights", lively(GGS(MICRO)), MICRO)
    assert run(root, root / "out", "--frames", 3) == 0
    return root


def words(root: Path, out: Path, *more: object) -> list[object]:
    given = ["--method", "ggs", "--weights", root / "weights", "--preset", "fast"]
    return ["reconstruct", root / "photos", "-o", out, *given, *more]


def run(root: Path, out: Path, *more: object) -> int:
    return fewview(*words(root, out, *more))


def tensors(out: Path) -> dict[str, torch.Tensor]:
    return load_tensors(out / "scene" / "gaussians.safetensors")


def same(a: Path, b: Path) -> bool:
    first, second = tensors(a), tensors(b)
    return all(torch.equal(first[name], second[name]) for name in first)


def test_one_run_leaves_the_results_and_nothing_else(world):
    found = {path.name for path in (world / "out").iterdir()}
    assert found == {
        "scene", "splats.ply", "viewer.html", "report.html", "orbit.mp4", "views", "transforms.json", "inputs"
    }  # fmt: skip
    assert {path.name for path in world.iterdir()} == {"photos", "path", "weights", "out"}
    assert len(GaussianAsset.load(world / "out" / "scene").gaussians) > 0
    assert open_shown(world / "out").walk and '"sway": 0.15' in (world / "out" / "viewer.html").read_text()
    report = (world / "out" / "report.html").read_text()
    assert "imagining views" in report and "ggs" in report and str(world) not in report


def test_the_film_flies_along_the_path(world, tmp_path):
    assert run(world, tmp_path / "out", "--path", world / "path") == 0
    frames = json.loads((tmp_path / "out" / "transforms.json").read_text())["frames"]
    path = json.loads((world / "path" / "transforms.json").read_text())["frames"]
    assert len(frames) == 4
    for i, j in [(0, 0), (-1, -1)]:
        want, have = (torch.tensor(f["transform_matrix"]) for f in (path[i], frames[j]))
        torch.testing.assert_close(have, want, atol=1e-5, rtol=0)


def test_films_pictures_and_inputs_have_the_shape_of_the_photos(tmp_path):
    cameras = walk(1, 3, size=24)[0]
    wide = cameras.cropped(-6, 0, 24, 36)  # 3 to 2
    views = painted(wide)
    worlds.write_transforms(tmp_path / "photos", replace(views, masks=torch.ones_like(views.images[:, :1]))[:2])
    torch.manual_seed(0)
    save_model(tmp_path / "weights", lively(GGS(MICRO)), MICRO)
    assert run(tmp_path, tmp_path / "out", "--frames", 2, "--metres", 1) == 0
    out = tmp_path / "out"
    for folder in (out, out / "inputs"):
        data = json.loads((folder / "transforms.json").read_text())
        assert all(2 * frame.get("w", data.get("w")) == 3 * frame.get("h", data.get("h")) for frame in data["frames"])
        for frame in data["frames"]:
            width, height = Image.open(folder / frame["file_path"]).size
            assert 2 * width == 3 * height
    scene = GaussianAsset.load(out / "scene")
    seen = scene.render(wide[:1]).alpha[0, 0]
    assert scene.antialiased and seen[:, :5].mean() > 0.5 and seen[:, -5:].mean() > 0.5


def test_a_single_photo_and_a_refined_scene(world, tmp_path):
    assert run(world, tmp_path / "out", "--views", 1, "--frames", 2, "--refine", 2) == 0
    assert "refining splats" in (tmp_path / "out" / "report.html").read_text()


def test_a_stopped_run_resumes_to_the_same_scene(world, tmp_path, monkeypatch, capsys):
    from fewview.ggs import grow

    going_on = grow.next_chunk
    more = ("--path", world / "path", "--frames", 8)  # two chunks
    assert run(world, tmp_path / "whole", *more) == 0

    def stop(*args, number, **how):
        if number == 1:
            raise KeyboardInterrupt
        return going_on(*args, number=number, **how)

    monkeypatch.setattr(grow, "next_chunk", stop)
    assert run(world, tmp_path / "out", *more) == 130
    assert "--resume" in capsys.readouterr().err and not (tmp_path / "out").exists()
    numbers = []
    spy = lambda *args, number, **how: numbers.append(number) or going_on(*args, number=number, **how)
    monkeypatch.setattr(grow, "next_chunk", spy)
    assert run(world, tmp_path / "out", *more, "--resume", "--refine", 3) == 2
    assert run(world, tmp_path / "out", *more, "--resume") == 0
    assert numbers == [1] and same(tmp_path / "whole", tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "out"}


@pytest.mark.parametrize(
    "more, said",
    [
        (["--frames", 0], "--frames is 0"),
        (["--refine", -1], "--refine is -1"),
        (["--mask", "grabcut"], "whole photos"),
        (["--refine-poses"], "--refine-poses"),
        (["--path", "nowhere"], "does not exist"),
        (["--weights", "nothing"], "shipped weights of ggs"),
        (["--method", "sparsefusion", "--frames", 3], "option of --method ggs"),
        (["--method", "splats", "--photo-size", 4], "16 or more"),
        (["--method", "splats", "--refine-poses"], "option of --method sparsefusion"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_made(world, tmp_path, capsys, more, said):
    assert said in refused(capsys, *words(world, tmp_path / "out", *more))
    assert not any(tmp_path.iterdir())


def test_a_path_of_another_zoom_and_weights_of_another_kind_are_refused(world, tmp_path, capsys):
    data = json.loads((world / "path" / "transforms.json").read_text())
    for frame in data["frames"]:
        frame |= {"fl_x": 3 * frame["fl_x"], "fl_y": 3 * frame["fl_y"]}
    (tmp_path / "zoom.json").write_text(json.dumps(data))
    text = refused(capsys, *words(world, tmp_path / "out", "--path", tmp_path / "zoom.json"))
    assert "3.00 times the photos' focal length" in text
    model = worlds.smallest_model()
    save_model(tmp_path / "other", model, model.config)
    text = refused(capsys, *words(world, tmp_path / "out", "--weights", tmp_path / "other"))
    assert "holds a VLDM, not a GGS" in text
