import pytest
from ggs_rooms import MICRO, lively, room

from fewview.ggs.clips import Clip
from fewview.ggs.model import GGS


@pytest.fixture
def model() -> GGS:
    return lively(GGS(MICRO))


@pytest.fixture
def clip() -> Clip:
    return room()
