"""Cameras and masks for photos that came without, as the commands find them and tell of them."""

from pathlib import Path
from typing import TYPE_CHECKING

from fewview.commands.console import say, stages
from fewview.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from fewview.data import UnposedPhotos
    from fewview.poses import Estimated, Matcher
    from fewview.views import Views


def cameras_folder(out: Path) -> Path:
    """Where the estimated cameras of the results in `out` are kept: beside them."""
    out = out.absolute()
    return out.with_name(f"{out.name}.cameras")


def with_cameras(photos: "UnposedPhotos", folder: Path, matcher: "Matcher" = "sift") -> "Estimated":
    """The photos with the cameras that `folder` keeps of them, or else that are estimated now and kept there."""
    from fewview.poses import estimate_cameras
    from fewview.poses.cache import read_cache, write_cache

    found = read_cache(folder, photos, matcher)
    if found is not None:
        say(f"{found.report()} (estimated before, in {folder})")
        return found
    with stages() as report:
        found = estimate_cameras(photos, matcher=matcher, progress=report)
    say(found.report())
    if len(found.registered) < len(photos):
        say(f"Matches of each pair of photos:\n{found.table()}")
        if matcher == "sift":
            say("--matcher learned bridges wider steps between photos (docs/poses.md).")
    write_cache(folder, photos, found, matcher)
    say(f"The cameras are in {folder} (COLMAP, with undistorted photos).")
    return found


def positions(registered: "tuple[int, ...]", chosen: list[int]) -> list[int]:
    """Places of photo numbers among the registered ones; InputError for a photo without camera."""
    for i in chosen:
        if i not in registered:
            raise InputError(f"--views names photo {i}, for which no camera was found; leave it out.")
    return [registered.index(i) for i in chosen]


def with_masks_said(views: "Views", mode: str, points: "Float[Tensor, 'm 3'] | None") -> "Views":
    """Views with masks by `--mask`; `auto` goes on without them where the package for it is missing."""
    from fewview.masks import with_masks

    before = views.masks is not None
    try:
        views = with_masks(views, mode, points)
    except InputError as error:
        if mode != "auto" or "pip install" not in str(error):
            raise
        say(f"No masks: the whole photo counts as the object. ({error})")
        return views
    if views.masks is not None and (not before or mode != "auto"):
        shares = ", ".join(f"{100 * share:.0f} %" for share in views.masks.mean((1, 2, 3)).tolist())
        say(f"Masks were made ({shares} of the photos); --mask none for a scene that fills the photos.")
    return views
