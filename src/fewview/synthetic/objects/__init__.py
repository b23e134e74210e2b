"""Captures of single objects, in the layout of CO3Dv2."""
