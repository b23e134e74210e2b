import pytest
import torch

from fewview.errors import InputError
from fewview.processes import Group, agreed, first_before_others, generator_of, here, joined, mean_of, own, whole


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_what_the_processes_own_is_together_what_one_draws(count):
    alone = torch.randn(6, 2, generator=torch.Generator().manual_seed(4))
    parts = []
    for rank in range(count):
        generator = generator_of(Group(rank, count), 4)
        parts.append(own(torch.randn(whole(6 // count, generator), 2, generator=generator), generator))
    assert torch.cat(parts).equal(alone)


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(InputError, match=r"batch of 6 .* 4 processes; .*--batch\.$"):
        own(torch.zeros(6), generator_of(Group(0, 4), 0))


def test_a_plain_generator_draws_for_one():
    generator = torch.Generator().manual_seed(0)
    assert whole(5, generator) == whole(5, None) == 5 and own(torch.ones(5), None).shape == (5,)


def test_one_process_is_a_group_of_its_own(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu") as group, first_before_others():
        assert group == here() == Group() and group.first
    assert agreed(True) and not agreed(False)
    assert mean_of({"a": torch.tensor(0.5)}) == {"a": 0.5}
