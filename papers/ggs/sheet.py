"""Some rooms of an evaluation, a row each: inputs, truth, classes, methods. `python sheet.py DATA EVALUATION OUT`."""

import argparse
from pathlib import Path

import torch

from fewview.evaluation.pictures import comparison
from fewview.evaluation.rooms.pictures import class_map, load_strip
from fewview.evaluation.rooms.plan import TRUTH, read_plan, strip_path
from fewview.evaluation.rooms.visibility import classify
from fewview.evaluation.rooms.windows import open_clips

METHODS = {"ggs-d3d": "GGS", "no3d": "No3D, lifted", "regressor-d3d": "regressor"}
FACTOR = 2


def main(data: Path, evaluation: Path, out: Path, setting: str, rooms: int) -> None:
    """Every so-maniest room; of its frames between the generated ones that in the middle."""
    protocol, windows = read_plan(evaluation)
    walks = [walk for walk in open_clips(data) if walk.name in windows]
    inputs, columns = [], {name: [] for name in ("truth", "classes", *METHODS.values())}
    large = lambda image: image.repeat_interleave(FACTOR, -1).repeat_interleave(FACTOR, -2)
    for walk in walks[:: max(1, len(walks) // rooms)][:rooms]:
        window = windows[walk.name][setting]
        place = window.judged.index(window.between[len(window.between) // 2])
        k = len(window.references)
        views, depth = walk.frames([*window.references, window.judged[place]], protocol.size)
        regions = classify(views.cameras[k:], depth[k:], views.cameras[:k], reference_depth=depth[:k])
        inputs.append(large(views.images[:k]))
        columns["truth"].append(large(load_strip(strip_path(evaluation, TRUTH, setting, clip=walk.name))[place]))
        columns["classes"].append(large(class_map(views.images[k], regions[0]).clamp(0, 1)))
        for method, label in METHODS.items():
            columns[label].append(large(load_strip(strip_path(evaluation, method, setting, clip=walk.name))[place]))
    comparison(torch.cat(inputs), list(columns.items())).save(out, quality=90)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("data", "evaluation", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--setting", choices=("interpolation", "extrapolation"), default="extrapolation")
    parser.add_argument("--rooms", type=int, default=7)
    options = parser.parse_args()
    main(options.data, options.evaluation, options.out, options.setting, options.rooms)
