"""`fewview view`: scenes in the browser."""

import ipaddress
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from fewview.commands.console import say
from fewview.commands.targets import check_new, check_place
from fewview.errors import InputError


@dataclass(frozen=True)
class View:
    """Look at scenes in the browser: splats, mesh, cameras, several side by side, and a path to film along."""

    scenes: Annotated[Positional[tuple[Path, ...]], arg(metavar="SCENE")] = ()
    """Results of `fewview reconstruct`, or files of splats (.ply, .spz, .sog, .splat, .glb)."""
    samples: Annotated[tuple[Path, ...], arg(metavar="SCENE")] = ()
    """Samples of one scene; each splat can be coloured by how much they disagree there."""
    photos: Annotated[Path | None, arg(metavar="INPUT")] = None
    """Photos with their cameras to show in the first scene, such as the input of `fewview reconstruct`."""
    up: Annotated[str | None, arg(metavar="AXIS")] = None
    """x, y, z, -x, -y or -z of the scene; what the cameras stand around unless given."""
    spz_axes: Annotated[str | None, arg(metavar="RDF|RUB|...")] = None
    """Where x, y and z of .spz files point to (right, left, up, down, front, back), whatever they say."""
    page: Annotated[Path | None, arg(metavar="FILE")] = None
    """Write one .html file that opens without a server or internet, instead of serving."""
    overwrite: bool = False
    """Replace the file of --page."""
    save_path: Annotated[Path, arg(metavar="FILE")] = Path("camera_path.json")
    """Where the path editor saves, for `fewview render --path`."""
    host: str = "127.0.0.1"
    """Address to serve at; others than this machine reach it only if this is changed."""
    port: Annotated[int, arg(metavar="N")] = 8080
    """Port to serve at; the next free one if it is taken."""

    def run(self) -> None:
        self.check()
        if self.page is not None:
            self.write(self.page)
        else:
            check_place(self.save_path)
            self.serve()

    def check(self) -> None:
        """InputError for options that do not go together, and for scenes that are not there."""
        if not self.scenes and not self.samples:
            raise InputError("Name a scene, or two samples of one with --samples.")
        if len(self.samples) == 1:
            raise InputError("--samples takes two or more scenes; a single one has nothing to disagree with.")
        if not 0 < self.port < 65536:
            raise InputError(f"--port is {self.port}; it is a number from 1 to 65535.")
        for path in (*self.scenes, *self.samples):
            if not path.exists():
                from fewview.data.instead import missing

                raise InputError(f"{missing(path)}; name results of `fewview reconstruct` or a file of splats.")

    def serve(self) -> None:
        """The scenes at an address, until Ctrl-C."""
        from fewview.viewer.exhibits import exhibits
        from fewview.viewer.server import Place, serve

        if not _is_this_machine(self.host):
            who = "whoever reaches that address sees the scenes and can save paths"
            print(f"fewview: with --host {self.host}, {who}.", file=sys.stderr)
        say("Reading the scenes")
        opened = [self.open(scene, first=i == 0) for i, scene in enumerate(self.scenes)]
        samples = [self.open(scene, first=not opened and i == 0) for i, scene in enumerate(self.samples)]
        for shown in (*opened, *samples):
            if degree := shown.gaussians.degree:
                say(f"{shown.name}: colours are of degree 0 here; --page FILE.html shows those of degree {degree} too.")
        server = serve(exhibits(opened, samples), Place(self.host, self.port, self.save_path))
        say(f"Open http://{_written(self.host)}:{server.get_port()} in a browser; Ctrl-C ends it.")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            say("Closed.")
        finally:
            server.stop()

    def open(self, scene: Path, *, first: bool):
        """A scene; the first one gets the photos. What a user should know of its file is said."""
        from fewview.commands.look import check_spz
        from fewview.viewer.shown import open_shown

        check_spz(self.spz_axes)
        shown = open_shown(scene, self.photos if first else None, self.up, spz_axes=self.spz_axes)
        for note in shown.asset.notes:
            say(f"{shown.name}: {note}.")
        return shown

    def write(self, page: Path) -> None:
        """The page that needs no server, of one scene."""
        if len(self.scenes) != 1 or self.samples:
            raise InputError("--page holds one scene; name just one, without --samples.")
        if page.suffix.lower() != ".html":
            raise InputError(f"{page} ends in '{page.suffix}'; name a .html file.")
        check_new(page, self.overwrite)
        from fewview.export.page import write_viewer_html

        shown = self.open(self.scenes[0], first=True)
        posed = shown.posed
        cameras, photos = (None, None) if posed is None else (posed.cameras, posed.photos)
        write_viewer_html(page, shown.asset, cameras, up=shown.up, photos=photos, name=shown.name, walk=shown.walk)
        say(f"The scene is in {page} ({page.stat().st_size / 1e6:.1f} MB): open it in a browser.")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _written(host: str) -> str:
    """The host as an address for a browser."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
