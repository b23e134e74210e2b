"""Cameras of photos that have none: SIFT or learned matches, COLMAP's incremental mapping, our own for few photos."""

from fewview.poses.estimate import Estimated, estimate_cameras
from fewview.poses.matching import Matcher

__all__ = ["Estimated", "Matcher", "estimate_cameras"]
