import torch
from baselines.scenes import scene, turn
from baselines.test_codebook import SMALL as BOOK

from fewview.baselines.viewformer import ViewFormer, ViewFormerConfig, ViewFormerTask, branches, code_loss
from fewview.views import Views

SMALL = ViewFormerConfig(BOOK, dim=8, layers=2, heads=2, hidden=16, dropout=0.0)


def model() -> ViewFormer:
    torch.manual_seed(0)
    made = ViewFormer(SMALL).eval()
    torch.nn.init.normal_(made.head.weight)
    return made


def logits(net: ViewFormer, context: Views, queries: Views) -> torch.Tensor:
    return net(net.codes(context.images), context.cameras, queries.cameras)


def test_paper_size_has_gpt_2_s_blocks():
    """12 layers of 7,087,872: of GPT-2 small's published 124,439,808, all but embeddings and the last norm."""
    with torch.device("meta"):
        net = ViewFormer(ViewFormerConfig())
    count = sum(p.numel() for p in net.layers.parameters())
    assert count == 12 * 7_087_872 == 124_439_808 - 50_257 * 768 - 1024 * 768 - 2 * 768


def test_a_query_knows_nothing_of_other_queries():
    context, queries = scene(queries=3)
    net = model()
    together = logits(net, context, queries)
    for i in range(3):
        torch.testing.assert_close(
            together[:, i : i + 1], logits(net, context, queries[:, i : i + 1]), atol=1e-5, rtol=0
        )


def test_who_sees_whom():
    seen = branches(2, 2, 1)
    assert seen.tolist() == [
        [True, True, False, False],
        [True, True, False, False],
        [True, True, True, False],
        [True, True, False, True],
    ]


def test_only_relative_poses_and_the_first_view_matter():
    context, queries = scene(context=3)
    net = model()
    before = logits(net, context, queries)
    moved = turn()
    moved[:3, 3] = torch.tensor([3.0, -1.0, 2.0])
    torch.testing.assert_close(
        before, logits(net, context.transformed(moved), queries.transformed(moved)), atol=1e-3, rtol=0
    )
    torch.testing.assert_close(before, logits(net, context[:, [0, 2, 1]], queries), atol=1e-4, rtol=0)


def test_the_loss_is_the_mean_negative_logarithm_of_the_true_codes_probability():
    context, queries = scene(queries=2)
    net = model()
    probability = logits(net, context, queries).softmax(-1)
    codes = net.codes(queries.images)
    expected = -sum(probability[0, q, c, codes[0, q, c]].log() for q in range(2) for c in range(16)) / 32
    torch.testing.assert_close(code_loss(net, context, queries), expected, atol=1e-5, rtol=0)


def test_steps_lower_the_loss_and_leave_the_codebook_alone():
    context, queries = scene(queries=2)
    net = model().train()
    task = ViewFormerTask(net, lambda generator: (context, queries), {"": (context, queries)})
    before = net.codebook.state_dict()["codes.weight"].clone()
    optimiser = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for i in range(6):
        loss = task.loss(torch.Generator().manual_seed(i))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] and torch.equal(before, net.codebook.codes.weight)
    assert set(task.validate(net)) == {"cross_entropy", "psnr"}


def test_pictures_are_the_likeliest_codes_or_drawn():
    context, queries = scene()
    net = model()
    seen, camera = net.look(context[0]), queries.cameras[0, 0]
    best = net.codebook.decode(logits(net, context, queries).argmax(-1)[0])[0].clamp(0, 1)
    assert torch.allclose(net.picture(seen, camera), best, atol=1e-5)
    drawn = [net.picture(seen, camera, torch.Generator().manual_seed(i)) for i in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
