"""A full disk, and Ctrl-C, at moments of each command: nothing half-written, and the next run succeeds.

There are ten of them each with `-m slow`, and a few without.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import worlds
from commands.faults import moments, small_files
from test_cli import fewview
from viewer.scenes import ball

from fewview.checkpoint import atomic_folder, save_model
from fewview.commands import reconstruct
from fewview.export.ply import write_ply
from fewview.sparsefusion import method

MOMENTS, FEW, FEWER = 10, 3, 2
QUICK = {
    "inspect": ("inspect", "photos", "-o", "OUT.png"),
    "pictures": ("render", "scene.ply", "-o", "OUT", "--frames", "3", "--size", "16"),
    "film": ("render", "scene.ply", "-o", "OUT.mp4", "--frames", "3", "--size", "16"),
    "animation": ("render", "scene.ply", "-o", "OUT.webp", "--frames", "3", "--size", "16"),
    "ply": ("export", "scene.ply", "-o", "OUT.ply"),
    "spz": ("export", "scene.ply", "-o", "OUT.spz"),
    "splats in glTF": ("export", "scene.ply", "-o", "OUT.gs.glb"),
    "colmap": ("export", "scene.ply", "--as", "colmap", "-o", "OUT"),
    "nerfstudio": ("export", "scene.ply", "--as", "nerfstudio", "-o", "OUT"),
    "page": ("view", "scene.ply", "--page", "OUT.html"),
}
RESULTS = ("reconstruct", "photos", "-o", "OUT", "--weights", "weights", "--preset", "fast", "--resume")
KEPT = (".out.run",)  # what a stopped run leaves for --resume


@pytest.fixture(scope="module", autouse=True)
def toys():
    """Presets, splats, mesh and film of toy size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(method.PRESETS, "fast", worlds.quick().distill)
        worlds.quick_exports(patch)
        patch.setattr(reconstruct, "SAVE_EVERY", 2)
        patch.setattr("fewview.pipeline.reconstruction.SPLAT_FILE_SIZE", 16)
        patch.setattr("fewview.pipeline.methods.find_lpips", lambda *_, **__: None)
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """photos/, weights/ and a scene.ply."""
    root = tmp_path_factory.mktemp("world")
    worlds.write_transforms(root / "photos", worlds.photograph(worlds.ring(3, size=16)))
    write_ply(root / "scene.ply", ball(20))
    model = worlds.smallest_model()
    save_model(root / "weights", model, model.config)
    return root


def run(said: tuple[str, ...], world: Path, folder: Path) -> int:
    known = {path.name: str(path) for path in world.iterdir()}
    return fewview(*(known.get(word, word.replace("OUT", str(folder / "out"))) for word in said))


def held(folder: Path) -> dict[str, int]:
    """Names below a folder, with the sizes of files; but for what waits to be resumed."""
    paths = {path: path.relative_to(folder) for path in sorted(folder.rglob("*"))}
    return {str(n): p.stat().st_size if p.is_file() else -1 for p, n in paths.items() if n.parts[0] not in KEPT}


def check(said: tuple[str, ...], world: Path, root: Path, capsys, *, full: bool, most: int) -> None:
    """Breaks a command at moments spread over all of it, each in a folder of its own."""
    (root / "whole").mkdir()
    with moments(root) as seen:
        assert run(said, world, root / "whole") == 0
    whole = held(root / "whole")
    assert whole and seen
    places = [at for at, event in enumerate(seen) if not full or event != "os.rename"]  # which takes no room
    for at in sorted({places[i * len(places) // most] for i in range(most)}):
        folder = root / str(at)
        folder.mkdir()
        capsys.readouterr()
        with moments(root, at, full=full):
            code = run(said, world, folder)
        told = capsys.readouterr().err.strip()
        assert code == (2 if full else 130) and told.startswith("fewview: ") and "\n" not in told, (at, code, told)
        assert "no room" in told if full else "stopped" in told
        assert held(folder) == {}, at
        assert run(said, world, folder) == 0 and set(held(folder)) == set(whole), at


@pytest.mark.parametrize("full", [True, False], ids=["full disk", "Ctrl-C"])
@pytest.mark.parametrize("most", [FEW, pytest.param(MOMENTS, marks=pytest.mark.slow)])
@pytest.mark.parametrize("command", QUICK)
def test_a_command_that_is_broken_off_leaves_nothing(command, most, full, world, tmp_path, capsys):
    check(QUICK[command], world, tmp_path, capsys, full=full, most=most)


@pytest.mark.parametrize("full", [True, False], ids=["full disk", "Ctrl-C"])
@pytest.mark.parametrize("most", [FEWER, pytest.param(MOMENTS, marks=pytest.mark.slow)])
def test_a_reconstruction_that_is_broken_off_is_resumed(most, full, world, tmp_path, capsys):
    check(RESULTS, world, tmp_path, capsys, full=full, most=most)


@pytest.mark.parametrize("command", ["pictures", "film", "animation", "ply", "page"])
def test_writers_in_native_code_find_no_room_either(command, world, tmp_path, capsys):
    capsys.readouterr()
    with small_files(100):
        code = run(QUICK[command], world, tmp_path)
    told = capsys.readouterr().err.strip()
    assert code == 2 and told.startswith("fewview: ") and told.endswith(".") and "\n" not in told
    assert held(tmp_path) == {}


@pytest.mark.parametrize("stop", [lambda at, root: moments(root, at), lambda at, root: moments(root, at, full=True)])
def test_results_that_are_replaced_are_the_old_ones_or_the_new_ones_at_every_moment(stop: Callable, tmp_path):
    def write(text: str) -> None:
        with atomic_folder(tmp_path / "out") as folder:
            (folder / "a.txt").write_text(text)

    write("old")
    with moments(tmp_path) as seen:
        write("new")
    for at in range(len(seen)):
        write("old")
        with stop(at, tmp_path), suppress(KeyboardInterrupt, OSError):
            write("new")
        assert (tmp_path / "out" / "a.txt").read_text() in ("old", "new"), at
        assert [path.name for path in tmp_path.iterdir()] == ["out"], at
