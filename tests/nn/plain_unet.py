"""The UNet of thesis Tables A.2 and A.3 a second time, as a function of weights that have the release's names.

Written from the descriptions of its parts (2205.11487, 2006.11239, 1904.11492, 1911.02150) without fewview's modules:
normalisation, convolution and attention are spelled out with sums.
"""

import math

import torch
from torch.nn import functional as F

State = dict[str, torch.Tensor]


def unet_state(
    *, channels: int, condition: int, dim: int, mults: tuple[int, ...], blocks: int, generator: torch.Generator,
    heads: int = 8, head_dim: int = 64,
) -> State:  # fmt: skip
    """Random weights with the release's names and shapes; attention at the last level alone."""
    state: State = {}
    inner, time = heads * head_dim, 4 * dim

    def put(name: str, *shape: int, centre: float = 0.0) -> None:
        fan = math.prod(shape[1:]) if len(shape) > 1 else 25
        state[name] = centre + fan**-0.5 * torch.randn(*shape, generator=generator)

    def linear(name: str, inputs: int, outputs: int, *kernel: int, bias: bool = True) -> None:
        put(f"{name}.weight", outputs, inputs, *kernel)
        if bias:
            put(f"{name}.bias", outputs)

    def norm(name: str, width: int, gain: str = "weight", bias: bool = True) -> None:
        put(f"{name}.{gain}", *((1, width, 1, 1) if gain == "G" else (width,)), centre=1.0)
        if bias:
            put(f"{name}.bias", width)

    def block(name: str, inputs: int, outputs: int, *, gated: bool = False, tokens: bool = False) -> None:
        linear(f"{name}.time_mlp.1", time, 2 * outputs)
        for i, width in ((1, inputs), (2, outputs)):
            norm(f"{name}.block{i}.groupnorm", width)
            linear(f"{name}.block{i}.project", width, outputs, 3, 3)
        if inputs != outputs:
            linear(f"{name}.res_conv", inputs, outputs, 1, 1)
        if gated:
            linear(f"{name}.gca.to_k", outputs, 1, 1, 1)
            linear(f"{name}.gca.net.0", outputs, outputs // 2, 1, 1)
            linear(f"{name}.gca.net.2", outputs // 2, outputs, 1, 1)
        if tokens:
            attention(f"{name}.cross_attn.fn", outputs, dim, 2 * inner)

    def attention(name: str, width: int, keys: int, sizes: int) -> None:
        norm(f"{name}.norm", width, "g", bias=False)
        put(f"{name}.null_kv", 2, head_dim)
        linear(f"{name}.to_q", width, inner, bias=False)
        linear(f"{name}.to_kv", keys, sizes, bias=False)
        linear(f"{name}.to_out.0", inner, width, bias=False)
        norm(f"{name}.to_out.1", width, "g", bias=False)

    def transformer(name: str, width: int) -> None:
        attention(f"{name}.layers.0.0.fn", width, width, 2 * head_dim)
        norm(f"{name}.layers.0.0.fn.to_context.0", dim)
        linear(f"{name}.layers.0.0.fn.to_context.1", dim, 2 * head_dim)
        for i, wide in ((0, width), (3, 2 * width)):
            put(f"{name}.layers.0.1.{i}.g", 1, wide, 1, 1, centre=1.0)
        linear(f"{name}.layers.0.1.1", width, 2 * width, 1, 1, bias=False)
        linear(f"{name}.layers.0.1.4", 2 * width, width, 1, 1, bias=False)

    put("to_time_hiddens.0.weights", 8)
    linear("to_time_hiddens.1", 17, time)
    linear("to_time_cond.0", time, time)
    linear("to_time_tokens.0", time, 2 * dim)
    norm("norm_cond", dim)
    put("null_conditional_embed", 1, 3, dim)  # of text, which the release leaves in the file
    put("null_conditional_hidden", 1, time)
    for i, (kernel, part) in enumerate(((3, 2), (7, 4), (15, 4))):
        linear(f"init_conv.convs.{i}", channels + condition, dim // part, kernel, kernel)
    widths = [dim * m for m in mults]
    pairs = list(zip([dim, *widths], widths))
    last = len(pairs) - 1
    for i, (inputs, outputs) in enumerate(pairs):
        block(f"downs.{i}.1", inputs, inputs)
        for j in range(blocks):
            block(f"downs.{i}.2.{j}", inputs, inputs, gated=True)
        if i == last:
            transformer(f"downs.{i}.3", inputs)
            linear(f"downs.{i}.4.fns.0", inputs, outputs, 3, 3)
            linear(f"downs.{i}.4.fns.1", inputs, outputs, 1, 1)
        else:
            linear(f"downs.{i}.4", inputs, outputs, 4, 4)
    block("mid_block1", widths[-1], widths[-1], tokens=True)
    attention("mid_attn.fn.fn", widths[-1], widths[-1], 2 * head_dim)
    block("mid_block2", widths[-1], widths[-1], tokens=True)
    for i, (inputs, outputs) in enumerate(reversed(pairs)):
        block(f"ups.{i}.0", outputs + inputs, outputs)
        for j in range(blocks):
            block(f"ups.{i}.1.{j}", outputs + inputs, outputs, gated=True)
        if i == 0:
            transformer(f"ups.{i}.2", outputs)
        if i < last:
            linear(f"ups.{i}.3.net.0", outputs, 4 * inputs, 1, 1)
    block("final_res_block", dim, dim, gated=True)
    linear("final_conv", dim, channels, 3, 3)
    return state


@torch.no_grad()
def plain_unet(
    state: State, x: torch.Tensor, logsnr: torch.Tensor, condition: torch.Tensor, *, heads: int = 8, groups: int = 8
) -> torch.Tensor:
    """Predicted noise; x "b c h w", logsnr "b", condition "b y h w"."""

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        y = torch.einsum("...i,oi->...o", x, state[f"{name}.weight"].flatten(1))
        return y + state[f"{name}.bias"] if f"{name}.bias" in state else y

    def conv(x: torch.Tensor, name: str, stride: int = 1, padding: int | None = None) -> torch.Tensor:
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, state[f"{name}.bias"], stride, weight.shape[-1] // 2 if padding is None else padding)

    def layer_norm(x: torch.Tensor, name: str) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        y = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        gain = state[f"{name}.g"].flatten() if f"{name}.g" in state else state[f"{name}.weight"]
        return y * gain + state.get(f"{name}.bias", torch.zeros(()))

    def group_norm(x: torch.Tensor, name: str) -> torch.Tensor:
        parts = x.reshape(len(x), groups, -1)
        centred = parts - parts.mean(-1, keepdim=True)
        y = (centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()).reshape(x.shape)
        return y * state[f"{name}.weight"][:, None, None] + state[f"{name}.bias"][:, None, None]

    silu = lambda x: x / (1 + (-x).exp())

    def attend(cells: torch.Tensor, name: str, outside: torch.Tensor | None = None) -> torch.Tensor:
        """Of cells to themselves, and to tokens if they have a layer; or (with many key heads) to tokens alone."""
        hidden = layer_norm(cells, f"{name}.norm")
        e = state[f"{name}.null_kv"].shape[1]
        crossed = outside is not None and f"{name}.to_context.1.weight" not in state
        keys, values = linear(outside if crossed else hidden, f"{name}.to_kv").chunk(2, -1)
        result = []
        for h in range(heads):
            mine = slice(h * e, (h + 1) * e) if crossed else slice(None)
            k, v = [state[f"{name}.null_kv"][i].expand(len(cells), 1, -1) for i in (0, 1)]
            k, v = torch.cat([k, keys[..., mine]], 1), torch.cat([v, values[..., mine]], 1)
            if outside is not None and not crossed:
                told = linear(layer_norm(outside, f"{name}.to_context.0"), f"{name}.to_context.1")
                k, v = torch.cat([k, told[..., :e]], 1), torch.cat([v, told[..., e:]], 1)
            q = linear(hidden, f"{name}.to_q")[..., h * e : (h + 1) * e]
            scores = torch.einsum("bie,bje->bij", q, k) / e**0.5
            result.append(torch.einsum("bij,bje->bie", scores.softmax(-1), v))
        return layer_norm(linear(torch.cat(result, -1), f"{name}.to_out.0"), f"{name}.to_out.1")

    def over_cells(x: torch.Tensor, function) -> torch.Tensor:
        return function(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x.shape)

    def block(x: torch.Tensor, name: str, tokens: torch.Tensor | None = None) -> torch.Tensor:
        hidden = conv(silu(group_norm(x, f"{name}.block1.groupnorm")), f"{name}.block1.project")
        if tokens is not None:
            hidden = hidden + over_cells(hidden, lambda c: attend(c, f"{name}.cross_attn.fn", tokens))
        scale, shift = linear(silu(time), f"{name}.time_mlp.1")[:, :, None, None].chunk(2, 1)
        hidden = group_norm(hidden, f"{name}.block2.groupnorm") * (1 + scale) + shift
        hidden = conv(silu(hidden), f"{name}.block2.project")
        if f"{name}.gca.to_k.weight" in state:
            weights = conv(hidden, f"{name}.gca.to_k").flatten(1).softmax(-1)
            pooled = torch.einsum("bcn,bn->bc", hidden.flatten(2), weights)
            gate = linear(silu(linear(pooled, f"{name}.gca.net.0")), f"{name}.gca.net.2").sigmoid()
            hidden = hidden * gate[:, :, None, None]
        return hidden + (conv(x, f"{name}.res_conv") if f"{name}.res_conv.weight" in state else x)

    def transformer(x: torch.Tensor, name: str) -> torch.Tensor:
        if f"{name}.layers.0.0.fn.to_q.weight" not in state:
            return x

        def both(cells: torch.Tensor) -> torch.Tensor:
            cells = cells + attend(cells, f"{name}.layers.0.0.fn", tokens)
            wide = linear(layer_norm(cells, f"{name}.layers.0.1.0"), f"{name}.layers.0.1.1")
            return cells + linear(layer_norm(F.gelu(wide), f"{name}.layers.0.1.3"), f"{name}.layers.0.1.4")

        return over_cells(x, both)

    angles = 2 * math.pi * logsnr[:, None] * state["to_time_hiddens.0.weights"]
    told = silu(linear(torch.cat([logsnr[:, None], angles.sin(), angles.cos()], 1), "to_time_hiddens.1"))
    time = linear(told, "to_time_cond.0")
    tokens = layer_norm(linear(told, "to_time_tokens.0").reshape(len(x), 2, -1), "norm_cond")
    x = torch.cat([condition, x], 1)
    x = torch.cat([conv(x, f"init_conv.convs.{i}") for i in range(3)], 1)
    count = lambda name: 1 + max(int(n.split(".")[1]) for n in state if n.startswith(f"{name}."))
    inside = lambda name: len({n.split(".")[3] for n in state if n.startswith(f"{name}.")})
    kept: list[torch.Tensor] = []
    for i in range(count("downs")):
        x = block(x, f"downs.{i}.1")
        for j in range(inside(f"downs.{i}.2")):
            x = block(x, f"downs.{i}.2.{j}")
            kept.append(x)
        x = transformer(x, f"downs.{i}.3")
        kept.append(x)
        if f"downs.{i}.4.weight" in state:
            x = conv(x, f"downs.{i}.4", 2, 1)
        else:
            x = conv(x, f"downs.{i}.4.fns.0") + conv(x, f"downs.{i}.4.fns.1")
    x = block(x, "mid_block1", tokens)
    x = x + over_cells(x, lambda c: attend(c, "mid_attn.fn.fn"))
    x = block(x, "mid_block2", tokens)
    for i in range(count("ups")):
        for name in [f"ups.{i}.0", *(f"ups.{i}.1.{j}" for j in range(inside(f"ups.{i}.1")))]:
            x = block(torch.cat([x, kept.pop() / 2**0.5], 1), name)
        x = transformer(x, f"ups.{i}.2")
        if f"ups.{i}.3.net.0.weight" in state:
            x = F.pixel_shuffle(silu(conv(x, f"ups.{i}.3.net.0")), 2)
    return conv(block(x, "final_res_block"), "final_conv")
