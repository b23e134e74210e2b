"""A few tries of the campaign `fuzz.py`, and what its damages are."""

import json
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from campaigns.fuzz import Tries
from campaigns.mutations import mutate
from campaigns.readers import READERS

TRIES = 12


@pytest.mark.parametrize("name", READERS)
def test_damaged_inputs_are_read_or_refused_in_one_sentence(name, tmp_path):
    (tmp_path / "in").mkdir()
    tries = Tries.prepared(name, tmp_path / "in")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {number: failure for number in range(TRIES) if (failure := tries.run(number))} == {}
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_number_names_a_damage_and_most_damages_change_something():
    data = np.random.default_rng(0).bytes(300)
    made = [mutate("x.bin", data, Random(i)) for i in range(50)]
    assert made == [mutate("x.bin", data, Random(i)) for i in range(50)]
    assert sum(each != data for each in made) > 45


def test_most_damaged_json_is_still_json():
    data = json.dumps({"frames": [{"a": 1.5, "b": ["x", {"c": None}]}] * 3}).encode()
    whole = 0
    for i in range(100):
        try:
            json.loads(mutate("x.json", data, Random(i)))
            whole += 1
        except ValueError:
            pass
    assert whole > 70


def test_a_reader_that_fails_is_found(tmp_path):
    def broken(root):
        if (root / "scene.ply").read_bytes() != whole:
            raise ZeroDivisionError("a bug")

    (tmp_path / "in").mkdir()
    tries = Tries.prepared("PLY", tmp_path / "in")
    whole = (tmp_path / "in" / "scene.ply").read_bytes()
    tries.reader = replace(tries.reader, read=broken)
    assert sum("ZeroDivisionError" in (tries.run(i) or "") for i in range(10)) > 8
