"""What stands in for a reconstruction: milliseconds."""

import os
import time
from pathlib import Path

from fewview.errors import InputError


def make(words: tuple[str, ...]) -> None:
    """Copies the number that a capture is, slowly where it says so; `bad` ones are refused, and `fatal` ones kill."""
    source, out = Path(words[1]), Path(words[words.index("-o") + 1])
    text = (source / "number.txt").read_text()
    if text == "bad":
        raise InputError(f"{source} is bad; mend it.")
    if text == "bug":
        raise ZeroDivisionError("a bug")
    if text == "fatal":
        os.kill(os.getpid(), 9)
    time.sleep(float(os.environ.get("STUB_SECONDS", "0")))
    out.mkdir()
    (out / "square.txt").write_text(str(int(text) ** 2))
