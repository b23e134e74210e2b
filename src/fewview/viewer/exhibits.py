"""Scenes on a viser page: splats, mesh and cameras as nodes that can be shown, hidden and coloured."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.export.glb import y_up
from fewview.export.images import to_bytes
from fewview.geometry.origin import Origin
from fewview.geometry.quaternions import quaternions_of
from fewview.geometry.transforms import scale_of
from fewview.paths import spiral
from fewview.render.gaussians import Gaussians
from fewview.viewer.shown import Shown
from fewview.viewer.uncertainty import Disagreement, disagreement, top_of

if TYPE_CHECKING:
    import viser

Part = Literal["splats", "mesh", "cameras"]
KINDS = ("colour", "depth", "both")
OFF = "off"
UNIT = 16.0  # of the splats' node, whose covariances viser stores in 16 bits: larger numbers lose less
LARGEST = 6e4  # of 16 bits
LARGE = 10_000  # splats; of scenes with more, a browser draws a draft first
DRAFT = 2000  # splats that a browser without a graphics card draws in a third of a second (it pays for every instance)
FRUSTUM = 0.18  # page units
CHECKS, CHECK_SIZE = 12, 160  # views and pixels for the disagreement of samples


@dataclass(frozen=True, eq=False)
class Exhibit:
    """One scene, or samples of one scene that are shown in turn, and where it stands on the page."""

    samples: Sequence[Shown]
    page_from_world: Float[Tensor, "4 4"]
    scores: Sequence[Disagreement] = ()

    @property
    def name(self) -> str:
        return self.samples[0].name

    @property
    def origin(self) -> Origin:
        """Leads from the world of the first sample to its input's."""
        return self.samples[0].asset.origin

    def cameras(self) -> Cameras:
        """The cameras of the first sample in the frame of the page."""
        return self.samples[0].views().transformed(self.page_from_world)


def exhibits(scenes: Sequence[Shown], samples: Sequence[Shown] = ()) -> list[Exhibit]:
    """Scenes side by side, and samples of one scene, where there are some, on one more place."""
    placed = [Exhibit([scene], scene.page_from_world(i)) for i, scene in enumerate(scenes)]
    if samples:
        around = samples[0].views()
        width = max(1, round(CHECK_SIZE * around.width / around.height))
        checks = spiral(around.resized(CHECK_SIZE, width), CHECKS)
        scores = disagreement([sample.asset for sample in samples], checks) if len(samples) > 1 else ()
        placed.append(Exhibit(samples, samples[0].page_from_world(len(placed)), scores))
    return placed


@dataclass
class Hung:
    """An exhibit's nodes on the page. `visible` says which parts are shown, `kind` which disagreement colours splats.

    A `draft` shows some of many splats, larger.
    """

    exhibit: Exhibit
    path: str
    server: "viser.ViserServer"
    sample: int = 0
    kind: str = OFF
    whole: bool = True
    draft: bool = False
    visible: dict[Part, bool] = field(default_factory=lambda: {"splats": True, "mesh": False, "cameras": False})
    nodes: dict[Part, list[Any]] = field(default_factory=dict)

    def hang(self) -> None:
        """Put every part on the page."""
        self.nodes = {"splats": [self._splats()], "mesh": self._mesh(), "cameras": self._cameras()}
        self.refresh()

    def refresh(self) -> None:
        """Show and hide what `visible` says."""
        for part, nodes in self.nodes.items():
            for node in nodes:
                node.visible = self.whole and self.visible[part]

    @property
    def large(self) -> bool:
        """Whether a draft shows less."""
        return max(len(sample.gaussians) for sample in self.exhibit.samples) > LARGE

    def change(self, *, sample: int | None = None, kind: str | None = None, draft: bool | None = None) -> None:
        """Show another sample, its splats in other colours, or more or fewer of them."""
        self.sample = self.sample if sample is None else sample
        self.kind = self.kind if kind is None else kind
        self.draft = self.draft if draft is None else draft
        self.nodes["splats"] = [self._splats()]
        self.refresh()

    def top(self) -> float:
        """The end of the colour scale."""
        return top_of(self.exhibit.scores, self.kind)

    def _splats(self) -> Any:
        shown = self.exhibit.samples[self.sample]
        splats = shown.gaussians.of_degree(0).transformed(self.exhibit.page_from_world)  # viser knows no harmonics
        plain = self.kind == OFF or not self.exhibit.scores
        colours = splats.features if plain else self.exhibit.scores[self.sample].colours(self.kind, self.top())
        splats = replace(splats, features=colours)
        splats = thinned(splats, DRAFT) if self.draft else splats
        return self.server.scene.add_gaussian_splats(
            f"{self.path}/splats",
            centers=(splats.means * UNIT).numpy(),
            covariances=(splats.covariances() * UNIT**2).clamp(-LARGEST, LARGEST).numpy(),
            rgbs=splats.features.clamp(0, 1).numpy(),
            opacities=splats.opacities[:, None].numpy(),
            scale=1 / UNIT,
        )

    def _mesh(self) -> list[Any]:
        shown = self.exhibit.samples[0]
        if shown.mesh is None:
            return []
        scale, wxyz, position = placement(self.exhibit.page_from_world, y_up(shown.up).T)
        where = {"scale": scale, "wxyz": wxyz, "position": position}
        return [self.server.scene.add_glb(f"{self.path}/mesh", shown.mesh, cast_shadow=False, **where)]

    def _cameras(self) -> list[Any]:
        posed = self.exhibit.samples[0].posed
        if posed is None:
            return []
        cameras = self.exhibit.cameras()
        nodes = []
        for i, photo in enumerate(posed.photos):
            wxyz, position, fov, aspect = pose_of(cameras[i])
            image = np.ascontiguousarray(to_bytes(photo))
            look = {"scale": FRUSTUM, "image": image, "color": (240, 152, 107), "cast_shadow": False}
            name = f"{self.path}/cameras/{i:03d}"
            nodes.append(self.server.scene.add_camera_frustum(name, fov, aspect, wxyz=wxyz, position=position, **look))
        return nodes


def thinned(gaussians: Gaussians, most: int) -> Gaussians:
    """At most `most` splats, evenly from all of them, and larger, so that together they cover the same area."""
    stride = -(-len(gaussians) // most)
    some = gaussians[::stride]
    return replace(some, scales=some.scales * (len(gaussians) / len(some)) ** 0.5)


def placement(
    page_from_world: Float[Tensor, "4 4"], world_from_node: Float[Tensor, "3 3"]
) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, (w, x, y, z) and position of a node whose axes are turned in the world."""
    scale = scale_of(page_from_world)
    turn = page_from_world[:3, :3] / scale @ world_from_node.to(page_from_world)
    return scale.item(), quaternions_of(turn[None])[0].numpy(), page_from_world[:3, 3].numpy()


def pose_of(camera: Cameras) -> tuple[np.ndarray, np.ndarray, float, float]:
    """(w, x, y, z), position, vertical field of view (radians) and width / height of a camera (batch shape ())."""
    fx, fy = camera.intrinsics.diagonal()[:2].tolist()
    fov = 2 * math.atan(camera.height / 2 / fy)
    aspect = (camera.width / fx) / (camera.height / fy)
    wxyz = quaternions_of(camera.world_from_cam[None, :3, :3])[0].numpy()
    return wxyz.astype(np.float64), camera.centers.numpy().astype(np.float64), fov, aspect
