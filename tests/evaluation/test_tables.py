import math

import pytest
import torch
from evaluation.fakes import Black, Fails, Knows, RingScene

from fewview.errors import InputError
from fewview.evaluation.objects.protocol import evaluate
from fewview.evaluation.objects.splits import Protocol
from fewview.evaluation.objects.tables import (
    Table,
    by_angle,
    by_category,
    by_method,
    common,
    differences,
    mean_over_scenes,
    paired,
    summary,
)  # fmt: skip
from fewview.evaluation.rows import Row


def _row(method="EFT", scene="a", view=0, psnr=20.0, **values) -> Row:
    defaults = {"category": "cup", "ssim": 0.5, "lpips": 0.25, "angle_to_nearest_context_deg": 10.0, "seconds": 1.0}
    return Row(scene=scene, method=method, view=view, psnr=psnr, **(defaults | values))


def test_mean_is_over_scenes_and_its_error_too():
    rows = [_row(scene="a", view=v, psnr=p) for v, p in enumerate((10.0, 20.0))]
    rows += [_row(scene="b", view=0, psnr=21.0), _row(scene="c", view=0, psnr=30.0)]
    mean = mean_over_scenes(rows, "psnr")  # scene means 15, 21, 30
    assert mean.n == 3 and mean.value == pytest.approx(22)
    assert mean.error == pytest.approx(math.sqrt((49 + 1 + 64) / 2 / 3))
    assert mean.text(2) == "22.00 ± 4.36" and mean.text(1, error=False) == "22.0"


def test_one_scene_has_no_standard_error_and_no_rows_no_mean():
    assert mean_over_scenes([_row()], "psnr").text(2) == "20.00"
    assert mean_over_scenes([], "psnr").text(2) == "-"


def test_a_metric_that_some_rows_lack_is_a_dash():
    assert mean_over_scenes([_row(), _row(view=1, lpips=None)], "lpips").text(3) == "-"


def test_common_keeps_the_views_that_every_method_has():
    rows = [_row("EFT", "a", 0), _row("EFT", "a", 1), _row("EFT", "b", 0), _row("VLDM", "a", 1), _row("VLDM", "c", 0)]
    assert [row.key for row in common(rows)] == [("a", "EFT", 1), ("a", "VLDM", 1)]


def test_method_table_has_a_row_for_each_method_in_order():
    rows = [_row("VLDM"), _row("EFT", psnr=21.0, lpips=None), _row("EFT", "b", psnr=22.0, lpips=None)]
    table = by_method(rows)
    assert table.header == ("method", "PSNR ↑", "SSIM ↑", "LPIPS ↓", "scenes", "seconds")
    assert table.rows == (
        ("VLDM", "20.00", "0.500", "0.250", "1", "1.0"),
        ("EFT", "21.50 ± 0.50", "0.500 ± 0.000", "-", "2", "1.0"),
    )


def test_a_second_perceptual_metric_is_a_column_where_all_rows_have_it():
    rows = [_row("A", lpips_alex=0.1), _row("B", lpips_alex=0.3)]
    table = by_method(rows)
    assert table.header[4] == "LPIPS-Alex ↓" and [row[4] for row in table.rows] == ["0.100", "0.300"]
    found = differences(rows, "B", generator=torch.Generator().manual_seed(0))
    assert found.header[-1] == "LPIPS-Alex ↓" and found.rows[0][-1].startswith("+0.200")
    assert "LPIPS-Alex ↓" not in by_method([*rows, _row("C")]).header


def test_category_table_puts_categories_side_by_side():
    rows = [_row(category="cup"), _row(scene="b", category="vase", psnr=30.0), _row("VLDM", category="cup", psnr=10.0)]
    table = by_category(rows)
    assert table.header == ("method", "cup PSNR ↑", "cup LPIPS ↓", "vase PSNR ↑", "vase LPIPS ↓")
    assert table.rows[0] == ("EFT", "20.00", "0.250", "30.00", "0.250")
    assert table.rows[1] == ("VLDM", "10.00", "0.250", "-", "-")
    assert table.rows[2] == ("scenes", "1", "", "1", "")


def test_angle_bins_hold_their_lower_edge_and_the_last_its_upper_too():
    angles = [0.0, 14.9, 15.0, 90.0, 180.0]
    rows = [_row(view=i, psnr=float(i), angle_to_nearest_context_deg=a) for i, a in enumerate(angles)]
    table = by_angle(rows, metrics=["psnr"])
    assert table.header == ("method", "0-15° PSNR ↑", "15-30° PSNR ↑", "90-180° PSNR ↑")
    assert table.rows[0] == ("EFT", "0.50", "2.00", "3.50")


def test_a_constant_difference_has_an_interval_of_no_width(generator):
    rows = [_row("A", s, v, 10.0 * v + s_i) for s_i, s in enumerate("abc") for v in range(2)]
    rows += [_row("B", row.scene, row.view, row.psnr - 1.5) for row in rows]
    found = paired(rows, "A", "B", metric="psnr", generator=generator)
    assert (found.value, found.low, found.high, found.n) == pytest.approx((1.5, 1.5, 1.5, 3))
    assert paired(rows, "B", "A", metric="psnr", generator=generator).value == pytest.approx(-1.5)


def test_bootstrap_interval_of_two_scenes_is_known():
    # differences 0 and 1: the resampled mean is 0, 1/2, 1 with probability 1/4, 1/2, 1/4
    rows = [_row("B", s) for s in "ab"] + [_row("A", "a", psnr=20.0), _row("A", "b", psnr=21.0)]
    found = paired(rows, "A", "B", metric="psnr", generator=torch.Generator().manual_seed(0))
    assert (found.value, found.low, found.high) == (0.5, 0, 1)


def test_bootstrap_covers_the_truth_about_as_often_as_it_says():
    generator = torch.Generator().manual_seed(0)
    covered = 0
    for _ in range(200):
        draws = torch.randn(30, generator=generator).tolist()
        rows = [_row("A", str(i), psnr=draw) for i, draw in enumerate(draws)]
        rows += [_row("B", str(i), psnr=0.0) for i in range(30)]
        found = paired(rows, "A", "B", metric="psnr", generator=generator, draws=400)
        covered += found.low <= 0 <= found.high
    assert 0.88 < covered / 200 < 0.99


def test_pairs_are_views_that_both_have(generator):
    rows = [_row("A", "a", 0, 20.0), _row("A", "a", 1, 99.0), _row("B", "a", 0, 18.0), _row("B", "b", 0, 1.0)]
    found = paired(rows, "A", "B", metric="psnr", generator=generator)
    assert found.value == 2 and found.n == 1 and math.isnan(found.low)
    with pytest.raises(InputError, match="share no held-out view"):
        paired(rows, "A", "C", metric="psnr", generator=generator)


def test_difference_table_says_sign_and_interval(generator):
    rows = [_row("A", s, psnr=21.0, lpips=None) for s in "ab"] + [_row("B", s, lpips=None) for s in "ab"]
    table = differences(rows, "A", generator=generator)
    assert table.header[0] == "A minus"
    assert table.rows == (("B", "+1.00 [+1.00, +1.00]", "+0.000 [+0.000, +0.000]", "-"),)


def test_markdown_and_plain_text_are_well_formed():
    table = Table("T", ("method", "x"), (("EFT", "1.0"), ("SparseFusion", "10.0")))
    lines = table.markdown().splitlines()
    assert lines[2:] == ["| method | x |", "|---|---:|", "| EFT | 1.0 |", "| SparseFusion | 10.0 |"]
    plain = table.plain().splitlines()
    assert plain[1] == "method           x" and plain[3] == "EFT            1.0" and plain[4] == "SparseFusion  10.0"


def test_summary_is_over_shared_scenes_and_names_what_failed(tmp_path):
    scenes = [RingScene(f"cup/{i}") for i in range(3)]
    methods = {"dark": Black(), "weak": Fails(times=1), "right": Knows()}
    evaluate(methods, scenes, Protocol(views=6, size=16), out=tmp_path)
    text = summary(tmp_path)
    assert "1 scenes are left out" in text and "Failed: weak on cup/0, RuntimeError: out of memory" in text
    assert "| right | 100.00 ± 0.00 | 1.000 ± 0.000 | - | 2 | 0.0 |" in text and "**Paired" in text
    with pytest.raises(InputError, match="no rows"):
        summary(tmp_path / "nothing")
