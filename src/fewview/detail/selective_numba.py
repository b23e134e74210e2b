"""Adam that leaves alone what a step has not seen (selective Adam, as in gsplat and Brush): compiled for the CPU."""

from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from fewview.render.threads import share


class SelectiveAdam(torch.optim.Adam):
    """Adam (Kingma and Ba 2015, Algorithm 1) on contiguous float32 leaves of the CPU, whose rows are splats.

    Rows that are not seen keep their values and their moments: they neither coast on old gradients nor forget them. The
    bias correction counts all steps.
    """

    @torch.no_grad()
    def descend(self, seen: Bool[Tensor, " n"]) -> None:
        """One step on the rows that are seen."""
        rows = seen.numpy()
        for group in self.param_groups:
            (beta, gamma), rate, tiny = group["betas"], group["lr"], group["eps"]
            for leaf in group["params"]:
                if leaf.grad is None:
                    continue
                state = self.state[leaf]
                if not state:
                    zeros = {name: torch.zeros_like(leaf) for name in ("exp_avg", "exp_avg_sq")}
                    state.update({"step": torch.zeros(()), **zeros})
                state["step"] += 1
                step = int(state["step"])
                factors = beta, gamma, rate / (1 - beta**step), (1 - gamma**step) ** -0.5, tiny
                tensors = leaf, leaf.grad, state["exp_avg"], state["exp_avg_sq"]
                arrays = tuple(t.detach().contiguous().numpy().reshape(len(rows), -1) for t in tensors)
                share(_adam, len(rows), rows, *arrays, tuple(np.float32(factor) for factor in factors))


@numba.njit(cache=True, error_model="numpy", nogil=True)
@no_type_check
def _adam(start, end, seen, values, gradients, firsts, seconds, factors):
    beta, gamma, rate, unbias, tiny = factors
    one = np.float32(1)
    for i in range(start, end):
        if seen[i]:
            for j in range(values.shape[1]):
                gradient = gradients[i, j]
                first = beta * firsts[i, j] + (one - beta) * gradient
                second = gamma * seconds[i, j] + (one - gamma) * gradient * gradient
                firsts[i, j], seconds[i, j] = first, second
                values[i, j] -= rate * first / (np.sqrt(second) * unbias + tiny)
