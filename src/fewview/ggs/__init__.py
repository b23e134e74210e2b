"""Generative Gaussian Splatting (Schwarz et al., ICCV 2025, arXiv 2503.13272): splats inside a multi-view denoiser."""
