import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from evaluation.fakes import Knows, RingScene

from fewview.errors import InputError
from fewview.evaluation.objects.protocol import evaluate
from fewview.evaluation.objects.splits import Protocol

FOLDER = Path(__file__).parents[2] / "papers" / "sparsefusion"
TABLES = json.loads((FOLDER / "published.json").read_text())["tables"]
CORE = ["donut", "apple", "hydrant", "vase", "cake", "ball", "bench", "suitcase", "teddybear", "plant"]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("sparsefusion_tables", FOLDER / "tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_categories_of_table_1_average_to_table_2():
    """Both were averaged over the same 100 scenes, so they agree up to rounding."""
    for method, categories in TABLES["5.1"]["rows"].items():
        assert list(categories) == CORE
        for metric, rounding in (("psnr", 0.055), ("lpips", 0.0055)):
            mean = sum(values[metric] for values in categories.values()) / len(CORE)
            assert mean == pytest.approx(TABLES["5.2"]["rows"][method]["2"][metric], abs=rounding), (method, metric)


def test_hydrants_agree_over_tables_1_4_and_5():
    detailed, seeking, setup = (TABLES[number]["rows"] for number in ("5.1", "5.4", "5.5"))
    assert setup["pixel, multiple steps, perceptual"] == seeking["SparseFusion"]
    for method in ("EFT", "VLDM", "SparseFusion"):
        for metric, rounding in (("psnr", 0.055), ("lpips", 0.0085)):  # SparseFusion's LPIPS is .16 and .153
            assert detailed[method]["hydrant"][metric] == pytest.approx(seeking[method]["2"][metric], abs=rounding)


def test_tables_have_the_thesis_s_size():
    sizes = {number: (len(table["rows"]), len(next(iter(table["rows"].values())))) for number, table in TABLES.items()}
    assert sizes == {"5.1": (6, 10), "5.2": (6, 3), "5.3": (5, 1), "5.4": (5, 1), "5.5": (8, 1)}
    for number, table in TABLES.items():
        for method, groups in table["rows"].items():
            for values in groups.values():
                assert 15 <= values["psnr"] <= 25 and 0.15 <= values["lpips"] <= 0.45, (number, method)


def test_without_a_run_ours_are_dashes(script):
    lines = [line for line in script.report([]).splitlines() if ", ours" in line]
    assert len(lines) == 30 and all(set(line.split("ours")[1]) == set(" |-") for line in lines)


def test_a_run_fills_the_cells_that_it_covers_and_no_other(script, tmp_path):
    scenes = [RingScene("hydrant/1"), RingScene("chair/1")]
    evaluate({"eft": Knows(), "Mine": Knows()}, scenes, Protocol(context=3, views=6, size=16), out=tmp_path / "three")
    evaluate(
        {"eft": Knows(), "eft-field": Knows()}, scenes, Protocol(context=2, views=6, size=16), out=tmp_path / "two"
    )
    text = script.report([tmp_path / "two", tmp_path / "three"])
    ours = [line for line in text.splitlines() if line.startswith("| EFT, ours")]
    assert ours[0] == "| EFT, ours |" + " - |" * 4 + " 100.00 | - |" + " - |" * 14
    assert ours[1] == "| EFT, ours | 100.00 | 1.000 | - | 100.00 | 1.000 | - | - | - | - |"
    assert "| EFT + INGP, ours | 100.00 | 1.000 | - |" in text
    assert ours[2] == "| EFT, ours | - | - | - |"  # two categories are not all 51
    assert "* 3 views, Mine: 2 scenes of chair, hydrant" in text and "do not compare" in text


def test_the_same_rows_twice_are_an_input_error(script, tmp_path):
    evaluate({"eft": Knows()}, [RingScene("a/1")], Protocol(views=6, size=16), out=tmp_path)
    with pytest.raises(InputError, match="repeats"):
        script.report([tmp_path, tmp_path])


def test_the_script_ends_with_2_and_one_sentence_for_a_folder_that_is_none(tmp_path):
    run = subprocess.run(
        [sys.executable, FOLDER / "tables.py", tmp_path / "nothing"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2 and run.stderr.count("\n") == 1 and "does not exist" in run.stderr
