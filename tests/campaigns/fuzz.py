"""A campaign against our own readers: damaged inputs by number, each of which must be read or refused in one sentence.

    python tests/campaigns/fuzz.py --tries 10000 [--reader PLY] [--seconds 900] [--start 0]

Nothing but an InputError may come out, in SECONDS of the processor, MEMORY more bytes, and without a file more in the
folder. Each reader's tries run in a process of their own, so that a crash in native code is found and passed. Prints a
line for each kind of failure, with the number that makes it again, and the tries and seconds of each reader.
"""

import argparse
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from campaigns.mutations import mutate
from campaigns.readers import READERS, Fuzzed

from fewview.errors import InputError

SECONDS, MEMORY = 8, 2 * 2**30  # of the processor, a try; bytes that a reader may hold beyond what the process does


class Endless(BaseException):
    """A try that takes too long."""


@dataclass
class Tries:
    """The valid input of a reader in a folder, which is damaged and mended again for each try."""

    name: str
    reader: Fuzzed
    root: Path
    files: list[Path] = field(default_factory=list)

    @classmethod
    def prepared(cls, name: str, root: Path) -> "Tries":
        """With the input made, and read once."""
        reader = READERS[name]
        reader.make(root)
        files = sorted({path for pattern in reader.damaged for path in root.rglob(pattern) if path.is_file()})
        assert files, f"{name} has nothing to damage"
        if name != "pictures":  # whose valid photo has a mask's size, or not
            reader.read(root)
        return cls(name, reader, root, files)

    def run(self, number: int) -> str | None:
        """What is wrong with the answer to the damage of this number: None where nothing is."""
        draw = Random(f"{self.name}:{number}")
        path = draw.choice(self.files)
        whole = path.read_bytes()
        before = len(list(self.root.parent.rglob("*")))
        path.write_bytes(mutate(path.name, whole, draw))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.reader.read(self.root)
        except InputError as error:
            text = str(error)
            return None if text.endswith(".") and "Traceback" not in text else f"not a sentence: {text!r}"
        except (Exception, Endless) as error:
            return _where(error)
        finally:
            path.write_bytes(whole)
        return None if len(list(self.root.parent.rglob("*"))) == before else "a file more than before"


def _where(error: BaseException) -> str:
    """The kind of an error and the last line of ours that it came through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/fewview/" in f.filename]
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    return f"{type(error).__name__} at {place}: {' '.join(str(error).split())[:120]}"


def limit() -> None:
    """Endless for what takes long, MemoryError for what takes much; of this process."""

    def stop(*_: object) -> None:
        raise Endless

    signal.signal(signal.SIGPROF, stop)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, resource.RLIM_INFINITY))


def campaign(name: str, numbers: range, until: float) -> tuple[int, dict[str, int]]:
    """How many tries there were before the clock said `until`, and failures with the first number of each."""
    found: dict[str, int] = {}
    at = numbers.start
    while at < numbers.stop and time.monotonic() < until:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            code = 1
            try:
                _tries(name, range(at, numbers.stop), until, write)
                code = 0
            finally:
                os._exit(code)
        os.close(write)
        with os.fdopen(read) as pipe:
            for line in pipe:
                number, _, failure = line.rstrip("\n").partition(" ")
                at = int(number) + 1
                if failure:
                    found.setdefault(failure.split(": ")[0], int(number))
                    print(f"  {name} {number}: {failure}", flush=True)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            found.setdefault(f"signal {os.WTERMSIG(status)}", at)
            print(f"  {name} {at}: killed by signal {os.WTERMSIG(status)}", flush=True)
            at += 1
        elif os.WEXITSTATUS(status):
            raise SystemExit(f"{name} {at}: the campaign itself failed")
    return at - numbers.start, found


def _tries(name: str, numbers: range, until: float, write: int) -> None:
    folder = tempfile.mkdtemp(prefix="fewview-fuzz-")
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        root = Path(folder) / "in"
        root.mkdir()
        tries = Tries.prepared(name, root)
        os.dup2(null, 2)  # decoders complain there
        limit()
        for number in numbers:
            if time.monotonic() > until:
                return
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            failure = tries.run(number)
            signal.setitimer(signal.ITIMER_PROF, 0)
            os.write(write, f"{number} {failure or ''}\n".encode(errors="replace"))
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tries", type=int, default=10_000, help="of each reader")
    parser.add_argument("--start", type=int, default=0, help="number of the first try")
    parser.add_argument("--reader", choices=READERS, action="append", help="this one alone; may be repeated")
    parser.add_argument("--seconds", type=float, default=900, help="for all of it, shared evenly")
    given = parser.parse_args()
    names, wrong, total = given.reader or list(READERS), 0, 0
    end = time.monotonic() + given.seconds
    for i, name in enumerate(names):
        start = time.monotonic()
        until = start + (end - start) / (len(names) - i)
        done, found = campaign(name, range(given.start, given.start + given.tries), until)
        print(f"{name}: {done} tries, {len(found)} kinds of failure, {time.monotonic() - start:.0f} s", flush=True)
        wrong, total = wrong + len(found), total + done
    print(f"{total} tries, {wrong} kinds of failure")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
