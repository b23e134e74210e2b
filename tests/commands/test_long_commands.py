"""Ctrl-C and a full disk in what takes long: the next run goes on, and of what is made nothing is half there.

There are ten moments of each with `-m slow`; without, one of what is quick.
"""

from pathlib import Path

import pytest
import torch
import wild_balls
import worlds
from batch.test_batch import captures
from batch.test_batch import stub as stub  # a fixture
from commands.faults import moments
from commands.test_faults import MOMENTS, check, held, run, toys, world  # noqa: F401  fixtures among them
from ggs_rooms import MICRO, lively

from fewview.checkpoint import save_model
from fewview.errors import InputError
from fewview.export.images import write_png
from fewview.ggs.model import GGS
from fewview.recipes.sparsefusion.stages import SIZES

METHOD = ("reconstruct", "photos", "-o", "OUT", "--preset", "fast", "--method")
WHOLE = {  # what a user sees of the result is all there, or not at all
    "no prior": (*METHOD, "no-prior", "--weights", "weights"),
    "splats": (*METHOD, "splats"),
    "ggs": (*METHOD, "ggs", "--weights", "room", "--frames", "3", "--metres", "1"),
}
ONE_PHOTO = ("reconstruct", "ball.png", "-o", "OUT", "--method", "wildfusion", "--weights", "wild", "--depth", "none")
WILD = {  # the same of WildFusion
    "generate": ("generate", "-o", "OUT", "--weights", "wild", "--count", "2", "--steps", "2"),
    "interpolate": ("interpolate", "ball.png", "ball.png", "-o", "OUT", "--weights", "wild", "--count", "2"),
    "wildfusion": ONE_PHOTO,
}
GROWING = {  # what is there stays, and each thing in it is whole
    "evaluate": ("evaluate", "set", "-o", "OUT", "--weights", "weights", "--methods", "eft", "--frames", "3"),
    "batch": ("batch", "captures", "-o", "OUT", "--make", "stub:make", "--workers", "1"),
}
LONGER = {
    "train": ("train", "autoencoder", "--data", "set", "-o", "OUT", "--steps", "2", "--batch", "2"),
    "objects": ("data", "build", "OUT", "--train", "1", "--test", "1", "--frames", "1", "--size", "16"),
    "rooms": ("data", "rooms", "OUT", "--train", "1", "--test", "1", "--frames", "2", "--size", "16", "--pieces", "1"),
}
ONE = pytest.mark.parametrize("most", [1, pytest.param(MOMENTS, marks=pytest.mark.slow)])
HOW = pytest.mark.parametrize("full", [True, False], ids=["full disk", "Ctrl-C"])


@pytest.fixture(scope="module")
def larger(world: Path) -> Path:  # noqa: F811
    """The same with a set to train on, captures, a model of rooms, and a photo with WildFusion's networks."""
    worlds.write_co3d(world / "set", sequences=2, frames=11, size=32)
    captures(world / "captures", ["2", "3"])
    save_model(world / "room", lively(GGS(MICRO)), MICRO)
    ball, wild = wild_balls.photos(1, 32), wild_balls.whole()
    write_png(world / "ball.png", torch.cat([ball.images[0], ball.masks[0]]))
    with torch.no_grad():
        wild.autoencoder.field.second.bias[0] = 3.0  # solid
    save_model(world / "wild", wild, wild.config)
    return world


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(SIZES, "tiny", worlds.smallest)
    monkeypatch.setattr("fewview.recipes.sparsefusion.training.find_lpips", lambda *_, **__: None)
    monkeypatch.setattr("fewview.recipes.sparsefusion.training.CACHED", 4)
    monkeypatch.setattr("fewview.evaluation.perceptual.find_lpips", lambda *_, **__: None)
    monkeypatch.setattr("fewview.pipeline.wildfusion.FILM", 4)
    monkeypatch.setattr("fewview.pipeline.wildfusion.PATH", 4)


@HOW
@pytest.mark.slow
@pytest.mark.parametrize("command", WHOLE)
def test_results_are_whole_or_not_there_by_every_method(command, full, larger, tmp_path, capsys):
    check(WHOLE[command], larger, tmp_path, capsys, full=full, most=MOMENTS)


@HOW
@ONE
@pytest.mark.parametrize(
    "command", ["generate", *(pytest.param(name, marks=pytest.mark.slow) for name in WILD if name != "generate")]
)
def test_objects_of_wildfusion_are_whole_or_not_there(command, most, full, larger, tmp_path, capsys):
    check(WILD[command], larger, tmp_path, capsys, full=full, most=most)


@HOW
@ONE
@pytest.mark.parametrize("command", [*GROWING, *(pytest.param(name, marks=pytest.mark.slow) for name in LONGER)])
def test_what_was_broken_off_goes_on_to_the_same_files(command, most, full, larger, tmp_path, capsys):
    """Files that a stop leaves have the names that they have in the end; none is a temporary one."""
    said = (GROWING | LONGER)[command]
    if said[0] == "data":
        needs_opengl()
    with moments(tmp_path) as seen:
        assert run(said, larger, tmp_path / "whole") == 0
    whole, places = names(tmp_path / "whole"), [at for at, event in enumerate(seen) if event != "os.rename"]
    for at in sorted({places[(2 * i + 1) * len(places) // (2 * most)] for i in range(most)}):
        capsys.readouterr()
        with moments(tmp_path, at, full=full):
            code = run(said, larger, tmp_path / str(at))
        told = capsys.readouterr().err.strip()
        assert code == (2 if full else 130) and told.startswith("fewview: ") and "\n" not in told, (at, code, told)
        assert "no room" in told if full else "goes on" in told
        assert names(tmp_path / str(at)) <= whole, at
        assert run(said, larger, tmp_path / str(at)) == 0 and names(tmp_path / str(at)) == whole, at


def needs_opengl() -> None:
    rasterise = pytest.importorskip("fewview.synthetic.opengl.rasterise", reason="moderngl")
    try:
        rasterise.Rasteriser(16).context.release()
    except InputError as error:
        pytest.skip(str(error))


def names(folder: Path) -> set[str]:
    return set(held(folder))
