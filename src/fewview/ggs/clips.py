"""What GGS trains on: clips of posed images, in any world, with z-depths where they are known."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.views import Views


@dataclass(frozen=True, eq=False)
class Clip:
    """Some scenes at once. Depths are z-depths in the world's units at the images' resolution, 0 where unknown."""

    references: Views  # "b k"
    targets: Views  # "b l"
    novel: Views  # "b j": seen by no network, rendered for L_nv,LR
    reference_depths: Float[Tensor, "b k height width"] | None = None
    target_depths: Float[Tensor, "b l height width"] | None = None
    novel_depths: Float[Tensor, "b j height width"] | None = None

    def to(self, device: torch.device | str) -> "Clip":
        views = [v.to(device) for v in (self.references, self.targets, self.novel)]
        depths = [d if d is None else d.to(device) for d in self.depths]
        return Clip(views[0], views[1], views[2], *depths)

    def resized(self, height: int, width: int) -> "Clip":
        """Images of another size; depths stay as they are."""
        views = [v.resized(height, width) for v in (self.references, self.targets, self.novel)]
        return Clip(views[0], views[1], views[2], *self.depths)

    @property
    def depths(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Of references, targets and novel views."""
        return self.reference_depths, self.target_depths, self.novel_depths

    @property
    def input_depths(self) -> Float[Tensor, "b m height width"] | None:
        """Of references, then targets, where both are known."""
        if self.reference_depths is None or self.target_depths is None:
            return None
        return torch.cat([self.reference_depths, self.target_depths], dim=1)


Batches = Callable[[torch.Generator], Clip]
