"""SparseFusion's published weights (EFT and VLDM checkpoints of the release) as weights of our networks.

The release's axes are PyTorch3D's (x left, y up), its harmonics are sorted sines, cosines, numbers, and its tokens are
concatenated in another order: all of it is a permutation, and a change of sign, of columns of three linear layers.
Names and shapes are facts of the files; no code of the release is used.
"""

import re

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.sparsefusion.eft import EFTConfig

State = dict[str, Tensor]

UNUSED = ("encoder_model.layer4.", "encoder_model.fc.", "null_conditional_embed", "null_conditional_hidden")
RAY_SIGNS = (-1.0, -1.0, 1.0, -1.0, -1.0, 1.0)  # of Plücker coordinates, from x left, y up to x right, y down

EFT_NAMES = (
    (r"encoder_model\.", "backbone."),
    (r"t1\.", "across_views."),
    (r"t2\.", "along_ray."),
    (r"t3\.", "over_views."),
    (r"t2_attn\.", "ray_weights.score."),
    (r"t3_attn\.", "view_weights.score."),
    (r"color_layer\.0\.", "colour."),
)
ENCODER_NAMES = (
    (r"\.pre\.0\.", ".embed."),
    (r"\.encoder\.layers\.", ".layers."),
    (r"\.self_attn\.in_proj_", ".qkv."),
    (r"\.self_attn\.out_proj\.", ".out."),
    (r"\.linear1\.", ".mlp.0."),
    (r"\.linear2\.", ".mlp.3."),
)
UNET_NAMES = (
    (r"to_time_hiddens\.0\.weights", "time.frequencies"),
    (r"to_time_hiddens\.1\.", "time.hidden.0."),
    (r"to_time_cond\.0\.", "time.vector."),
    (r"to_time_tokens\.0\.", "time.tokens."),
    (r"norm_cond\.", "time.norm."),
    (r"init_conv\.", "embed."),
    (r"mid_block(\d)\.", r"middle\1."),
    (r"mid_attn\.fn\.fn\.", "middle_attention."),
    (r"final_res_block\.", "final."),
    (r"final_conv\.", "out."),
    (r"downs\.(\d+)\.1\.", r"downs.\1.first."),
    (r"downs\.(\d+)\.2\.", r"downs.\1.blocks."),
    (r"downs\.(\d+)\.3\.", r"downs.\1.attention."),
    (r"downs\.(\d+)\.4\.fns\.0\.", r"downs.\1.resample.wide."),
    (r"downs\.(\d+)\.4\.fns\.1\.", r"downs.\1.resample.narrow."),
    (r"downs\.(\d+)\.4\.", r"downs.\1.resample."),
    (r"ups\.(\d+)\.0\.", r"ups.\1.first."),
    (r"ups\.(\d+)\.1\.", r"ups.\1.blocks."),
    (r"ups\.(\d+)\.2\.", r"ups.\1.attention."),
    (r"ups\.(\d+)\.3\.net\.0\.", r"ups.\1.resample.0."),
)
PART_NAMES = (
    (r"\.time_mlp\.1\.", ".time.1."),
    (r"\.block(\d)\.groupnorm\.", r".norm\1."),
    (r"\.block(\d)\.project\.", r".conv\1."),
    (r"\.res_conv\.", ".shortcut."),
    (r"\.gca\.to_k\.", ".gate.score."),
    (r"\.gca\.net\.", ".gate.gate."),
    (r"\.cross_attn\.fn\.", ".attention."),
    (r"\.layers\.0\.0\.fn\.", "."),
    (r"\.layers\.0\.1\.", ".mlp."),
    (r"\.to_context\.", ".tokens_to_kv."),
    (r"\.null_kv$", ".null"),
    (r"\.g$", ".gain"),
)


def eft_from_release(released: State, config: EFTConfig) -> State:
    """The tensors of our EFT; what else the file holds (the image network's last stage) is left out."""
    state = {_renamed(n, EFT_NAMES, ENCODER_NAMES): t for n, t in released.items() if not n.startswith(UNUSED)}
    ray, depth = _columns(6, config.octaves), _columns(1, config.octaves)
    signs = _signs(RAY_SIGNS, config.octaves)
    sizes = {
        "across_views": (("ray", "depth", "rest"), (0, 1, 2)),
        "along_ray": (("ray", "ray", "depth", "rest"), (3, 0, 1, 2)),
        "over_views": (("ray", "ray", "rest"), (2, 0, 1)),
    }
    for group, (kinds, order) in sizes.items():
        name = f"{group}.embed.weight"
        if name not in state:
            continue
        known = {"ray": len(ray), "depth": len(depth)}
        widths = [known.get(kind, 0) for kind in kinds]
        widths[kinds.index("rest")] = state[name].shape[1] - sum(widths)
        if min(widths) < 0:
            continue  # another number of harmonics: the shape is refused where the state is loaded
        parts = []
        for kind, part in zip(kinds, state[name].split(widths, dim=1)):
            parts.append(
                part[:, ray] * signs.to(part) if kind == "ray" else part[:, depth] if kind == "depth" else part
            )
        state[name] = torch.cat([parts[i] for i in order], dim=1)
    return state


def unet_from_release(released: State) -> State:
    """The tensors of our UNet, from those of `unets.0`; embeddings of absent texts are left out."""
    state = {}
    for name, tensor in released.items():
        name = name.removeprefix("unets.0.")
        if name.startswith(UNUSED):
            continue
        own = _renamed(name, UNET_NAMES, PART_NAMES)
        if own.endswith(".gain"):
            tensor = tensor.flatten()
        elif ".attention.mlp." in own:
            tensor = tensor.flatten(1)  # 1 x 1 convolutions
        state[own] = tensor
    return state


def _renamed(name: str, heads: tuple[tuple[str, str], ...], parts: tuple[tuple[str, str], ...]) -> str:
    """The first of `heads` that matches the beginning, then all of `parts`."""
    for pattern, ours in heads:
        if re.match(pattern, name):
            name = re.sub(f"^{pattern}", ours, name)
            break
    for pattern, ours in parts:
        name = re.sub(pattern, ours, name)
    return name


def _columns(numbers: int, octaves: int) -> list[int]:
    """Where the release has our harmonics: it writes sines, cosines, numbers; we write numbers, sines, cosines."""
    waves = 2 * numbers * octaves
    return [*range(waves, waves + numbers), *range(waves)]


def _signs(signs: tuple[float, ...], octaves: int) -> Float[Tensor, " n"]:
    """Of our harmonics when numbers change sign: numbers and sines do too, cosines stay."""
    numbers = torch.tensor(signs)
    sines = numbers.repeat_interleave(octaves)
    return torch.cat([numbers, sines, torch.ones_like(sines)])
