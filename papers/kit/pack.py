"""Packs what a machine with a GPU, and without a network, needs to train for some minutes.

    python papers/kit/pack.py -o kit --objects data/objects --rooms data/rooms

<out>/sparsefusion, <out>/wildfusion and <out>/ggs hold their pictures (`packing.py`), shipped weights to begin with,
and what the tests need there. `run.py` beside this file does the rest.
"""

import argparse
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from packing import Pictures, packed

import fewview
from fewview.checkpoint import atomic_folder, save_tensors, write_json
from fewview.recipes import ggs, sparsefusion, wildfusion
from fewview.recipes.ggs.stages import clips_of
from fewview.recipes.sparsefusion.training import packed_set
from fewview.recipes.wildfusion.packed import PackedPhotos, packed_photos
from fewview.weights import WEIGHTS

LIMIT = 55  # MiB of a folder: 64 may travel, the repository without its weights among them


@dataclass(frozen=True)
class Kind:
    """What a family's pictures are packed from and with."""

    of: str  # the option that names the set
    read: Callable[[Path, str], Pictures]
    weights: str | None  # shipped
    frames: int  # of a scene or clip, at most
    quality: int  # of WebP


def single_photos(root: Path, split: str) -> PackedPhotos:
    """WildFusion's, of the whole set."""
    with TemporaryDirectory() as folder:
        return packed_photos(root, Path(folder), split, size=wildfusion.tiny().size)


KINDS = {
    "sparsefusion": Kind(
        "objects", lambda root, split: packed_set(root, sparsefusion.small().size, split), "sparsefusion-tiny", 16, 85
    ),
    "wildfusion": Kind("objects", single_photos, None, 16, 90),
    "ggs": Kind("rooms", lambda root, split: clips_of(root, split, ggs.small().height), "ggs-tiny", 32, 80),
}


def pack(name: str, root: Path, out: Path) -> float:
    """Writes <out>/<name>; returns its MiB."""
    kind = KINDS[name]
    with atomic_folder(out / name) as folder:
        for split in ("train", "test"):
            data = kind.read(root, split)
            save_tensors(folder / f"{split}.safetensors", packed(data, kind.frames, kind.quality))
            if isinstance(data, PackedPhotos):
                write_json(folder / f"{split}.json", {"classes": data.classes})
        if kind.weights:
            shutil.copytree(WEIGHTS / kind.weights, folder / "weights")
        site = folder / "site"  # for PYTHONPATH: fewview is not installed there, and has a version all the same
        (site / "fewview.dist-info").mkdir(parents=True)
        (site / "fewview.dist-info" / "METADATA").write_text(f"Name: fewview\nVersion: {fewview.__version__}\n")
        checker = find_spec("beartype")
        if checker and checker.submodule_search_locations:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(checker.submodule_search_locations[0], site / "beartype", ignore=ignored)
    return sum(file.stat().st_size for file in (out / name).rglob("*") if file.is_file()) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=Path, help="folder in CO3Dv2's layout, of `fewview data build`")
    parser.add_argument("--rooms", type=Path, help="folder in RealEstate10K's, of `fewview data rooms`")
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    for name, kind in KINDS.items():
        root = getattr(options, kind.of)
        if root is not None:
            size = pack(name, root, options.out)
            print(f"{options.out / name}: {size:.1f} MiB" + f", more than the {LIMIT} that travel" * (size > LIMIT))


if __name__ == "__main__":
    main()
