"""Real headless Chromium with software WebGL for the tests of both pages; they skip where it is missing."""

import io
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

FLAGS = (  # software WebGL, and nothing that asks the network
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECONDS, HANGING = 60, 600  # of work that a page may need, and of the clock, which other work may slow down


class Page:
    """A page, and what it has complained about: console errors, exceptions, requests that failed or left the disk."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.set_default_timeout(1000 * HANGING)
        page.on("console", lambda m: self.complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url}"))
        page.on("request", lambda request: self.requests.append(request.url))

    def pixels(self) -> np.ndarray:
        """What is on the screen, (height, width, 3), in [0, 1]."""
        return np.asarray(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")) / 255


@contextmanager
def chromium(width: int, height: int, **context: Any) -> Iterator[Page]:
    """A page of the given size; the test is skipped where playwright or Chromium is missing."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on the PATH")
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS), chromium_sandbox=False)
        try:
            options = {"viewport": {"width": width, "height": height}, "reduced_motion": "reduce", **context}
            yield Page(browser.new_context(**options).new_page())
        finally:
            browser.close()


def screenshot(page: Path, picture: Path, size: tuple[int, int], milliseconds: int) -> np.ndarray:
    """What link previews and thumbnailers see: a picture after so much of the browser's own time, (h, w, 3) in [0, 1].

    That time stands still while the page waits for scripts, and does not wait for workers.
    """
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on the PATH")
    flags = [*FLAGS, "--headless", "--no-sandbox", "--hide-scrollbars", f"--user-data-dir={picture.parent / 'profile'}"]
    sized = [f"--window-size={size[0]},{size[1]}", f"--virtual-time-budget={milliseconds}", f"--screenshot={picture}"]
    subprocess.run([CHROMIUM, *flags, *sized, page.as_uri()], check=True, capture_output=True, timeout=HANGING)
    return np.asarray(Image.open(picture).convert("RGB")) / 255


def until(page: Any, true: Any) -> None:
    """Waits until `true()` holds, or until the page has had the processor for long enough that it should."""
    clock = Clock()
    while not true():
        assert clock.worked < SECONDS and clock.wall < HANGING, f"the page did not get there in {clock}"
        page.wait_for_timeout(50)


class Clock:
    """Seconds on the wall, and seconds of one core that the browser has worked (Linux), since it was made.

    The second is what an idle machine with one core would take; a busy one takes longer on the wall.
    """

    def __init__(self) -> None:
        self.start, self.worked_before = time.monotonic(), _worked()

    @property
    def wall(self) -> float:
        return time.monotonic() - self.start

    @property
    def worked(self) -> float:
        return _worked() - self.worked_before if Path("/proc/self/stat").exists() else self.wall

    def __str__(self) -> str:
        return f"{self.wall:.1f} s ({self.worked:.1f} s of work)"


def _worked() -> float:
    """Processor seconds of all processes below this one."""
    children: dict[int, list[int]] = {}
    seconds: dict[int, float] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rsplit(")", 1)[1].split()
        except OSError:  # it has ended
            continue
        process = int(entry.parent.name)
        children.setdefault(int(fields[1]), []).append(process)
        seconds[process] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    below = list(children.get(os.getpid(), []))
    for process in below:
        below += children.get(process, [])
    return sum(seconds[process] for process in below)


def intersection_over_union(a: np.ndarray, b: np.ndarray) -> float:
    """Of two boolean masks."""
    return float((a & b).sum() / max((a | b).sum(), 1))
