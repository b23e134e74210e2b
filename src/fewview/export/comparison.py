"""Parts of the report: each photo under its rendering, with a slider between, and what no photo saw, marked."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fewview.export.images import img, straight
from fewview.views import Render, Views

SIDE = 480  # px, the longest side of an embedded picture
MARK = (0.93, 0.33, 0.13)  # the colour of what no photo saw
STRIPE = 1 / 24  # of a picture's height, the width of a stripe

SCRIPT = """
for (const slider of document.querySelectorAll(".compare input"))
  slider.addEventListener("input", () => slider.closest(".compare").style.setProperty("--cut", slider.value + "%"));
"""

CSS = """
.compares { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); gap: 16px; }
.compare { --cut: 50%; }
.compare .stage { position: relative; }
.compare .over { position: absolute; inset: 0; clip-path: inset(0 calc(100% - var(--cut)) 0 0); }
.compare .stage > img:first-child { clip-path: inset(0 0 0 var(--cut)); }
.compare i { position: absolute; inset: 0 auto 0 var(--cut); width: 2px; margin-left: -1px; background: var(--accent);
  pointer-events: none; }
.compare input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: ew-resize;
  touch-action: pan-y; }
.compare .stage:focus-within { outline: 2px solid var(--accent); }
figcaption { display: flex; justify-content: space-between; padding: 4px 2px; font-variant-numeric: tabular-nums; }
"""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Photos, what the scene shows from their cameras (batch shape (n,)), and the photos' numbers, from 0, of `total`.

    PSNR counts inside the masks, on black, at the size of the renderings.
    """

    photos: Views
    seen: Render
    numbers: tuple[int, ...]
    total: int

    def psnr(self) -> Float[Tensor, " n"]:
        """dB of each photo; of one without a mask, over all of it."""
        photos = self.photos.on_black()
        error = (self.seen.image.clamp(0, 1) - photos.images).square().mean(1, keepdim=True)
        inside = torch.ones_like(error) if photos.masks is None else (photos.masks > 0.5).to(error)
        mean = (error * inside).sum((1, 2, 3)) / inside.sum((1, 2, 3)).clamp(min=1)
        return -10 * mean.clamp(min=1e-10).log10()

    def html(self) -> str:
        """A slider for each photo: the photo to the left of it, the rendering to the right."""
        photos, cells = self.photos, []
        cut = photos.images if photos.masks is None else torch.cat([photos.images, photos.masks], dim=1)
        for number, photo, seen, psnr in zip(self.numbers, cut, straight(self.seen), self.psnr().tolist()):
            name = f"photo {number + 1}"
            over = img(photo, name, SIDE).replace("<img ", '<img class="over" ')
            slider = f'<input type="range" min="0" max="100" value="50" aria-label="{name}: how much of it is shown">'
            stage = f'<div class="stage">{img(seen, f"rendering {number + 1}", SIDE)}{over}<i></i>{slider}</div>'
            caption = f"<figcaption><span>{name}</span><span>{psnr:.1f} dB</span></figcaption>"
            cells.append(f'<figure class="compare">{stage}{caption}</figure>')
        return f'<div class="compares">{"".join(cells)}</div>'

    def note(self) -> str:
        """What the sliders and the numbers are."""
        which = f"{len(self.numbers)} of {self.total} photos" if len(self.numbers) < self.total else "each photo"
        where = "" if self.photos.masks is None else " inside its mask"
        size = f"{self.seen.image.shape[-1]} x {self.seen.image.shape[-2]} pixels"
        return f"Left of the line the photo, right of it the result: {which}, with its PSNR{where} at {size}."


def marked(seen: Render, unseen: Float[Tensor, "n 1 height width"]) -> Float[Tensor, "n 4 height width"]:
    """Renderings (batch shape (n,)) in grey, with stripes over what is `unseen` (shares in [0, 1]); straight alpha."""
    pictures = straight(seen)
    grey = pictures[:, :3].mean(1, keepdim=True).expand(-1, 3, -1, -1)
    height, width = grey.shape[-2:]
    place = torch.arange(height)[:, None] + torch.arange(width)
    stripes = 0.45 + 0.35 * (place // max(1, round(height * STRIPE)) % 2).to(grey)
    shares = unseen.clamp(0, 1) * stripes
    colour = grey.new_tensor(MARK)[:, None, None]
    return torch.cat([torch.lerp(grey, colour.expand_as(grey), shares.expand_as(grey)), pictures[:, 3:]], dim=1)
