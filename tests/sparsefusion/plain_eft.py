"""EFT a second time, from its equations (thesis A.1) and the release's conventions, one ray after the other.

Weights are a dictionary with the release's names. Cameras are PyTorch3D's: x left, y up, z forward, X_cam = X R + T,
image points x = f X / Z + p in [-1, 1], +1 at the left and at the top. Nothing of fewview is used.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

STAGES = ("layer1", 1), ("layer2", 2), ("layer3", 2)  # ResNet-18's, and the stride of the first block


def eft_state(dim: int, layers: int, octaves: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Random weights with the release's names and shapes, at any size; the release has 256, 4 and 6."""
    draw = lambda *shape, std=0.3: std * torch.randn(*shape, generator=generator)
    ray, depth = 6 * (2 * octaves + 1), 2 * octaves + 1
    state = {}
    for name, inputs in (("t1", ray + depth + 515), ("t2", 2 * ray + depth + dim), ("t3", 2 * ray + dim)):
        state |= {f"{name}.pre.0.weight": draw(dim, inputs, std=inputs**-0.5), f"{name}.pre.0.bias": draw(dim)}
        for i in range(layers):
            layer = nn.TransformerEncoderLayer(dim, 1, dim, 0.1)
            layer.load_state_dict({n: draw(*t.shape, std=dim**-0.5) for n, t in layer.state_dict().items()})
            layer.norm1.weight.data += 1
            layer.norm2.weight.data += 1
            state |= {f"{name}.encoder.layers.{i}.{n}": t.clone() for n, t in layer.state_dict().items()}
    state |= {f"{n}.weight": draw(1, dim) for n in ("t2_attn", "t3_attn")} | {
        f"{n}.bias": draw(1) for n in ("t2_attn", "t3_attn")
    }
    state |= {"color_layer.0.weight": draw(3, dim), "color_layer.0.bias": draw(3)}
    return state | _resnet_state(draw)


def _resnet_state(draw) -> dict[str, torch.Tensor]:
    state = {"encoder_model.conv1.weight": draw(64, 3, 7, 7, std=0.1), "encoder_model.fc.weight": draw(10, 512)}

    def norm(name: str, width: int) -> None:
        state[f"encoder_model.{name}.weight"] = 1 + draw(width, std=0.1)
        for part in ("bias", "running_mean"):
            state[f"encoder_model.{name}.{part}"] = draw(width, std=0.1)
        state[f"encoder_model.{name}.running_var"] = 1 + draw(width, std=0.1).abs()
        state[f"encoder_model.{name}.num_batches_tracked"] = torch.tensor(7)

    norm("bn1", 64)
    width = 64
    for (stage, stride), wide in zip((*STAGES, ("layer4", 2)), (64, 128, 256, 512)):
        for block in (0, 1):
            inputs = width if block == 0 else wide
            for i, k in ((1, inputs), (2, wide)):
                state[f"encoder_model.{stage}.{block}.conv{i}.weight"] = draw(wide, k, 3, 3, std=(9 * k) ** -0.5)
                norm(f"{stage}.{block}.bn{i}", wide)
        if stride > 1:
            state[f"encoder_model.{stage}.0.downsample.0.weight"] = draw(wide, width, 1, 1, std=width**-0.5)
            norm(f"{stage}.0.downsample.1", wide)
        width = wide
    return state


def pyramid(state: dict[str, torch.Tensor], images: torch.Tensor, *, batch_statistics: bool) -> torch.Tensor:
    """512 channels at half of the images' size."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        get = lambda part: state[f"encoder_model.{name}.{part}"][:, None, None]
        mean, variance = get("running_mean"), get("running_var")
        if batch_statistics:
            mean = x.mean((0, 2, 3), keepdim=True)
            variance = ((x - mean) ** 2).mean((0, 2, 3), keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt() * get("weight") + get("bias")

    def conv(x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        weight = state[f"encoder_model.{name}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    x = norm(conv(images, "conv1", 2), "bn1").clamp(min=0)
    maps = [x]
    x = F.max_pool2d(x, 3, 2, 1)
    for stage, stride in STAGES:
        for block in (0, 1):
            name, step = f"{stage}.{block}", stride if block == 0 else 1
            y = norm(conv(x, f"{name}.conv1", step), f"{name}.bn1").clamp(min=0)
            y = norm(conv(y, f"{name}.conv2"), f"{name}.bn2")
            if f"encoder_model.{name}.downsample.0.weight" in state:
                x = norm(conv(x, f"{name}.downsample.0", step), f"{name}.downsample.1")
            x = (x + y).clamp(min=0)
        maps.append(x)
    size = maps[0].shape[-2:]
    return torch.cat([F.interpolate(m, size, mode="bilinear", align_corners=True) for m in maps], 1)


def harmonics(x: torch.Tensor, octaves: int) -> torch.Tensor:
    """Sines of all numbers, cosines of all, and the numbers."""
    angles = [float(number) * 2**k for number in x for k in range(octaves)]
    waves = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    return torch.cat([torch.tensor(waves, dtype=x.dtype), x])


def plucker(origin: torch.Tensor, direction: torch.Tensor, octaves: int) -> torch.Tensor:
    return harmonics(torch.cat([direction, torch.linalg.cross(origin, direction)]), octaves)


def transform(state: dict[str, torch.Tensor], name: str, tokens: torch.Tensor) -> torch.Tensor:
    """Linear, GELU and torch's own encoder layers, on one sequence."""
    x = F.gelu(tokens @ state[f"{name}.pre.0.weight"].T + state[f"{name}.pre.0.bias"])
    i = 0
    while f"{name}.encoder.layers.{i}.norm1.weight" in state:
        part = f"{name}.encoder.layers.{i}."
        layer = nn.TransformerEncoderLayer(x.shape[1], 1, x.shape[1], 0.0).to(x.dtype).eval()
        layer.load_state_dict({n.removeprefix(part): t for n, t in state.items() if n.startswith(part)})
        x = layer(x[:, None])[:, 0]
        i += 1
    return x


@torch.no_grad()
def plain_eft(
    state: dict[str, torch.Tensor],
    images: torch.Tensor,
    cameras: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]],
    rays: torch.Tensor,
    *,
    near: float,
    far: float,
    samples: int,
    octaves: int,
    batch_statistics: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Colours and features of rays from the origin, whose frame is the query camera's.

    Cameras are (R, T, focal, principal point); rays "n 3" have z = 1.
    """
    maps = pyramid(state, images, batch_statistics=batch_statistics)
    depths = torch.linspace(near, far, samples, dtype=images.dtype)
    colours, features = [], []
    for direction in rays:
        query = plucker(torch.zeros(3, dtype=images.dtype), direction / direction.norm(), octaves)
        at_depths = []
        references = []
        for depth in depths:
            tokens = []
            for m, (turn, shift, focal, principal) in enumerate(cameras):
                point = direction * depth
                seen = point @ turn + shift
                where = -(focal * seen[:2] / seen[2] + principal)
                look = lambda source, w=where: F.grid_sample(
                    source, w[None, None, None], align_corners=True, padding_mode="border"
                )[0, :, 0, 0]
                centre = -shift @ turn.T
                reference = plucker(centre, (point - centre) / (point - centre).norm(), octaves)
                tokens.append(
                    torch.cat(
                        [reference, harmonics(depth[None], octaves), look(maps[m : m + 1]), look(images[m : m + 1])]
                    )
                )
                references.append(reference)
            at_depths.append(transform(state, "t1", torch.stack(tokens)))
        count = len(cameras)
        of_views = []
        for m in range(count):
            tokens = [
                torch.cat([query, references[i * count + m], harmonics(depth[None], octaves), at_depths[i][m]])
                for i, depth in enumerate(depths)
            ]
            x = transform(state, "t2", torch.stack(tokens))
            weights = (x @ state["t2_attn.weight"].T + state["t2_attn.bias"]).softmax(0)
            of_views.append(torch.cat([query, references[samples // 2 * count + m], (x * weights).sum(0)]))
        x = transform(state, "t3", torch.stack(of_views))
        feature = (x * (x @ state["t3_attn.weight"].T + state["t3_attn.bias"]).softmax(0)).sum(0)
        features.append(feature)
        colours.append((state["color_layer.0.weight"] @ feature + state["color_layer.0.bias"]).sigmoid())
    return torch.stack(colours), torch.stack(features)
