import math
from types import SimpleNamespace

import pytest
import torch
from evaluation.rooms import Blank, BoxWalk, Fails, Oracle

from fewview.errors import InputError
from fewview.evaluation.fidelity import Trunk, fid, kid
from fewview.evaluation.metrics import psnr
from fewview.evaluation.pictures import load_png
from fewview.evaluation.rooms.pictures import load_strip
from fewview.evaluation.rooms.plan import read_plan, strip_path, unmended
from fewview.evaluation.rooms.protocol import evaluate_rooms
from fewview.evaluation.rooms.rows import SetRow, read_rooms
from fewview.evaluation.rooms.tables import summary, third
from fewview.evaluation.rooms.tsed import tsed
from fewview.evaluation.rooms.windows import RoomProtocol
from fewview.evaluation.rows import read_lines
from fewview.nn.lpips import Lpips
from fewview.views import Views

pytest.importorskip("cv2")
PROTOCOL = RoomProtocol(frames=4, size=32, pictures=2)
COLOURS = Trunk("colours", lambda images: torch.cat([images.mean((-2, -1)), images.std((-2, -1))], dim=1))


def _walks(number=2, **options):
    return [BoxWalk(f"walk-{i}", seed=i, **options) for i in range(number)]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A whole evaluation of an oracle, of one that keeps to its references, and of nothing."""
    out = tmp_path_factory.mktemp("rooms")
    walks = _walks(2)
    methods = {"oracle": Oracle(walks), "careful": Oracle(walks, invents=False), "blank": Blank()}
    assert evaluate_rooms(methods, walks, PROTOCOL, out=out, trunk=COLOURS) == []
    return out, walks, methods


def _views(out, method, setting, kind="between"):
    rows = [row for row in read_rooms(out / "rooms.jsonl") if (row.method, row.setting) == (method, setting)]
    return [view for row in rows for view in row.of(kind)]


def test_methods_get_references_and_the_cameras_to_generate_and_are_judged_between_them(done):
    out, walks, methods = done
    assert len(methods["oracle"].inputs) == 4
    _, windows = read_plan(out)
    for i, setting in enumerate(("interpolation", "extrapolation")):
        window = windows["walk-0"][setting]
        cameras = walks[0].cameras([*window.references, *window.targets], 32)
        assert torch.equal(methods["oracle"].inputs[i].cameras.centers, cameras.centers[:2])
        path = methods["oracle"].paths[i]
        assert path is not None and torch.equal(path.centers, cameras.centers[2:])
        rows = [r for r in read_rooms(out / "rooms.jsonl") if (r.clip, r.setting) == ("walk-0", setting)]
        assert {tuple(view.frame for view in row.views) for row in rows} == {window.judged}
    assert methods["blank"].drawn[0] == methods["blank"].drawn[1] != methods["blank"].drawn[2]


def test_true_splats_are_near_the_truth_and_nothing_is_the_truths_own_loudness(done):
    out, walks, _ = done
    for view in _views(out, "oracle", "interpolation"):
        assert view.psnr > 19 and view.seen is not None and view.seen.squared_error < 0.015
        assert view.depth is not None and view.depth.coverage > 0.97
        assert view.depth.relative is not None and view.depth.relative < 0.05
    for view in _views(out, "blank", "interpolation"):
        assert view.depth is not None and view.depth.coverage == 0 and view.depth.relative is None
    row = next(r for r in read_rooms(out / "rooms.jsonl") if r.method == "blank")
    truth = walks[0].frames([v.frame for v in row.views], 32)[0].images
    torch.testing.assert_close(torch.tensor([v.psnr for v in row.views]), psnr(torch.zeros_like(truth), truth))
    assert row.splats is None and next(r for r in read_rooms(out / "rooms.jsonl")).splats == 32 * 32 * 4


def test_what_the_references_saw_needs_no_invention_and_the_rest_does(done):
    out, _, _ = done

    def errors(method, name):
        scores = [getattr(v, name) for v in _views(out, method, "extrapolation")]
        return sum(s.pixels * s.squared_error for s in scores if s) / sum(s.pixels for s in scores if s)

    assert errors("careful", "seen") < 1.5 * errors("oracle", "seen")
    assert errors("careful", "outside") > 5 * errors("oracle", "outside")
    for view in _views(out, "blank", "extrapolation"):
        assert sum(s.pixels for s in (view.seen, view.occluded, view.outside) if s) == 32 * 32


def test_renders_lie_on_disk_as_strips_and_sheets_show_classes(done):
    out, walks, _ = done
    _, windows = read_plan(out)
    judged = windows["walk-1"]["extrapolation"].judged
    truth = load_strip(strip_path(out, "truth", "extrapolation", clip="walk-1"))
    torch.testing.assert_close(truth, walks[1].frames(judged, 32)[0].images, atol=1 / 500, rtol=0)
    sheet = load_png(out / "pictures" / "walk-1-extrapolation.png")
    assert sheet is not None and sheet.shape[-1] >= 6 * 128  # inputs, truth, classes, three methods


def test_fidelity_is_that_of_all_renders_and_states_n(done):
    out, _, _ = done
    rows = {(r.method, r.setting, r.kind): r for r in read_lines(out / "sets.jsonl", SetRow)}
    assert len(rows) == 3 * 2 * 2
    _, windows = read_plan(out)
    images = {}
    for method in ("truth", "careful"):
        parts = []
        for clip in ("walk-0", "walk-1"):
            window = windows[clip]["extrapolation"]
            keep = [i for i, frame in enumerate(window.judged) if frame in window.between]
            parts.append(load_strip(strip_path(out, method, "extrapolation", clip=clip))[keep])
        images[method] = COLOURS(torch.cat(parts))
    row = rows["careful", "extrapolation", "between"]
    assert row.n == len(images["truth"]) and row.clips == 2 and row.trunk == "colours"
    assert row.kid == pytest.approx(kid(images["careful"], images["truth"]), rel=1e-5)
    assert row.fid == pytest.approx(fid(images["careful"], images["truth"]), rel=1e-5)
    assert rows["oracle", "extrapolation", "between"].kid < row.kid < rows["blank", "extrapolation", "between"].kid


def test_frames_of_true_splats_agree_with_the_cameras_and_blank_ones_have_no_matches(done):
    out, _, _ = done
    rows = {(r.method, r.clip, r.setting): r for r in read_rooms(out / "rooms.jsonl")}
    blank, oracle = (rows[m, "walk-0", "interpolation"].pairs("generated") for m in ("blank", "oracle"))
    assert [pair.matches for pair in blank] == [0] and oracle[0].consistent()


class Turning(Oracle):
    """A whole scene, made of frames that show another place than their cameras: 8 pixels lower each second one."""

    def generate(self, views, path=None, *, generator=None):
        images = self._at(next(iter(self.walks.values())), path, path.height).images.clone()
        images[1::2] = images[1::2].roll(8, dims=-2)
        return SimpleNamespace(scene=self.reconstruct(views, path=path), images=Views(images, path))


def test_frames_that_a_scene_was_made_of_are_judged_beside_its_renders(tmp_path):
    walks = _walks(1, count=7)
    protocol = RoomProtocol(1, 7, size=64)
    assert evaluate_rooms({"m": Turning(walks), "oracle": Oracle(walks)}, walks, protocol, out=tmp_path) == []
    rows = {row.method: row for row in read_rooms(tmp_path / "rooms.jsonl")}
    assert rows["oracle"].frame_pairs is None and rows["m"].frame_pairs is not None
    assert len(rows["m"].frame_pairs) == len(rows["m"].generated_pairs) == 5
    assert tsed(list(rows["m"].generated_pairs)) > 0.5 and tsed(list(rows["m"].frame_pairs)) == 0
    (line,) = [line for line in summary(tmp_path).splitlines() if line.startswith("| m, its frames")]
    assert "| 0.000 | 0.000 |" in line


def test_the_summary_holds_every_table(done):
    out, _, _ = done
    text = summary(out)
    for words in ("Interpolation, renders between", "Extrapolation, renders at", "10³ KID-colours", "TSED 2 px",
                  "TSED 0.25 px", "enough matches", "of these consistent", "out of frame LPIPS", "| careful |",
                  "% of pixels", "oracle minus"):  # fmt: skip
        assert words in text
    assert "nan" not in text


def test_a_second_run_does_nothing_and_a_torn_one_makes_the_missing_row(done, tmp_path):
    walks = _walks(1)
    evaluate_rooms({"m": Blank()}, walks, PROTOCOL, out=tmp_path)
    path = tmp_path / "rooms.jsonl"
    before = read_rooms(path)
    again = Blank()
    evaluate_rooms({"m": again}, walks, PROTOCOL, out=tmp_path)
    assert again.drawn == [] and read_rooms(path) == before
    path.write_bytes(path.read_bytes()[:-10])
    evaluate_rooms({"m": again}, walks, PROTOCOL, out=tmp_path)
    after = read_rooms(path)
    assert len(again.drawn) == 1 and [row.key for row in after] == [row.key for row in before]
    assert [row.views for row in after] == [row.views for row in before]


def test_lpips_is_taken_of_every_class_and_made_good_later(tmp_path):
    torch.manual_seed(0)
    net, walks = Lpips("vgg", layers=2), _walks(1)
    for lin in net.lins.parameters():
        lin.abs_()
    evaluate_rooms({"m": Blank()}, walks, PROTOCOL, out=tmp_path)
    assert _views(tmp_path, "m", "extrapolation")[0].lpips is None
    evaluate_rooms({"m": Blank()}, walks, PROTOCOL, out=tmp_path, lpips=net)
    for view in _views(tmp_path, "m", "extrapolation"):
        scores = [s for s in (view.seen, view.occluded, view.outside) if s]
        mean = sum(s.pixels * s.lpips for s in scores if s.lpips is not None) / 32**2
        assert view.lpips is not None and mean == pytest.approx(view.lpips, rel=0.05)


def test_a_failure_stops_nothing_else_and_is_told(tmp_path):
    said: list[str] = []
    failures = evaluate_rooms({"weak": Fails(), "m": Blank()}, _walks(1), PROTOCOL, out=tmp_path, progress=said.append)
    assert [(f.scene, f.method) for f in failures] == [
        ("walk-0, interpolation", "weak"),
        ("walk-0, extrapolation", "weak"),
    ]
    assert unmended(tmp_path) == failures and len(read_rooms(tmp_path / "rooms.jsonl")) == 2
    assert "Failed: weak on walk-0, interpolation" in summary(tmp_path)
    assert evaluate_rooms({"weak": Blank()}, _walks(1), PROTOCOL, out=tmp_path) == [] and unmended(tmp_path) == []


def test_without_true_depth_there_are_no_classes_but_all_else(tmp_path):
    evaluate_rooms({"m": Blank()}, _walks(2, known=False), PROTOCOL, out=tmp_path, trunk=COLOURS)
    view = _views(tmp_path, "m", "interpolation")[0]
    assert view.seen is view.occluded is view.outside is view.depth is None and math.isfinite(view.psnr)
    assert "| m |" in summary(tmp_path)


def test_a_walk_frame_by_frame_has_nothing_between_and_a_table_of_its_thirds(tmp_path):
    walks = _walks(2, count=13)
    whole = RoomProtocol(1, len(walks[0]), size=32)
    evaluate_rooms({"oracle": Oracle(walks), "blank": Blank()}, walks, whole, out=tmp_path, trunk=COLOURS)
    row = read_rooms(tmp_path / "rooms.jsonl")[0]
    assert len(row.of("generated")) == len(walks[0]) - 1 and not row.of("between")
    assert [pair for i in range(3) for pair in third(row.generated_pairs, i)] == list(row.generated_pairs)
    text = summary(tmp_path)
    assert "along the walk" in text and "between" not in text and "nan" not in text
    (line,) = [line for line in text.split("along the walk")[1].splitlines() if line.startswith("| blank")]
    assert "0.000, 0.000, 0.000" in line


def test_another_protocol_needs_another_folder(tmp_path):
    evaluate_rooms({}, _walks(1), PROTOCOL, out=tmp_path)
    with pytest.raises(InputError, match="empty folder"):
        evaluate_rooms({}, _walks(1), RoomProtocol(frames=4, size=16), out=tmp_path)
    with pytest.raises(InputError, match="Two clips"):
        evaluate_rooms({}, [BoxWalk("a b"), BoxWalk("a_b")], PROTOCOL, out=tmp_path / "other")


def test_fidelity_of_new_renders_is_taken_again(tmp_path):
    walks = _walks(2)
    evaluate_rooms({"m": Blank()}, walks, PROTOCOL, out=tmp_path, trunk=COLOURS)
    before = read_lines(tmp_path / "sets.jsonl", SetRow)
    (tmp_path / "rooms.jsonl").unlink()
    evaluate_rooms({"m": Oracle(walks)}, walks, PROTOCOL, out=tmp_path, trunk=COLOURS)
    after = read_lines(tmp_path / "sets.jsonl", SetRow)
    assert len(after) == len(before) and all(a.kid < b.kid for a, b in zip(after, before))
