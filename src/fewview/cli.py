"""The `fewview` command. Bad input, and what the system refuses, end with one sentence and exit code 2, an interruption
with 130."""

import os
import sys
from collections.abc import Sequence
from typing import Annotated, get_args

import tyro
from tyro.conf import subcommand

from fewview.allocator import keep_freed_memory
from fewview.busy import share_the_machine
from fewview.commands.batch import Batch
from fewview.commands.bench import Bench
from fewview.commands.console import ERR
from fewview.commands.data import Data
from fewview.commands.evaluate import Evaluate, Tables
from fewview.commands.imagine import Generate, Interpolate, Resample
from fewview.commands.importing import Import
from fewview.commands.inspect import Inspect
from fewview.commands.licenses import Licenses
from fewview.commands.look import Export, Render
from fewview.commands.profile import Profile
from fewview.commands.reconstruct import Demo, Reconstruct
from fewview.commands.train import Train, run_recipe
from fewview.commands.view import View
from fewview.commands.words import check_words
from fewview.errors import InputError, told

Command = (
    Annotated[Reconstruct, subcommand("reconstruct")]
    | Annotated[Generate, subcommand("generate")]
    | Annotated[Interpolate, subcommand("interpolate")]
    | Annotated[Resample, subcommand("resample")]
    | Annotated[Render, subcommand("render")]
    | Annotated[Export, subcommand("export")]
    | Annotated[View, subcommand("view")]
    | Annotated[Inspect, subcommand("inspect")]
    | Annotated[Batch, subcommand("batch")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Tables, subcommand("tables")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Data, subcommand("data")]
    | Annotated[Import, subcommand("import")]
    | Annotated[Demo, subcommand("demo")]
    | Annotated[Profile, subcommand("profile")]
    | Annotated[Bench, subcommand("bench")]
    | Annotated[Licenses, subcommand("licenses")]
)
COMMANDS = tuple(get_args(each)[1].name for each in get_args(Command))
DESCRIPTION = "A few photographs in, a 3D scene out. More: `fewview COMMAND --help`, `fewview --version`."


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code; errors that are not the input's keep their traceback."""
    keep_freed_memory()
    share_the_machine()
    words = list(sys.argv[1:] if arguments is None else arguments)
    hint, out = "", "a file"
    try:
        check_words(words, COMMANDS)
        if words == ["--version"]:
            print(_version())
        elif words[:1] == ["train"] and ":" in "".join(words[1:2]):
            run_recipe(words[1], words[2:])
        else:
            command = parse(words)
            hint, out = getattr(command, "interrupted", ""), str(getattr(command, "out", None) or out)
            command.run()
    except InputError as error:
        ERR.print(f"fewview: {_printable(str(error))}")
        return 2
    except KeyboardInterrupt:
        ERR.print(f"fewview: stopped{'; ' + hint if hint else ''}.")
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        ERR.print(f"fewview: {_printable(told(error, out))}")
        return 2
    return 0


def _printable(text: str) -> str:
    """One line without characters that a terminal would obey: names in files may hold any."""
    return "".join(c if c.isprintable() else "?" for c in text)


def parse(words: Sequence[str]) -> Command:
    """The command that the words ask for; tyro answers --help and mistakes, and exits."""
    config = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff)
    return tyro.cli(Command, prog="fewview", description=DESCRIPTION, args=words or ["--help"], config=config)


def run_words(words: Sequence[str]) -> None:
    """Runs one command; its errors are the caller's."""
    keep_freed_memory()
    parse(words).run()


def _version() -> str:
    from importlib.metadata import version

    return f"fewview {version('fewview')}"


if __name__ == "__main__":
    sys.exit(main())
