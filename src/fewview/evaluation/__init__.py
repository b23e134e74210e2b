"""Held-out views: which, how close (PSNR, SSIM, LPIPS), and the tables made of them."""
