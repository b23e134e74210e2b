"""A trained network as a method of the evaluation: it draws each camera on its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.framing import crop_to_object, norm_from_world
from fewview.sparsefusion.method import ImageAsset, Prepared
from fewview.views import Asset, Views


@runtime_checkable
class Draws(Protocol):
    """A network that looks at context views (m,) once, and then makes a picture of any camera (batch shape empty), in
    the normalised frame of the context: colours in [0, 1], and perhaps coverage."""

    size: int

    def look(self, context: Views) -> Any: ...

    def picture(
        self, seen: Any, camera: Cameras, generator: torch.Generator | None = None
    ) -> Float[Tensor, "channels height width"]: ...


class NetworkImages:
    """A Reconstructor: the photos are kept, and the network is asked for each camera."""

    def __init__(self, network: Draws, *, draws: bool = False):
        self.network, self.draws = network, draws

    def reconstruct(
        self, views: Views, *, path: Cameras | None = None, generator: torch.Generator | None = None
    ) -> Asset:
        """Pictures of any cameras of the views' world; drawn at random with `draws`, where the network can."""
        prepared = seen_by(views, self.network.size)
        chance = generator if self.draws else None
        seen = self.network.look(prepared.context)
        return ImageAsset(self.network.size, prepared, lambda camera: self.network.picture(seen, camera, chance))


@contextmanager
def starting(generator: torch.Generator) -> Iterator[None]:
    """A block in which networks start from a draw of the generator; chance outside of it stays as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        yield


def seen_by(views: Views, size: int) -> Prepared:
    """Photos cut to the object, on black, in the frame that they define."""
    photos = crop_to_object(views, size).on_black()
    frame = norm_from_world(photos)
    photos = photos.transformed(frame)
    return Prepared(frame, photos, photos)
