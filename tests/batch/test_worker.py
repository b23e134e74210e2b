"""The lines by which the driver and its workers talk."""

import json
from pathlib import Path

import pytest

from fewview.batch.jobs import Job
from fewview.batch.work import Outcome
from fewview.batch.worker import asked, heard, said

JOB = Job('a "b" ü', ("reconstruct", "a b", "--seed", "3"))


def test_an_outcome_comes_back_from_its_line_as_it_was():
    outcome = Outcome(JOB, "refused", "a b", 1.5, "One line,\nor two.")
    line = said(outcome)
    assert line.count("\n") == 1 and heard(line) == outcome


def test_a_line_that_broke_off_is_no_outcome():
    with pytest.raises(ValueError):
        heard(said(Outcome(JOB, "made"))[:-9])


def test_a_job_is_one_line_of_json():
    line = asked(JOB, Path("out"), "x:y", wait=True)
    assert line.endswith("\n") and json.loads(line) == {
        "name": JOB.name, "words": list(JOB.words), "out": "out", "make": "x:y", "wait": True,
    }  # fmt: skip
