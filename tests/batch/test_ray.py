"""The same stub on a Ray cluster of this machine; some seconds to start it."""

import pytest
from test_batch import batch, captures, journal, squares
from test_batch import stub as stub

pytest.importorskip("ray")
pytestmark = pytest.mark.slow


def test_ray_makes_each_once_and_gives_up_what_kills_its_workers(tmp_path, capsys):
    root = captures(tmp_path / "in", ["3", "bad", "fatal", "4", "5"])
    assert batch(root, tmp_path / "out", "--backend", "ray", "--workers", 2, "--tries", 2) == 1
    told = capsys.readouterr().out
    assert "is bad; mend it." in told and "died 2 times" in told and "3 made" in told
    assert squares(tmp_path / "out") == [9, 16, 25] and set(journal(tmp_path / "out").values()) == {1}
