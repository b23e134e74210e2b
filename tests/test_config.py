import json
from dataclasses import dataclass, field, replace
from typing import Literal

import pytest

from fewview.config import from_json, to_json
from fewview.errors import InputError


@dataclass(frozen=True)
class Inner:
    rate: float = 1e-3
    names: tuple[str, ...] = ("a",)


@dataclass(frozen=True)
class Outer:
    steps: int
    kind: Literal["fast", "slow"] = "fast"
    flag: bool = False
    pair: tuple[int, float] = (1, 0.5)
    maybe: int | None = None
    inner: Inner = field(default_factory=Inner)
    either: Inner | None = None
    grid: tuple[tuple[int, int], ...] = ()


FULL = Outer(3, "slow", True, (2, 0.25), 7, Inner(2.0, ("x", "y")), Inner(), ((1, 2), (3, 4)))


@pytest.mark.parametrize("config", [Outer(1), FULL])
def test_configs_survive_json(config):
    assert from_json(Outer, json.loads(json.dumps(to_json(config)))) == config


def test_defaults_fill_what_is_not_said():
    assert from_json(Outer, {"steps": 1}) == Outer(1)


def test_an_integer_is_a_number():
    read = from_json(Outer, {"steps": 1, "inner": {"rate": 2}, "pair": [1, 3]})
    assert read == replace(Outer(1), inner=Inner(2.0), pair=(1, 3.0))
    assert isinstance(read.inner.rate, float) and isinstance(read.pair[1], float)


WRONG = [
    ({}, "lacks the key 'steps'"),
    ({"steps": 1, "stpes": 2}, "unknown key 'stpes'"),
    ({"steps": 1, "inner": {"rat": 1}}, r"config\.inner has the unknown key 'rat'"),
    ({"steps": "1"}, r"config\.steps is '1'; it must be a int"),
    ({"steps": 1.0}, r"config\.steps is 1\.0"),
    ({"steps": True}, r"config\.steps is True"),
    ({"steps": None}, r"config\.steps is None"),
    ({"steps": 1, "flag": 1}, r"config\.flag is 1"),
    ({"steps": 1, "kind": "medium"}, "must be one of 'fast', 'slow'"),
    ({"steps": 1, "kind": ["fast"]}, "must be one of"),
    ({"steps": 1, "pair": [1]}, r"config\.pair has 1 entries; it must have 2"),
    ({"steps": 1, "pair": "12"}, r"config\.pair is '12'; it must be a list"),
    ({"steps": 1, "pair": [1, True]}, r"config\.pair\[1\] is True"),
    ({"steps": 1, "maybe": "x"}, r"config\.maybe is 'x'"),
    ({"steps": 1, "inner": None}, r"config\.inner must be an object"),
    ({"steps": 1, "inner": [1]}, r"config\.inner must be an object"),
    ({"steps": 1, "either": 3}, r"config\.either must be an object"),
    ({"steps": 1, "inner": {"names": ["a", 1]}}, r"config\.inner\.names\[1\] is 1"),
    ({"steps": 1, "grid": [[1, 2], [3]]}, r"config\.grid\[1\] has 1 entries"),
    ([], "config must be an object"),
    (None, "config must be an object"),
]


@pytest.mark.parametrize(("data", "words"), WRONG)
def test_what_does_not_fit_is_refused_by_name(data, words):
    with pytest.raises(InputError, match=words):
        from_json(Outer, data)


def test_the_file_is_named_when_it_is_known():
    with pytest.raises(InputError, match=r"model/config\.json\.inner\.rate"):
        from_json(Outer, {"steps": 1, "inner": {"rate": "x"}}, where="model/config.json")


def test_what_is_no_config_value_is_not_written():
    @dataclass(frozen=True)
    class Odd:
        value: object

    with pytest.raises(TypeError, match="no place in a config"):
        to_json(Odd(object()))
    with pytest.raises(TypeError, match="no place in a config"):
        to_json(Odd({"a": 1}))
