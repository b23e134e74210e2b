"""Diffusion in the EDM frame: denoisers, schedules of noise levels and samplers; knows nothing of images or cameras."""
