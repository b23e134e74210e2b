"""Forty numbers are squared, once each, whatever dies on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from fewview import cli
from fewview.batch.jobs import jobs_of, key_of
from fewview.batch.work import JOURNAL, work

HERE = Path(__file__).parent
STUB = "stub:make"


@pytest.fixture(autouse=True)
def stub(monkeypatch):
    """Workers find stub.py; so does this process."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), *filter(None, sys.path)]))
    monkeypatch.syspath_prepend(str(HERE))


def fewview(*words: object) -> int:
    """Exit code of a command."""
    try:
        return cli.main([str(word) for word in words])
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1


def refused(capsys, *words: object) -> str:
    assert fewview(*words) == 2
    return capsys.readouterr().err


def captures(root: Path, contents: list[str]) -> Path:
    for i, text in enumerate(contents):
        (root / f"{i:03d}").mkdir(parents=True)
        (root / f"{i:03d}" / "number.txt").write_text(text)
    return root


def squares(out: Path) -> list[int]:
    return sorted(int(path.read_text()) for path in out.glob("*/square.txt"))


def batch(source: Path, out: Path, *more: object) -> int:
    return fewview("batch", source, "-o", out, "--make", STUB, *more)


def journal(out: Path) -> Counter[str]:
    return Counter(json.loads(line)["folder"] for line in (out / JOURNAL).read_text().splitlines())


def test_a_second_call_makes_only_what_is_missing(tmp_path, capsys):
    root = captures(tmp_path / "in", ["3", "4"])
    assert batch(root, tmp_path / "out", "--workers", 2) == 0
    captures(tmp_path / "more", ["5"])
    (tmp_path / "more" / "000").rename(root / "new")
    capsys.readouterr()
    assert batch(root, tmp_path / "out", "--workers", 1) == 0
    assert "2 there, 1 made" in capsys.readouterr().out
    assert squares(tmp_path / "out") == [9, 16, 25] and set(journal(tmp_path / "out").values()) == {1}


def test_what_is_broken_is_reported_and_the_rest_is_made(tmp_path, capsys):
    root = captures(tmp_path / "in", ["bad", "3", "bug"])
    assert batch(root, tmp_path / "out", "--workers", 1) == 1
    told = capsys.readouterr().out
    assert "is bad; mend it." in told and "1 made" in told and "ZeroDivisionError" in told
    page = (tmp_path / "out" / "index.html").read_text()
    assert "is bad; mend it." in page and "000" in page and "1 refused" in page
    assert squares(tmp_path / "out") == [9]
    assert {o["state"] for o in json.loads((tmp_path / "out" / "batch.json").read_text())["outcomes"]} == {
        "made",
        "refused",
        "failed",
    }


def test_a_capture_that_kills_its_workers_is_given_up(tmp_path, capsys):
    root = captures(tmp_path / "in", ["fatal", "3"])
    assert batch(root, tmp_path / "out", "--workers", 1, "--tries", 2) == 1
    assert "died 2 times" in capsys.readouterr().out and squares(tmp_path / "out") == [9]


def test_workers_and_drivers_may_be_killed_and_nothing_is_made_twice(tmp_path, monkeypatch):
    monkeypatch.setenv("STUB_SECONDS", "0.02")
    root, out = captures(tmp_path / "in", [str(i) for i in range(40)]), tmp_path / "out"
    words = [sys.executable, "-m", "fewview", "batch", root, "-o", out, "--make", STUB, "--workers", 2, "--tries", 9]
    for victims in (2, 3):
        driver = subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL)
        at = len(squares(out))
        for killed in range(1, victims + 1):
            wait_for(lambda: len(squares(out)) >= at + 3 * killed and children(driver.pid))  # noqa: B023
            os.kill(children(driver.pid)[0], signal.SIGKILL)
        wait_for(lambda: len(squares(out)) >= at + 3 * victims + 3)  # noqa: B023
        workers = children(driver.pid)
        driver.kill()
        driver.wait()
        wait_for(lambda: not any(map(alive, workers)))  # noqa: B023
    assert len(squares(out)) < 40
    assert batch(root, out, "--workers", 2) == 0
    assert squares(out) == [i * i for i in range(40)]
    assert max(journal(out).values()) == 1 and len(journal(out)) >= 40 - 7  # one may die before it is noted


def wait_for(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def children(pid: int) -> list[int]:
    """Processes that a process started (Linux)."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False


def test_the_same_content_is_made_once_whatever_its_name(tmp_path):
    root = captures(tmp_path / "in", ["3", "3"])
    jobs = jobs_of(root)
    assert key_of(jobs[0]) == key_of(jobs[1])
    (root / "001" / ".hidden").write_text("x")
    assert key_of(jobs_of(root, "--seed 1")[0]) != key_of(jobs[0])
    (root / "001" / "other.txt").write_text("x")
    assert key_of(jobs[1]) != key_of(jobs[0])


def test_two_batches_share_the_work(tmp_path, monkeypatch):
    monkeypatch.setenv("STUB_SECONDS", "0.05")
    root, out = captures(tmp_path / "in", [str(i) for i in range(12)]), tmp_path / "out"
    words = [sys.executable, "-m", "fewview", "batch", root, "-o", out, "--make", STUB, "--workers", 1]
    both = [subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [driver.wait() for driver in both] == [0, 0]
    assert squares(out) == [i * i for i in range(12)] and sorted(journal(out).values()) == [1] * 12


def test_a_list_has_options_of_its_own_and_other_commands(tmp_path):
    (tmp_path / "a b").mkdir()
    lines = "# mine\n\n'a b' --views 0,2\nevaluate a --scenes 2\ndata rooms --train 3\n"
    (tmp_path / "list.txt").write_text(lines)
    jobs = jobs_of(tmp_path / "list.txt", "--seed 3")
    assert [job.command for job in jobs] == [("reconstruct",), ("evaluate",), ("data", "rooms")]
    assert jobs[0].words == ("reconstruct", str(tmp_path / "a b"), "--views", "0,2", "--seed", "3")
    assert [job.name for job in jobs] == ["a_b", "a", "data-rooms"]


def test_results_of_a_stopped_try_are_handed_to_the_next(tmp_path, monkeypatch):
    seen = []

    def stop(words):
        seen.append(words)
        (Path(words[words.index("-o") + 1]).parent / "kept").touch()
        raise RuntimeError("stopped")

    monkeypatch.setattr("stub.make", stop)
    job = jobs_of(captures(tmp_path / "in", ["3"]))[0]
    assert [work(job, tmp_path / "out", STUB).state for _ in range(2)] == ["failed", "failed"]
    assert "--resume" not in seen[0] and seen[1][-1] == "--resume"
    assert not list((tmp_path / "out").glob("000*"))


@pytest.mark.parametrize(
    ("more", "words"),
    [(["--workers", 0], "at least 1"), (["--address", "auto"], "--backend ray"), (["--options", "'x"], "quotes")],
)
def test_options_that_make_no_sense_are_refused(tmp_path, capsys, more, words):
    captures(tmp_path / "in", ["3"])
    assert words in refused(capsys, "batch", tmp_path / "in", "-o", tmp_path / "out", *more)
    assert not (tmp_path / "out").exists()


def test_nothing_to_do_is_refused(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    assert "no capture" in refused(capsys, "batch", tmp_path / "in", "-o", tmp_path / "out")
    assert "does not exist" in refused(capsys, "batch", tmp_path / "away", "-o", tmp_path / "out")


@pytest.mark.slow
def test_ray_makes_each_once_and_gives_up_what_kills_its_workers(tmp_path, capsys):
    pytest.importorskip("ray")
    root = captures(tmp_path / "in", ["3", "bad", "fatal", "4", "5"])
    assert batch(root, tmp_path / "out", "--backend", "ray", "--workers", 2, "--tries", 2) == 1
    told = capsys.readouterr().out
    assert "is bad; mend it." in told and "died 2 times" in told and "3 made" in told
    assert squares(tmp_path / "out") == [9, 16, 25] and set(journal(tmp_path / "out").values()) == {1}
