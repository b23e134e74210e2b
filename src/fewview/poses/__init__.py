"""Cameras of photos that have none: SIFT and incremental mapping by pycolmap, our own fallback for a few photos."""

from fewview.poses.estimate import Estimated, estimate_cameras

__all__ = ["Estimated", "estimate_cameras"]
