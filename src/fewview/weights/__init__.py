"""The weights that are shipped with the package: a model folder each, named <family>-<size>."""

from pathlib import Path
from typing import Literal

from fewview.errors import InputError

WEIGHTS = Path(__file__).parent

Family = Literal["sparsefusion", "ggs", "wildfusion"]


def model_folder(source: str | Path, family: Family) -> Path:
    """A shipped model by name (the family may be left out), or the folder itself; InputError where it is neither."""
    shipped = WEIGHTS / f"{family}-{str(source).removeprefix(f'{family}-')}"
    if shipped.is_dir():
        return shipped
    if Path(source).is_dir():
        return Path(source)
    names = ", ".join(sorted(folder.name for folder in WEIGHTS.glob(f"{family}-*"))) or "none"
    raise InputError(f"'{source}' is neither a model folder nor one of the shipped weights of {family} ({names}).")
