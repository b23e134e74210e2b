import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import worlds

from fewview import cli
from fewview.commands import console, reconstruct
from fewview.commands.listing import HOME, command_class, purpose
from fewview.errors import InputError
from fewview.pipeline.photos import choose, within


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Five masked photos of the balls."""
    return worlds.write_transforms(tmp_path_factory.mktemp("photos"), worlds.photograph(worlds.ring(5)))


def fewview(*words: object) -> int:
    """Exit code of a command."""
    try:
        return cli.main([str(word) for word in words])
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1


def refused(capsys, *words: object) -> str:
    """The sentence of a refused input."""
    assert fewview(*words) == 2
    text = capsys.readouterr().err.strip()
    assert text.startswith("fewview: ") and text.endswith(".") and "\n" not in text and "Traceback" not in text
    return text


def fresh_python(code: str) -> str:
    """Output of a Python that has not imported anything yet, and that runs without our import hook."""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert out.returncode == 0, out.stderr
    return out.stdout


HEAVY = ("torch", "numpy", "numba", "PIL.Image")


@pytest.mark.parametrize("words", [["--help"], ["--version"], [], ["recontruct"], ["--seed", "1"]])
def test_help_version_and_slips_are_answered_before_anything_large_is_imported(words):
    code = f"import sys, fewview.cli\nfewview.cli.main({words})\n"
    assert fresh_python(code + f"print([m for m in {(*HEAVY, 'tyro', 'rich')} if m in sys.modules])").endswith("[]\n")


def test_the_help_of_commands_needs_no_torch():
    """All classes at once, as for the completion of a shell."""
    code = "import sys\nfrom fewview.commands.listing import any_command\nany_command()\n"
    assert fresh_python(code + f"print([m for m in {HEAVY} if m in sys.modules])") == "[]\n"


def test_the_help_quotes_what_the_classes_say(capsys):
    assert fewview("--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    for name in HOME:
        first = " ".join((command_class(name).__doc__ or "").partition("\n\n")[0].split())
        assert purpose(name) == first and f" {name} {first}" in text


def test_a_shell_can_complete_every_command(capsys):
    with suppress(SystemExit):
        cli.main(["--tyro-print-completion", "bash"])
    text = capsys.readouterr().out
    assert all(name in text for name in HOME)


def test_importing_the_package_has_loaded_pillows_core():
    """pycolmap and Pillow can abort in native code where pycolmap comes first; so no later order can do that."""
    fresh_python("import sys, fewview\nassert 'PIL._imaging' in sys.modules and 'pycolmap' not in sys.modules")


def test_the_package_imports_its_names_when_asked():
    code = "import sys, fewview\nassert 'torch' not in sys.modules\nfewview.Cameras\nassert 'torch' in sys.modules"
    fresh_python(code)


def test_public_names_exist_and_are_few():
    import fewview as package

    assert len(package.__all__) <= 35 and sorted(package.__all__) == sorted(package._MODULE)
    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        package.nonsense  # noqa: B018


@pytest.mark.parametrize("command", [*((name,) for name in HOME), ("data", "build"), ("data", "inspect")])
def test_every_command_and_option_has_a_line_of_help(command, capsys):
    assert fewview(*command, "--help") == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: fewview {' '.join(command)}")
    assert text.splitlines()[2].endswith(".")


def test_python_m_fewview_is_the_command(monkeypatch, capsys):
    from fewview.__main__ import main

    monkeypatch.setattr(sys, "argv", ["fewview", "--version"])
    assert main() == 0 and capsys.readouterr().out.startswith("fewview ")


def test_no_words_at_all_show_the_help(capsys):
    assert fewview() == 0
    assert "reconstruct" in capsys.readouterr().out


def test_the_version_is_printed(capsys):
    assert fewview("--version") == 0
    assert capsys.readouterr().out.startswith("fewview 0.")


@pytest.mark.parametrize("words", [["recontruct"], ["reconstruct"], ["train", "everything"], ["demo", "--seeed", "1"]])
def test_misspelt_words_exit_with_2(words):
    assert fewview(*words) == 2


def test_unknown_errors_keep_their_traceback(monkeypatch):
    def broken(self):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("fewview.commands.data.Inspect.run", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(["data", "inspect", "x"])


def test_an_interruption_exits_with_130_and_says_how_to_go_on(monkeypatch, capsys):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr("fewview.commands.reconstruct.Reconstruct.run", interrupted)
    assert fewview("reconstruct", "x", "-o", "y") == 130
    assert "--resume" in capsys.readouterr().err


def test_inspect_says_what_a_folder_holds(photos, capsys):
    assert fewview("data", "inspect", photos) == 0
    text = capsys.readouterr().out
    assert "transforms.json, 5 photos" in text and "32 x 32" in text


def nan_pose(folder: Path) -> None:
    edit(folder, lambda frame: frame["transform_matrix"][0].__setitem__(3, float("nan")))


def same_cameras(folder: Path) -> None:
    keep(folder, 2)
    edit(folder, lambda frame: frame.update(transform_matrix=worlds_pose()))


def worlds_pose() -> list:
    return (worlds.ring(5).world_from_cam[0] * worlds.torch.tensor([1.0, -1.0, -1.0, 1.0])).tolist()


def outside(folder: Path) -> None:
    edit(folder, lambda frame: frame.update(file_path="../../etc/passwd.png"))


def wrong_size(folder: Path) -> None:
    edit(folder, lambda frame: frame.update(w=640))


def edit(folder: Path, change) -> None:
    data = json.loads((folder / "transforms.json").read_text())
    for frame in data["frames"]:
        change(frame)
    (folder / "transforms.json").write_text(json.dumps(data))


def truncated(folder: Path) -> None:
    image = folder / "images" / "001.png"
    image.write_bytes(image.read_bytes()[:100])


def missing(folder: Path) -> None:
    """All photos but the first; a few that are not there are left out with a note (tests/data/test_names.py)."""
    for path in sorted((folder / "images").glob("*.png"))[1:]:
        path.unlink()


def bad_json(folder: Path) -> None:
    (folder / "transforms.json").write_text("{")


def empty_mask(folder: Path) -> None:
    worlds.save_image(folder / "masks" / "001.png", worlds.torch.zeros(1, 32, 32))


def one_photo(folder: Path) -> None:
    keep(folder, 1)


def keep(folder: Path, count: int) -> None:
    data = json.loads((folder / "transforms.json").read_text())
    (folder / "transforms.json").write_text(json.dumps(data | {"frames": data["frames"][:count]}))


def no_cameras(folder: Path) -> None:
    (folder / "transforms.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (nan_pose, "NaN"),
        (same_cameras, "same camera"),
        (outside, "not inside"),
        (wrong_size, "640"),
        (truncated, "001.png"),
        (missing, "001.png"),
        (bad_json, "not valid JSON"),
        (empty_mask, "mask"),
        (one_photo, "two or more"),
        (no_cameras, "hotos"),  # they match nothing, or pycolmap, which is optional, is missing
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_malformed_input_ends_in_one_sentence_and_nothing_written(spoil, words, tmp_path, capsys):
    folder = worlds.write_transforms(tmp_path / "in", worlds.photograph(worlds.ring(5)))
    spoil(folder)
    before = sorted(tmp_path.rglob("*"))
    assert words in refused(capsys, "reconstruct", folder, "-o", tmp_path / "out")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_does_not_exist_is_refused(tmp_path, capsys):
    assert "nowhere" in refused(capsys, "reconstruct", tmp_path / "nowhere", "-o", tmp_path / "out")
    assert "nowhere" in refused(capsys, "render", tmp_path / "nowhere", "-o", tmp_path / "out.mp4")
    assert "nowhere" in refused(capsys, "export", tmp_path / "nowhere", "-o", tmp_path / "out.glb")
    assert "nowhere" in refused(capsys, "tables", tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_unknown_weights_are_refused_before_anything_is_written(photos, tmp_path, capsys):
    text = refused(capsys, "reconstruct", photos, "-o", tmp_path / "out", "--weights", "gigantic")
    assert "gigantic" in text and list(tmp_path.iterdir()) == []


def test_results_are_replaced_only_when_asked_and_other_files_never(photos, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    reconstruct.check_target(out, overwrite=False)
    (out / "report.html").write_text("")
    assert "--overwrite" in refused(capsys, "reconstruct", photos, "-o", out)
    reconstruct.check_target(out, overwrite=True)
    (out / "thesis.tex").write_text("years of work")
    assert "thesis.tex" in refused(capsys, "reconstruct", photos, "-o", out, "--overwrite")
    assert "is a file" in refused(capsys, "reconstruct", photos, "-o", out / "thesis.tex")


def test_photos_are_chosen_by_number_or_evenly():
    assert choose(5, None, 6) == [0, 1, 2, 3, 4]
    assert choose(60, None, 6) == [0, 10, 20, 30, 40, 50]
    assert choose(100, None, None) == list(range(100))
    assert choose(9, None, 3) == [0, 3, 6]
    assert choose(9, reconstruct.numbers_of("8, 1"), 6) == [8, 1]


def test_many_photos_are_read_so_small_that_they_fit_in_memory_together():
    assert within((3000, 4000), 3) == (3000, 4000)
    height, width = within((3000, 4000), 100)
    assert 0.99 < 100 * height * width / 80e6 < 1.01
    assert abs(width / height - 4 / 3) < 0.01


@pytest.mark.parametrize(("numbers", "most"), [("0,9", 6), ("-1", None), ("1,1", 6), ("a", 6), (None, 0)])
def test_photo_numbers_that_make_no_sense_are_refused(numbers, most):
    with pytest.raises(InputError):
        choose(9, None if numbers is None else reconstruct.numbers_of(numbers), most)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.84, "0.8 s"), (41.7, "42 s"), (185, "3 min 05 s"), (7650, "2 h 07 min")]
)
def test_durations_read_well(seconds, text):
    assert console.duration(seconds) == text


def test_a_recipe_of_ones_own_gets_its_options(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text(
        "from pathlib import Path\n\n\n"
        "def run(data: Path, steps: int = 3) -> None:\n"
        '    """Trains nothing."""\n'
        "    print(data.name, steps)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert fewview("train", "mine:run", "--data", "somewhere", "--steps", 5) == 0
    assert capsys.readouterr().out == "somewhere 5\n"
    assert "no function 'walk'" in refused(capsys, "train", "mine:walk")
    assert "not_there" in refused(capsys, "train", "not_there:run")


def test_training_stages_ask_for_the_one_before(tmp_path, capsys):
    assert "autoencoder" in refused(capsys, "train", "eft", "--data", tmp_path, "--out", tmp_path / "runs")
    assert "positive" in refused(capsys, "train", "eft", "--data", tmp_path, "--out", tmp_path, "--steps", "0")
    assert not (tmp_path / "runs").exists()


def test_output_that_nobody_reads_is_no_error(photos):
    command = f"{sys.executable} -m fewview.cli data inspect {photos} | true; exit ${{PIPESTATUS[0]}}"
    out = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=dict(os.environ), timeout=300)
    assert out.returncode == 0 and "Traceback" not in out.stderr
