"""Values of JSON objects that somebody else wrote, each checked once: type, shape, finite."""

import json
import math
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from fewview.errors import InputError

T = TypeVar("T")
MAX_JSON_BYTES = 2**28  # a quarter of a million frames; a larger file is refused before it is read


def read_json(path: Path) -> Any:
    """JSON of a file that may be hostile."""
    if not path.is_file():
        raise InputError(f"{path} does not exist; restore it.")
    if path.stat().st_size > MAX_JSON_BYTES:
        raise InputError(f"{path} is larger than {MAX_JSON_BYTES >> 20} MiB; it is no list of photos.")
    return parse_json(path.read_bytes(), path)


def parse_json(text: bytes, path: Path) -> Any:
    """JSON of a text that came from `path`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON ({type(error).__name__}); write or fetch it again.") from None


def field(data: Any, key: str, kind: type[T], *, where: str) -> T:
    """data[key], of type `kind`; a float is finite and may be written as an integer."""
    if not isinstance(data, dict):
        raise InputError(f"{where} must be an object, not {shown(data)}.")
    if key not in data:
        raise InputError(f"{where} lacks the key '{key}'; add it.")
    value: Any = data[key]
    if kind is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        value = float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"{where}: '{key}' is {shown(value)}; it must be of type {kind.__name__}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{where}: '{key}' is {value}; it must be a finite number.")
    return value


def array(data: Any, key: str, shape: tuple[int, ...], *, where: str) -> np.ndarray:
    """data[key] as finite float64 numbers of the given shape."""
    if not isinstance(data, dict) or key not in data:
        raise InputError(f"{where} lacks the key '{key}'; add it.")
    try:
        values = np.asarray(data[key])
    except (TypeError, ValueError, OverflowError):
        values = np.asarray(None)
    if values.dtype.kind not in "iuf" or values.shape != shape:
        size = " x ".join(map(str, shape))
        raise InputError(f"{where}: '{key}' is {shown(data[key])}; it must be {size} numbers.")
    if not np.isfinite(values).all():
        raise InputError(f"{where}: '{key}' holds NaN or infinity; estimate this camera again or remove its frame.")
    return values.astype(np.float64)


def shown(value: Any) -> str:
    """A value in at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
