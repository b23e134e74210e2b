import json

import pytest

from fewview.errors import InputError
from fewview.evaluation.rows import Bar, Row, append_lines, read_lines, read_rows, record_bar


def _row(view: int, scene: str = "cup", **values) -> Row:
    defaults = {"psnr": 20.5, "ssim": 0.7, "lpips": None, "angle_to_nearest_context_deg": 12.0, "seconds": 1.0}
    return Row(scene, "cups", "EFT", view, **(defaults | values))


def _bar(issue: str | int = "12", name="psnr", value=21.0) -> Bar:
    return Bar(issue, name, value, ">= 20 dB", True, 5, "make bars", "CPU")


def test_rows_come_back_as_they_were_written(tmp_path):
    path = tmp_path / "new" / "results.jsonl"
    rows = [_row(0), _row(1, lpips=0.25), _row(0, scene="Tasse, weiß")]
    append_lines(path, rows[:1])
    append_lines(path, rows[1:])
    assert read_rows(path) == rows


def test_a_torn_last_line_is_dropped_and_written_over(tmp_path):
    path = tmp_path / "results.jsonl"
    append_lines(path, [_row(0), _row(1)])
    whole = path.read_bytes()
    for cut in range(1, len(whole) // 2):
        path.write_bytes(whole[:-cut])
        assert read_rows(path) == [_row(0)]
    append_lines(path, [_row(2)])
    assert read_rows(path) == [_row(0), _row(2)]


def test_no_file_has_no_rows(tmp_path):
    assert read_rows(tmp_path / "results.jsonl") == []


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda text: text.replace('"psnr"', '"pnsr"'), "unknown key 'pnsr'"),
        (lambda text: text.replace("20.5", '"20.5"'), "must be a float"),
        (lambda text: text.replace("20.5", "NaN"), "NaN"),
        (lambda text: text.replace("20.5", "Infinity"), "Infinity"),
        (lambda text: text.replace("}", ""), "not valid JSON"),
        (lambda text: "\n" + text, "not valid JSON"),
        (lambda text: "[1]\n" + text, "must be an object"),
        (lambda text: text.replace('"view": 0', '"view": 0.5'), "must be a int"),
        (lambda text: text + text, "line 3 repeats line 1"),
    ],
)
def test_a_line_that_does_not_fit_is_an_input_error_that_names_the_file(tmp_path, change, message):
    path = tmp_path / "results.jsonl"
    append_lines(path, [_row(0), _row(1)])
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=message) as error:
        read_rows(path)
    assert "results.jsonl, line" in str(error.value)


def test_bytes_that_are_no_text_are_an_input_error(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_bytes(b"\xff\xfe\x00\n")
    with pytest.raises(InputError, match="line 1"):
        read_rows(path)


def test_a_value_that_json_does_not_know_is_never_written(tmp_path):
    path = tmp_path / "results.jsonl"
    append_lines(path, [_row(0)])
    with pytest.raises(ValueError):
        append_lines(path, [_row(1, psnr=float("nan"))])
    assert read_rows(path) == [_row(0)]


def test_a_bar_takes_the_place_of_the_same_bar(tmp_path):
    path = tmp_path / "results" / "bars.jsonl"
    for bar in (_bar("12", "psnr", 1.0), _bar("12", "ssim", 2.0), _bar("13", "psnr", 3.0), _bar("12", "psnr", 4.0)):
        record_bar(bar, path)
    found = [(bar.issue, bar.bar, bar.value) for bar in read_lines(path, Bar)]
    assert found == [("12", "psnr", 4), ("12", "ssim", 2), ("13", "psnr", 3)]
    record_bar(_bar(12, "psnr", 5.0), path)
    assert len(read_lines(path, Bar)) == 3
    assert set(json.loads(path.read_text().splitlines()[0])) == {
        "issue", "bar", "value", "target", "met", "n", "command", "device",
    }  # fmt: skip
