"""A row for each category of an evaluation: inputs, truth, methods. `python sheet.py DATA EVALUATION OUT`."""

import argparse
from pathlib import Path

import torch

from fewview.data.co3d import open_co3d
from fewview.evaluation.objects.protocol import square
from fewview.evaluation.objects.splits import file_name, read_plan, shown
from fewview.evaluation.pictures import comparison, load_png
from fewview.views import resize

METHODS = {"sparsefusion": "SparseFusion", "eft": "EFT", "vldm": "VLDM", "no-prior": "no prior"}


def main(data: Path, evaluation: Path, out: Path, size: int) -> None:
    """The middle scene of each category; of its held-out views the first that is shown."""
    protocol, splits = read_plan(evaluation)
    scenes = {
        s.name: s for s in open_co3d(data, None, "fewview_dev", split="test", size=protocol.size) if s.name in splits
    }
    categories: dict[str, list[str]] = {}
    for name in scenes:
        categories.setdefault(name.split("/")[0], []).append(name)
    inputs, columns = [], {name: [] for name in ("truth", *METHODS.values())}
    for names in categories.values():
        name = names[len(names) // 2]
        split = splits[name]
        view = split.held_out[shown(split, protocol.pictures)[0]]
        images = square(scenes[name].read([*split.context, view]), protocol.size).on_black().images
        inputs.append(resize(images[:-1], size, size))
        columns["truth"].append(resize(images[-1], size, size))
        for method, label in METHODS.items():
            render = load_png(evaluation / "renders" / file_name(name) / method / f"{view:04d}.png")
            columns[label].append(None if render is None else resize(render, size, size))
    comparison(torch.cat(inputs), list(columns.items())).save(out, quality=88)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("data", "evaluation", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--size", type=int, default=96)
    options = parser.parse_args()
    main(options.data, options.evaluation, options.out, options.size)
