"""SparseFusion: EFT, view-conditioned latent diffusion, and distillation (thesis CMU-RI-TR-23-33)."""
