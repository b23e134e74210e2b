"""Photos of a folder or a video as the methods take them: chosen, with cameras and masks, and checked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from fewview.data import PhotoScene, UnposedPhotos, check_reconstructable, open_scene
from fewview.errors import InputError, MissingPackage
from fewview.masks import with_masks
from fewview.poses import Estimated, Matcher, estimate_cameras
from fewview.poses.cache import read_cache, write_cache
from fewview.progress import Progress
from fewview.views import Views

MOST_PIXELS = 80e6  # of all photos that are taken together; more are read smaller
Tell = Callable[[str], None]
"""Is told what a user should know, a sentence at a time."""


@dataclass(frozen=True)
class PhotoChoice:
    """Which photos to take, and what to do where cameras or masks are missing."""

    numbers: tuple[int, ...] | None = None  # from 0; of all photos, whether or not they get a camera
    most: int | None = None  # spread evenly over the input, where no numbers are given; None takes all
    mask: str = "auto"  # see `fewview.masks.with_masks`
    matcher: Matcher = "sift"
    single: bool = False  # one photo will do


@dataclass(frozen=True, eq=False)
class Photos:
    """The chosen photos, their numbers in the input, and points that estimating their cameras found."""

    views: Views
    numbers: tuple[int, ...]
    points: Float[Tensor, "m 3"] | None = None


def read_photos(
    source: Path,
    choice: PhotoChoice | None = None,
    *,
    keep: Path | None = None,
    tell: Tell = lambda sentence: None,
    progress: Progress | None = None,
) -> Photos:
    """Photos of anything that `open_scene` opens. InputError for what no scene can be made of.

    Photos without cameras get estimated ones, which the folder `keep` is asked for and remembers.
    """
    choice = choice or PhotoChoice()
    scene = open_scene(source)
    tell(f"Found: {scene.describe()}")
    if isinstance(scene, PhotoScene):
        points, total, numbers = None, len(scene), _numbers(scene, choice)
        posed, places = scene, numbers
    else:
        asked = None if choice.numbers is None else choose(len(scene), choice.numbers, choice.most)
        found = with_cameras(scene, keep, choice.matcher, tell=tell, progress=progress)
        points, total = found.points, len(found.registered)
        places = choose(total, None, choice.most) if asked is None else _places(found.registered, asked)
        posed, numbers = found.scene, [found.registered[i] for i in places]
    views = posed.read(places, within(posed.common_size(), len(places)))
    views = masked(views, choice.mask, points, tell=tell)
    height, width = views.images.shape[-2:]
    masks = "with masks" if views.masks is not None else "without masks"
    tell(f"Using {_listed(numbers, total)}, {width} x {height}, {masks}.")
    if len(views) > 1 or not choice.single:
        check_reconstructable(views, where=str(source))
    return Photos(views, tuple(numbers), points)


def within(size: tuple[int, int], count: int) -> tuple[int, int]:
    """The (height, width) at which `count` photos of a size are read: theirs, or less, so that memory is bounded."""
    shrink = min(1.0, (MOST_PIXELS / (count * size[0] * size[1])) ** 0.5)
    return max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))


def choose(count: int, numbers: Sequence[int] | None, most: int | None) -> list[int]:
    """Photo numbers: those given, or all or up to `most`, spread evenly over `count`; InputError for others."""
    if numbers is None:
        if most is not None and most < 1:
            raise InputError(f"At most {most} photos are to be taken (--max-views); ask for at least 1.")
        used = count if most is None else min(most, count)
        return [i * count // used for i in range(used)]
    outside = [i for i in numbers if not 0 <= i < count]
    if outside:
        raise InputError(f"Photo {outside[0]} is asked for (--views), but there are {count}, numbered from 0.")
    if len(set(numbers)) < len(numbers):
        raise InputError(f"A photo is asked for twice (--views): {', '.join(map(str, numbers))}.")
    return list(numbers)


def with_cameras(
    photos: UnposedPhotos,
    keep: Path | None,
    matcher: Matcher = "sift",
    *,
    tell: Tell = lambda sentence: None,
    progress: Progress | None = None,
) -> Estimated:
    """The photos with the cameras that `keep` has of them, or else that are estimated now and kept there."""
    found = None if keep is None else read_cache(keep, photos, matcher)
    if found is not None:
        tell(f"{found.report()} (estimated before, in {keep})")
        return found
    found = estimate_cameras(photos, matcher=matcher, progress=progress)
    tell(found.report())
    if len(found.registered) < len(photos):
        tell(f"Matches of each pair of photos:\n{found.table()}")
        if matcher == "sift":
            tell("--matcher learned bridges wider steps between photos (docs/poses.md).")
    if keep is not None:
        write_cache(keep, photos, found, matcher)
        tell(f"The cameras are in {keep} (COLMAP, with undistorted photos).")
    return found


def masked(
    views: Views, mode: str, points: Float[Tensor, "m 3"] | None = None, *, tell: Tell = lambda sentence: None
) -> Views:
    """Views with masks by `with_masks`; `auto` goes on without them where the package for it is missing."""
    before = views.masks is not None
    try:
        views = with_masks(views, mode, points)
    except MissingPackage as error:
        if mode != "auto":
            raise
        tell(f"No masks: the whole photo counts as the object. ({error})")
        return views
    if views.masks is not None and (not before or mode != "auto"):
        shares = ", ".join(f"{100 * share:.0f} %" for share in views.masks.mean((1, 2, 3)).tolist())
        tell(f"Masks were made ({shares} of the photos); --mask none for a scene that fills the photos.")
    return views


def _numbers(scene: PhotoScene, choice: PhotoChoice) -> list[int]:
    """Those asked for, else the inputs of a split or all photos, spread evenly."""
    if choice.numbers is None and scene.inputs:
        return [scene.inputs[i] for i in choose(len(scene.inputs), None, choice.most)]
    return choose(len(scene), choice.numbers, choice.most)


def _places(registered: Sequence[int], chosen: Sequence[int]) -> list[int]:
    """Places of photo numbers among the registered ones; InputError for a photo without camera."""
    for i in chosen:
        if i not in registered:
            raise InputError(f"Photo {i} is asked for (--views), but no camera was found for it; leave it out.")
    return [registered.index(i) for i in chosen]


def _listed(chosen: Sequence[int], count: int) -> str:
    if len(chosen) == count:
        return "all of them"
    return f"{len(chosen)} of them, numbers {', '.join(map(str, chosen))} (--views chooses others)"
