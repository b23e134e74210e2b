"""No command begins to work for a target that cannot be written."""

import errno
import os
from pathlib import Path

import pytest
import worlds
from test_cli import fewview, refused
from viewer.scenes import ball

from fewview import cli
from fewview.checkpoint import save_tensors
from fewview.commands import targets
from fewview.errors import InputError, told
from fewview.export.ply import write_ply


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """photos/, and a scene.ply."""
    root = tmp_path_factory.mktemp("world")
    worlds.write_transforms(root / "photos", worlds.photograph(worlds.ring(3, size=16)))
    write_ply(root / "scene.ply", ball(20))
    return root


COMMANDS = {
    "reconstruct": ("reconstruct", "photos", "-o", "OUT"),
    "rooms": ("reconstruct", "photos", "--method", "ggs", "-o", "OUT"),
    "demo": ("demo", "-i", "photos", "-o", "OUT"),
    "pictures": ("render", "scene.ply", "-o", "OUT"),
    "film": ("render", "scene.ply", "-o", "OUT.mp4"),
    "export": ("export", "scene.ply", "-o", "OUT.spz"),
    "export to a folder": ("export", "scene.ply", "--as", "colmap", "-o", "OUT"),
    "inspect": ("inspect", "photos", "-o", "OUT.png"),
    "page": ("view", "scene.ply", "--page", "OUT.html"),
    "path of the viewer": ("view", "scene.ply", "--save-path", "OUT.json"),
    "evaluate": ("evaluate", "photos", "-o", "OUT"),
    "train": ("train", "autoencoder", "--data", "photos", "-o", "OUT"),
    "data build": ("data", "build", "OUT"),
    "data rooms": ("data", "rooms", "OUT"),
    "batch": ("batch", "photos", "-o", "OUT"),
    "profile": ("profile", "photos", "-o", "OUT.html"),
    "generate": ("generate", "-o", "OUT"),
    "interpolate": ("interpolate", "photos", "photos", "-o", "OUT"),
    "resample": ("resample", "photos", "-o", "OUT"),
    "import": ("import", "sparsefusion-release", "EFT", "VLDM", "-o", "OUT", "--autoencoder", "VAE"),
    "preview": ("reconstruct", "photos", "-o", "a_new_folder", "--preview-file", "OUT.png"),
    "bench": ("bench", "-o", "OUT.json"),
}


@pytest.fixture(autouse=True)
def no_work(monkeypatch):
    """Whatever reads the input, or starts to work, comes too late."""

    def late(*_, **__):
        raise AssertionError("it began to work")

    for name in (
        "fewview.pipeline.photos.open_scene",
        "fewview.pipeline.reconstruction.load_scene",
        "fewview.viewer.shown.load_scene",
        "fewview.data.open_scene",
        "fewview.data.co3d.open_co3d",
        "fewview.recipes.sparsefusion.stages.run_stage",
        "fewview.synthetic.objects.build.build",
        "fewview.synthetic.rooms.build.build_rooms",
        "fewview.commands.bench.measured",
    ):
        monkeypatch.setattr(name, late)


def words(command: str, world: Path, out: Path) -> list[str]:
    places = {"photos": str(world / "photos"), "scene.ply": str(world / "scene.ply")}
    return [places.get(word, word.replace("OUT", str(out))) for word in COMMANDS[command]]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_target_inside_of_a_file_is_refused_before_any_work(command, world, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert "is a file" in refused(capsys, *words(command, world, tmp_path / "file" / "deeper" / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="where even root may not write: Linux's /proc")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_target_where_nothing_can_be_written_is_refused_before_any_work(command, world, capsys):
    assert "/proc/out" in refused(capsys, *words(command, world, Path("/proc/out")))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_target_whose_name_is_too_long_is_refused_before_any_work(command, world, tmp_path, capsys):
    assert "too long" in refused(capsys, *words(command, world, tmp_path / ("x" * 300)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", ["", ".", "..", "../..", "/"])
def test_a_target_without_a_name_is_refused_before_any_work(out, world, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for command in [name for name, said in COMMANDS.items() if "OUT" in said]:
        if not command.startswith(("data", "train", "evaluate", "batch")):  # these may fill a folder that is there
            assert "is no name for results" in refused(capsys, *words(command, world, Path(out)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [name for name, said in COMMANDS.items() if "OUT" in said])
def test_a_file_in_place_of_a_folder_is_refused_before_any_work(command, world, tmp_path, capsys):
    (tmp_path / "out").write_text("mine")
    refused(capsys, *words(command, world, tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


def test_a_film_of_an_unknown_kind_is_refused_before_any_work(world, tmp_path, capsys):
    assert ".gif" in refused(capsys, "render", world / "scene.ply", "-o", tmp_path / "x.gif")


def test_a_place_is_asked_without_leaving_a_trace(tmp_path):
    targets.check_place(tmp_path / "new" / "folder" / "out")
    targets.check_folder(tmp_path)
    targets.check_new(tmp_path / "x.png", False)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "x.png").mkdir()
    with pytest.raises(InputError, match="name a file"):
        targets.check_new(tmp_path / "x.png", True)


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "no room"), (errno.EACCES, "permissions"), (errno.EROFS, "permissions"), (errno.EIO, "mend")],
)
def test_what_the_system_refuses_is_one_sentence_that_names_the_file(number, words, monkeypatch, capsys):
    def run(_):
        raise OSError(number, os.strerror(number), "some/file")

    monkeypatch.setattr("fewview.commands.licenses.Licenses.run", run)
    text = refused(capsys, "licenses")
    assert "some/file" in text and words in text and os.strerror(number) in text


def test_a_refusal_without_a_file_names_the_target(monkeypatch, capsys):
    def run(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("fewview.commands.inspect.Inspect.run", run)
    assert "cameras.png" in refused(capsys, "inspect", "x", "-o", "cameras.png")
    assert (
        told(OSError("odd\nwords")) == "a file cannot be read or written (odd words); mend that, or name another place."
    )


def test_a_reader_that_went_away_is_still_no_error(monkeypatch):
    def run(_):
        raise BrokenPipeError

    monkeypatch.setattr("fewview.commands.licenses.Licenses.run", run)
    monkeypatch.setattr(cli.os, "dup2", lambda *_: None)
    assert fewview("licenses") == 0


def test_tensors_that_find_no_room_are_the_systems_refusal(tmp_path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        with pytest.raises(OSError) as caught:
            save_tensors(tmp_path / "x.safetensors", {"a": worlds.torch.zeros(1000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG and list(tmp_path.iterdir()) == []
