"""States of stopped runs: folders of steps, and single files."""

import pytest
import torch

from fewview.checkpoint import load_tensors, read_json, save_tensors, write_json
from fewview.errors import InputError
from fewview.states import Keeper, StateFile, StepFolder


def tensors(value: float) -> dict[str, torch.Tensor]:
    return {"a/b": torch.full((2,), value), "c": torch.tensor(3)}


def found(keeper: Keeper) -> tuple[dict[str, torch.Tensor], dict[str, int]]:
    with keeper.kept() as state:
        assert state is not None
        return state.tensors, state.numbers


def test_nothing_was_kept_at_first(tmp_path):
    for keeper in (StepFolder(tmp_path / "run"), StateFile(tmp_path / "run.safetensors")):
        with keeper.kept() as state:
            assert state is None
        assert list(tmp_path.iterdir()) == []


def test_the_newest_step_comes_back_and_older_ones_go(tmp_path):
    keeper = StepFolder(tmp_path / "run")
    for step in (5, 10):
        keeper.keep(tensors(step), step=step, seed=7)
    kept, numbers = found(keeper)
    assert numbers == {"step": 10, "seed": 7} and kept.keys() == tensors(0).keys()
    assert all(torch.equal(kept[name], tensor) for name, tensor in tensors(10).items())
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["000010.safetensors", "state.json"]


def test_a_run_that_dies_while_it_keeps_a_step_has_the_one_before(tmp_path, monkeypatch):
    keeper = StepFolder(tmp_path)
    keeper.keep(tensors(1), step=1)

    def dies(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("fewview.states.write_json", dies)
    with pytest.raises(KeyboardInterrupt):
        keeper.keep(tensors(2), step=2)
    kept, numbers = found(keeper)
    assert numbers == {"step": 1} and torch.equal(kept["a/b"], tensors(1)["a/b"])


def test_a_file_is_replaced_at_once(tmp_path):
    keeper = StateFile(tmp_path / "new" / "state.safetensors")
    keeper.keep(tensors(1))
    keeper.keep(tensors(2))
    assert torch.equal(found(keeper)[0]["a/b"], load_tensors(keeper.path)["a/b"])
    assert list(keeper.path.parent.iterdir()) == [keeper.path]


@pytest.mark.parametrize("numbers", [{}, [], {"step": "x"}, {"step": 2}])
def test_numbers_that_name_no_step_are_refused_with_their_folder(tmp_path, numbers):
    keeper = StepFolder(tmp_path)
    keeper.keep(tensors(1), step=1)
    assert read_json(tmp_path / "state.json") == {"step": 1}
    write_json(tmp_path / "state.json", numbers)
    with pytest.raises(InputError, match=str(tmp_path)):
        found(keeper)


def test_what_does_not_fit_inside_of_the_block_names_the_place(tmp_path):
    keeper = StateFile(tmp_path / "state.safetensors")
    save_tensors(keeper.path, tensors(1))
    with pytest.raises(InputError, match=rf"{keeper.where} is damaged .*shape"), keeper.kept():
        raise ValueError("its shape is another")
