"""Networks for FID and KID: the VGG16 that LPIPS brings, and Inception v3 for those who have the usual weights."""

from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from fewview.checkpoint import load_state
from fewview.errors import InputError
from fewview.evaluation.fidelity import Trunk
from fewview.evaluation.weights import read_state
from fewview.nn.lpips import SCALE, SHIFT, Lpips
from fewview.views import resize

VGG_SIZE = 128  # px that images are resampled to: half of ImageNet's, four times as fast
INCEPTION_SIZE = 299  # px, Szegedy et al. 2016


def vgg_trunk(net: Lpips) -> Trunk:
    """Means over space of VGG16's last convolution (512 numbers), of images resampled to 128 px."""

    def features(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 512"]:
        shift, scale = (images.new_tensor(values)[:, None, None] for values in (SHIFT, SCALE))
        return net.features((_at(images, VGG_SIZE) * 2 - 1 - shift) / scale).mean((-2, -1))

    return Trunk("VGG", features)


def inception_trunk(path: Path) -> Trunk:
    """The pooled 2048 features of Inception v3, of images bilinearly resampled to 299 px and scaled to [-1, 1].

    The file is pytorch-fid's port of the TensorFlow weights of 2015 (pt_inception-2015-12-05-*.pth), those of the
    published numbers; InputError for any other.
    """
    from fewview.nn.inception import Inception

    state = read_state(path)
    if len(state.get("fc.bias", ())) != 1008:
        raise InputError(f"{path} is not FID's Inception v3; name pytorch-fid's pt_inception-2015-12-05-6726825d.pth.")
    ignored = ("AuxLogits.", "fc.")
    net = Inception().eval()
    own = net.state_dict()
    counters = {key: value for key, value in own.items() if key.endswith("num_batches_tracked")}  # old files lack them
    kept = {key: value for key, value in state.items() if not key.startswith(ignored)}
    load_state(net, counters | kept, where=str(path))

    def features(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 2048"]:
        return net(_at(images, INCEPTION_SIZE) * 2 - 1)

    return Trunk("Inception", features)


def _at(images: Float[Tensor, "n 3 h w"], size: int) -> Float[Tensor, "n 3 {size} {size}"]:
    return resize(images, size, size)
