"""A reconstructed scene as its users hold it: to be looked at, and written in any format."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.checkpoint import read_json
from fewview.data import open_scene
from fewview.data.camera_file import read_cameras, read_origin
from fewview.data.instead import missing, scene_mend
from fewview.detail.stage import DetailConfig, sized
from fewview.errors import InputError
from fewview.export.agreement import fitted
from fewview.export.glb_mesh import read_mesh
from fewview.export.mesh import Mesh, TexturedMesh
from fewview.export.notebook import film_html
from fewview.export.package import Products, Record, is_walk, write_results
from fewview.export.paint import paint
from fewview.export.scenes import AXES, load_scene
from fewview.export.texture import texels_for, textured
from fewview.framing import crop_to_object
from fewview.geometry.origin import NO_ORIGIN, Origin
from fewview.geometry.transforms import normalise
from fewview.paths import CameraPrior, interpolate, orbit
from fewview.pipeline import formats, products
from fewview.progress import Progress, show, silent
from fewview.render.asset import FieldAsset, GaussianAsset
from fewview.render.gaussians import Gaussians
from fewview.render.splatting import without_antialiasing
from fewview.views import Render, Views

FILM_SIZE, FILM_FRAMES = 192, 48  # pixels and pictures of the film among the results
WALK_SIZE = 384  # pixels of the film of a walk, at most, where splats are as sharp as the photos
TURN_FRAMES = 24  # pictures that a notebook shows
SPLAT_FILE_SIZE = 480  # pixels of cameras around splats that have none of their own
AROUND = 36  # cameras that splats, surfaces and textures are made from
FIT_SIZE, FIELD_SIZE, SPLAT_SIZE = 128, 256, 512  # their pixels: for splats and surface; for textures of fields, splats
TEXTURE, LARGEST_TEXTURE = 1024, 4096  # texels a side, at least and at most
OUTLINE_SIZE = 512  # pixels of the longer side of the masks that outlines are fitted to
DETAIL = DetailConfig()
SPLATS, MESH, INPUTS = "splats.ply", "mesh.glb", "inputs"  # of a folder of results


class Reconstruction:
    """An asset, cameras (batch shape (n,)) that look at it, and the direction up, all in one world.

    The cameras stand around an object, or, with `walk`, lead through a room. `views` are the photos that it was made
    from, where they are known; splats of a field are then as sharp as they are (`detail` says how they are fitted).
    Splats and meshes take a while: they are made when they are first asked for, and `progress` is told. `origin` leads
    from this world to the input's, where that is far from its own origin; what is written goes back there.
    """

    def __init__(
        self,
        asset: FieldAsset | GaussianAsset,
        cameras: Cameras,
        *,
        up: Float[Tensor, "3"] | None = None,
        walk: bool = False,
        views: Views | None = None,
        name: str = "scene",
        progress: Progress | None = None,
    ) -> None:
        self.asset, self.cameras, self.walk, self.views, self.name = asset, cameras, walk, views, name
        if up is None:
            up = normalise(cameras.up.mean(0)) if walk else CameraPrior.fit(cameras).circle.normal
        self.up = up
        self.report = progress or silent
        self.detail = DETAIL
        self.origin: Origin = asset.origin if isinstance(asset, GaussianAsset) else NO_ORIGIN
        self.kept: Path | None = None  # a file of splats that were made of the scene before
        self.kept_mesh: Path | None = None  # and one of its surface
        self.stored: Path | None = None  # a folder of the photos

    @staticmethod
    def of(
        asset: FieldAsset | GaussianAsset, views: Views, *, name: str = "scene", progress: Progress | None = None
    ) -> "Reconstruction":
        """What a method made of masked photos; its cameras are theirs, cropped to the object."""
        cameras = crop_to_object(views, FILM_SIZE).cameras
        return Reconstruction(asset, cameras, views=views, name=name, progress=progress)

    @staticmethod
    def along(
        asset: FieldAsset | GaussianAsset,
        path: Cameras,
        views: Views,
        *,
        name: str = "scene",
        progress: Progress | None = None,
    ) -> "Reconstruction":
        """What a method made of whole photos along a path; up is that of the photos."""
        up = normalise(views.cameras.up.mean(0))
        return Reconstruction(asset, path, up=up, walk=True, views=views, name=name, progress=progress)

    @staticmethod
    def open(
        path: Path, up: str | None = None, *, spz_axes: str | None = None, progress: Progress | None = None
    ) -> "Reconstruction":
        """Results of `fewview reconstruct` or `save`, or a file that `load_scene` reads; InputError for anything else.

        `up` is x, y, z, -x, -y or -z; by default what the cameras stand around, and -y for files of splats.
        `spz_axes` are those of a .spz file, where it does not state them rightly.
        """
        if up is not None and up not in AXES:
            raise InputError(f"--up is '{up}'; it is one of {', '.join(AXES)} (--up=-y, for example).")
        if path.is_dir():
            asset, folder = load_asset(path)
            axis = None if up is None else torch.tensor(AXES[up])
            poses = folder / "transforms.json"
            cameras, walk = read_cameras(poses), is_walk(poses)
            name = folder.resolve().name
            scene = Reconstruction(asset, cameras, up=axis, walk=walk, name=name, progress=progress)
            scene.origin = read_origin(poses)
            if (folder / INPUTS / "transforms.json").is_file():
                scene.stored = folder / INPUTS
            if (folder / SPLATS).is_file() and (isinstance(asset, FieldAsset) or asset.antialiased):
                scene.kept = folder / SPLATS
            if (folder / MESH).is_file() and isinstance(asset, FieldAsset):
                scene.kept_mesh = folder / MESH
            return scene
        if not path.exists():
            raise InputError(f"{missing(path)}; name results of `fewview reconstruct` or a file of splats.")
        asset, axis = load_scene(path, spz_axes), torch.tensor(AXES[up or "-y"])
        cameras = products.surrounding(asset.gaussians, axis, SPLAT_FILE_SIZE)
        return Reconstruction(asset, cameras, up=axis, name=path.stem, progress=progress)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of how the scene's file was read, each half a sentence."""
        return self.asset.notes if isinstance(self.asset, GaussianAsset) else ()

    def render(self, cameras: Cameras) -> Render:
        """What cameras (batch shape (n,)) of the scene's world see: premultiplied RGB, alpha, z-depth."""
        return products.renders(self.asset, cameras)

    def path(self, count: int) -> Cameras:
        """So many cameras on a turn around what the scene's cameras look at, or on the walk."""
        if len(self.cameras) < 2:
            return self.cameras[torch.zeros(count, dtype=torch.long)]
        return interpolate(self.cameras, count) if self.walk else orbit(self.cameras, count)

    @cached_property
    def splats(self) -> Gaussians:
        """Those of the scene, or some that are fitted to its photos and its field; coloured."""
        made = self.splat_asset.gaussians
        if made.features.shape[1] != 3:
            raise InputError("The splats of the scene have latent features instead of colours, which no file holds.")
        return made

    @cached_property
    def splat_asset(self) -> GaussianAsset:
        """The same as an asset. Of photos, they are such that renderers without antialiasing show them well."""
        if self.kept is not None:
            return load_scene(self.kept)
        generator = torch.Generator().manual_seed(0)
        asset, views = self.asset, self.views
        if views is None or (self.walk and isinstance(asset, FieldAsset)):
            fitted = products.splats(asset, self._around(FIT_SIZE), generator=generator, progress=self.report)
            return GaussianAsset(fitted, isinstance(asset, GaussianAsset) and asset.antialiased)
        if isinstance(asset, FieldAsset):
            around = self._seen, self._around(FIT_SIZE)
            how = {"generator": generator, "progress": self.report}
            asset = products.detailed(asset, views, around, config=self.detail, **how)
        if not asset.antialiased:
            return asset
        return GaussianAsset(without_antialiasing(asset.gaussians, sized(views, self.detail.photo_size).cameras))

    @cached_property
    def _seen(self) -> Render:
        """What cameras around the scene see."""
        return self.render(self._around(FIT_SIZE))

    @cached_property
    def photos(self) -> Views | None:
        """The photos that the scene was made from, also of results that were opened again; None if nobody knows."""
        if self.views is not None or self.stored is None:
            return self.views
        scene = open_scene(self.stored)
        return scene.read(range(len(scene)))

    @cached_property
    def mesh(self) -> Mesh:
        """The surface, with colours at its vertices."""
        if isinstance(self._kept_surface, Mesh):
            return self._kept_surface
        surface, seen, cameras = self._surface
        return paint(surface, seen, cameras)

    @cached_property
    def textured_mesh(self) -> TexturedMesh:
        """The surface, unwrapped, with its colours in a texture: of the photos, or of the scene where none looks."""
        if isinstance(self._kept_surface, TexturedMesh):
            return self._kept_surface
        surface, seen, cameras = self._surface
        photos, size = self._solid_photos, TEXTURE
        if photos is not None:
            size = min(LARGEST_TEXTURE, max(size, texels_for(photos)))
        self.report("painting the texture", 0)
        mesh = textured(surface, seen, cameras, photos=photos, size=size)
        self.report("painting the texture", 1)
        return mesh

    @cached_property
    def _kept_surface(self) -> Mesh | TexturedMesh | None:
        """The surface that was taken of the field before, where its file says how it was turned."""
        return None if self.kept_mesh is None else read_mesh(self.kept_mesh)

    @cached_property
    def _solid_photos(self) -> Views | None:
        """The photos of an object, at the size that splats are fitted to; None in rooms, or if they are not known."""
        return None if self.walk or self.photos is None else sized(self.photos, self.detail.photo_size)

    @cached_property
    def _surface(self) -> tuple[Mesh, Render, Cameras]:
        """The surface without colours, what colours it, and the cameras that see that."""
        sharp = self._solid_photos is not None  # then the splats are as sharp as the photos, and the field is not
        splats, asset = self.splats, self.splat_asset if sharp else self.asset
        cameras = self._around(FIELD_SIZE if sharp or isinstance(asset, FieldAsset) else SPLAT_SIZE)
        if sharp and isinstance(self.asset, FieldAsset):
            cameras = cameras[::2]  # they only colour what no photo shows
        self.report("taking the surface", 0)
        seen = products.renders(asset, cameras)
        if isinstance(self._kept_surface, Mesh):
            surface = self._kept_surface
        else:
            surface = products.surface(self.asset, splats, cameras, seen=seen)
            if self._solid_photos is not None:
                surface = fitted(surface, sized(self._solid_photos, OUTLINE_SIZE))
        self.report("taking the surface", 1)
        return surface, seen, cameras

    def _around(self, size: int) -> Cameras:
        if self.walk:
            return products.sized(self.path(AROUND), size)
        return products.around(self.cameras, AROUND, size)

    def export(self, out: str | Path, format: str | formats.Format | None = None) -> None:
        """Write a file whose ending says what it is (.glb, .ply, .mp4 and others), or a folder, by the format's name.

        A file that is there is replaced. InputError for an unknown format, or a folder with something in it.
        """
        out = Path(out)
        chosen = format if isinstance(format, formats.Format) else formats.choose(out, format)
        if out.is_dir() and any(out.iterdir()):
            raise InputError(f"{out} is a folder with something in it; name an empty or a new one.")
        chosen.write(out, self)

    def save(self, out: str | Path, record: Record | None = None) -> None:
        """The folder of results that `fewview reconstruct` leaves, whole or not at all; former results are replaced.

        A walk gets a mesh where that has been made before, for rooms are better without.
        InputError for a scene whose photos are not known, and for a folder that holds anything else.
        """
        if self.views is None:
            raise InputError(f"The photos of {self.name} are not known, which results are about; export it instead.")
        made_before = vars(self).get("textured_mesh", vars(self).get("mesh"))
        mesh = made_before if self.walk else self.textured_mesh
        sharp = self.walk and isinstance(self.asset, GaussianAsset) and self.asset.antialiased
        size = max(FILM_SIZE, min(WALK_SIZE, self.views.cameras.height)) if sharp else FILM_SIZE
        path = products.sized(self.path(max(FILM_FRAMES, len(self.cameras) * self.walk)), size)
        shown = None if self.walk else self.splat_asset  # as sharp as the photos, where the field is not
        made = Products(mesh, self.splats, path, walk=self.walk, up=self.up, shown=shown, origin=self.origin)
        made = replace(made, unseen=products.unseen_by(self.views, shown or self.asset))
        show(self.report, (shown or self.asset).render)
        self.report("rendering and writing", 0)
        write_results(Path(out), self.asset, self.views, products=made, record=record or Record(self.name))
        self.report("rendering and writing", 1)

    def __repr__(self) -> str:
        photos = "" if self.views is None else f" of {len(self.views)} photos"
        return f"<{type(self).__name__} '{self.name}'{photos}: {type(self.asset).__name__}>"

    def _repr_html_(self) -> str:
        """A small turning picture, in notebooks."""
        return film_html(self.asset, self.path(TURN_FRAMES))


def load_asset(folder: Path) -> tuple[FieldAsset | GaussianAsset, Path]:
    """The asset of a result folder, or of the scene folder in it, and the result folder."""
    scene = folder / "scene" if (folder / "scene").is_dir() else folder
    header = scene / "config.json"
    if not header.exists():
        raise InputError(f"{folder} holds no scene (scene/config.json); {scene_mend(folder)}.")
    kinds = {"FieldAsset": FieldAsset, "GaussianAsset": GaussianAsset}
    data = read_json(header)
    kind = data.get("class") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise InputError(f"{header} does not describe a scene; name the results of `fewview reconstruct`.")
    return kinds[kind].load(scene), scene.parent
