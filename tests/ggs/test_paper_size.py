"""At the paper's size, where a GPU is: 8 frames of 576x320 pixels through Stable Video Diffusion's U-Net."""

import pytest
import torch
from ggs_rooms import painted, plane_depth, walk

from fewview.cameras import Cameras
from fewview.ggs.clips import Clip
from fewview.ggs.losses import LossConfig, denoiser_loss
from fewview.ggs.model import GGS
from fewview.recipes import ggs


@pytest.mark.gpu
@pytest.mark.slow
def test_one_training_step_fits_and_moves_the_weights():
    pytest.importorskip("diffusers")
    if not torch.cuda.is_available():
        pytest.skip("needs CUDA")
    square = walk(1, ggs.FRAMES + 1, size=320)
    cameras = Cameras(
        square.world_from_cam, square.intrinsics + torch.tensor([[0, 0, 128.0], [0] * 3, [0] * 3]), 320, 576
    )
    views, depths = painted(cameras), plane_depth(cameras)
    parts = slice(0, 1), slice(1, ggs.FRAMES), slice(ggs.FRAMES, None)
    clip = Clip(*(views[:, p] for p in parts), *(depths[:, p] for p in parts)).to("cuda")
    with torch.device("cuda"):
        model = GGS(ggs.paper())
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5, fused=True)
    losses = []
    for _ in range(2):
        with torch.autocast("cuda", torch.bfloat16):
            terms = denoiser_loss(model, clip, LossConfig(), generator=torch.Generator().manual_seed(0))
        optimiser.zero_grad(set_to_none=True)
        terms["loss"].backward()
        optimiser.step()
        losses.append(terms["loss"].item())
    assert losses[1] != losses[0] and all(torch.isfinite(torch.tensor(losses)))
    print(f"peak {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB, losses {losses}")
