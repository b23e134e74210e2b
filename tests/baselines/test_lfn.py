import torch
from baselines.scenes import SMALL, network, pixels, scene

from fewview.baselines.lfn import LFN, LFNConfig, LightFieldTask
from fewview.baselines.marching import rays_of
from fewview.cameras import Rays


def test_paper_size_has_hypernetworks_for_eight_layers():
    with torch.device("meta"):
        net = LFN(LFNConfig())
    made = [(6, 256), *[(256, 256)] * 6, (256, 3)]
    assert net.shapes == made
    expected = 256 + sum(256 * 256 + 256 + 2 * 256 + 257 * (i + 1) * o for i, o in made)  # with one scene's latent
    assert sum(p.numel() for p in net.parameters()) == expected


def test_a_ray_has_one_colour_wherever_on_it_one_stands():
    _, queries = scene()
    net = network("lfn")
    rays = rays_of(queries.cameras, pixels())
    further = Rays(rays.origins + 2 * rays.directions, rays.directions)
    latent = torch.randn(1, 8)
    torch.testing.assert_close(
        net.field(latent, rays.pluecker()), net.field(latent, further.pluecker()), atol=1e-4, rtol=0
    )


def test_the_field_is_an_mlp_whose_weights_the_latent_gives():
    net = network("lfn")
    latent, rays = torch.randn(2, 8), torch.randn(2, 3, 6)
    for b in range(2):
        x = rays[b]
        for i, (inputs, outputs) in enumerate(net.shapes):
            numbers = net.hyper[i](latent[b])
            x = x @ numbers[: inputs * outputs].reshape(inputs, outputs) + numbers[inputs * outputs :]
            if i + 1 < len(net.shapes):
                x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
                x = x.clamp(min=0)
        torch.testing.assert_close(net.field(latent, rays)[b], x.sigmoid(), atol=1e-4, rtol=0)


def test_fitting_a_latent_explains_the_photos_better_and_leaves_the_network_alone():
    context, _ = scene()
    net = network("lfn")
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    start = net.latents.weight.mean(0)[None]
    error = lambda latent: net.latent_loss(latent, context, 200, generator=torch.Generator().manual_seed(5))["loss"]
    net.config = LFNConfig(**{**vars(SMALL["lfn"]), "fit_steps": 30, "fit_rate": 0.1})
    assert error(net.encode(context)) < error(start)
    assert all(tensor.equal(before[name]) for name, tensor in net.state_dict().items())
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_steps_lower_the_loss_of_the_scenes_that_are_learned():
    context, queries = scene()
    net = network("lfn").train()
    task = LightFieldTask(net, lambda generator: (torch.tensor([1]), context), {"": (context, queries)})
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(8):
        loss = task.loss(torch.Generator().manual_seed(0))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] and set(task.validate(net)) == {"psnr"}
