"""One photo to a scene, and objects of latent diffusion, by the commands, with the smallest random networks."""

import json
from pathlib import Path

import pytest
import torch
import wild_balls
import worlds
from test_cli import fewview, refused

from fewview.checkpoint import load_tensors, save_model
from fewview.evaluation.metrics import psnr
from fewview.export.images import write_png
from fewview.export.ply import read_ply
from fewview.pipeline import wildfusion
from fewview.pipeline.single import in_view_space, read_single
from fewview.wildfusion.frame import input_cameras
from fewview.wildfusion.whole import WholeConfig, WildFusion


@pytest.fixture(scope="module", autouse=True)
def small():
    with pytest.MonkeyPatch.context() as patch:
        worlds.quick_exports(patch)
        patch.setattr(wildfusion, "FILM", 4)
        patch.setattr(wildfusion, "PATH", 4)
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """Two photos with an alpha channel, and weights of a solid object."""
    root = tmp_path_factory.mktemp("wild")
    balls = wild_balls.photos(2, 32)
    for name, image, mask in zip(("first", "second"), balls.images, balls.masks):
        write_png(root / f"{name}.png", torch.cat([image, mask]))
    model = wild_balls.whole()
    with torch.no_grad():
        model.autoencoder.field.second.bias[0] = 3.0
    save_model(root / "weights", model, model.config)
    save_model(root / "first_stage", WildFusion(WholeConfig(wild_balls.MICRO)), WholeConfig(wild_balls.MICRO))
    return root


def run(root: Path, *words: object) -> int:
    return fewview(*words, "--weights", root / "weights")


def test_one_photo_becomes_the_results_of_the_other_methods(world, capsys):
    out = world / "out"
    assert run(world, "reconstruct", world / "first.png", "-o", out, "--method", "wildfusion", "--depth", "none") == 0
    found = {path.name for path in out.iterdir()}
    films = {"orbit.mp4", "views", "transforms.json", "inputs"}
    assert found == {"scene", "mesh.glb", "splats.ply", "viewer.html", "report.html", *films}
    assert "trusted angles" in (out / "report.html").read_text()
    assert "trust the scene within 30 degrees" in capsys.readouterr().out.replace("\n", " ")
    means = load_tensors(out / "scene" / "gaussians.safetensors")["means"]
    assert float(means.abs().max()) < 2


def test_generated_objects_depend_on_the_seed_alone(world):
    for out, seed in (("one", 1), ("same", 1), ("other", 2)):
        words = ("--class", "egg", "--count", 2, "--steps", 2, "--seed", seed)
        assert run(world, "generate", "-o", world / out, *words) == 0
    one, same, other = ((world / out / "contact.png").read_bytes() for out in ("one", "same", "other"))
    assert one == same != other
    facts = json.loads((world / "one" / "scenes.json").read_text())
    assert facts["class"] == "egg" and facts["scenes"] == ["00.ply", "01.ply"]
    assert len(read_ply(world / "one" / "01.ply").gaussians) > 10


def test_between_two_photos_there_are_objects_and_a_film(world):
    out = world / "between"
    photos = world / "first.png", world / "second.png"
    assert run(world, "interpolate", *photos, "-o", out, "--count", 3, "--steps", 2) == 0
    assert {path.name for path in out.iterdir()} == {"contact.png", "film.mp4", "scenes.json"} | {
        f"0{i}.ply" for i in range(3)
    }


def test_resampling_tells_how_far_each_strength_went(world):
    out = world / "again"
    words = ("--strengths", "0,0.3,0.9", "--steps", 4)
    assert run(world, "resample", world / "first.png", "-o", out, *words) == 0
    facts = json.loads((out / "scenes.json").read_text())
    assert facts["strengths"] == [0, 0.3, 0.9] and len(facts["distances"]) == len(facts["scenes"]) == 3


@pytest.mark.parametrize(
    "words, what",
    [
        (("generate", "--class", "cube"), "choose from ball, egg, any"),
        (("generate", "--count", 0), "1 to 256"),
        (("resample", "first.png", "--strengths", "0.2,2"), "from 0 to 1"),
        (("resample", "away.png"), "does not exist"),
        (("interpolate", "first.png", "second.png", "--count", 1), "2 to 256"),
        (("reconstruct", "first.png", "--method", "wildfusion", "--resume"), "leave it out"),
        (("reconstruct", "first.png", "--method", "wildfusion", "--views", "0,1"), "one number"),
        (("reconstruct", "first.png", "--method", "wildfusion", "--depth", "away.onnx"), "does not exist"),
        (("reconstruct", "first.png", "--method", "sparsefusion", "--depth", "none"), "--method wildfusion"),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_nothing(world, words, what, capsys, monkeypatch):
    monkeypatch.chdir(world)
    assert what in refused(capsys, *words, "-o", world / "refused", "--weights", world / "weights")
    assert not (world / "refused").exists()


def test_weights_of_the_first_stage_reconstruct_and_do_not_generate(world, capsys):
    told = refused(capsys, "generate", "-o", world / "none", "--weights", world / "first_stage")
    assert "train wildfusion-latent" in told and not (world / "none").exists()


def test_several_photos_want_a_choice(world, capsys):
    told = refused(
        capsys, "reconstruct", world, "-o", world / "none", "--method", "wildfusion", "--weights", world / "weights"
    )
    assert "--views" in told


def test_a_photo_whose_mask_is_empty_is_refused(world, capsys):
    write_png(world / "empty" / "photo.png", torch.cat([torch.ones(3, 16, 16), torch.zeros(1, 16, 16)]))
    words = ("reconstruct", world / "empty", "-o", world / "none", "--method", "wildfusion")
    assert "no object" in refused(capsys, *words, "--weights", world / "weights")


def test_the_shipped_weights_show_the_photo_and_generate_solid_cups(tmp_path):
    photo = in_view_space(read_single(Path("examples/demo_input"), number=0))
    method = wildfusion.WildFusionMethod.from_pretrained()
    seen = method.scene(method.encode(photo)).render(input_cameras(1, method.size)).image
    small = photo.resized(method.size, method.size).on_black().images
    assert psnr(seen, small) > 22
    out = tmp_path / "out"
    assert fewview("generate", "--count", "1", "--class", "cup", "-o", out) == 0
    splats = read_ply(out / "00.ply").gaussians
    solid = splats.means[splats.opacities > 0.5]
    assert len(solid) > 100 and float(solid.std(dim=0).amin()) > 0.05
