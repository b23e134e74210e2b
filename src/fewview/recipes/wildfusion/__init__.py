"""WildFusion at two sizes: `paper` (256 px) and `tiny` (64 px, two CPU cores)."""

from fewview.wildfusion.model import RenderConfig, WildFusionConfig


def paper() -> WildFusionConfig:
    """256 px, 32x32x4 latents. The paper's latent and network sizes are not public in what we read: these are ours."""
    return WildFusionConfig()


def tiny() -> WildFusionConfig:
    """64 px, 16x16x6 latents, planes of 32 cells with 16 features, rendered at 32 px with 20 samples a ray."""
    return WildFusionConfig(
        latents=6,
        cells=16,
        encoder=(48, 96, 128),
        patch=2,
        level=1,
        decoder=(128, 64),
        layers=(2, 2),
        heads=4,
        groups=16,
        render=RenderConfig(channels=16, hidden=32, features=16, size=32, samples=20, width=48, blocks=2, factor=2),
    )


ADVERSARIES = {"tiny": (32, 64, 96, 128, 128), "paper": (64, 128, 256, 512, 512, 512)}  # channels of the discriminators
