"""The `fewview` command. Bad input, and what the system refuses, end with one sentence and exit code 2, an interruption
with 130."""

import os
import sys
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from fewview.allocator import keep_freed_memory
from fewview.busy import share_the_machine
from fewview.commands.listing import HOME, any_command, command_class, listing
from fewview.commands.words import check_words
from fewview.errors import InputError, told


@runtime_checkable
class Command(Protocol):
    """What one line of the shell asks for."""

    def run(self) -> None: ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code; errors that are not the input's keep their traceback."""
    share_the_machine()
    words = list(sys.argv[1:] if arguments is None else arguments)
    hint, out = "", "a file"
    try:
        check_words(words)
        if words[:1] == ["--version"]:
            print(_version())
        elif not words or words[0] in ("--help", "-h"):
            print(listing())
        elif words[0] == "train" and ":" in "".join(words[1:2]):
            _run_recipe(words[1], words[2:])
        else:
            keep_freed_memory()
            command = parse(words)
            hint, out = getattr(command, "interrupted", ""), str(getattr(command, "out", None) or out)
            command.run()
    except InputError as error:
        return _refused(str(error))
    except KeyboardInterrupt:
        print(f"fewview: stopped{'; ' + hint if hint else ''}.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _refused(told(error, out))
    return 0


def _refused(sentence: str) -> int:
    """Exit code 2, and one line without characters that a terminal would obey: names in files may hold any."""
    print(f"fewview: {''.join(c if c.isprintable() else '?' for c in sentence)}", file=sys.stderr)
    return 2


def parse(words: Sequence[str]) -> Command:
    """The command that the words ask for; tyro answers --help and mistakes, and exits. Only its module is imported,
    unless a shell asks for the completion of all (`--tyro-print-completion bash`)."""
    import tyro

    config = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff)
    if words[0] in HOME:
        return tyro.cli(command_class(words[0]), prog=f"fewview {words[0]}", args=words[1:], config=config)
    return tyro.cli(any_command(), prog="fewview", args=words, config=config)


def run_words(words: Sequence[str]) -> None:
    """Runs one command; its errors are the caller's."""
    keep_freed_memory()
    parse(words).run()


def _run_recipe(name: str, words: Sequence[str]) -> None:
    from fewview.commands.train import run_recipe

    keep_freed_memory()
    run_recipe(name, list(words))


def _version() -> str:
    from importlib.metadata import version

    return f"fewview {version('fewview')}"


if __name__ == "__main__":
    sys.exit(main())
