"""The authors' published weights of SparseFusion as a model folder of ours."""

from dataclasses import replace
from pathlib import Path

from fewview.checkpoint import load_foreign, load_state, save_model
from fewview.errors import InputError
from fewview.nn.autoencoder import load_stable_diffusion
from fewview.recipes import sparsefusion
from fewview.sparsefusion.released import eft_from_release, unet_from_release
from fewview.sparsefusion.vldm import VLDM, VLDMConfig


def import_release(
    eft: Path, vldm: Path, autoencoder: Path, *, out: Path | None = None, config: VLDMConfig | None = None
) -> VLDM:
    """The model of both checkpoints of the release and of Stable Diffusion's autoencoder, written to `out`.

    InputError where a file is not what it should be; nothing is written then. `config` is the release's unless given.
    """
    codec = load_stable_diffusion(autoencoder)
    config = replace(config or sparsefusion.release(), autoencoder=codec.config)
    if config.size % config.autoencoder.factor or config.autoencoder.total_channels != config.unet.channels:
        raise InputError(
            f"{autoencoder} makes latents of {config.autoencoder.total_channels} channels, a "
            f"{config.autoencoder.factor}th of the image; the release goes with Stable Diffusion's v1 (4, an eighth)."
        )
    eft_state = eft_from_release(load_foreign(eft), config.eft)
    unet_state = unet_from_release(load_foreign(vldm))
    model = VLDM(config)
    load_state(model.eft, eft_state, where=str(eft))
    load_state(model.unet, unet_state, where=str(vldm))
    model.codec.load_state_dict(codec.state_dict())
    if out is not None:
        save_model(out, model, config)
    return model.eval()
