"""A changing number of splats under optimisation: leaves, Adam's moments, and who lives, dies and is born."""

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fewview.detail.relocation import DEAD, chosen_sources, jitter, shared
from fewview.detail.selective_numba import SelectiveAdam
from fewview.render.gaussians import Gaussians

BETAS, TINY = (0.9, 0.999), 1e-15  # of Adam, as in the release of arXiv 2308.04079
LEAST_OPACITY, MOST_OPACITY = 1e-4, 1 - 1e-4


class Population:
    """Unconstrained leaves behind a set of Gaussians, each with its rate of Adam.

    `rates` are by name, in the order mean, scale, quaternion, opacity, feature, harmonic. With `selective`, splats of
    which a step's pictures show nothing stay as they are in that step.
    """

    def __init__(self, init: Gaussians, rates: dict[str, float], *, selective: bool = False):
        self.selective = selective
        self.spacing = init.scales.amax(-1).median().item()
        self.rates = {**rates, "mean": rates["mean"] * self.spacing}
        init = init.detach()
        logits = torch.logit(init.opacities.clamp(LEAST_OPACITY, MOST_OPACITY))
        values = (init.means, init.scales.log(), init.quaternions, logits, init.features, init.harmonics)
        pairs = {name: value for name, value in zip(self.rates, values) if value is not None}
        self.leaves = {name: value.clone().requires_grad_() for name, value in pairs.items()}
        self.degree = init.degree  # of the harmonics that show
        self._optimise({})

    def _optimise(self, state: dict[str, dict[str, Tensor]]) -> None:
        """A new optimiser of the leaves that goes on from the given moments."""
        groups = [{"params": [leaf], "lr": self.rates[name]} for name, leaf in self.leaves.items()]
        if self.selective:
            self.optimiser = SelectiveAdam(groups, betas=BETAS, eps=TINY)
        else:
            self.optimiser = torch.optim.Adam(groups, betas=BETAS, eps=TINY, fused=True)
        for name, moments in state.items():
            self.optimiser.state[self.leaves[name]] = moments

    def __len__(self) -> int:
        return len(self.leaves["mean"])

    def gaussians(self) -> Gaussians:
        """The splats, with harmonics up to `degree`, differentiable in the leaves."""
        means, logs, quaternions, logits, features, *rest = self.leaves.values()
        made = Gaussians(means, logs.exp(), quaternions, logits.sigmoid(), features, *rest)
        return made.of_degree(min(self.degree, made.degree))

    def alive(self) -> Gaussians:
        """The splats that are not dead, detached; colours that no harmonics change are in [0, 1]."""
        made = self.gaussians().detach()
        kept = made[made.opacities > DEAD]
        return kept if kept.harmonics is not None else replace(kept, features=kept.features.clamp(0, 1))

    def decay(self, share: float) -> None:
        """Set the rates to a share of what they were at first."""
        for name, group in zip(self.rates, self.optimiser.param_groups):
            group["lr"] = share * self.rates[name]

    def descend(self, loss: Float[Tensor, ""]) -> None:
        """One step of Adam down a loss."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if isinstance(self.optimiser, SelectiveAdam):
            towards = self.leaves["mean"].grad
            assert towards is not None
            self.optimiser.descend((towards != 0).any(-1))
        else:
            self.optimiser.step()

    @torch.no_grad()
    def jitter(self, strength: float, generator: torch.Generator) -> None:
        """Exploration noise; its size follows the rate of the means, as in Langevin dynamics."""
        step = strength * self.optimiser.param_groups[0]["lr"] / self.spacing
        self.leaves["mean"] += jitter(self.gaussians(), step, self.spacing, generator=generator)

    @torch.no_grad()
    def relocate(self, generator: torch.Generator) -> int:
        """Put dead splats where live ones are, and say how many; the picture stays (Eq. 9 of arXiv 2404.09591)."""
        opacities = self.leaves["opacity"].sigmoid()
        dead = torch.nonzero(opacities <= DEAD)[:, 0]
        if len(dead) in (0, len(self)):
            return 0
        sources = chosen_sources(opacities, len(dead), generator)
        self._share(sources)
        for name, leaf in self.leaves.items():
            leaf[dead] = leaf[sources]
            for moment in self._moments(name):
                moment[dead] = 0
        return len(dead)

    @torch.no_grad()
    def grow(self, count: int, generator: torch.Generator) -> None:
        """Add splats where live ones are; the picture stays."""
        opacities = self.leaves["opacity"].sigmoid()
        if count <= 0 or not bool((opacities > DEAD).any()):
            return
        sources = chosen_sources(opacities, count, generator)
        self._share(sources)
        state = {}
        for name, leaf in self.leaves.items():
            moments = dict(self.optimiser.state[leaf])
            for key, value in moments.items():
                if value.shape == leaf.shape:
                    moments[key] = torch.cat([value, torch.zeros_like(leaf[sources])])
            state[name] = moments
            self.leaves[name] = torch.cat([leaf.detach(), leaf.detach()[sources]]).requires_grad_()
        self._optimise(state)

    def _share(self, sources: Int[Tensor, " k"]) -> None:
        """Make each source one of so many copies as it is named, and itself."""
        copies = torch.bincount(sources, minlength=len(self)) + 1
        split = torch.nonzero(copies > 1)[:, 0]
        gaussians = self.gaussians()
        opacities, scales = shared(gaussians.opacities[split], gaussians.scales[split], copies[split])
        self.leaves["opacity"][split] = torch.logit(opacities.clamp(min=1.01 * DEAD, max=MOST_OPACITY))
        self.leaves["scale"][split] = scales.log()
        for name in self.leaves:
            for moment in self._moments(name):
                moment[split] = 0

    def _moments(self, name: str) -> list[Tensor]:
        leaf = self.leaves[name]
        return [value for value in self.optimiser.state[leaf].values() if value.shape == leaf.shape]
