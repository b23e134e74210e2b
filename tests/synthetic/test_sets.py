"""What is said of sets: the same fields serve the command line and Python, and numbers of which nothing can be made."""

from dataclasses import replace
from pathlib import Path

import pytest

from fewview.cli import parse
from fewview.commands.data import Data
from fewview.errors import InputError
from fewview.synthetic.sets import ObjectsConfig, RoomsConfig

SAID = {"train": 3, "test": 2, "frames": 5, "size": 48, "seed": 7, "workers": 4, "furniture": Path("library")}
OF_OBJECTS = ObjectsConfig(variants=0, **SAID)
OF_ROOMS = RoomsConfig(clips=2, pieces=9, **SAID)


def said(words: list[str]):
    command = parse(["data", *words])
    assert isinstance(command, Data)
    return command.action


@pytest.mark.parametrize("name, config", [("build", OF_OBJECTS), ("rooms", OF_ROOMS)])
def test_every_field_of_a_set_is_an_option_and_none_has_a_default_of_its_own(name, config):
    options = [word for key, value in vars(config).items() for word in (f"--{key}", str(value))]
    assert said([name, "folder", *options]).set == config
    assert said([name, "folder"]).set == type(config)()


@pytest.mark.parametrize("field", ["train", "test", "frames", "size", "workers"])
def test_objects_need_one_of_each(field):
    OF_OBJECTS.check()
    with pytest.raises(InputError, match=f"--{field}"):
        replace(OF_OBJECTS, **{field: 0}).check()


@pytest.mark.parametrize("field, value", [("frames", 1), ("clips", 0), ("size", 0), ("pieces", 0), ("workers", 0)])
def test_rooms_need_two_frames_and_one_of_all_else(field, value):
    OF_ROOMS.check()
    replace(OF_ROOMS, train=0).check()  # held-out rooms alone
    with pytest.raises(InputError, match=f"--{field}"):
        replace(OF_ROOMS, **{field: value}).check()


@pytest.mark.parametrize("variants", [-1, 11])
def test_library_models_have_at_most_ten_variants(variants):
    with pytest.raises(InputError, match="between 0 and 10"):
        replace(OF_OBJECTS, variants=variants).check()
