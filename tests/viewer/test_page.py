"""viewer.html as a file and, in a real browser, as a page."""

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from viewer.browser import Clock, Page, chromium, intersection_over_union, screenshot, until
from viewer.scenes import UP, ball, ring

from fewview.export import page as writer
from fewview.export.page import write_viewer_html
from fewview.geometry.harmonics import COUNTS
from fewview.render.asset import GaussianAsset
from fewview.render.gaussians import Gaussians
from fewview.render.splatting import splat

SIZE = (320, 240)
MEAN_DIFFERENCE = 0.005  # of colours in [0, 1], against our own rendering
OVERLAP = 0.98


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "viewer.html"
    photos = splat(ball(2000), ring(4)).image
    write_viewer_html(path, ball(2000), ring(4), up=UP, photos=photos, name="ball")
    return path


def embedded(path: Path) -> tuple[dict, bytes]:
    """Scene and splats of a page."""
    text = path.read_text()
    parts = {kind: re.search(rf'id="{kind}">([^<]*)<', text) for kind in ("scene", "splats")}
    assert all(parts.values())
    return json.loads(parts["scene"][1]), base64.b64decode(parts["splats"][1])  # type: ignore[index]


def test_the_page_holds_every_splat_and_camera(scene):
    data, splats = embedded(scene)
    assert (data["count"], data["total"], len(splats)) == (2000, 2000, 2000 * 20)
    np.testing.assert_allclose(np.array(data["cameras"][3]["pose"]), ring(4).world_from_cam[3, :3], atol=1e-6)
    assert data["home"] == data["cameras"][0]
    thumbnail = Image.open(io.BytesIO(base64.b64decode(data["cameras"][1]["photo"].split(",")[1])))
    assert thumbnail.size == (160, 120)


def test_the_page_names_no_other_place(scene):
    assert not re.findall(r"https?://|src=\"(?!data)|href=", scene.read_text())


def test_a_name_cannot_break_out_of_its_place(tmp_path):
    name = "</script><script>alert(1)</script> {{splats}}"
    write_viewer_html(tmp_path / "x.html", ball(10), None, up=UP, name=name)
    assert "<script>alert" not in (tmp_path / "x.html").read_text()
    assert embedded(tmp_path / "x.html")[0]["name"] == name


def test_a_scene_that_is_too_large_keeps_what_is_seen_most(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "MAX_BYTES", writer.PAGE_BYTES + 4000)
    write_viewer_html(tmp_path / "x.html", ball(1000), ring(3), up=UP)
    data, splats = embedded(tmp_path / "x.html")
    assert (data["count"], data["total"], len(splats)) == (150, 1000, 3000)


def test_an_object_turns_and_a_room_sways(tmp_path):
    for walk in (False, True):
        write_viewer_html(tmp_path / "x.html", ball(10), ring(3), up=UP, walk=walk)
        assert (embedded(tmp_path / "x.html")[0]["sway"] > 0) == walk


def test_a_file_stays_below_its_limit_with_all_that_surrounds_the_splats(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "MAX_BYTES", writer.PAGE_BYTES + 150_000)
    photos = splat(ball(500), ring(24)).image
    write_viewer_html(tmp_path / "x.html", ball(20_000), ring(24), up=UP, photos=photos)
    assert embedded(tmp_path / "x.html")[0]["count"] > 1000
    assert (tmp_path / "x.html").stat().st_size < writer.MAX_BYTES


def test_without_cameras_the_first_view_shows_it_all():
    camera = writer.first_view(ball(500), UP)
    pixels, depth = camera.project(ball(500).means)
    assert (depth > 0).all() and (pixels > 0).all() and (pixels < writer.HOME_SIZE).all()
    assert camera.up @ UP > 0.5


def opened(page: Page, path: Path) -> None:
    """Load a page from disk and wait for its first picture."""
    page.page.goto(path.as_uri())
    page.page.wait_for_selector("#notice:empty", state="attached")
    page.page.evaluate("fewview.settled()")


def bare(page: Page) -> np.ndarray:
    """The stage without buttons, settled."""
    page.page.evaluate("document.body.classList.add('bare'), fewview.settled()")
    pixels = page.pixels()
    page.page.evaluate("document.body.classList.remove('bare')")
    return pixels


def check_likeness(pixels: np.ndarray, asset: GaussianAsset, index: int) -> tuple[float, float]:
    want = asset.render(ring(4)[index]).image.clamp(0, 1).permute(1, 2, 0).numpy()
    difference = float(np.abs(pixels - want).mean())
    overlap = intersection_over_union(pixels.max(-1) > 0.1, want.max(-1) > 0.1)
    assert difference < MEAN_DIFFERENCE and overlap > OVERLAP, (difference, overlap)
    return difference, overlap


def test_the_page_opens_from_disk_and_shows_what_we_render(scene):
    with chromium(*SIZE) as page:
        opened(page, scene)
        difference, overlap = check_likeness(bare(page), GaussianAsset(ball(2000)), 0)
        fetched = [url for url in page.requests if not url.startswith(("blob:", "data:"))]
        assert fetched == [scene.as_uri()] and not page.complaints
        print(f"\nmean absolute difference {difference:.4f}, overlap {overlap:.3f}")


def glossy(count: int, degree: int) -> Gaussians:
    """A ball whose colours change with the direction, some to beyond white and black."""
    size = (count, COUNTS[degree], 3)
    return replace(ball(count), harmonics=0.25 * torch.randn(size, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("degree", [1, 3])
def test_the_page_shows_harmonics_as_we_do(tmp_path, degree):
    splats = glossy(2000, degree)
    write_viewer_html(tmp_path / "x.html", splats, ring(4), up=UP)
    with chromium(*SIZE) as page:
        opened(page, tmp_path / "x.html")
        for i in (0, 2):
            page.page.evaluate(f"fewview.choose({i})")
            check_likeness(bare(page), GaussianAsset(splats), i)
            want = [g.render(ring(4)[i]).image for g in map(GaussianAsset, (splats, splats.of_degree(0)))]
            assert (want[0].clamp(0, 1) - want[1]).abs().mean() > 3 * MEAN_DIFFERENCE, "the check would see their lack"
        assert not page.complaints


def test_harmonics_that_do_not_fit_are_left_out_and_the_page_says_so(tmp_path, monkeypatch):
    splats = glossy(300, 3)
    for room, degree in ((300 * 68, 3), (300 * 68 - 68, 2), (300 * 36, 1), (300 * 36 - 36, 0), (300 * 10, 0)):
        monkeypatch.setattr(writer, "MAX_BYTES", writer.PAGE_BYTES + room * 4 // 3 + 4)
        write_viewer_html(tmp_path / "x.html", splats, None, up=UP)
        data, packed = embedded(tmp_path / "x.html")
        assert (data["degree"], data["degrees"]) == (degree, 3)
        assert len(packed) == data["count"] * (20 + 16 * degree) and data["count"] == min(300, room // 20)


def test_tools_that_take_a_picture_by_their_own_clock_see_the_scene(scene, tmp_path):
    """Turning or not: what waits for a worker would stay at "Unpacking ..."."""
    seen = screenshot(scene, tmp_path / "seen.png", SIZE, 300)
    background, middle = seen[5, 250], seen[60:90, 140:180]
    assert background.max() < 0.02 and (middle.max(-1) > 0.3).all() and middle.std((0, 1)).max() > 0.02


@pytest.mark.slow
def test_clicks_drags_keys_and_fingers_do_what_they_say(scene, tmp_path):
    with chromium(*SIZE, has_touch=True, accept_downloads=True) as page:
        opened(page, scene)
        first = bare(page)
        press = lambda name: page.page.click(f"#{name}")
        eye = lambda: np.array(page.page.evaluate("fewview.settled().then(() => fewview.view.eye)"))

        press("cameras")
        assert page.page.locator("#strip button").count() == 4
        assert np.abs(bare(page) - first).max() > 0.3, "lines of the cameras are drawn"
        page.page.locator("#strip button").nth(2).click()
        press("cameras")
        check_likeness(bare(page), GaussianAsset(ball(2000)), 2)

        press("home")
        np.testing.assert_allclose(bare(page), first, atol=2 / 255)
        start = eye()
        page.page.mouse.move(160, 100)
        page.page.mouse.down()
        page.page.mouse.move(200, 110, steps=3)
        page.page.mouse.up()
        turned = eye()
        assert np.linalg.norm(turned - start) > 0.3
        np.testing.assert_allclose(np.linalg.norm(turned), np.linalg.norm(start), rtol=1e-4)
        page.page.mouse.wheel(0, 200)
        until(page.page, lambda: np.linalg.norm(eye()) > 1.2 * np.linalg.norm(turned))
        page.page.keyboard.press("r")
        np.testing.assert_allclose(eye(), start, atol=1e-5)

        touch = page.page.context.new_cdp_session(page.page)
        for kind, gap in (("touchStart", 20), ("touchMove", 30), ("touchMove", 40), ("touchEnd", 0)):
            points = [{"x": 160 - gap, "y": 100, "id": 0}, {"x": 160 + gap, "y": 100, "id": 1}] if gap else []
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        np.testing.assert_allclose(np.linalg.norm(eye()), np.linalg.norm(start) / 2, rtol=0.02)

        press("home")
        press("paper")
        assert bare(page)[0, 0].tolist() == [1, 1, 1]
        press("paper")
        press("paper")
        with page.page.expect_download() as download:
            press("picture")
        download.value.save_as(tmp_path / "picture.png")
        saved = np.asarray(Image.open(tmp_path / "picture.png").convert("RGB")) / 255
        np.testing.assert_allclose(saved, first, atol=2 / 255)

        press("turn")
        until(page.page, lambda: np.linalg.norm(eye() - start) > 0.05)
        press("turn")
        assert not page.complaints


@pytest.mark.slow
def test_a_hundred_thousand_splats_answer_within_ten_seconds(tmp_path):
    write_viewer_html(tmp_path / "large.html", ball(100_000), ring(4), up=UP)
    size = (tmp_path / "large.html").stat().st_size / 1e6
    with chromium(640, 480) as page:
        clock = Clock()
        page.page.goto((tmp_path / "large.html").as_uri())
        page.page.wait_for_selector("#notice:empty", state="attached")
        shown = str(clock)
        page.page.mouse.move(300, 200)
        page.page.mouse.down()
        page.page.mouse.move(340, 200)
        page.page.mouse.up()
        page.page.evaluate("new Promise((tell) => requestAnimationFrame(() => { fewview.renderer.finish(); tell(); }))")
        print(f"\nviewer.html, 100,000 splats, {size:.1f} MB: first picture {shown}, answer to a drag {clock}")
        assert min(clock.wall, clock.worked) < 10 and not page.complaints


@pytest.mark.slow
def test_antialiased_scenes_are_shown_as_such(tmp_path):
    small = ball(4000)
    asset = GaussianAsset(type(small)(small.means, small.scales / 4, *list(small.tensors().values())[2:]), True)
    write_viewer_html(tmp_path / "x.html", asset, ring(4), up=UP)
    with chromium(*SIZE) as page:
        opened(page, tmp_path / "x.html")
        check_likeness(bare(page), asset, 0)
