"""Stable Diffusion's autoencoder as CompVis saved it, under the names that diffusers gave its tensors later."""

import re

from torch import Tensor

MARK = "encoder.down.0.block.0.conv1.weight"
PARTS = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
NAMES = (
    (r"encoder\.down\.(\d+)\.block\.(\d+)\.", r"encoder.down_blocks.\1.resnets.\2."),
    (r"encoder\.down\.(\d+)\.downsample\.", r"encoder.down_blocks.\1.downsamplers.0."),
    (r"decoder\.up\.(\d+)\.block\.(\d+)\.", r"decoder.up_blocks.\1.resnets.\2."),
    (r"decoder\.up\.(\d+)\.upsample\.", r"decoder.up_blocks.\1.upsamplers.0."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
    (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
    (r"\.mid\.attn_1\.norm\.", ".mid_block.attentions.0.group_norm."),
    (r"\.mid\.attn_1\.([qkv])\.", r".mid_block.attentions.0.to_\1."),
    (r"\.mid\.attn_1\.proj_out\.", ".mid_block.attentions.0.to_out.0."),
    (r"coder\.norm_out\.", "coder.conv_norm_out."),
)


def is_compvis(state: dict[str, Tensor]) -> bool:
    """Whether tensors have CompVis' names, alone or inside of a whole model's."""
    return any(name.endswith(MARK) for name in state)


def from_compvis(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The autoencoder's tensors by diffusers' names; what else is there (U-Net, text, losses) is left out.

    CompVis counts the decoder's stages from the finest, diffusers from the coarsest.
    """
    prefix = next(name for name in state if name.endswith(MARK)).removesuffix(MARK)
    own = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
    stages = [int(found.group(1)) for name in own if (found := re.match(r"decoder\.up\.(\d+)\.", name))]
    result = {}
    for name, tensor in own.items():
        if not name.startswith(PARTS):
            continue
        name = re.sub(r"(?<=^decoder\.up\.)\d+", lambda found: str(max(stages) - int(found.group())), name)
        for pattern, ours in NAMES:
            name = re.sub(pattern, ours, name)
        result[name] = tensor
    return result
