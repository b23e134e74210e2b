"""`fewview inspect`: what an input is, its cameras and what they cover, as a table and as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from fewview.commands.console import counted, say
from fewview.commands.targets import check_new
from fewview.errors import InputError

if TYPE_CHECKING:
    from fewview.data import PhotoScene, UnposedPhotos
    from fewview.pipeline.coverage import Coverage, Glance

MOST_ROWS = 40
BLURRED = 0.2  # of the median sharpness


@dataclass(frozen=True)
class Inspect:
    """Say what an input is, what its cameras cover, and whether it can be reconstructed."""

    input: Annotated[Positional[Path], arg(metavar="INPUT")]
    """Folder of photos, video, or anything else that `fewview reconstruct` reads."""
    out: Annotated[Path | None, arg(aliases=["-o"], metavar="PICTURE")] = None
    """A .png file for the cameras from above and from the side, and the photos."""
    overwrite: bool = False
    """Replace PICTURE."""

    def run(self) -> None:
        from fewview.data import PhotoScene, open_scene

        self.refuse_target()
        scene = open_scene(self.input)
        say(f"Found: {scene.describe()}")
        if isinstance(scene, PhotoScene):
            self.posed(scene)
        else:
            self.unposed(scene)

    def posed(self, scene: "PhotoScene") -> None:
        """Table, picture and verdict of photos with cameras."""
        from fewview.data import check_reconstructable
        from fewview.pipeline.coverage import coverage, glance, squared

        glances = []
        with counted("reading photos", len(scene)) as tell:
            for i, photo in enumerate(scene.photos):
                view = photo.read()
                glances.append(glance(photo.name, view.images, view.masks, photo.camera.intrinsics[0, 0].item()))
                tell(i + 1, "")
        views = squared(glances, scene.cameras)
        found = coverage(views) if len(views) > 1 and bool(views.cameras.world_from_cam.isfinite().all()) else None
        sides = ["input" if i in scene.inputs else "target" if i in scene.targets else "" for i in range(len(scene))]
        _print_table(glances, found, sides if any(sides) else [])
        if found is not None:
            say(f"Cameras: {found.words()}")
        self.remarks(glances, found)
        if self.out is not None:
            from fewview.pipeline.overview import overview

            title = f"{scene.name}: {scene.describe()}"
            self.write(overview(title, glances, cameras=views.cameras, coverage=found, targets=scene.targets))
        check_reconstructable(views, where=str(self.input))
        say("It can be reconstructed." if found is None else found.verdict())

    def unposed(self, scene: "UnposedPhotos") -> None:
        """Table and picture of photos without cameras."""
        from fewview.pipeline.coverage import glance

        glances = []
        with counted("reading photos", len(scene)) as tell:
            for i, name in enumerate(scene.names):
                glances.append(glance(name, *scene.image(i), scene.focal[i]))
                tell(i + 1, "")
        _print_table(glances, None, [])
        self.remarks(glances, None)
        if self.out is not None:
            from fewview.pipeline.overview import overview

            self.write(overview(f"{scene.name}: {scene.describe()}", glances))
        known = sum(focal is not None for focal in scene.focal)
        say(f"Focal lengths: EXIF tells {known} of {len(scene)}" + ("." if known else "; they will be guessed."))
        if len(scene) < 2:
            raise InputError(f"{self.input} has one photo; a reconstruction needs two or more from different places.")
        mend = "" if find_spec("pycolmap") else " (pip install 'fewview[poses]')"
        say(f"Cameras are unknown; `fewview reconstruct` estimates them first{mend}.")

    def remarks(self, glances: "Sequence[Glance]", found: "Coverage | None") -> None:
        """What may go wrong with these photos, a line each."""
        from fewview.masks import expected_masks

        middle = sorted(g.sharpness for g in glances)[len(glances) // 2]
        blurred = [i for i, g in enumerate(glances) if g.sharpness < BLURRED * middle]
        cut = [i for i, g in enumerate(glances) if g.cut]
        masked = sum(g.mask is not None for g in glances)
        sizes = {g.size for g in glances}
        if not masked:
            say(f"Masks: none; {expected_masks()}")
        elif masked < len(glances):
            say(f"Masks: {masked} of {len(glances)} photos have one; they are used where every chosen photo has one.")
        if len(sizes) > 1:
            say(f"Sizes: {len(sizes)} different ones; photos are scaled and cut to the smallest.")
        if blurred:
            say(f"Blurred, it seems: photos {_numbers(blurred)}; take them again, or leave them out by --views.")
        if cut:
            say(f"The object is cut off by the border of photos {_numbers(cut)}.")

    def refuse_target(self) -> None:
        """Before anything is read."""
        if self.out is None:
            return
        if self.out.suffix.lower() != ".png":
            raise InputError(f"{self.out} does not end in .png; name a .png file for the picture.")
        check_new(self.out, self.overwrite)

    def write(self, picture) -> None:
        """A Pillow image, whole or not at all."""
        from fewview.checkpoint import atomic_path

        assert self.out is not None
        with atomic_path(self.out) as temporary:
            picture.save(temporary, format="PNG")
        say(f"The picture is {self.out}.")


def _print_table(glances: "Sequence[Glance]", found: "Coverage | None", sides: Sequence[str]) -> None:
    """One line for each photo; angles are in degrees, focal lengths in pixels, distances in units of the world."""
    rows = [["", "photo", "pixels", "focal", "view", "mask", "sharp"]]
    rows[0] += [] if found is None else ["around", "up", "distance", "nearest"]
    for i, g in enumerate(glances[:MOST_ROWS]):
        focal, angle = ("?", "?") if g.focal is None else (f"{g.focal:.0f}", f"{g.view_angle:.0f}°")
        mask = "-" if g.covered is None else f"{100 * g.covered:.0f} %"
        row = [str(i), _short(g.name), f"{g.size[1]} x {g.size[0]}", focal, angle, mask, f"{g.sharpness:.0f}"]
        if found is not None:
            row += [f"{found.azimuths[i].round() % 360:.0f}°", f"{found.elevations[i]:.0f}°"]
            row += [f"{found.distances[i]:#.3g}", f"{found.neighbours[i]:.0f}°"]
        rows.append(row)
    if sides:
        rows = [[*row, side] for row, side in zip(rows, ["split", *sides])]
    widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(w) if c == 1 else cell.rjust(w) for c, (cell, w) in enumerate(zip(row, widths))]
        say("  ".join(cells).rstrip())
    if len(glances) > MOST_ROWS:
        say(f"... and {len(glances) - MOST_ROWS} more")


def _short(name: str, most: int = 28) -> str:
    """A name whose middle may be left out, without characters that a terminal would obey."""
    name = "".join(c if c.isprintable() else "?" for c in name)
    return name if len(name) <= most else f"{name[: most // 2]}...{name[-(most // 2 - 3) :]}"


def _numbers(indices: Sequence[int]) -> str:
    shown = ", ".join(map(str, indices[:12]))
    return shown + (f" and {len(indices) - 12} more" if len(indices) > 12 else "")
