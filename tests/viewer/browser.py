"""Real headless Chromium with software WebGL for the tests of both pages; they skip where it is missing."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

FLAGS = (  # software WebGL, and nothing that asks the network
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECONDS = 60  # software WebGL on a shared core takes its time


class Page:
    """A page, and what it has complained about: console errors, exceptions, requests that failed or left the disk."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.set_default_timeout(1000 * SECONDS)
        page.on("console", lambda m: self.complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url}"))
        page.on("request", lambda request: self.requests.append(request.url))

    def pixels(self) -> np.ndarray:
        """What is on the screen, (height, width, 3), in [0, 1]."""
        import io

        from PIL import Image

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


def intersection_over_union(a: np.ndarray, b: np.ndarray) -> float:
    """Of two boolean masks."""
    return float((a & b).sum() / max((a | b).sum(), 1))
