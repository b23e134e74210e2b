"""The page that `fewview view` serves: a panel to show, look around, walk a path and save pictures (viser)."""

import contextlib
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fewview.errors import MissingPackage
from fewview.export.page import middle
from fewview.geometry.transforms import apply
from fewview.viewer.exhibits import KINDS, OFF, Exhibit, Hung, Part, pose_of
from fewview.viewer.path_panel import PathPanel, clicked, enter
from fewview.viewer.shown import APART

if TYPE_CHECKING:
    import viser

PAPERS = {"black": 0, "grey": 119, "white": 255}
STILL = 1e-2  # page units between camera and pivot when flying: turning the camera then turns the head
QUICK = 0.15  # seconds for a small picture of a draft; who draws it faster gets all splats
PATIENCE = 1.0  # seconds before that is tried
HELP = "**Drag** turns, **wheel** zooms, **right drag** moves; **W A S D Q E** fly. Click a camera to look through it."


@dataclass(frozen=True)
class Place:
    """Where the page is served, and the file that a path is saved to."""

    host: str = "127.0.0.1"
    port: int = 8080
    path_out: Path = Path("camera_path.json")


def serve(exhibits: Sequence[Exhibit], place: Place) -> "viser.ViserServer":
    """Start a server for the page; it runs in threads of its own until `stop()`. InputError where viser is missing."""
    try:
        import viser
    except ImportError:
        raise MissingPackage("The viewer needs viser; install it: pip install 'fewview[viewer]'") from None
    with contextlib.redirect_stdout(io.StringIO()):  # it says where it listens, and so do we
        server = viser.ViserServer(host=place.host, port=place.port, label="fewview", verbose=False)
    server.gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False, brand_color=(240, 152, 107))
    server.gui.main_panel.dock_right()
    gallery = Gallery(server, [Hung(show, f"/{i}", server) for i, show in enumerate(exhibits)], place)
    gallery.build()
    return server


@dataclass
class Gallery:
    """The page's nodes and panel."""

    server: "viser.ViserServer"
    hung: list[Hung]
    place: Place
    paper: str = "black"

    def build(self) -> None:
        """Everything, once."""
        self._background("black")
        for one in self.hung:
            one.draft = one.large
            one.hang()
        self._clicks()
        self._first_view()
        self._show_panel()
        self.server.on_client_connect(self._welcome)
        self._samples_panel()
        self._look_panel()
        PathPanel(self.server, [one.exhibit for one in self.hung], self.place.path_out).build()

    def aim(self, client: "viser.ClientHandle") -> None:
        """The first view: through the first camera of a single scene, or from where all scenes are seen."""
        position, target, fov = self._overview()
        with client.atomic():
            client.camera.up_direction = (0.0, 0.0, 1.0)
            client.camera.position = position
            client.camera.look_at = target
            client.camera.fov = fov

    def _overview(self) -> tuple[np.ndarray, np.ndarray, float]:
        _, position, fov, _ = pose_of(self.hung[0].exhibit.cameras()[0])
        if len(self.hung) == 1:
            return position, self._pivot(self.hung[0]), fov
        target = np.array([APART * (len(self.hung) - 1) / 2, 0, 0])
        return target + np.array([0, -1.6 * APART * len(self.hung), 0.5 * APART * len(self.hung)]), target, 0.7

    def _pivot(self, one: Hung) -> np.ndarray:
        centre = middle(one.exhibit.samples[0].gaussians)[None]
        return apply(one.exhibit.page_from_world, centre)[0].numpy().astype(np.float64)

    def _first_view(self) -> None:
        position, target, fov = self._overview()
        start = self.server.initial_camera
        start.position, start.look_at, start.up, start.fov = position, target, (0.0, 0.0, 1.0), fov

    def _clicks(self) -> None:
        for one in self.hung:
            for i, node in enumerate(one.nodes["cameras"]):
                pose = pose_of(one.exhibit.cameras()[i])
                clicked(node, lambda client, pose=pose: enter(client, pose))

    def _background(self, paper: str) -> None:
        self.paper = paper
        self.server.scene.set_background_image(np.full((1, 1, 3), PAPERS[paper], dtype=np.uint8), format="png")

    def _show_panel(self) -> None:
        gui = self.server.gui
        with gui.add_folder("Show"):
            for part in ("splats", "mesh", "cameras"):
                if any(one.nodes[part] for one in self.hung):
                    box = gui.add_checkbox(part.capitalize(), self.hung[0].visible[part])
                    box.on_update(lambda event, part=part: self._toggle(part, event.target.value))
            if len(self.hung) > 1:
                for i, one in enumerate(self.hung):
                    box = gui.add_checkbox(f"{i + 1}: {one.exhibit.name}", True)
                    box.on_update(lambda event, one=one: self._whole(one, event.target.value))
            self.detail = gui.add_dropdown("Detail", ("draft", "full"), visible=any(one.large for one in self.hung))
            self.detail.on_update(lambda event: self._detail(event.target.value))
            papers = gui.add_dropdown("Background", tuple(PAPERS))
            papers.on_update(lambda event: self._background(event.target.value))

    def _detail(self, detail: str) -> None:
        for one in self.hung:
            if one.large and one.draft != (detail == "draft"):
                one.change(draft=detail == "draft")

    def _welcome(self, client: "viser.ClientHandle") -> None:
        """Go to full detail once a browser has drawn the draft quickly."""
        if self.detail.value == "full" or not self.detail.visible:
            return
        for _ in range(2):  # shaders are compiled in the first
            time.sleep(PATIENCE)
            with contextlib.suppress(TimeoutError, RuntimeError):  # too slow, or gone
                client.get_render(64, 64, timeout=QUICK)
                self.detail.value = "full"
                self._detail("full")
                return

    def _toggle(self, part: Part, on: bool) -> None:
        for one in self.hung:
            one.visible[part] = on
            one.refresh()

    def _whole(self, one: Hung, on: bool) -> None:
        one.whole = on
        one.refresh()

    def _samples_panel(self) -> None:
        one = self.hung[-1]  # samples stand last
        if len(one.exhibit.samples) < 2:
            return
        names = [f"{i + 1}: {sample.name}" for i, sample in enumerate(one.exhibit.samples)]
        gui = self.server.gui
        with gui.add_folder("Samples"):
            which = gui.add_dropdown("Sample", names)
            kind = gui.add_dropdown("Disagreement", (OFF, *KINDS))
            legend = gui.add_markdown("")

        def update(_: Any) -> None:
            one.change(sample=names.index(which.value), kind=kind.value)
            scale = (
                f"Standard deviation over {len(names)} samples: dark is 0, yellow {one.top():.3f} or more, grey is "
                "seen by no camera. Colour in [0, 1], depth in radii of the scene."
            )
            legend.content = "" if kind.value == OFF else scale

        which.on_update(update)
        kind.on_update(update)

    def _look_panel(self) -> None:
        gui = self.server.gui
        with gui.add_folder("Look"):
            gui.add_markdown(HELP)
            ways = gui.add_button_group("Drag to", ("orbit", "fly"))
            clicked(ways, lambda client: self._movement(client, ways.value))
            clicked(gui.add_button("Reset view"), self.aim)
            clicked(gui.add_button("Screenshot"), self._screenshot)

    def _movement(self, client: "viser.ClientHandle", way: str) -> None:
        """Turn about the nearest scene, or about oneself."""
        camera = client.camera
        forward = np.asarray(camera.look_at) - np.asarray(camera.position)
        forward /= np.linalg.norm(forward)
        if way == "fly":
            camera.look_at = camera.position + STILL * forward
        else:
            near = [self._pivot(one) for one in self.hung]
            camera.look_at = min(near, key=lambda pivot: float(np.linalg.norm(pivot - camera.position)))

    def _screenshot(self, client: "viser.ClientHandle") -> None:
        client.send_file_download("fewview.png", self.picture(client), save_immediately=True)

    def picture(self, client: "viser.ClientHandle") -> bytes:
        """What a browser shows, as a PNG file on the page's background."""
        from PIL import Image

        camera = client.camera
        pixels = client.get_render(camera.image_height, camera.image_width, transport_format="png", timeout=60)
        alpha = pixels[..., 3:] / 255
        flat = pixels[..., :3] * alpha + PAPERS[self.paper] * (1 - alpha)
        buffer = io.BytesIO()
        Image.fromarray(flat.round().astype(np.uint8)).save(buffer, format="PNG")
        return buffer.getvalue()
