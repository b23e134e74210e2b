"""The commands from photos to files, with the smallest networks and seconds of work."""

import json
from pathlib import Path

import pytest
import torch
import worlds
from baselines.scenes import network
from PIL import Image
from test_cli import fewview, refused

from fewview.batch.index import write_index
from fewview.batch.jobs import jobs_of
from fewview.batch.work import work
from fewview.checkpoint import load_tensors, save_model
from fewview.commands import preview, reconstruct
from fewview.commands.methods import SETUPS, reconstructors
from fewview.export.images import write_png
from fewview.render.asset import FieldAsset
from fewview.sparsefusion import distill, method


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Presets, splats, mesh and film of toy size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(method.PRESETS, "fast", worlds.quick().distill)
        worlds.quick_exports(patch)
        patch.setattr(reconstruct, "SAVE_EVERY", 2)
        patch.setattr("fewview.pipeline.methods.find_lpips", lambda *_, **__: None)
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A folder with photos/, weights/ and the results out/ of one reconstruction."""
    root = tmp_path_factory.mktemp("world")
    worlds.write_transforms(root / "photos", worlds.photograph(worlds.ring(3, size=16)))
    model = worlds.smallest_model()
    save_model(root / "weights", model, model.config)
    assert run(root, root / "out") == 0
    return root


def run(root: Path, out: Path, *more: object) -> int:
    return fewview("reconstruct", root / "photos", "-o", out, "--weights", root / "weights", "--preset", "fast", *more)


def tensors(out: Path) -> dict[str, torch.Tensor]:
    return load_tensors(out / "scene" / "model.safetensors")


def test_one_run_leaves_the_whole_package_and_nothing_else(world):
    found = {path.name for path in (world / "out").iterdir()}
    films = {"orbit.mp4", "views", "transforms.json", "inputs"}
    assert found == {"scene", "mesh.glb", "splats.ply", "viewer.html", "report.html", *films}
    assert {path.name for path in world.iterdir()} == {"photos", "weights", "out"}
    report = (world / "out" / "report.html").read_text()
    assert "distilling the scene" in report and "sparsefusion" in report and str(world) not in report


def test_results_are_not_replaced_unless_asked(world, capsys):
    assert "--overwrite" in refused(capsys, "reconstruct", world / "photos", "-o", world / "out")


def test_the_same_seed_gives_the_same_bits_and_another_does_not(world, tmp_path):
    assert run(world, tmp_path / "again") == 0 and run(world, tmp_path / "other", "--seed", 1) == 0
    first, again, other = (tensors(out) for out in (world / "out", tmp_path / "again", tmp_path / "other"))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_a_stopped_run_resumes_to_the_same_scene(world, tmp_path, monkeypatch, capsys):
    advance = distill._Run.advance

    def stop(run):
        if run.step == 5:
            raise KeyboardInterrupt
        return advance(run)

    monkeypatch.setattr(distill._Run, "advance", stop)
    assert run(world, tmp_path / "out") == 130
    assert "--resume" in capsys.readouterr().err and not (tmp_path / "out").exists()
    monkeypatch.setattr(distill._Run, "advance", advance)
    assert run(world, tmp_path / "out", "--resume", "--seed", 1) == 2
    assert "seed" in capsys.readouterr().err

    steps = []
    monkeypatch.setattr(distill._Run, "advance", lambda run: steps.append(run.step) or advance(run))
    assert run(world, tmp_path / "out", "--resume") == 0
    assert steps[0] == 4
    first, again = tensors(world / "out"), tensors(tmp_path / "out")
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_pictures_of_the_unfinished_scene_change_nothing_of_it(world, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(preview, "PATIENCE", 0.0)
    monkeypatch.setattr(preview, "SHARE", float("inf"))
    assert run(world, tmp_path / "out", "--preview-file", tmp_path / "p" / "%03d.png") == 0
    first, again = tensors(world / "out"), tensors(tmp_path / "out")
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert (world / "out" / "splats.ply").read_bytes() == (tmp_path / "out" / "splats.ply").read_bytes()
    pictures = sorted((tmp_path / "p").iterdir())
    assert len(pictures) > 5 and {Image.open(path).size for path in pictures} == {(192, 192)}
    assert len({path.read_bytes() for path in pictures}) > 3
    monkeypatch.setattr(preview, "PATIENCE", 1e9)
    assert run(world, tmp_path / "other", "--preview") == 0
    assert (tmp_path / "other.preview.png").read_bytes()[
        1:4
    ] == b"PNG" and "other.preview.png" in capsys.readouterr().out
    assert "ends in '.gif'" in refused(
        capsys, "reconstruct", world / "photos", "-o", tmp_path / "x", "--preview-file", tmp_path / "x.gif"
    )


def test_splats_of_the_photos_alone_are_results_too(world, tmp_path):
    out = tmp_path / "out"
    assert fewview("reconstruct", world / "photos", "-o", out, "--method", "splats", "--photo-size", 16) == 0
    assert {"splats.ply", "mesh.glb", "report.html", "viewer.html", "orbit.mp4"} <= {
        path.name for path in out.iterdir()
    }
    assert fewview("export", out, "-o", tmp_path / "x.spz") == 0


def test_a_batch_leaves_the_bits_of_a_single_run(world, tmp_path):
    (tmp_path / "list.txt").write_text(f"{world / 'photos'} --preset fast --weights {world / 'weights'}\n")
    (job,) = jobs_of(tmp_path / "list.txt")
    outcomes = [work(job, tmp_path / "out", "fewview.cli:run_words") for _ in range(2)]
    assert [outcome.state for outcome in outcomes] == ["made", "there"]
    made = tmp_path / "out" / outcomes[0].folder
    first, again = tensors(world / "out"), tensors(made)
    assert all(torch.equal(first[name], again[name]) for name in first)
    for file in (path.relative_to(world / "out") for path in (world / "out").rglob("*") if path.is_file()):
        assert file.name == "report.html" or (made / file).read_bytes() == (world / "out" / file).read_bytes(), file
    write_index(tmp_path / "out", outcomes[:1], 1)
    page = (tmp_path / "out" / "index.html").read_text()
    assert f"{made.name}/report.html" in page and f"{made.name}/views/000.png" in page


def test_a_profile_tells_stages_and_calls_and_changes_no_result(world, tmp_path, capsys):
    assert run(world, tmp_path / "out", "--profile") == 0
    told = capsys.readouterr().out
    assert "distilling the scene" in told and "UNet" in told and "together" in told
    assert "distill" in (tmp_path / "out" / "profile.html").read_text()
    assert "Where the time went" in (tmp_path / "out" / "report.html").read_text()
    first, again = tensors(world / "out"), tensors(tmp_path / "out")
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_a_profile_alone_leaves_one_page(world, tmp_path, capsys):
    page = tmp_path / "p.html"
    how = ("--weights", world / "weights", "--preset", "fast", "--method", "no-prior")
    assert fewview("profile", world / "photos", "-o", page, *how) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["p.html"]
    assert ".html" in refused(capsys, "profile", world / "photos", "-o", tmp_path / "p.txt")


def test_a_scene_is_rendered_as_a_video_and_as_pictures(world, tmp_path):
    assert fewview("render", world / "out", "-o", tmp_path / "a.mp4", "--frames", 2, "--size", 16) == 0
    assert (tmp_path / "a.mp4").stat().st_size > 500
    assert fewview("render", world / "out" / "scene", "-o", tmp_path / "b", "--path", "spiral", "--frames", 3) == 0
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["0000.png", "0001.png", "0002.png"]


def test_the_cameras_of_a_file_are_rendered_exactly_and_may_be_joined(world, tmp_path):
    path = world / "photos" / "transforms.json"
    assert fewview("render", world / "out", "-o", tmp_path / "a", "--path", path) == 0
    cameras = worlds.ring(3, size=16)
    seen = FieldAsset.load(world / "out" / "scene").render(cameras[1]).image.clamp(0, 1)
    write_png(tmp_path / "want.png", seen)
    assert (tmp_path / "a" / "0001.png").read_bytes() == (tmp_path / "want.png").read_bytes()
    assert fewview("render", world / "out", "-o", tmp_path / "b", "--path", path, "--frames", 5) == 0
    assert len(list((tmp_path / "b").iterdir())) == 5


def test_a_scene_is_exported_by_the_ending_of_the_file(world, tmp_path, capsys):
    for name, magic in (("a.glb", b"glTF"), ("a.ply", b"ply\n")):
        assert fewview("export", world / "out", "-o", tmp_path / name) == 0
        assert (tmp_path / name).read_bytes()[:4] == magic
    assert "exists already" in refused(capsys, "export", world / "out", "-o", tmp_path / "a.ply")
    assert ".stl" in refused(capsys, "export", world / "out", "-o", tmp_path / "a.stl")


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ({}, "has neither 'fl_x' nor 'camera_angle_x'"),
        ({"transform_matrix": "up"}, "4 x 4 numbers"),
        ({"fl_x": -1.0}, "positive"),
    ],
)
def test_a_malformed_path_is_refused(world, tmp_path, capsys, frame, words):
    good = json.loads((world / "photos" / "transforms.json").read_text())["frames"][0]
    path = tmp_path / "path.json"
    path.write_text(json.dumps({"frames": [frame and {**good, **frame}]}))
    assert words in refused(capsys, "render", world / "out", "-o", tmp_path / "out", "--path", path)
    assert list(tmp_path.iterdir()) == [path]


def test_methods_are_compared_on_a_set_and_on_a_single_scene(world, tmp_path, capsys):
    data = worlds.write_co3d(tmp_path / "set", sequences=2, size=16)
    weights = ("--weights", world / "weights", "--preset", "fast", "--frames", 4, "--size", 16)
    out = tmp_path / "out"
    methods = ("--methods", "no-prior,eft,vldm,sparsefusion")
    assert fewview("evaluate", data, "-o", out, "--scenes", 1, *weights, *methods) == 0
    assert "| sparsefusion |" in (out / "tables.md").read_text()
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert len(rows) == 4 * 2 and {row["category"] for row in rows} == {"ball"}
    capsys.readouterr()
    assert fewview("tables", out / "results.jsonl") == 0
    assert capsys.readouterr().out == (out / "tables.md").read_text()
    single = ("--methods", "no-prior", "--views", 2)
    assert fewview("evaluate", world / "photos", "-o", tmp_path / "one", *weights, *single) == 0


def test_a_baseline_is_compared_by_the_folder_of_its_model(world, tmp_path, capsys):
    net = network("gpnr")
    save_model(tmp_path / "gpnr", net, net.config)
    weights = ("--weights", world / "weights", "--preset", "fast", "--frames", 3, "--size", 16, "-o", tmp_path / "out")
    methods = ("--methods", f"eft,gpnr={tmp_path / 'gpnr'}")
    assert fewview("evaluate", world / "photos", *weights, *methods) == 0
    assert "| gpnr |" in (tmp_path / "out" / "tables.md").read_text()
    assert "gpnr=FOLDER" in refused(capsys, "evaluate", world / "photos", *weights, "--methods", "gpnr")
    assert "--weights" in refused(capsys, "evaluate", world / "photos", *weights, "--methods", "eft=here")


@pytest.mark.parametrize("name", SETUPS)
def test_each_row_of_table_5_5_is_a_method(world, name):
    space, denoising, perceptual = SETUPS[name]
    made = reconstructors([name], str(world / "weights"), "fast")[name].config.distill
    assert (made.space, made.denoising) == (space, denoising) == tuple(_of_name(name))
    assert made.perceptual_weight == (0.2 if name.endswith("perceptual") else 0.0) and perceptual == bool(
        made.perceptual_weight
    )


def _of_name(name: str) -> list[str]:
    return ["latent" if "latent" in name else "pixel", "single" if "single" in name else "multiple"]


def test_unknown_methods_and_empty_splits_are_refused(world, tmp_path, capsys):
    weights = ("--weights", world / "weights", "-o", tmp_path / "out")
    assert "magic" in refused(capsys, "evaluate", world / "photos", *weights, "--methods", "magic")
    data = worlds.write_co3d(tmp_path / "set", sequences=1, frames=3, size=16)
    assert "no scene" in refused(capsys, "evaluate", data, *weights, "--methods", "eft")


def test_the_demo_takes_photos_of_ones_own_or_says_what_is_missing(world, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(reconstruct, "DEMO_INPUT", tmp_path / "nothing")
    assert "-i" in refused(capsys, "demo", "-o", tmp_path / "out")
    monkeypatch.setattr("fewview.weights.WEIGHTS", world)
    (world / "sparsefusion-tiny").symlink_to(world / "weights")
    for _ in range(2):
        assert fewview("demo", "-i", world / "photos", "-o", tmp_path / "out", "--preset", "fast") == 0
    assert "peak memory" in capsys.readouterr().out
    (world / "sparsefusion-tiny").unlink()


@pytest.mark.parametrize(
    "name, seeking, weight, mean",
    [
        ("sparsefusion", "mode", 0.2, False),
        ("sparsefusion-no-lpips", "mode", 0.0, False),
        ("eft-field", "eft-mean", 0.2, False),
        ("eft-field-lpips", "eft-mean", 0.2, True),
        ("vldm-field-lpips", "vldm-mean", 0.2, True),
    ],
)
def test_both_seekings_come_with_and_without_the_perceptual_loss(world, monkeypatch, name, seeking, weight, mean):
    """Only those that have the loss look for its weights."""
    asked = []
    monkeypatch.setattr("fewview.pipeline.methods.find_lpips", lambda *_, **__: asked.append(1))
    made = reconstructors([name], str(world / "weights"), "fast")[name]
    assert (made.config.seeking, made.config.distill.perceptual_weight) == (seeking, weight)
    assert made.config.distill.perceptual_mean == mean
    assert bool(asked) == (weight > 0 and (mean or seeking == "mode"))
