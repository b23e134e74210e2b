import json
import re
from html.parser import HTMLParser

import av
import pytest
import torch
from viewer.browser import chromium

from fewview.cameras import Cameras
from fewview.errors import InputError
from fewview.export.comparison import Comparison
from fewview.export.mesh import Mesh
from fewview.export.package import FILES, Products, Record, write_results
from fewview.export.ply import read_ply
from fewview.export.report import Report, html
from fewview.render.asset import GaussianAsset
from fewview.render.gaussians import Gaussians
from fewview.views import Render, Views

VOID = {"meta", "img", "br", "link", "input", "wbr"}


class Tidy(HTMLParser):
    """Checks that tags nest, and collects what the page refers to."""

    def __init__(self):
        super().__init__()
        self.open, self.links, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def tidy(page: str) -> Tidy:
    parser = Tidy()
    parser.feed(page)
    assert not parser.open
    return parser


@pytest.fixture
def asset() -> GaussianAsset:
    n = torch.Generator().manual_seed(3)
    means = torch.randn(40, 3, generator=n) * 0.5
    return GaussianAsset(
        Gaussians(means, torch.full((40, 3), 0.2), torch.ones(40, 4), torch.full((40,), 0.8), (means + 1).clamp(0, 1))
    )


@pytest.fixture
def views(asset) -> Views:
    centers = torch.tensor([[0.0, 1, -4], [4, 1, 0], [0, 1, 4]])
    cameras = Cameras.look_at(centers, torch.zeros(3), torch.tensor([0.0, 1, 0]), focal=30.0, height=24, width=32)
    seen = asset.render(cameras)
    return Views(seen.image.clamp(0, 1), cameras, seen.alpha)


def test_everything_is_there_and_can_be_read(tmp_path, asset, views):
    corners = torch.eye(3).numpy()
    mesh = Mesh(corners, torch.tensor([[0, 1, 2]]).numpy(), (corners * 255).astype("uint8"))
    orbit = Cameras.cat([views.cameras] * 2)
    products = Products(mesh, asset.gaussians, orbit, truth=views)
    record = Record("chair", {"distill": {"steps": 3, "rates": [0.1, 0.2]}}, {"distil": 3.0, "mesh": 1.0})
    write_results(tmp_path / "out", asset, views, products=products, record=record)
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == set(FILES) - {"profile.html"}
    assert torch.equal(GaussianAsset.load(out / "scene").gaussians.means, asset.gaussians.means)
    assert len(read_ply(out / "splats.ply").gaussians) == 40
    frames = json.loads((out / "transforms.json").read_text())["frames"]
    assert [frame["file_path"] for frame in frames] == [f"views/{i:03d}.png" for i in range(6)]
    assert all((out / frame["file_path"]).exists() for frame in frames)
    with av.open(str(out / "orbit.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == 6
    page = (out / "report.html").read_text()
    assert "distill.<wbr>steps" in page and "chair" in page and "has holes" in page and "4.0 s" in page


def test_a_failure_leaves_the_former_result_as_it_was(tmp_path, asset, views):
    orbit = views.cameras[:1]
    write_results(tmp_path / "out", asset, views, products=Products(path=orbit))
    before = (tmp_path / "out" / "report.html").read_bytes()
    broken = Products(path=orbit, splats=Gaussians(*asset.gaussians.tensors().values())[:0])
    object.__setattr__(broken.splats, "features", torch.zeros(0, 9))
    with pytest.raises(ValueError, match="colour channels"):
        write_results(tmp_path / "out", asset, views, products=broken)
    assert (tmp_path / "out" / "report.html").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_with_other_files_is_not_overwritten(tmp_path, asset, views):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"thesis\.tex"):
        write_results(tmp_path, asset, views)
    with pytest.raises(InputError, match="is a file"):
        write_results(tmp_path / "thesis.tex", asset, views)
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_the_report_stands_alone_and_escapes_names(asset, views):
    seen = asset.render(views.cameras)
    nasty = "<script>alert('x')</script> & co"
    report = Report(
        nasty, views, seen, {nasty: 1.0}, {nasty: nasty}, {nasty: nasty}, {'a"b.ply': nasty}, (views, seen), b"film",
        Comparison(views, seen, (0, 1, 2), 3), seen.alpha,
    )  # fmt: skip
    page = html(report)
    parsed = tidy(page)
    assert page.count("<script") == 1 and nasty in "".join(parsed.text)
    outside = [link for link in parsed.links if not link.startswith("data:")]
    assert outside == ['a"b.ply']
    assert not re.search(r"(https?:)?//|@import|url\(", page.split("</style>")[0])


def test_the_report_gives_psnr_against_the_truth(asset, views):
    grey = Render(views.images + 0.1, views.masks, views.masks)
    page = html(Report("x", views, grey, truth=(Views(views.images, views.cameras), grey)))
    assert "PSNR 20.00 dB" in page


def test_a_report_of_little_is_whole(views):
    empty = torch.zeros(1, 1, 24, 32)
    bare = Report("x", Views(views.images, views.cameras), Render(empty.expand(1, 3, -1, -1), empty, empty))
    tidy(html(bare))


LAYOUT = """() => {
    const lines = (each) => {
        const range = document.createRange();
        range.selectNodeContents(each);
        return range.getClientRects().length;
    };
    const rows = {};
    for (const each of document.querySelectorAll('.pairs figure')) {
        const top = Math.round(each.getBoundingClientRect().top);
        rows[top] = (rows[top] ?? 0) + 1;
    }
    return { wide: document.documentElement.scrollWidth, times: [...document.querySelectorAll('.bar + td')].map(lines),
        rows: Object.values(rows) };
}"""


@pytest.mark.parametrize("width", [360, 700, 1400])
def test_times_stand_in_a_line_and_frames_in_whole_rows_at_any_width(asset, views, tmp_path, width):
    seen = asset.render(views[[0, 1, 2, 0, 1, 2, 0, 1]].cameras)
    timings = {"imagining first views": 29.8, "reading, rendering and writing": 2000.0}
    (tmp_path / "x.html").write_text(html(Report("x", views, seen, timings)))
    with chromium(width, 800) as page:
        page.page.goto((tmp_path / "x.html").as_uri())
        found = page.page.evaluate(LAYOUT)
    assert found["wide"] <= width and found["times"] == [1] * 3
    assert found["rows"] == ([2] * 4 if width < 640 else [4] * 2)
