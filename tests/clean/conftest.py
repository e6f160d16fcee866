"""Hypothesis without deadlines: what a loaded machine takes says nothing about the laws."""

from hypothesis import settings

settings.register_profile("clean", deadline=None, max_examples=50)
settings.load_profile("clean")
