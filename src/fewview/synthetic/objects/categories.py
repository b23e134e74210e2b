"""Procedural objects in categories of CO3D, any number of them from a seed. Own work, CC0.

Each function `category(rng) -> Model` builds one instance: y is up, z the front, sizes of about one. `CATEGORIES` are
for training (with held-out instances), `HELD_OUT_CATEGORIES` are never trained on.
"""

from collections.abc import Callable

import numpy as np

from fewview.data.meshes import Model
from fewview.synthetic.shapes.figures import hydrant, teddybear
from fewview.synthetic.shapes.seating import bench, chair, couch
from fewview.synthetic.shapes.vessels import bottle, cup, vase

Generator = Callable[[np.random.Generator], Model]
CATEGORIES: dict[str, Generator] = {
    "chair": chair, "couch": couch, "vase": vase, "cup": cup, "teddybear": teddybear, "hydrant": hydrant
}  # fmt: skip
HELD_OUT_CATEGORIES: dict[str, Generator] = {"bottle": bottle, "bench": bench}
