"""`fewview import`: published weights of others as a model folder of ours."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from fewview.commands.console import say
from fewview.commands.targets import check_empty
from fewview.errors import InputError


@dataclass(frozen=True)
class Import:
    """Turn published weights into a folder for `--weights`; files are read as numbers alone, no code of theirs runs."""

    kind: Positional[Literal["sparsefusion-release"]]
    """What they are of: sparsefusion-release, the two checkpoints that SparseFusion's authors published a category."""
    eft: Annotated[Positional[Path], arg(metavar="EFT.pt")]
    """The release's ckpt_latest_eft.pt."""
    vldm: Annotated[Positional[Path], arg(metavar="VLDM.pt")]
    """The release's ckpt_latest.pt."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")]
    """Where the model folder goes; an empty one, or a new one."""
    autoencoder: Annotated[Path | None, arg(metavar="PATH")] = None
    """Stable Diffusion's v1 autoencoder, which both need: CompVis' .ckpt, or a vae folder of diffusers."""

    def run(self) -> None:
        from fewview.recipes.sparsefusion.published import import_release

        if self.autoencoder is None:
            raise InputError(
                "The release's latents are those of Stable Diffusion v1-3; name its autoencoder with --autoencoder "
                "(sd-v1-3-vae.ckpt, or a diffusers folder)."
            )
        check_empty(self.out)
        import_release(self.eft, self.vldm, self.autoencoder, out=self.out)
        say(f"The model is in {self.out}; use it with --weights {self.out} --preset release.")
