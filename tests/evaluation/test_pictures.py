import pytest
import torch

from fewview.errors import InputError
from fewview.evaluation.pictures import GAP, HEADER, comparison, load_png, save_png


def test_png_rounds_to_eight_bits_and_clamps(tmp_path):
    image = torch.tensor([0.0, 1.0, 0.5, 0.1, 2.0, -1.0, 0.9999, 0.2499])[None, None].expand(3, 2, 8).contiguous()
    save_png(tmp_path / "a.png", image)
    found = load_png(tmp_path / "a.png")
    assert found is not None and (found - image.clamp(0, 1)).abs().max() <= 0.5 / 255 + 1e-6


def test_no_file_is_none_and_half_a_file_an_input_error(tmp_path):
    assert load_png(tmp_path / "a.png") is None
    save_png(tmp_path / "a.png", torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)))
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:-500])
    with pytest.raises(InputError, match=r"a\.png"):
        load_png(tmp_path / "a.png")


@pytest.mark.parametrize("context, wide", [(1, 1), (2, 1), (3, 2), (6, 3)])
def test_every_tile_is_where_the_layout_says(context, wide):
    size, rows = 8, 2
    inputs = torch.linspace(0.1, 0.4, context)[:, None, None, None].expand(context, 3, size, size)
    grey = {v: [torch.full((3, size, size), v + 0.1 * row) for row in range(rows)] for v in (0.5, 0.7)}
    sheet = comparison(inputs, [("truth", grey[0.5]), ("m", grey[0.7]), ("missing", [None] * rows)])
    assert sheet.size == ((wide + 3) * (size + GAP) + GAP, HEADER + rows * (size + GAP) - GAP)

    def tile(column, row):
        left = column * (size + GAP) + (2 * GAP if column >= wide else 0)
        return sheet.getchannel("R").getpixel((left + 4, HEADER + row * (size + GAP) + 4))

    for i in range(context):
        assert tile(i % wide, i // wide) == round(inputs[i, 0, 0, 0].item() * 255)
    for row in range(rows):
        assert [tile(wide + c, row) for c in range(3)] == [round((v + 0.1 * row) * 255) for v in (0.5, 0.7)] + [225]
