"""Rooms: frames along and between generated ones."""
