"""protocol.json: what an evaluation judges, kept beside its results, so that a second run judges the same."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from fewview.checkpoint import read_json, write_json
from fewview.config import to_json
from fewview.errors import InputError

PLAN = "protocol.json"
T = TypeVar("T")


@runtime_checkable
class Named(Protocol):
    """Anything with a name and a length."""

    @property
    def name(self) -> str: ...

    def __len__(self) -> int: ...


def file_name(name: str) -> str:
    """A scene's or method's name without anything that a file name may not hold."""
    return re.sub(r"[^\w.+-]+", "_", name)


def planned(cases: Sequence[Named], make: Callable[[int, int], T], *, kind: str) -> dict[str, T]:
    """make(index, length) of each case; InputError, naming the case, for equal names and what `make` refuses."""
    plans: dict[str, T] = {}
    for index, case in enumerate(cases):
        if file_name(case.name) in map(file_name, plans):
            raise InputError(f"Two {kind}s are called {case.name}; give each {kind} a name of its own.")
        try:
            plans[case.name] = make(index, len(case))
        except InputError as error:
            raise InputError(f"{case.name}: {error}") from None
    return plans


def keep_plan(out: Path, keys: tuple[str, str], protocol: Any, *, plans: Mapping[str, Any]) -> None:
    """Writes the protocol, and the plans (JSON) of all cases, under two keys; InputError where there are others."""
    head, body = to_json(protocol), dict(plans)
    if (out / PLAN).exists():
        before, known = read_plan_data(out, keys)
        if before != head or any(known.get(name, plan) != plan for name, plan in body.items()):
            raise InputError(
                f"{out / PLAN} is of another protocol or another order of {keys[1]}; choose an empty folder."
            )
        body = known | body
    write_json(out / PLAN, {keys[0]: head, keys[1]: body})


def read_plan_data(out: Path, keys: tuple[str, str]) -> tuple[Any, dict[str, Any]]:
    """The protocol and the plans of all cases, as JSON; InputError for a file of another kind."""
    path = out / PLAN
    data = read_json(path)
    if not isinstance(data, dict) or set(data) != set(keys) or not isinstance(data[keys[1]], dict):
        raise InputError(f"{path} is not the protocol of an evaluation of {keys[1]}; choose the folder of one.")
    return data[keys[0]], data[keys[1]]
