"""Colours of sRGB and their linear light (IEC 61966-2-1), in [0, 1]."""

import numpy as np
from jaxtyping import Float


def linear_of(srgb: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """What is displayed for encoded values."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0.04045) + 0.055) / 1.055) ** 2.4)


def srgb_of(linear: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Encoded values of what is displayed."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)
