"""The panel in which a camera path is made: keyframes, a preview, and a file for `fewview render --path`."""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fewview.viewer.exhibits import Exhibit, pose_of
from fewview.viewer.keyframes import Keyframe, KeyframePath

if TYPE_CHECKING:
    import viser

FPS = 24
INK = (90, 200, 250)
EMPTY = "No keyframes yet: look from somewhere and add one."
Pose = tuple[np.ndarray, np.ndarray, float, float]
"""As `exhibits.pose_of` gives it."""


@dataclass
class PathPanel:
    """The path of a page, which all its browsers share, and the marks that show it."""

    server: "viser.ViserServer"
    exhibits: Sequence[Exhibit]
    out: Path
    path: KeyframePath = field(default_factory=KeyframePath)
    saved: Path | None = None
    marks: list[Any] = field(default_factory=list)
    playing: threading.Lock = field(default_factory=threading.Lock)

    def build(self) -> None:
        """The folder of the panel."""
        gui = self.server.gui
        names = [f"{i + 1}: {exhibit.name}" for i, exhibit in enumerate(self.exhibits)]
        with gui.add_folder("Path"):
            self.said = gui.add_markdown(EMPTY)
            self.frames = gui.add_number("Pictures", 72, min=2, max=2000, step=1)
            self.height = gui.add_number("Height", 512, min=16, max=4096, step=2)
            self.world = gui.add_dropdown("World of", names, visible=len(names) > 1)
            self.which = gui.add_number("Keyframe", 1, min=1, step=1)
            actions = {
                "Add keyframe": self._add,
                "Go to keyframe": self._go,
                "Remove keyframe": self._remove,
                "Clear": self._clear,
                "Preview": self._preview,
                "Save": self._save,
            }
            for name, act in actions.items():
                clicked(gui.add_button(name), lambda client, act=act: self._do(act, client))

    def _do(self, act: Callable[[Any], str | None], client: "viser.ClientHandle") -> None:
        try:
            told = act(client)
        except (ValueError, OSError) as error:
            told = f"Not done: {error}."
        self._mark()
        count = len(self.path.keyframes)
        self.said.content = told or (f"{count} keyframe{'s' * (count > 1)}" if count else EMPTY)

    def _add(self, client: "viser.ClientHandle") -> None:
        self.path.add(keyframe_of(client))
        self.which.value = len(self.path.keyframes)

    def _go(self, client: "viser.ClientHandle") -> None:
        enter(client, pose_of(self.path.at(int(self.which.value)).camera(64)))

    def _remove(self, client: "viser.ClientHandle") -> None:
        self.path.remove(int(self.which.value))
        self.which.value = max(1, len(self.path.keyframes))

    def _clear(self, client: "viser.ClientHandle") -> None:
        self.path.keyframes.clear()
        self.which.value = 1

    def _save(self, client: "viser.ClientHandle") -> str:
        exhibit = self.exhibits[self.world.options.index(self.world.value)]
        target = self.saved or free_name(self.out)
        how = {"frames": int(self.frames.value), "height": int(self.height.value), "origin": exhibit.origin}
        count = self.path.save(target, exhibit.page_from_world, **how)
        self.saved = target
        client.send_file_download(target.name, target.read_bytes())
        return f"{count} cameras are in {target}: `fewview render SCENE --path {target}`"

    def _preview(self, client: "viser.ClientHandle") -> None:
        """Walk the path once and come back. ValueError while another preview runs."""
        cameras = self.path.cameras(int(self.frames.value), 64)
        if not self.playing.acquire(blocking=False):
            raise ValueError("a preview is running")
        try:
            before = keyframe_of(client)
            for mark in self.marks:
                mark.visible = False
            for i in range(len(cameras)):
                enter(client, pose_of(cameras[i]))
                time.sleep(1 / FPS)
            enter(client, pose_of(before.camera(64)))
        finally:
            self.playing.release()

    def _mark(self) -> None:
        """Draw keyframes as frusta and the path as a line."""
        for node in self.marks:
            node.remove()
        scene, stops = self.server.scene, self.path.keyframes
        self.marks = []
        for i, stop in enumerate(stops):
            pose = {"wxyz": stop.wxyz, "position": stop.position}
            mark = scene.add_camera_frustum(f"/path/{i}", stop.fov, stop.aspect, scale=0.08, color=INK, **pose)
            self.marks.append(mark)
        if len(stops) > 1:
            points = self.path.cameras(16 * len(stops), 64).centers.numpy()
            ends = np.stack([points[:-1], points[1:]], axis=1)
            self.marks.append(scene.add_line_segments("/path/line", ends, np.array(INK, dtype=np.uint8)))


def clicked(button: Any, act: Callable[[Any], object]) -> None:
    """Call `act` with the browser in which something is clicked."""
    button.on_click(lambda event: act(event.client))


def enter(client: "viser.ClientHandle", pose: Pose) -> None:
    """Look through a camera of the page."""
    wxyz, position, fov, _ = pose
    with client.atomic():
        client.camera.position, client.camera.wxyz, client.camera.fov = position, wxyz, fov


def free_name(path: Path) -> Path:
    """The path itself, or with the first number behind its name that no file has yet."""
    names = itertools.chain([path], (path.with_stem(f"{path.stem}-{i}") for i in itertools.count(2)))
    return next(name for name in names if not name.exists())


def keyframe_of(client: "viser.ClientHandle") -> Keyframe:
    """Where a browser looks from."""
    camera = client.camera
    x, y, z = (float(v) for v in camera.position)
    w, a, b, c = (float(v) for v in camera.wxyz)
    return Keyframe((x, y, z), (w, a, b, c), float(camera.fov), float(camera.aspect))
