import base64
import io
import re

import numpy as np
from PIL import Image
from viewer.scenes import ball, ring

from fewview.export.notebook import film_html, film_webp
from fewview.paths import orbit
from fewview.render.asset import GaussianAsset


def test_the_turntable_is_an_endless_film_of_its_path():
    asset, cameras = GaussianAsset(ball(300)), ring(3)
    film = Image.open(io.BytesIO(film_webp(asset, orbit(cameras, 5), size=48)))
    assert (film.n_frames, film.size, film.info["loop"]) == (5, (64, 48), 0)  # type: ignore[attr-defined]
    want = asset.render(orbit(cameras.resized(48, 64), 5)[2]).image.permute(1, 2, 0).numpy()
    film.seek(2)
    assert np.abs(np.asarray(film.convert("RGB")) / 255 - want).mean() < 0.04, "WebP loses a little"


def test_the_html_is_one_image_that_holds_the_film():
    html = film_html(GaussianAsset(ball(100)), ring(3), size=32)
    found = re.fullmatch(r'<img src="data:image/webp;base64,([^"]+)" height="32" alt="[^"]+">', html)
    assert found and base64.b64decode(found[1])[:4] == b"RIFF"
