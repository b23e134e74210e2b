"""The rules of CONTRIBUTING.md that a machine can check; what breaks one is listed here, with the reason."""

import ast
import builtins
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "fewview"
LINES, FUNCTION, PARAMETERS = 400, 60, 7
EXCUSED = {  # more lines or parameters than the rule, and why
    "synthetic/shapes/figures.py:hydrant": "part after part of one shape; its bits are those of the training set",
    "synthetic/shapes/seating.py:_chair_back": "part after part of one shape; its bits are those of the training set",
    "evaluation/objects/protocol.py:evaluate": "what is judged, by which metrics, and where; one more metric than fits",
    "ggs/grow.py:sample": "what a sampler takes, and the scene so far",
}
OF_FILES = {"io", "json", "os", "pickle", "shutil", "tempfile", "zipfile"}  # modules
FILE_CALLS = {
    "open",
    "read_bytes",
    "read_text",
    "write_bytes",
    "write_text",
    "unlink",
    "mkdir",
    "save_file",
    "load_file",
}
TESTED_BY = {  # modules that no test of their folder imports: the test that runs them, through what it imports
    "__main__": "test_cli.py",
    "allocator": "test_cli.py",
    "batch.index": "batch/test_batch.py",
    "batch.pools": "batch/test_batch.py",
    "benchmarks.splatting": "viewer/test_packed_splats.py",
    "commands.batch": "batch/test_batch.py",
    "commands.console": "test_cli.py",
    "commands.evaluate": "test_commands.py",
    "commands.data": "synthetic/test_sets.py",
    "commands.imagine": "test_imagine.py",
    "commands.importing": "recipes/test_published.py",
    "commands.look": "test_commands.py",
    "commands.reconstruct_wildfusion": "test_imagine.py",
    "commands.profile": "test_commands.py",
    "commands.room_methods": "test_evaluate_rooms.py",
    "commands.train": "test_cli.py",
    "commands.view": "viewer/test_server.py",
    "data.demo": "test_architecture.py",
    "data.fields": "data/test_nerfstudio.py",
    "data.meshes": "synthetic/test_rasterise.py",
    "data.synthetic": "test_architecture.py",
    "data.wavefront": "synthetic/test_furniture.py",
    "detail.similarity_numba": "detail/test_losses.py",
    "errors": "test_cli.py",
    "evaluation.rooms.fidelity": "evaluation/test_room_protocol.py",
    "evaluation.runner": "evaluation/test_protocol.py",
    "export.glb_mesh": "test_formats.py",
    "export.gltf": "export/test_mesh.py",
    "export.notebook": "viewer/test_notebook.py",
    "export.packed_splats": "viewer/test_packed_splats.py",
    "export.page": "viewer/test_page.py",
    "export.ply_points": "data/test_valid_transforms.py",
    "files": "test_checkpoint.py",
    "geometry.depths": "ggs/test_splats.py",
    "geometry.quaternions": "render/test_gaussians.py",
    "ggs.camera_encoder": "nn/test_multiview_unet.py",
    "ggs.filling": "ggs/test_grow.py",
    "nn.inception": "evaluation/test_trunks.py",
    "nn.lpips": "evaluation/test_perceptual.py",
    "parallel": "test_parallel.py",
    "pipeline.coverage": "test_inspect.py",
    "pipeline.formats": "test_formats.py",
    "pipeline.overview": "test_inspect.py",
    "pipeline.photos": "poses/test_learned.py",
    "pipeline.products": "test_formats.py",
    "pipeline.single": "test_imagine.py",
    "pipeline.wildfusion": "test_imagine.py",
    "poses.incremental": "poses/test_estimate.py",
    "poses.sift": "poses/test_estimate.py",
    "poses.two_view": "evaluation/test_tsed.py",
    "priors": "sparsefusion/test_distill.py",
    "render.blending_numba": "render/test_splatting.py",
    "render.harmonics_numba": "render/test_projection_numba.py",
    "render.projection_numba": "render/test_projection_numba.py",
    "render.hashgrid_numba": "render/test_hashgrid.py",
    "render.mlp_numba": "render/test_field.py",
    "render.threads": "render/test_volume.py",
    "render.triplanes_numba": "render/test_triplanes.py",
    "render.volume_numba": "render/test_volume.py",
    "synthetic.opengl.shaders": "synthetic/test_rasterise.py",
    "synthetic.rooms.illumination": "synthetic/test_rooms.py",
    "synthetic.shapes.figures": "synthetic/test_categories.py",
    "synthetic.shapes.finishes": "synthetic/test_interiors.py",
    "synthetic.shapes.palettes": "synthetic/test_interiors.py",
    "synthetic.shapes.parts": "synthetic/test_interiors.py",
    "synthetic.shapes.primitives": "synthetic/test_objects.py",
    "synthetic.shapes.seating": "synthetic/test_categories.py",
    "synthetic.shapes.vessels": "synthetic/test_categories.py",
    "weights": "test_commands.py",
    "wildfusion.decoder": "wildfusion/test_renderer.py",
    "wildfusion.photos": "wildfusion/test_scene.py",
}
UNTESTED = {
    "benchmarks.kernels": "a measurement for people, which `fewview bench` prints",
}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def compiled(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Kernels of numba: arrays are their parameters, for there is nothing to pack them in."""
    decorators = " ".join(ast.unparse(decorator) for decorator in function.decorator_list)
    return "njit" in decorators or "intrinsic" in decorators


def test_files_have_at_most_400_lines():
    files = [file for folder in ("src", "tests", "examples", "papers") for file in (ROOT / folder).rglob("*.py")]
    assert [str(file) for file in files if len(file.read_text().splitlines()) > LINES] == []


def test_functions_have_at_most_60_lines_and_7_parameters():
    over = set()
    for file in sources():
        for f in functions(file):
            names = [
                a.arg for a in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs) if a.arg not in ("self", "cls")
            ]
            long = (f.end_lineno or f.lineno) - f.lineno + 1 > FUNCTION
            if long or (len(names) > PARAMETERS and not compiled(f)):
                over.add(f"{file.relative_to(PACKAGE)}:{f.name}")
    assert over == set(EXCUSED)


def positional(file: Path) -> Counter[str]:
    """Functions of a file that take more than three arguments by place, and how many are called so.

    Left out: kernels, and the methods that autograd calls, for neither takes arguments by name.
    """
    found = Counter()
    for f in functions(file):
        names = [a.arg for a in (*f.args.posonlyargs, *f.args.args)]
        if len(names) - (names[:1] in (["self"], ["cls"])) > 3 and names[0] != "ctx" and not compiled(f):
            found[f"{file.relative_to(PACKAGE)}:{f.name}"] += 1
    return found


def test_what_comes_after_three_parameters_is_keyword_only():
    """tests/positional.txt has the older functions that do otherwise: one that is mended leaves it, none enters."""
    listed = Counter((ROOT / "tests" / "positional.txt").read_text().split())
    found = sum((positional(file) for file in sources()), Counter())
    assert found - listed == Counter(), "make these keyword-only after the third parameter"
    assert listed - found == Counter(), "these are mended: take them out of tests/positional.txt"


def math() -> list[Path]:
    """The files of the modules that the contract in pyproject.toml keeps from pictures and formats."""
    contract = re.search(r'name = "The math .*?source_modules = \[(.*?)\]', (ROOT / "pyproject.toml").read_text(), re.S)
    assert contract is not None, "pyproject.toml has no contract of the math"
    paths = [PACKAGE / name.replace(".", "/") for name in re.findall(r'"fewview\.([\w.]+)"', contract[1])]
    return [
        file for path in paths for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")])
    ]


def test_the_math_opens_no_files():
    """What it keeps of a stopped run goes through a Keeper of fewview.states, weights through fewview.checkpoint."""
    imported, called = set(), set()
    for file in math():
        where = str(file.relative_to(PACKAGE))
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {(where, alias.name.split(".")[0]) for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((where, (node.module or "").split(".")[0]))
            elif isinstance(node, ast.Call):
                called.add((where, ast.unparse(node.func).split(".")[-1], ast.unparse(node.func)))
    assert {(where, name) for where, name in imported if name in OF_FILES} == set()
    whole = {"torch.save", "torch.load", "np.save", "np.load"}
    assert {(where, full) for where, last, full in called if last in FILE_CALLS or full in whole} == set()


def bound(tree: ast.AST) -> Iterator[str | None]:
    """All names that a file gives to anything, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).split(".")[0]
        elif isinstance(
            node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)
        ):
            yield node.name


def test_every_name_that_is_read_is_bound_somewhere_in_its_file():
    """Linters are not asked: to them the letters in jaxtyping's shapes are names too."""
    unknown = []
    for file in sources():
        tree = ast.parse(file.read_text())
        known = {*dir(builtins), "__file__", "__name__", *bound(tree)}
        read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        unknown += [f"{file.relative_to(PACKAGE)}: {name}" for name in sorted(read - known)]
    assert unknown == []


def home_of() -> dict[str, str]:
    """Where `import fewview` finds each public name: `fewview.Views` is in fewview.views."""
    for node in ast.parse((PACKAGE / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOME":
            table = ast.literal_eval(node.value)
            return {f"fewview.{name}": f"fewview.{module}" for module, names in table.items() for name in names}
    raise AssertionError("fewview/__init__.py has no _HOME")


@cache
def imports(file: Path) -> frozenset[str]:
    """Modules that a file imports, anywhere in it: by a statement, as a public name, or by a name in a string."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "fewview":
            found.add(f"fewview.{node.attr}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("fewview."):
            found |= {node.value.rsplit(".", i)[0] for i in range(3)}  # what monkeypatch and runpy name
    if file == PACKAGE / "cli.py":
        found |= imports(PACKAGE / "commands" / "listing.py")  # commands, which are imported by their names there
    public = home_of()
    return frozenset(public.get(name, name) for name in found)


def modules() -> dict[str, Path]:
    """By full name; of the `__init__.py`s only those that define something."""
    named = {".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts): file for file in sources()}
    return {
        name.removesuffix(".__init__"): file
        for name, file in named.items()
        if not name.endswith("__init__") or any(functions(file))
    }


def mirrored(module: str) -> list[Path]:
    """Test files that a module's place promises: all of tests/a for fewview.a.b, and tests/test_a.py."""
    top = module.split(".")[1] if "." in module else ""  # of fewview itself: all
    return [*(ROOT / "tests" / top).rglob("test_*.py"), *(ROOT / "tests").glob(f"test_{top}.py")]


def led_to(test: Path, module: str, between: int = 2) -> bool:
    """A test, or a helper of tests that it imports, imports a module, with at most so many modules in between."""
    files, reached = modules(), imports(test)
    helpers = [file for name in reached for file in [ROOT / "tests" / f"{name}.py"] if file.exists()]
    reached = reached.union(*map(imports, helpers))
    for _ in range(between):
        reached = reached.union(*(imports(files[name]) for name in reached & set(files)))
    return module in reached


def test_every_module_is_imported_by_a_test_of_its_folder_or_by_the_one_named():
    known = modules()
    away = {name for name in known if not any(name in imports(test) for test in mirrored(name))}
    assert {name.removeprefix("fewview.") for name in away} == set(TESTED_BY) | set(UNTESTED)
    assert not set(TESTED_BY) & set(UNTESTED)
    for name, test in TESTED_BY.items():
        assert led_to(ROOT / "tests" / test, f"fewview.{name}"), f"tests/{test} does not lead to fewview.{name}"


def prose() -> list[Path]:
    """What people read, except what tables of results print."""
    found = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return [*found, *(ROOT / "docs").glob("*.md"), *(ROOT / "findings").glob("*"), *PACKAGE.glob("weights/*/README.md")]


def test_no_line_of_prose_is_longer_than_120_characters():
    """Code blocks and tables aside, which do not break."""
    long = []
    for file in prose():
        code = False
        for i, line in enumerate(file.read_text().splitlines(), 1):
            code ^= line.lstrip().startswith("```")
            if len(line) > 120 and not code and not line.startswith("|"):
                long.append(f"{file.relative_to(ROOT)}, line {i}")
    assert long == []
