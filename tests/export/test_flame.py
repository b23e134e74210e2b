import re

from fewview.export.flame import page, tree
from fewview.profiling import Profile, StageCost

PROFILE = Profile(
    (StageCost("fit", 3.0, 2.5, 2**30), StageCost("<write>", 1.0)),
    {("fit", "m.a", "m.b:3"): 2.0, ("fit", "m.a"): 1.0, ("<write>", "m.c:9"): 1.0, ("<write>", "m.d:1"): 1e-6},
)


def test_a_bar_has_the_seconds_of_all_that_it_called():
    root = tree(PROFILE)
    assert root.seconds == 4.000001 and root.below["fit"].seconds == 3
    assert root.below["fit"].below["m.a"].below["m.b:3"].seconds == 2


def test_widths_are_shares_and_the_page_needs_nothing_else():
    text = page(PROFILE, "a & b")
    widths = [float(width) for width in re.findall(r"width:([\d.]+)%\">", text)]
    assert widths == [100, 75, 100, 66.667, 25, 100] and "m.d" not in text
    assert "http" not in text and "a &amp; b" in text and "&lt;write&gt;" in text and "<write>" not in text
    assert "1.00" in text and "together" in text
