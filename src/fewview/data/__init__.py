"""Readers of posed photographs, and makers of synthetic ones."""
