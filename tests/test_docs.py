"""The pages in docs/ are true: their links lead somewhere, their options and names exist, their code runs."""

import ast
import contextlib
import importlib
import importlib.util
import io
import json
import re
import shlex
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import worlds
from PIL import Image
from test_readme import PAGES, ROOT, blocks

import fewview
from fewview import cli
from fewview.checkpoint import write_json
from fewview.commands.listing import HOME
from fewview.data.co3d import camera_from_pytorch3d
from fewview.data.packed import load_packed
from fewview.evaluation.objects.splits import Protocol
from fewview.recipes.sparsefusion.stages import SIZES, STAGES
from fewview.training import last_checkpoint

DOCS = ROOT / "docs"
PLACES = (ROOT, DOCS, ROOT / "src" / "fewview", ROOT / "src" / "fewview" / "commands")
FOREIGN = {  # nerfstudio's, pip's, torchrun's, SLURM's, and those of scripts beside the tests
    "--depth-unit-scale-factor", "--no-deps", "--no-binary", "--nproc-per-node", "--array", "--cpus-per-task", "--mem",
    "--time", "--requeue", "--nodes", "--ntasks", "--exclude", "--ntasks-per-node", "--head", "--port", "--block",
    "--num-cpus", "--seconds",
    "--tries",
}  # fmt: skip


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page in links."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@cache
def options(command: str) -> frozenset[str]:
    """The options that a command's help names, and those of its own commands."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        parser_help(command)
    usage, _, rest = text.getvalue().partition("\n\n")
    assert usage.startswith(f"usage: fewview {command} "), f"there is no `fewview {command}`"
    inner = re.findall(r"\w+", usage[usage.index("{") :]) if command == "data" else []
    return frozenset(re.findall(r"--[\w-]+", rest)).union(*(options(f"{command} {name}") for name in inner))


def parser_help(command: str) -> None:
    with contextlib.suppress(SystemExit):
        cli.main([*command.split(), "--help"])


def commands() -> list[str]:
    return list(HOME)


def code(page: Path) -> list[str]:
    """Every piece of code in a page's prose, and every line of its blocks without a language."""
    lines = [line for block in blocks(page, "") for line in block.splitlines()]
    prose = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return lines + [" ".join(words.split()) for words in re.findall(r"`([^`]+)`", prose)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page):
    for target, anchor in re.findall(r"\]\((?!\w+:)([^)#]*)(?:#([^)]*))?\)", page.read_text()):
        file = (page.parent / target) if target else page
        assert file.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(file), f"{page.name} links to {target}#{anchor}"


def test_every_page_and_picture_is_led_to():
    text = "".join(page.read_text() for page in PAGES)
    files = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*") if path.suffix in (".md", ".png", ".jpg")}
    assert {name for name in files if f"{name})" not in text and f"{name}#" not in text} == set()
    assert all(path.stat().st_size < 100_000 for path in (DOCS / "images").iterdir())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_whole_commands_are_understood(page):
    for line in "".join(blocks(page, "")).splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["fewview"] and not (words[1] == "train" and ":" in words[2]):
            assert cli.parse(words[1:]) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_in_the_text_exist(page):
    everything = frozenset[str]().union(*map(options, commands()))
    for text in code(page):
        words = [word.split("=")[0] for word in re.findall(r"(?<![\w-])--[a-z][\w-]*(?:=\S+)?", text)]
        if text.startswith("fewview ") and text.split()[1][0] != "-":
            command = text.split()[1]
            assert command in commands(), f"{page.name}: {text}"
            known = options(command) if ":" not in text else frozenset(words)
        elif module := re.match(r"python -m (fewview[\w.]*)", text):
            spec = importlib.util.find_spec(module[1])
            assert spec is not None and spec.origin is not None, f"{page.name}: {text}"
            known = frozenset(re.findall(r"--[\w-]+", Path(spec.origin).read_text()))
        else:
            known = everything | FOREIGN
        assert set(words) <= known | {"--help", "--version"}, f"{page.name}: {text}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_the_repository_that_are_named_exist(page):
    named = {text for text in code(page) if re.fullmatch(r"[\w.-]+(/[\w.-]+)+/?", text)}
    ours = {text for text in named if text.endswith(".py") or text.startswith(("results/", "docs/", "tests/", "src/"))}
    assert {name for name in ours if not any((place / name).exists() for place in PLACES)} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_names_that_python_code_uses_exist(page):
    for text in blocks(page, "python"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fewview"):
                module = importlib.import_module(node.module or "")
                assert all(hasattr(module, name.name) for name in node.names), f"{page.name}: {ast.unparse(node)}"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "fewview":
                assert node.attr in fewview.__all__, f"{page.name}: fewview.{node.attr}"


def frames() -> dict[str, tuple[str, str, str]]:
    """FRAMES of the program that draws the axes."""
    spec = importlib.util.spec_from_file_location("axes", DOCS / "images" / "axes.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.FRAMES


def opencv_axes(words: tuple[str, str, str]) -> np.ndarray:
    """OpenCV's camera axes (columns x right, y down, z forward) in the frame whose axes point to `words`."""
    pairs = ("right", "left"), ("down", "up"), ("forward", "backward")
    return np.array([[(word == pair[0]) - (word == pair[1]) for pair in pairs] for word in words], float)


def test_the_pictures_of_axes_show_what_the_readers_do(tmp_path):
    (tmp_path / "images").mkdir()
    for i in range(2):
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / f"{i}.png")
    pose = np.eye(4).tolist()
    shots = [{"file_path": f"images/{i}.png", "transform_matrix": pose} for i in range(2)]
    write_json(tmp_path / "transforms.json", {"fl_x": 8, "fl_y": 8, "cx": 4, "cy": 4, "w": 8, "h": 8, "frames": shots})
    row = np.hstack([np.column_stack([np.eye(3), np.zeros(3), [8, 8, 8]]).ravel(), 1, 2])
    np.save(tmp_path / "poses_bounds.npy", np.stack([row, row]))
    view = {"R": np.eye(3).tolist(), "T": [0, 0, 0], "focal_length": [1, 1], "principal_point": [0, 0]}
    found = {
        "OpenCV": torch.eye(4),
        "OpenGL": fewview.open_scene(tmp_path / "transforms.json").cameras[0].world_from_cam,  # type: ignore[union-attr]
        "LLFF": fewview.open_scene(tmp_path / "poses_bounds.npy").cameras[0].world_from_cam,  # type: ignore[union-attr]
        "PyTorch3D": camera_from_pytorch3d(view, 8, 8, where="a test").world_from_cam,
    }
    assert set(found) == set(frames())
    for name, words in frames().items():
        np.testing.assert_allclose(found[name][:3, :3].numpy(), opencv_axes(words), atol=1e-6, err_msg=name)


def test_the_limits_are_those_that_were_measured():
    rows = [json.loads(line) for line in (ROOT / "results" / "bars.jsonl").read_text().splitlines()]
    measured = {row["bar"]: (str(row["value"]), row["target"]) for row in rows}
    told = re.findall(r"^\| (.+?) \| (-?[\d.]+) \| (.*?) \|", (DOCS / "limits.md").read_text(), re.MULTILINE)
    assert len(told) >= 5
    assert {bar: (value, target) for bar, value, target in told}.items() <= measured.items()


class Grey:
    """A network that sees nothing, and expects grey."""

    def look(self, context, targets):
        return None

    def denoise(self, x, sigma, features):
        return torch.zeros_like(x)


@pytest.fixture(scope="module")
def plug_ins() -> dict:
    """What the code of extending.md defines."""
    names: dict = {"my_network": Grey()}
    for text in blocks(DOCS / "extending.md", "python"):
        exec(text, names)
    return names


def test_the_prior_and_the_sampler_of_the_page_meet(plug_ins, generator):
    prior, cameras = plug_ins["MyPrior"](), worlds.ring(2, size=16)
    assert isinstance(prior, fewview.Prior)
    images = plug_ins["imagine"](prior, worlds.photograph(cameras), cameras, (2, 3, 16, 16), generator=generator)
    torch.testing.assert_close(images, torch.full((2, 3, 16, 16), 0.5), atol=1e-2, rtol=0)


def test_the_sampler_of_the_page_is_of_second_order(plug_ins):
    denoise = lambda x, sigma: (x / sigma[:, None] ** 2).tanh()  # of data that are -1 or 1
    levels = [torch.linspace(3, 0.5, steps + 1, dtype=torch.float64) for steps in (32, 64, 128)]
    ends = [plug_ins["midpoint"](denoise, torch.ones(1, 1, dtype=torch.float64), sigmas).item() for sigmas in levels]
    assert (ends[1] - ends[0]) / (ends[2] - ends[1]) == pytest.approx(4, rel=0.15)


def test_the_exporter_of_the_page_writes_a_line_for_each_splat(plug_ins, tmp_path):
    from fewview.render.asset import GaussianAsset
    from fewview.render.gaussians import Gaussians

    splats = Gaussians(torch.rand(3, 3), torch.ones(3, 3), torch.eye(4)[:3], torch.ones(3), torch.rand(3, 3))
    plug_ins["write_points"](tmp_path / "points.txt", GaussianAsset(splats))
    rows = torch.from_numpy(np.loadtxt(tmp_path / "points.txt", dtype=np.float32))
    torch.testing.assert_close(rows, torch.cat([splats.means, splats.features], dim=-1), atol=1e-5, rtol=0)


def test_the_metric_of_the_page_is_zero_for_the_truth_alone(plug_ins, tmp_path):
    scene = fewview.open_scene(worlds.write_transforms(tmp_path, worlds.photograph(worlds.ring(3))))
    assert plug_ins["score"](worlds.Balls(), scene, [0, 2]) < 0.005
    dark = type("Dark", (), {"render": lambda self, cameras: worlds.Balls().render(worlds.ring(2, elevation=3.0))})()
    assert plug_ins["score"](dark, scene, [0, 2]) > 0.02


def test_a_module_of_ones_own_stands_in_for_lpips(plug_ins, tmp_path):
    class Metric(torch.nn.Module):
        def forward(self, images, truth):
            return plug_ins["mean_error"](images, truth)

    scene = fewview.open_scene(worlds.write_transforms(tmp_path / "in", worlds.photograph(worlds.ring(4))))
    method = type("Known", (), {"reconstruct": lambda self, views, generator=None: worlds.Balls()})()
    fewview.evaluate({"known": method}, [scene], Protocol(2, 4, 32), out=tmp_path / "out", lpips=Metric())
    rows = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    assert len(rows) == 2 and all(0 <= row["lpips"] < 0.005 for row in rows)


def brief(text: str, monkeypatch) -> list[list[str]]:
    """The training commands of a page, a step each, on the smallest networks."""
    monkeypatch.setitem(SIZES, "tiny", worlds.smallest)
    monkeypatch.setattr("fewview.recipes.sparsefusion.training.find_lpips", lambda *_, **__: None)
    monkeypatch.setattr("fewview.recipes.sparsefusion.training.CACHED", 16)
    monkeypatch.setattr(
        "fewview.recipes.sparsefusion.stages.fast_bfloat16", lambda: False
    )  # its first step takes seconds
    lines = [shlex.split(line)[1:] for line in text.splitlines()]
    assert all(words[0] == "train" for words in lines)
    return [[*words, "--steps", "1"] for words in lines]


def test_the_commands_of_the_training_page_are_the_stages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    worlds.write_co3d(tmp_path / "data" / "mine")
    stages, after, *_ = blocks(DOCS / "training.md", "")
    words = brief(stages, monkeypatch)
    assert tuple(each[1] for each in words) == STAGES
    assert [cli.main(each) for each in words[:2]] == [0, 0]  # tests/recipes runs all four, which takes longer
    runs = Path(words[0][words[0].index("-o") + 1])
    assert last_checkpoint(runs / "eft") is not None
    assert f"--weights {runs}/{STAGES[-1]}/model" in after


def test_the_program_of_the_training_page_packs_folders_of_photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (program,) = blocks(DOCS / "training.md", "python")
    for split, count in (("train", 2), ("test", 1)):
        for i in range(count):
            views = worlds.photograph(worlds.ring(8, elevation=0.2 + 0.2 * i))
            worlds.write_transforms(tmp_path / "photos" / split / str(i), views)
    exec(program.replace("SIZE = 64", "SIZE = 32"), {})
    packed = load_packed(tmp_path / "data" / "mine" / ".packed" / "train-32.safetensors")
    assert len(packed) == 2 and packed.images.shape == (16, 4, 32, 32)
    seen = packed.views(torch.arange(16))
    truth = worlds.photograph(seen.cameras)
    assert (seen.images - truth.images * truth.masks).abs().mean() < 0.02  # resampled, of the same balls
