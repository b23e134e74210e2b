"""What each photo may have of its own: a small affine transform of colours, and a small motion of its camera."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.cameras import Cameras
from fewview.geometry.quaternions import multiply, rotations
from fewview.render.gaussians import Gaussians
from fewview.views import Render

BETAS = 0.9, 0.99  # of Adam: a photo's turn comes only every so many steps


class Adjustments:
    """Colour transforms and motions of photos, all but the first's, which fixes the scene's colours and its world.

    A rate of 0 leaves colours, or cameras, as they are. Lengths count in `distance`, world units from a camera to what
    it looks at, so that a turn and a shift of one size move the picture as far.
    """

    def __init__(self, count: int, *, colour_rate: float, pose_rate: float, distance: float):
        self.rates, self.distance = {"colour": colour_rate, "pose": pose_rate}, distance
        self.colours = [torch.zeros(3, 4) for _ in range(count)]  # what is added to the identity
        self.poses = [torch.zeros(6) for _ in range(count)]
        named = {"colour": self.colours, "pose": self.poses}
        moving = {name: [t.requires_grad_() for t in named[name][1:]] for name, rate in self.rates.items() if rate > 0}
        groups = [{"params": leaves, "lr": self.rates[name], "name": name} for name, leaves in moving.items() if leaves]
        self.optimiser = torch.optim.Adam(groups, betas=BETAS) if groups else None

    def descend(self, share: float) -> None:
        """One step of Adam, for the photos that have gradients, at a share of the first rates; gradients are gone."""
        if self.optimiser is None:
            return
        for group in self.optimiser.param_groups:
            group["lr"] = share * self.rates[group["name"]]
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def recoloured(self, seen: Render, photo: int) -> Render:
        """A rendering in the colours of a photo: c -> c + A c + b, where c is what covers the pixel."""
        if not self.colours[photo].requires_grad:
            return seen
        matrix, offset = self.colours[photo].split([3, 1], dim=1)
        added = torch.einsum("ij,jhw->ihw", matrix.to(seen.image), seen.image) + offset[..., None] * seen.alpha
        return replace(seen, image=seen.image + added)

    def moved(self, gaussians: Gaussians, photo: int, camera: Cameras) -> Gaussians:
        """Splats that the photo's given camera sees as its refined one sees the given splats.

        The splats move instead of the camera, so that any renderer of splats has the gradients. Harmonics stay in the
        axes of the world, which these moves, fractions of a degree, hardly leave.
        """
        if not self.poses[photo].requires_grad:
            return gaussians
        turn, shift = self.poses[photo].to(gaussians.means).split(3)
        quaternion = _small_turn(turn)
        rotation = rotations(quaternion[None])[0]
        centre = camera.centers.to(gaussians.means)
        means = (gaussians.means - centre) @ rotation.T + centre + self.distance * shift
        return replace(gaussians, means=means, quaternions=multiply(quaternion[None], gaussians.quaternions))

    def cameras(self, given: Sequence[Cameras]) -> list[Cameras]:
        """The refined cameras of the photos."""
        return [self._refined(camera, pose.detach()) for camera, pose in zip(given, self.poses)]

    def _refined(self, camera: Cameras, pose: Float[Tensor, "6"]) -> Cameras:
        turn, shift = pose.to(camera.world_from_cam).split(3)
        back = rotations(_small_turn(turn)[None])[0].T
        upper = torch.cat(
            [
                back @ camera.world_from_cam[:3, :3],
                (camera.world_from_cam[:3, 3] - self.distance * back @ shift)[:, None],
            ],
            dim=1,
        )
        return replace(camera, world_from_cam=torch.cat([upper, camera.world_from_cam[3:]]))

    def penalty(self, photo: int, *, colour: float, pose: float) -> Float[Tensor, ""]:
        """How far a photo is from what was given: weighted sums of squares (of radians and distances, for cameras)."""
        return colour * self.colours[photo].square().sum() + pose * self.poses[photo].square().sum()


def _small_turn(turn: Float[Tensor, "3"]) -> Float[Tensor, "4"]:
    """A quaternion of a turn about an axis by its length in radians, to the third order; smooth at 0."""
    return torch.cat([torch.ones_like(turn[:1]), turn / 2])
