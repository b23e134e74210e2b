"""References: which photos and generated views a chunk is shown."""

from ggs_rooms import along

from fewview.cameras import Cameras
from fewview.ggs.references import chosen_references


def test_references_are_those_that_leave_no_target_far():
    pick = lambda places, targets, count, reach=9.0: chosen_references(
        along(places), along(targets), count, pace=1.0, reach=reach
    )
    assert sorted(pick([0, 1, 5, 6], [2, 3, 4], 2)) == [1, 2]
    assert pick([0, 1, 2, 3], [4, 5], 2) == [3, 0]  # the second brings nothing: the first photo
    assert pick([0, 1, 2, 3], [4, 5], 2, reach=3.5) == [3, 2]  # but not one from too far away
    assert pick([0, 50], [100.0], 2) == [1]  # the only one, however far
    assert pick([0.0], [1.0], 3) == [0]


def test_references_look_the_same_way():
    candidates = Cameras.cat([along([0.0], turn=2.5), along([0.4])])
    assert chosen_references(candidates, along([0.0]), 1, pace=1.0, reach=9.0) == [1]
