from itertools import pairwise

import pytest
from evaluation.fakes import RingScene

from fewview.errors import InputError
from fewview.evaluation.objects.splits import Protocol, Split, linspaced, plan_splits, read_plan, shown_views
from fewview.evaluation.plans import file_name


@pytest.mark.parametrize("total", [2, 3, 31, 32, 33, 63, 100, 202])
@pytest.mark.parametrize("count", [2, 5, 32])
def test_linspaced_is_even_distinct_and_has_both_ends(count, total):
    chosen = linspaced(count, total)
    assert chosen[0] == 0 and chosen[-1] == total - 1 and len(chosen) == min(count, total)
    gaps = [b - a for a, b in pairwise(chosen)]
    assert min(gaps) >= 1 and max(gaps) - min(gaps) <= 1


def test_every_frame_is_taken_once_and_inputs_are_never_judged():
    for index in range(20):
        split = Protocol(context=3, views=8).split(index, 100)
        assert len(split.context) == 3 and len(split.held_out) == 5
        assert sorted(split.context + split.held_out) == linspaced(8, 100)


def test_fewer_inputs_are_the_first_of_more():
    two, six = (Protocol(context=n).split(4, 100) for n in (2, 6))
    assert two.context == six.context[:2]
    assert set(six.held_out) < set(two.held_out)


def test_inputs_depend_on_seed_plus_scene_index_alone():
    assert Protocol(seed=3).split(4, 100) == Protocol(seed=0).split(7, 100)
    assert len({Protocol().split(i, 100).context for i in range(20)}) > 15


def test_every_frame_is_used_where_views_is_none_or_too_many():
    assert len(Protocol(context=1, views=None).split(0, 50).held_out) == 49
    assert len(Protocol(context=1, views=32).split(0, 20).held_out) == 19


def test_shown_views_are_spread_over_the_held_out():
    split = Split((0,), tuple(range(1, 31)))
    assert shown_views(split, 2) == [7, 22] and shown_views(split, 0) == []
    assert shown_views(Split((0,), (1, 2)), 5) == [0, 1]


@pytest.mark.parametrize("values", [{"context": 0}, {"context": 32}, {"size": 0}, {"pictures": -1}])
def test_an_impossible_protocol_is_an_input_error(values):
    with pytest.raises(InputError):
        Protocol(**values)


def test_a_plan_comes_back_from_disk_and_grows_with_new_scenes(tmp_path):
    protocol = Protocol(views=None)
    first = plan_splits([RingScene("a")], protocol, tmp_path)
    both = plan_splits([RingScene("a"), RingScene("b")], protocol, tmp_path)
    assert both["a"] == first["a"]
    assert read_plan(tmp_path) == (protocol, both)
    assert plan_splits([RingScene("a")], protocol, tmp_path) == first
    assert read_plan(tmp_path) == (protocol, both)


@pytest.mark.parametrize(
    "names, protocol",
    [
        (["b", "a"], Protocol(views=None)),
        (["a", "b"], Protocol(views=None, seed=1)),
        (["a", "b"], Protocol(views=None, size=128)),
    ],
)
def test_another_protocol_or_order_in_the_same_folder_is_an_input_error(tmp_path, names, protocol):
    plan_splits([RingScene("a"), RingScene("b")], Protocol(views=None), tmp_path)
    with pytest.raises(InputError, match=r"protocol\.json"):
        plan_splits([RingScene(name) for name in names], protocol, tmp_path)


def test_scenes_that_are_too_small_or_of_one_name_are_an_input_error(tmp_path):
    with pytest.raises(InputError, match="tiny: 2 views"):
        plan_splits([RingScene("tiny", 2)], Protocol(), tmp_path)
    with pytest.raises(InputError, match="Two scenes"):
        plan_splits([RingScene("cup/1"), RingScene("cup_1")], Protocol(), tmp_path)


def test_a_plan_that_is_none_is_an_input_error(tmp_path):
    for text in ("{}", "[]", "{", '{"protocol": {}, "scenes": {"a": {"context": [0]}}}'):
        (tmp_path / "protocol.json").write_text(text)
        with pytest.raises(InputError, match=r"protocol\.json"):
            read_plan(tmp_path)


def test_file_names_hold_no_separators():
    assert file_name("chair/0 1\\a:b") == "chair_0_1_a_b" and file_name("eft+ingp-2.1") == "eft+ingp-2.1"
