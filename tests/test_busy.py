"""How many threads work on a machine that others use, and how they wait."""

import os
import subprocess
import sys

import pytest

from fewview import busy


@pytest.mark.parametrize(
    ("cores", "others", "threads"), [(2, 0, 2), (2, 0.4, 2), (2, 1, 1), (2, 2, 1), (2, 40, 1), (16, 4.2, 12), (1, 0, 1)]
)
def test_as_many_threads_as_cores_are_free_and_at_least_one(cores, others, threads):
    assert busy.free_threads(cores, others) == threads


@pytest.mark.parametrize(
    ("text", "others"),
    [
        ("2.10 1.50 1.00 3/412 99\n", 2),  # two loops, and this process
        ("2.10 1.50 1.00 1/412 99\n", 0),  # what ran a minute ago has ended
        ("0.20 0.10 0.10 9/412 99\n", 0.2),  # a flicker
        ("nonsense", 0),
    ],
)
def test_others_are_those_that_compute_now_and_have_for_a_while(text, others, tmp_path):
    (tmp_path / "loadavg").write_text(text)
    assert busy.others(tmp_path / "loadavg") == pytest.approx(others)
    assert busy.others(tmp_path / "nothing") == 0


def started(**settings: str) -> list[str]:
    """Environment and torch's threads after the command has begun, in a Python of its own."""
    code = (
        "import os, fewview.busy as b; b.others = lambda *_: 0.9 * b.cores(); b.share_the_machine(); import torch\n"
        "print(os.environ['OMP_WAIT_POLICY'], os.environ['KMP_BLOCKTIME'], torch.get_num_threads(), b.cores())"
    )
    bare = {name: value for name, value in os.environ.items() if name not in (*busy.WAIT, *busy.THREADS)}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=bare | settings, timeout=300)
    assert out.returncode == 0, out.stderr
    return out.stdout.split()


def test_teams_are_small_and_wait_asleep_on_a_busy_machine_unless_the_user_says_otherwise():
    *waiting, threads, cores = started()
    assert waiting == ["PASSIVE", "0"] and int(threads) == max(1, round(0.1 * int(cores)))
    assert started(OMP_WAIT_POLICY="ACTIVE", OMP_NUM_THREADS="2")[:3] == ["ACTIVE", "0", "2"]


def test_the_command_begins_so(monkeypatch):
    from fewview import cli

    asked = []
    monkeypatch.setattr(cli, "share_the_machine", lambda: asked.append("threads" if "torch" in sys.modules else ""))
    assert cli.main(["--version"]) == 0 and len(asked) == 1
