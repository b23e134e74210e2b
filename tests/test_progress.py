"""What a log says of work that takes a while."""

import re
import time

import pytest

from fewview.commands import console
from fewview.export.package import REST, Record
from fewview.progress import Pace


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def lines(times: list[tuple[float, float]]) -> list[str]:
    """What is said of reports (seconds since the start, fraction)."""
    clock = Clock()
    pace = Pace(clock)
    said = []
    for after, fraction in times:
        clock.now = 100 + after
        said.append(pace.line(fraction))
    return [line for line in said if line]


def test_a_line_for_every_tenth_says_what_it_took_and_what_is_to_go():
    said = lines([(i, i / 100) for i in range(1, 101)])
    assert len(said) == 9 and said[0] == "10 %, 10 s so far, about 1 min 30 s to go"
    assert said[-1] == "90 %, 1 min 30 s so far, about 10 s to go"


def test_what_is_to_go_follows_a_machine_that_becomes_slower():
    """Half at one percent a second, then at a quarter of that."""
    said = lines([(i, i / 100) for i in range(51)] + [(50 + 4 * i, 0.5 + i / 100) for i in range(1, 11)])
    assert said[-1] == "60 %, 1 min 30 s so far, about 2 min 40 s to go"


def test_short_work_says_nothing_in_between_and_slow_work_is_never_silent_for_long():
    assert lines([(i / 100, i / 100) for i in range(101)]) == []
    assert len(lines([(10 * i, i / 1000) for i in range(1, 61)])) == 10  # every minute, of the first six hundredths


def test_work_that_reports_the_same_again_foretells_nothing():
    assert lines([(61, 0.0), (140, 0.0)]) == []


def test_stages_without_a_terminal_tell_each_tenth(monkeypatch, capsys):
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    monkeypatch.setattr(console, "Pace", lambda: Pace(clock))
    with console.stages() as report, console.counted("photos", 20) as tell:
        for i in range(21):
            clock.now += 3
            report("distilling", i / 20)
            tell(i)
    said = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("distilling: ") and "to go" in line for line in said) == 9
    assert "distilling: done in 1 min 00 s" in said and said.count("distilling ...") == 1
    assert sum(line.startswith("photos ") and "to go" in line for line in said) == 9
    assert re.fullmatch(r"photos 20/20 \(1 min 03 s in all\)", said[-1])


def test_the_report_has_the_clock_of_the_command(monkeypatch):
    """Its stages add up to the time since the command began, whatever lay between them."""
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    record = Record("x", {}, {"fitting": 20.0, "taking the surface": 5.0}, started=clock.now)
    clock.now += 99
    assert record.seconds() == {"fitting": 20.0, "taking the surface": 5.0, REST: 74.0}
    assert Record("x", {}, {"fitting": 20.0}).seconds() == {"fitting": 20.0}


@pytest.mark.parametrize("seconds", [0.0, 14.0])
def test_the_stages_know_when_the_command_began(seconds):
    with console.stages(seconds) as report:
        assert report.began == seconds
