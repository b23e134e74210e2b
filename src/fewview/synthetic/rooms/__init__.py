"""Walks through furnished rooms, in the format of RealEstate10K."""
