import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from fewview import checkpoint
from fewview.checkpoint import (
    atomic_folder,
    atomic_path,
    load_model,
    load_tensors,
    read_json,
    save_model,
    save_tensors,
    write_json,
)
from fewview.errors import InputError


@dataclass(frozen=True)
class NetConfig:
    width: int = 4
    depth: int = 3


class Net(nn.Module):
    def __init__(self, config: NetConfig = NetConfig()):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(config.width, config.width) for _ in range(config.depth)])
        self.norm = nn.BatchNorm1d(config.width)  # has an integer buffer
        self.register_buffer("scale", torch.tensor(2.0))


class Killed(Exception):
    pass


@pytest.fixture
def model() -> Net:
    torch.manual_seed(0)
    return Net()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic_path(path) as temporary:
        assert temporary.parent == path.parent and temporary.suffix == ".txt"
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new" and names(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [Killed, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), atomic_path(path) as temporary:
        temporary.write_text("ne")
        raise error
    assert path.read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_a_failure_leaves_no_new_file(tmp_path):
    with pytest.raises(Killed), atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("ne")
        raise Killed
    assert names(tmp_path) == []


def test_a_folder_replaces_the_old_one_whole(tmp_path):
    folder = tmp_path / "f"
    for content in ("one", "two"):
        with atomic_folder(folder) as temporary:
            (temporary / content).write_text(content)
        assert names(folder) == [content] and names(tmp_path) == ["f"]


def test_a_failure_leaves_the_old_folder_and_nothing_else(tmp_path):
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "old").write_text("old")
    with pytest.raises(Killed), atomic_folder(folder) as temporary:
        (temporary / "new").write_text("new")
        raise Killed
    assert names(folder) == ["old"] and names(tmp_path) == ["f"]


def test_files_are_readable_by_others(tmp_path):
    with atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("a")
    with atomic_folder(tmp_path / "f"):
        pass
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o755


def test_json_survives_and_nan_is_not_written(tmp_path):
    data = {"a": [1, 2.5, None, "ü"], "b": {"c": True}}
    write_json(tmp_path / "a.json", data)
    assert read_json(tmp_path / "a.json") == data
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert read_json(tmp_path / "a.json") == data and names(tmp_path) == ["a.json"]


def test_bad_json_is_refused_by_name(tmp_path):
    (tmp_path / "bad.json").write_bytes(b"{\xff")
    (tmp_path / "cut.json").write_text('{"a": ')
    for name in ("bad.json", "cut.json", "none.json"):
        with pytest.raises(InputError, match=name):
            read_json(tmp_path / name)


def test_tensors_survive_with_type_and_layout(tmp_path):
    tensors = {"a": torch.randn(3, 4).T, "b": torch.arange(5), "c": torch.randn(2).half(), "d": torch.tensor(True)}
    save_tensors(tmp_path / "t.safetensors", tensors)
    read = load_tensors(tmp_path / "t.safetensors")
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensors[name]) and read[name].dtype == tensors[name].dtype for name in tensors)


def test_broken_tensor_files_are_refused_by_name(tmp_path):
    save_tensors(tmp_path / "whole.safetensors", {"a": torch.zeros(100)})
    data = (tmp_path / "whole.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[:200])
    (tmp_path / "huge.safetensors").write_bytes(b"\xff" * 8 + data[8:])
    (tmp_path / "empty.safetensors").write_bytes(b"")
    for name in ("cut", "huge", "empty", "none"):
        with pytest.raises(InputError, match=f"{name}.safetensors"):
            load_tensors(tmp_path / f"{name}.safetensors")


def same(a: nn.Module, b: nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_model_survives_its_folder(tmp_path, model):
    save_model(tmp_path / "net", model, NetConfig())
    read = load_model(tmp_path / "net", Net, NetConfig)
    assert same(read, model) and not read.training and names(tmp_path / "net") == ["config.json", "model.safetensors"]


def test_a_model_survives_in_shards(tmp_path, model, monkeypatch):
    monkeypatch.setattr(checkpoint, "SHARD_BYTES", 100)
    save_model(tmp_path / "net", model, NetConfig())
    shards = sorted((tmp_path / "net").glob("*.safetensors"))
    assert len(shards) > 3 and shards[0].name == f"model-01-of-{len(shards):02d}.safetensors"
    assert all(sum(t.nbytes for t in load_tensors(path).values()) <= 100 for path in shards)
    assert same(load_model(tmp_path / "net", Net, NetConfig), model)
    shards[1].unlink()
    with pytest.raises(InputError, match="lacks the tensor"):
        load_model(tmp_path / "net", Net, NetConfig)


def test_saving_again_leaves_no_old_shards_and_keeps_the_readme(tmp_path, model, monkeypatch):
    monkeypatch.setattr(checkpoint, "SHARD_BYTES", 100)
    save_model(tmp_path / "net", model, NetConfig())
    (tmp_path / "net" / "README.md").write_text("about")
    monkeypatch.undo()
    save_model(tmp_path / "net", model, NetConfig())
    assert names(tmp_path / "net") == ["README.md", "config.json", "model.safetensors"]


def test_half_precision_halves_the_file_and_reads_as_float32(tmp_path, model):
    save_model(tmp_path / "net", model, NetConfig(), half=True)
    read = load_model(tmp_path / "net", Net, NetConfig)
    for name, tensor in model.state_dict().items():
        expected = tensor.half().float() if tensor.is_floating_point() else tensor
        assert torch.equal(read.state_dict()[name], expected) and read.state_dict()[name].dtype == tensor.dtype


def test_the_config_in_the_folder_makes_the_model(tmp_path):
    save_model(tmp_path / "net", Net(NetConfig(2, 1)), NetConfig(2, 1))
    assert len(load_model(tmp_path / "net", Net, NetConfig).layers) == 1


def change_header(**values):
    def damage(folder: Path) -> None:
        header = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(header | values))

    return damage


def change_tensors(change):
    def damage(folder: Path) -> None:
        tensors = load_tensors(folder / "model.safetensors")
        change(tensors)
        save_tensors(folder / "model.safetensors", tensors)

    return damage


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (change_header(format=2), "not of format 1"),
        (change_header(config={"width": 4, "depth": 3, "colour": 1}), "unknown key 'colour'"),
        (change_header(config=None), "must be an object"),
        (change_header(config={"width": 5}), r"'layers\.0\.weight' is \(4, 4\), the config asks for \(5, 5\)"),
        (change_header(config={"depth": 2}), r"unknown tensor 'layers\.2\.bias'"),
        (change_header(**{"class": "Other"}), "holds a Other, not a Net"),
        (lambda folder: (folder / "config.json").write_text("[]"), "not of format 1"),
        (lambda folder: (folder / "config.json").unlink(), r"config\.json does not exist"),
        (lambda folder: (folder / "model.safetensors").unlink(), "lacks the tensor"),
        (change_tensors(lambda tensors: tensors.pop("scale")), "lacks the tensor 'scale'"),
        (change_tensors(lambda tensors: tensors.update(extra=torch.zeros(1))), "unknown tensor 'extra'"),
    ],
)
def test_another_models_folder_is_refused_by_name(tmp_path, model, damage, words):
    folder = tmp_path / "net"
    save_model(folder, model, NetConfig())
    damage(folder)
    with pytest.raises(InputError, match=words) as caught:
        load_model(folder, Net, NetConfig)
    assert str(folder) in str(caught.value)


def test_a_failed_save_leaves_the_old_model(tmp_path, model, monkeypatch):
    save_model(tmp_path / "net", model, NetConfig())

    def fail(*arguments) -> None:
        raise Killed

    monkeypatch.setattr(checkpoint, "save_tensors", fail)
    with pytest.raises(Killed):
        save_model(tmp_path / "net", Net(), NetConfig())
    assert same(load_model(tmp_path / "net", Net, NetConfig), model) and names(tmp_path) == ["net"]
