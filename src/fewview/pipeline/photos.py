"""Photos of a folder or a video as the methods take them: chosen, with cameras and masks, and checked."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from fewview.data import PhotoScene, UnposedPhotos, check_reconstructable, open_scene
from fewview.errors import InputError, MissingPackage
from fewview.export.ply_points import read_points
from fewview.geometry.origin import NO_ORIGIN, Origin
from fewview.masks import with_masks
from fewview.poses import Estimated, Matcher, estimate_cameras
from fewview.poses.cache import read_cache, write_cache
from fewview.poses.learned import COMMAND, installed
from fewview.progress import Progress
from fewview.views import Views

MOST_PIXELS = 80e6  # of all photos that are taken together; more are read smaller
SMALLER = 1.5  # times as many pixels in the largest photo as in what all are read at: more is told
FEWEST, ENOUGH = 2 / 3, 6  # share of the photos, or of so many where there are more, that a scene is begun with
Matching = Literal["auto", "sift", "learned"]
"""What matches photos without cameras; `auto` is SIFT, and learned matching where that leaves photos out."""
Tell = Callable[[str], None]
"""Is told what a user should know, a sentence at a time."""


@dataclass(frozen=True)
class PhotoChoice:
    """Which photos to take, and what to do where cameras or masks are missing."""

    numbers: tuple[int, ...] | None = None  # from 0; of all photos, whether or not they get a camera
    most: int | None = None  # spread evenly over the input, where no numbers are given; None takes all
    mask: str = "auto"  # see `fewview.masks.with_masks`
    matcher: Matching = "auto"
    anyway: bool = False  # go on where few of the photos could be placed
    single: bool = False  # one photo will do


@dataclass(frozen=True, eq=False)
class Photos:
    """The chosen photos, their numbers in the input, and points that estimating their cameras found, or the input has.

    `origin` leads from the photos' world to the input's (`Reconstruction.origin` takes it back there).
    """

    views: Views
    numbers: tuple[int, ...]
    points: Float[Tensor, "m 3"] | None = None
    origin: Origin = NO_ORIGIN


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
        if asked is None and not choice.anyway:
            check_placed(found, where=str(source))
        places = choose(total, None, choice.most) if asked is None else _places(found.registered, asked)
        posed, numbers = found.scene, [found.registered[i] for i in places]
    views = posed.read(places, within(posed.common_size(places), len(places)))
    for remark in _remarks(posed, places, views):
        tell(remark)
    views = masked(views, choice.mask, points, tell=tell)
    height, width = views.images.shape[-2:]
    masks = "with masks" if views.masks is not None else "without masks"
    tell(f"Using {_listed(numbers, total)}, {width} x {height}, {masks}.")
    if len(views) > 1 or not choice.single:
        check_reconstructable(views, where=str(source))
    if not isinstance(scene, PhotoScene):
        return Photos(views, tuple(numbers), points)
    return Photos(views, tuple(numbers), _cloud(scene, tell), scene.origin)


def _remarks(scene: PhotoScene, places: Sequence[int], views: Views) -> Iterator[str]:
    """What photos that differ from the others cost them, a sentence each."""
    photos, names = [scene.photos[i] for i in places], scene.names
    masked = sum(photo.mask is not None for photo in photos)
    if views.masks is None and masked:
        yield f"Only {masked} of {len(photos)} photos have masks, so none counts; give the others theirs too."
    pixels = [photo.camera.height * photo.camera.width for photo in photos]
    height, width = scene.common_size(places)
    if max(pixels) > SMALLER * height * width:
        name = names[places[pixels.index(min(pixels))]]
        yield f"All are read as small as {name}, {width} x {height}; leave it out (--views) for finer ones."


def _cloud(scene: PhotoScene, tell: Tell) -> Float[Tensor, "m 3"] | None:
    """The points that the input names, to start splats on; none where they cannot be read, which is told."""
    if scene.cloud is None:
        return None
    try:
        points = read_points(scene.cloud, scene.origin)
    except InputError as error:
        tell(f"Without starting points: {error}")
        return None
    tell(f"{len(points)} points of {scene.cloud.name} to start splats on.")
    return points


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
    matcher: Matching = "auto",
    *,
    tell: Tell = lambda sentence: None,
    progress: Progress | None = None,
) -> Estimated:
    """The photos with the cameras that `keep` has of them, or else that are estimated now and kept there."""
    kinds: tuple[Matcher, ...] = ("sift", "learned") if matcher == "auto" else (matcher,)
    kept = None if keep is None else _kept(keep, photos, kinds)
    if kept is not None:
        tell(f"{kept.report()} (estimated before, in {keep})")
        return kept
    found, by = _estimated(photos, kinds, tell, progress=progress)
    tell(found.report())
    if len(found.registered) < len(photos):
        tell(f"Matches of each pair of photos:\n{found.table()}")
        if by == "sift" and matcher == "sift":
            tell("--matcher learned bridges wider steps between photos (docs/poses.md).")
    if keep is not None:
        write_cache(keep, photos, found, matcher=by)
        tell(f"The cameras are in {keep} (COLMAP, with undistorted photos).")
    return found


def check_placed(found: Estimated, *, where: str) -> None:
    """InputError where too few photos have a camera for a scene that is worth minutes."""
    placed, total = len(found.registered), len(found.names)
    if placed >= FEWEST * min(total, ENOUGH):
        return
    learned = "" if installed() else f"let learned matching try ({COMMAND}), "
    raise InputError(
        f"{where}: only {placed} of its {total} photos could be placed, which show one side; take photos in between, "
        f"10 to 20 degrees apart, {learned}or go on with these {placed} by --anyway."
    )


def _kept(keep: Path, photos: UnposedPhotos, kinds: Sequence[Matcher]) -> Estimated | None:
    """What was estimated before, unless another matcher may place what is missing there."""
    for kind in reversed(kinds):
        found = read_cache(keep, photos, kind)
        if found is not None:
            more = kind != kinds[-1] and installed() and len(found.registered) < len(photos)
            return None if more else found
    return None


def _estimated(
    photos: UnposedPhotos, kinds: Sequence[Matcher], tell: Tell, *, progress: Progress | None
) -> tuple[Estimated, Matcher]:
    """By the first matcher; where it leaves photos out, by the one that places most. InputError where none does."""
    best: tuple[Estimated, Matcher] | None = None
    refused: InputError | None = None
    for kind in kinds:
        if kind != kinds[0]:
            if not installed() or (best is not None and len(best[0].registered) == len(photos)):
                break
            tell(f"{best[0].report() if best else refused} Matching them anew by learned features.")
        try:
            found = estimate_cameras(photos, matcher=kind, progress=progress)
        except InputError as error:
            refused = refused or error
            continue
        if best is None or len(found.registered) > len(best[0].registered):
            best = found, kind
    if best is None:
        raise refused or InputError(f"{photos.name}: no photo could be placed.")
    return best


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
