"""The page that viser serves, and the command that starts it; in a real browser where there is one."""

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from viewer.browser import HANGING, Clock, Page, chromium, intersection_over_union, until
from viewer.scenes import UP, ball, ring

from fewview import cli
from fewview.commands import view
from fewview.errors import InputError
from fewview.export.ply import write_ply
from fewview.render.asset import GaussianAsset
from fewview.render.gaussians import Gaussians
from fewview.viewer import server as viewer
from fewview.viewer.exhibits import exhibits, pose_of, thinned
from fewview.viewer.shown import Posed, Shown

MEAN_DIFFERENCE, OVERLAP = 0.01, 0.95  # of viser's rendering and ours
OWN_COMPLAINT = "THREE.BufferGeometry.computeBoundingSphere(): Computed radius is NaN"  # viser 1.1.1 with splats
PANEL = 324  # px, the width of the docked panel
CAMERAS = ring(3).cropped(7, 0, 240, 320)  # viser's cameras have their principal point in the middle


def shown(count: int = 2000, *, seed: int = 0) -> Shown:
    asset = GaussianAsset(ball(count, seed=seed))
    return Shown("ball", asset, UP, Posed(CAMERAS, list(asset.render(CAMERAS).image)))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def served(tmp_path) -> Iterator:
    pytest.importorskip("viser", reason="viser serves the page: pip install 'fewview[viewer]'")
    other = ball(2000).tensors() | {"features": 1 - ball(2000).features}
    samples = [shown(), Shown("inverse", GaussianAsset(Gaussians(**other)), UP)]
    server = viewer.serve(exhibits([], samples), viewer.Place(port=free_port(), path_out=tmp_path / "path.json"))
    yield server
    server.stop()


@pytest.fixture
def ply(tmp_path) -> Path:
    write_ply(tmp_path / "ball.ply", ball(20))
    return tmp_path / "ball.ply"


def test_the_page_is_served_to_this_machine_alone(served):
    assert served.get_host() == "127.0.0.1"
    for host, answers in (("127.0.0.1", True), (socket.gethostbyname(socket.gethostname()), False)):
        if host.startswith("127.") and not answers:
            continue
        with socket.socket() as probe:
            probe.settimeout(2)
            assert (probe.connect_ex((host, served.get_port())) == 0) == answers


def test_without_viser_the_command_says_how_to_get_it(ply, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "viser", None)
    assert cli.main(["view", str(ply)]) == 2
    assert "pip install 'fewview[viewer]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ([], "Name a scene"),
        (["PLY", "--port", "0"], "--port"),
        (["--samples", "PLY"], "two or more"),
        (["PLY", "--up", "w"], "--up"),
        (["PLY", "PLY", "--page", "x.html"], "one scene"),
        (["PLY", "--page", "x.pdf"], ".html"),
        (["nothing.ply"], "does not exist"),
    ],
)
def test_bad_input_is_one_sentence(ply, words, answer, capsys):
    assert cli.main(["view", *(str(ply) if word == "PLY" else word for word in words)]) == 2
    assert answer in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "warned"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True), ("192.0.2.1", True)]
)
def test_other_addresses_than_this_machine_come_with_a_warning(ply, host, warned, monkeypatch, capsys):
    asked = []

    def serve(_, place):
        asked.append(place.host)
        return SimpleNamespace(get_port=lambda: 8080, stop=lambda: None)

    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(viewer, "serve", serve)
    monkeypatch.setattr(view.time, "sleep", stop)
    assert cli.main(["view", str(ply), "--host", host]) == 0
    assert asked == [host] and ("whoever reaches" in capsys.readouterr().err) == warned


def test_a_page_for_the_disk_is_written_and_not_replaced_unasked(ply, tmp_path):
    page = tmp_path / "ball.html"
    assert cli.main(["view", str(ply), "--page", str(page)]) == 0
    assert page.read_text().startswith("<!doctype html>")
    assert cli.main(["view", str(ply), "--page", str(page)]) == 2
    assert cli.main(["view", str(ply), "--page", str(page), "--overwrite"]) == 0
    with pytest.raises(InputError, match="exists"):
        view.View((ply,), page=page).run()


def opened(page: Page, server) -> object:
    """Load the served page; what the server knows of this browser, once it looks from where it was asked to."""
    page.page.goto(f"http://127.0.0.1:{server.get_port()}")
    until(page.page, page.page.get_by_role("button", name="Screenshot").is_visible)
    client = next(iter(server.get_clients().values()))
    seen(client)
    return client


def seen(client, camera=None) -> np.ndarray:
    """What the browser draws (RGB on black), from a camera of the page if one is given.

    viser stretches splats in pictures of another shape than its window; so the window, without the panel, has the shape
    of our cameras.
    """
    pose = {}
    if camera is not None:
        wxyz, position, fov, _ = pose_of(camera)
        pose = {"wxyz": wxyz, "position": position, "fov": fov}
    pixels = client.get_render(240, 320, transport_format="png", timeout=HANGING, **pose) / 255
    return pixels[..., :3] * pixels[..., 3:]


def test_the_served_page_shows_what_we_render(served):
    with chromium(480 + PANEL, 360) as page:
        client = opened(page, served)
        have = seen(client, CAMERAS.transformed(shown().page_from_world())[1])
        want = shown().asset.render(CAMERAS[1]).image.permute(1, 2, 0).numpy()
        difference = float(np.abs(have - want).mean())
        overlap = intersection_over_union(have.max(-1) > 0.1, want.max(-1) > 0.1)
        print(f"\nmean absolute difference {difference:.4f}, overlap {overlap:.3f}")
        assert difference < MEAN_DIFFERENCE and overlap > OVERLAP
        assert not [text for text in page.complaints if not text.startswith(OWN_COMPLAINT)]


@pytest.mark.slow
def test_the_panel_of_the_served_page_works(served, tmp_path):
    with chromium(960 + PANEL, 720, accept_downloads=True) as page:
        client = opened(page, served)
        on_page = CAMERAS.transformed(shown().page_from_world())
        press = lambda name: page.page.get_by_role("button", name=name, exact=True).click()
        said = lambda text: page.page.get_by_text(text).wait_for()
        press("Save")
        said("Not done: a path needs two keyframes")
        press("Add keyframe")
        said("1 keyframe")
        before = np.array(client.camera.position)
        page.page.mouse.move(200, 500)
        page.page.mouse.down()
        page.page.mouse.move(320, 500, steps=4)
        page.page.mouse.up()
        until(page.page, lambda: np.linalg.norm(client.camera.position - before) > 0.3)  # a drag turns the view
        press("Add keyframe")
        said("2 keyframes")
        press("Save")
        said("72 cameras are in")
        frames = json.loads((tmp_path / "path.json").read_text())["frames"]
        home = torch.tensor(frames[0]["transform_matrix"])[:3, 3]
        torch.testing.assert_close(home, CAMERAS[0].centers, atol=0.02, rtol=0)
        press("Clear")
        said("No keyframes yet")

        press("Reset view")
        until(page.page, lambda: np.allclose(client.camera.position, before, atol=1e-3))
        with page.page.expect_download() as download:
            press("Screenshot")
        download.value.save_as(tmp_path / "picture.png")
        picture = np.asarray(Image.open(tmp_path / "picture.png"))
        assert picture.shape == (720, 960, 3) and (picture.max(-1) > 25).mean() > 0.1

        page.page.get_by_label("Splats").click()
        until(page.page, lambda: seen(client, on_page[1]).max() == 0)  # hidden
        page.page.get_by_label("Splats").click()
        page.page.get_by_label("Disagreement").click()
        page.page.get_by_role("option", name="colour", exact=True).click()
        said("Standard deviation over 2 samples")
        assert not [text for text in page.complaints if not text.startswith(OWN_COMPLAINT)]
        assert all(f"//127.0.0.1:{served.get_port()}/" in url for url in page.requests if url.startswith("http"))


@pytest.mark.slow
def test_a_hundred_thousand_served_splats_are_seen_within_ten_seconds():
    """A browser without a graphics card gets a draft of them first."""
    pytest.importorskip("viser", reason="viser serves the page: pip install 'fewview[viewer]'")
    large = Shown("ball", GaussianAsset(ball(100_000)), UP, Posed(CAMERAS, [torch.zeros(3, 24, 32)] * 3))
    server = viewer.serve(exhibits([large]), viewer.Place(port=free_port()))
    two_frames = "new Promise((tell) => requestAnimationFrame(() => requestAnimationFrame(tell)))"
    try:
        with chromium(640, 480) as page:
            clock = Clock()
            page.page.goto(f"http://127.0.0.1:{server.get_port()}")
            page.page.get_by_role("button", name="Screenshot").wait_for()
            page.page.evaluate(two_frames)
            shown_after, seconds = str(clock), min(clock.wall, clock.worked)
            page.page.mouse.move(200, 300)
            page.page.mouse.down()
            page.page.mouse.move(260, 300)
            page.page.mouse.up()
            page.page.evaluate(two_frames)
            print(f"\nserved, 100,000 splats: first picture {shown_after}, answer to a drag {clock}")
            assert seconds < 10
            assert page.pixels()[150:300, 150:300].max() > 0.2, "there are splats to see"
    finally:
        server.stop()


def test_a_draft_covers_what_all_splats_do():
    full, draft = ball(20_000), thinned(ball(20_000), 2000)
    assert len(draft) == 2000
    (whole, some) = (GaussianAsset(splats).render(CAMERAS[0]) for splats in (full, draft))
    both = ((whole.alpha > 0.5) & (some.alpha > 0.5)).sum() / ((whole.alpha > 0.5) | (some.alpha > 0.5)).sum()
    assert both > 0.8
    torch.testing.assert_close(draft.scales.square().sum(), full.scales.square().sum(), rtol=0.05, atol=0)
    assert (whole.image - some.image).abs().mean() < 0.05


def test_a_quick_browser_gets_all_splats_and_a_slow_one_the_draft(monkeypatch):
    pytest.importorskip("viser", reason="viser serves the page: pip install 'fewview[viewer]'")
    gallery = []
    monkeypatch.setattr(viewer, "PATIENCE", 0)
    monkeypatch.setattr(viewer.Gallery, "_clicks", lambda self: gallery.append(self))
    server = viewer.serve(exhibits([shown(10_001)]), viewer.Place(port=free_port()))
    try:
        page = gallery[0]
        assert page.hung[0].draft and page.detail.value == "draft"

        def late(*_, timeout: float) -> None:
            raise TimeoutError

        page._welcome(SimpleNamespace(get_render=late))
        assert page.hung[0].draft
        page._welcome(SimpleNamespace(get_render=lambda *_, timeout: None))
        assert not page.hung[0].draft and page.detail.value == "full"
    finally:
        server.stop()
