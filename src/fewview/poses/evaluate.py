"""`python -m fewview.poses.evaluate CAPTURE...`: estimated cameras against given ones, which are withheld."""

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.checkpoint import atomic_folder
from fewview.data import PhotoScene, UnposedPhotos, open_scene
from fewview.errors import InputError
from fewview.export.package import write_inputs
from fewview.poses.estimate import Estimated, estimate_cameras
from fewview.poses.matching import Matcher


@dataclass(frozen=True, eq=False)
class PoseErrors:
    """Degrees, of each pair of registered photos: relative rotation, and direction of the relative translation."""

    rotation: Float[Tensor, " pairs"]
    direction: Float[Tensor, " pairs"]


def relative_errors(estimated: Float[Tensor, "n 4 4"], given: Float[Tensor, "n 4 4"]) -> PoseErrors:
    """Of world_from_cam against world_from_cam; invariant to any similarity of either world."""
    i, j = torch.triu_indices(len(given), len(given), 1)
    between = [torch.linalg.inv(poses[i].double()) @ poses[j].double() for poses in (estimated, given)]
    turned = between[0][:, :3, :3].mT @ between[1][:, :3, :3]
    off = torch.stack([turned[:, 2, 1] - turned[:, 1, 2], turned[:, 0, 2] - turned[:, 2, 0]], -1)
    off = torch.cat([off, (turned[:, 1, 0] - turned[:, 0, 1])[:, None]], -1).norm(dim=-1)
    rotation = torch.atan2(off, turned.diagonal(dim1=-2, dim2=-1).sum(-1) - 1)
    a, b = (pose[:, :3, 3] for pose in between)
    direction = torch.atan2(torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(-1))
    return PoseErrors(rotation.rad2deg(), direction.rad2deg())


def withheld(scene: PhotoScene, chosen: list[int]) -> UnposedPhotos:
    """Some photos of a scene without their cameras."""
    photos = [scene.photos[i] for i in chosen]
    sizes = [(photo.camera.height, photo.camera.width) for photo in photos]
    masks = [photo.mask for photo in photos]
    return UnposedPhotos(scene.name, tuple(photo.image for photo in photos), [None] * len(photos), sizes, masks)


def judge(
    scene: PhotoScene, chosen: list[int], *, matcher: Matcher = "sift", threads: int = -1
) -> tuple[Estimated, PoseErrors]:
    """Estimates the cameras of the chosen photos and compares them with the given ones."""
    estimated = estimate_cameras(withheld(scene, chosen), matcher=matcher, threads=threads)
    found = torch.stack([camera.world_from_cam for camera in estimated.scene.cameras])
    given = torch.stack([scene.cameras[chosen[i]].world_from_cam for i in estimated.registered])
    return estimated, relative_errors(found, given)


def write_both(scene: PhotoScene, chosen: list[int], estimated: Estimated, *, folder: Path) -> None:
    """The registered photos twice, as inputs of `fewview evaluate`: folder/given and folder/own, by their cameras."""
    places = list(estimated.registered)
    given = scene.read([chosen[i] for i in places])
    own = estimated.scene.read(range(len(places)))
    own = replace(own, masks=given.masks)
    for name, views in {"given": given, "own": own}.items():
        with atomic_folder(folder / name) as temporary:
            write_inputs(temporary, views)


def main() -> None:
    """A row for each capture and choice of photos."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("captures", nargs="+", type=Path, help="inputs with known cameras")
    parser.add_argument("--count", type=int, default=12, help="photos to take, evenly from the range")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--last", type=int, default=None, help="end of the range, exclusive; all of the capture")
    parser.add_argument("--matcher", choices=get_args(Matcher), default="sift")
    parser.add_argument("--threads", type=int, default=-1)
    parser.add_argument("--write", type=Path, help="write the registered photos with given and with own cameras there")
    parser.add_argument("--table", action="store_true", help="print the table of matches too")
    options = parser.parse_args()
    print(
        "| capture | photos | registered | rotation median / max | direction median / max | focal | px | s |",
        flush=True,
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for path in options.captures:
        scene = open_scene(path)
        assert isinstance(scene, PhotoScene)
        start, stop = options.first, min(options.last or len(scene), len(scene))
        count = min(options.count, stop - start)
        chosen = [start + i * (stop - start) // count for i in range(count)]
        before = time.monotonic()
        try:
            estimated, errors = judge(scene, chosen, matcher=options.matcher, threads=options.threads)
        except InputError as error:
            print(f"| {path.name} | {count} | none: {error} |", flush=True)
            continue
        if options.write:
            write_both(scene, chosen, estimated, folder=options.write / path.name)
        pair = lambda values: f"{values.median():.2f} / {values.max():.2f}"
        focal = (
            estimated.scene.cameras[0].intrinsics[0, 0]
            / scene.cameras[chosen[estimated.registered[0]]].intrinsics[0, 0]
        )
        cells = [path.name, count, len(estimated.registered), pair(errors.rotation), pair(errors.direction)]
        cells += [f"{focal:.2f} x", f"{estimated.error:.2f}", f"{time.monotonic() - before:.0f}"]
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
        print(estimated.report() if not options.table else f"{estimated.report()}\n{estimated.table()}", flush=True)


if __name__ == "__main__":
    main()
