"""Files written whole or not at all, and model folders: config.json beside model*.safetensors.

Nothing is pickled; checkpoints of others, which are, are read as numbers alone (`load_foreign`).
"""

import os
import pickle
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fewview.config import from_json, to_json
from fewview.errors import InputError
from fewview.files import atomic_folder, atomic_path, check_is_file, read_json, write_json

FORMAT = 1
SHARD_BYTES = 15 * 2**20
MAX_SETTING = 2**20  # of any number in the config of a model
BUILD_ERRORS = (RuntimeError, ValueError, TypeError, ArithmeticError, LookupError, AssertionError, MemoryError)
M = TypeVar("M", bound=nn.Module)

__all__ = [
    "atomic_folder", "atomic_path", "check_state", "kept_state", "load_model", "load_state", "load_tensors",
    "read_json", "save_model", "save_tensors", "write_json",
]  # fmt: skip


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """A safetensors file, written whole; OSError, as of every other file, where the system refuses it."""
    with atomic_path(path) as temporary:
        try:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata)
        except SafetensorError as error:
            refused = re.search(r"os error (\d+)", str(error))
            if refused is None:
                raise
            raise OSError(int(refused[1]), os.strerror(int(refused[1])), str(path)) from None


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file; InputError where it is missing or malformed."""
    check_is_file(path)
    try:
        return load_file(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from None
    except SafetensorError as error:
        raise InputError(f"{path} is not a whole safetensors file ({error}); fetch or write it again.") from None


def load_foreign(path: Path) -> dict[str, Tensor]:
    """Tensors of a checkpoint of others: a safetensors file, or torch's own, of which nothing but numbers is read.

    Of torch's, what lies under "model_state_dict" or "state_dict" where there is such; InputError where the file is
    missing or damaged, asks for code to be run, or holds no tensors by name.
    """
    if path.suffix == ".safetensors":
        return load_tensors(path)
    check_is_file(path)
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from None
    except (*BUILD_ERRORS, AttributeError, EOFError, pickle.UnpicklingError):
        raise InputError(
            f"{path} is no whole checkpoint of torch's with numbers alone in it; fetch it again, or save its "
            "state dictionary by itself."
        ) from None
    for key in ("model_state_dict", "state_dict"):
        data = data[key] if isinstance(data, dict) and key in data else data
    tensors = (
        {n: t for n, t in data.items() if isinstance(n, str) and isinstance(t, Tensor)}
        if isinstance(data, dict)
        else {}
    )
    if not tensors:
        raise InputError(f"{path} holds no weights by name; give the file that training saved.")
    return tensors


@contextmanager
def kept_state(path: Path) -> Iterator[None]:
    """Around the reading of what a stopped run left in `path`: what does not fit it is an InputError."""
    try:
        yield
    except InputError:
        raise
    except (*BUILD_ERRORS, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} is damaged or of another version ({reason}); delete it and start over.") from None


def save_model(folder: Path, model: nn.Module, config: Any, *, half: bool = False) -> None:
    """A model folder: config.json (class, format, config) and shards below 16 MiB; `half` stores float16."""
    state = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    if half:
        state = {name: t.half() if t.is_floating_point() else t for name, t in state.items()}
    header = {"format": FORMAT, "class": type(model).__name__, "config": to_json(config)}
    with atomic_folder(folder) as temporary:
        keep = folder / "README.md"
        if keep.exists():
            shutil.copy(keep, temporary)
        write_json(temporary / "config.json", header)
        shards = _shards(state)
        for i, shard in enumerate(shards):
            name = "model.safetensors" if len(shards) == 1 else f"model-{i + 1:02d}-of-{len(shards):02d}.safetensors"
            save_tensors(temporary / name, shard)


def class_of(folder: Path) -> str | None:
    """The class of a model folder of ours, as its config.json says; None of any other folder."""
    path = folder / "config.json"
    header = read_json(path) if path.exists() else None
    return header.get("class") if isinstance(header, dict) else None


def load_model(folder: Path, cls: type[M], config_cls: type) -> M:
    """The model `cls(config)` of a folder, float32, in eval mode. Every tensor must be there, and no other."""
    header = read_json(folder / "config.json")
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise InputError(f"{folder / 'config.json'} is not of format {FORMAT}; it was written by another version.")
    if header.get("class") != cls.__name__:
        raise InputError(f"{folder} holds a {header.get('class')}, not a {cls.__name__}.")
    config = from_json(config_cls, header.get("config"), where=str(folder / "config.json"))
    state: dict[str, Tensor] = {}
    for path in sorted(folder.glob("model*.safetensors")):
        state.update(load_tensors(path))
    _check_fit(cls, config, state, where=str(folder))
    model = cls(config)
    load_state(model, state, where=str(folder))
    return model.eval()


def _check_fit(cls: type[M], config: Any, state: dict[str, Tensor], *, where: str) -> None:
    """InputError where `cls(config)` is not what the tensors belong to, before any memory is taken for it."""
    left = 64 + 4 * len(state)
    if not all(abs(number) <= MAX_SETTING for number in _numbers(to_json(config))):
        raise InputError(f"{where} has a number beyond {MAX_SETTING} in its config; fetch it again.")

    def count(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise InputError(f"{where} asks for more than the {len(state)} tensors that it has; fetch it again.")

    counting = nn.modules.module.register_module_parameter_registration_hook(count)
    try:
        with torch.device("meta"):
            model = cls(config)
    except InputError:
        raise
    except BUILD_ERRORS as error:
        raise InputError(
            f"{where}: no {cls.__name__} is made by its config ({type(error).__name__}); fetch it again."
        ) from None
    finally:
        counting.remove()
    check_state(model, state, where=where)


def _numbers(data: Any) -> Iterator[float]:
    """All numbers in JSON values."""
    if isinstance(data, dict):
        data = list(data.values())
    if isinstance(data, list):
        for item in data:
            yield from _numbers(item)
    elif isinstance(data, (int, float)):
        yield data


def load_state(model: nn.Module, state: dict[str, Tensor], *, where: str) -> None:
    """Strict load with one clear sentence on mismatch; values are cast to the model's dtypes."""
    check_state(model, state, where=where)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            tensor.copy_(state[name])


def check_state(model: nn.Module, state: dict[str, Tensor], *, where: str) -> None:
    """InputError unless the tensors are finite, and just those of the model."""
    own = model.state_dict()
    missing, unknown = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    if missing or unknown:
        what = f"lacks the tensor '{missing[0]}'" if missing else f"has the unknown tensor '{unknown[0]}'"
        raise InputError(f"{where} {what}; its weights belong to another config.")
    for name, tensor in own.items():
        if tensor.shape != state[name].shape:
            raise InputError(
                f"{where}: '{name}' is {tuple(state[name].shape)}, the config asks for {tuple(tensor.shape)}."
            )
        if state[name].is_floating_point() and not bool(state[name].isfinite().all()):
            raise InputError(f"{where}: '{name}' holds NaN or infinity; fetch it again.")


def _shards(state: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in state.items():
        if shards[-1] and size + tensor.nbytes > SHARD_BYTES:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.nbytes
    return shards
