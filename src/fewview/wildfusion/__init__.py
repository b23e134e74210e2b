"""WildFusion: 3D from single images without cameras, in view space; an autoencoder, and latent diffusion on it."""
