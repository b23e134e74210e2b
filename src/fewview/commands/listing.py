"""Which commands there are, in which module each is, and what it is for, without importing one."""

import re
from importlib import import_module
from pathlib import Path
from shutil import get_terminal_size
from textwrap import fill
from typing import Annotated, Any, Union

HOME = {  # of each command's class, in the order of the help
    "reconstruct": "fewview.commands.reconstruct.Reconstruct",
    "generate": "fewview.commands.imagine.Generate",
    "interpolate": "fewview.commands.imagine.Interpolate",
    "resample": "fewview.commands.imagine.Resample",
    "render": "fewview.commands.look.Render",
    "export": "fewview.commands.look.Export",
    "view": "fewview.commands.view.View",
    "inspect": "fewview.commands.inspect.Inspect",
    "batch": "fewview.commands.batch.Batch",
    "evaluate": "fewview.commands.evaluate.Evaluate",
    "tables": "fewview.commands.evaluate.Tables",
    "train": "fewview.commands.train.Train",
    "data": "fewview.commands.data.Data",
    "import": "fewview.commands.importing.Import",
    "demo": "fewview.commands.reconstruct.Demo",
    "profile": "fewview.commands.profile.Profile",
    "bench": "fewview.commands.bench.Bench",
    "licenses": "fewview.commands.licenses.Licenses",
}
DESCRIPTION = "A few photographs in, a 3D scene out. More: `fewview COMMAND --help`, `fewview --version`."


def command_class(name: str) -> type:
    """The dataclass whose fields are the command's options; this imports its module."""
    module, kind = HOME[name].rsplit(".", 1)
    return getattr(import_module(module), kind)


def any_command() -> Any:
    """The union of all of them, as tyro wants it."""
    from tyro.conf import subcommand

    return Union[tuple(Annotated[command_class(name), subcommand(name)] for name in HOME)]  # noqa: UP007


def purpose(name: str) -> str:
    """The first paragraph of the class's docstring, read from the source: imports would take most of a second."""
    *_, module, kind = HOME[name].split(".")
    source = Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
    found = re.search(rf'^class {kind}\b.*?"""(.+?)(?:\n\n|""")', source, re.DOTALL | re.MULTILINE)
    return " ".join(found[1].split()) if found else ""


def listing() -> str:
    """What `fewview --help` says."""
    width, column = min(get_terminal_size().columns, 100), max(map(len, HOME)) + 4
    lines = [
        fill(f"{name:{column - 2}}{purpose(name)}", width, initial_indent="  ", subsequent_indent=" " * column)
        for name in HOME
    ]
    return "\n".join(["usage: fewview COMMAND ...", "", fill(DESCRIPTION, width), "", "commands:", *lines])
